"""Who owns what, started and stopped in order; and the loop that supervises it. No rules of its own."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from jobscheduler import systemd, tasks
from jobscheduler.alerts import Alerts, BadDefault, Defaults, read_defaults
from jobscheduler.config import Settings
from jobscheduler.health import Health
from jobscheduler.hostclock import HostClock
from jobscheduler.model import Event, Level, Past, Problem
from jobscheduler.parse import Rules
from jobscheduler.passes import Reconciler
from jobscheduler.runlog import LogFile, RunLog, events_of, holder_of, last_results, lock, read_back
from jobscheduler.scheduler import ACCEPTED, Scheduler
from jobscheduler.sources import SourceUnavailable
from jobscheduler.sources.directory import DirectorySource, is_job_file
from jobscheduler.watch import State, Watch
from jobscheduler.zone import ZoneUnknown, service_zone, zone_signature

TEND = 1.0
"""How often the directory's identity and the threads are looked at, in seconds."""

WAKE = 5.0
"""How often the scheduling thread is made to look at the clock, in seconds."""

STARTED = 1.0
"""How long a run waits for its `run.started` to be written, in seconds."""

MARK = 60.0
"""How often the log gets a mark while anything runs, in seconds."""

ENDING = 15.0
"""How long the end after an internal failure may take, in seconds."""

INTERNAL_FAILURE = 70
"""The exit status when an internal part died."""


class CannotStart(Exception):
    """The service cannot start; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def serve(settings: Settings) -> int:
    """Run the service until it is told to stop; return its exit status.

    Raises:
        CannotStart: something that it needs is not there, or another service has it.

    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents leave it, no exit status would be told
    source = DirectorySource(settings.jobs_dir)
    _check_paths(settings, source)
    rules = _rules(settings)
    defaults = _defaults(settings, rules)
    with ExitStack() as stack:
        mailbox = _signals(stack)
        told = partial(mailbox.put, "mark")
        file = LogFile(settings.log_file, settings.log_max_bytes, settings.log_backups, on_beginning=told)
        _claim(settings, file, stack)  # before reading: what another service still writes would be missing
        past = read_back(settings.log_file, settings.log_backups)
        log = stack.enter_context(RunLog(file, form=settings.log_format, priorities=systemd.is_journal()))
        stack.enter_context(_library_warnings(log))
        clock = HostClock()
        former = partial(last_results, settings.log_file, settings.log_backups)
        alerts = Alerts(log.write, former, defaults, host=os.uname().nodename)
        scheduler = stack.enter_context(
            Scheduler(
                write=alerts.write,
                write_started=partial(log.write_through, timeout=STARTED),
                write_mark=lambda mark: log.write(*events_of(mark, _now())),
                max_workers=settings.max_workers,
                host=_first_line(Path("/etc/machine-id")) or os.uname().nodename,
                boot=_first_line(Path("/proc/sys/kernel/random/boot_id")),
                cause=clock.cause,
            )
        )
        reconciler = Reconciler(source, scheduler, rules, log.event)
        watch = stack.enter_context(
            Watch(
                settings.jobs_dir,
                _looking(reconciler, mailbox),
                identity=source.identity,
                is_relevant=source.is_relevant,
                on_trouble=partial(mailbox.put, "tend"),
            )
        )
        service = Service(settings, rules, log, file, clock, scheduler, reconciler, alerts, watch, mailbox)
        stack.callback(service.close)
        service.start(past)
        status = service.run()
        if status == INTERNAL_FAILURE:
            _abandon(scheduler, log)
    if scheduler.lost_threads():
        os._exit(status)  # a thread that does not heed its end would hold up the interpreter's for ever
    return status


def _abandon(scheduler: Scheduler, log: RunLog) -> None:
    """End the process although a part of it is dead or stuck, with whatever lock it holds; wait for nothing long."""
    ending = threading.Thread(target=scheduler.abandon, args=(ENDING,), daemon=True)
    with suppress(RuntimeError):  # no thread left
        ending.start()
        ending.join(ENDING)
    log.write_through(Event(_now(), Level.ERROR, "service.died", (("status", INTERNAL_FAILURE),)), timeout=STARTED)
    os._exit(INTERNAL_FAILURE)


class Service:
    """The supervising loop on the main thread: `step` once in a while, and when something asks for it."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        log: RunLog,
        file: LogFile,
        clock: HostClock,
        scheduler: Scheduler,
        reconciler: Reconciler,
        alerts: Alerts,
        watch: Watch,
        mailbox: SimpleQueue[str],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._log = log
        self._file = file
        self._clock = clock
        self._scheduler = scheduler
        self._reconciler = reconciler
        self._alerts = alerts
        self._watch = watch
        self._mailbox = mailbox
        self._notifier = systemd.Notifier()
        self._health = Health(scheduler, log, watch)
        self._zone_seen = zone_signature(os.environ)
        self._told_zone = rules.zone.key
        self._late = self._hurried = False
        self._blind = False
        self._fault = ""
        self._next_tend = self._next_wake = self._next_rescan = 0.0
        self._marked = (0, 0, 0)
        self._next_mark = 0.0

    def start(self, past: Past | None) -> None:
        """Arm the watch, read every file, and only then begin to schedule: nothing is due before all is known."""
        self._scheduler.recall(past, _now())
        self._tend()
        jobs, refused = self._reconciler.counts()
        self._scheduler.start()
        self._alerts.start(self._reconciler.definition)
        now = time.monotonic()
        self._next_rescan = now + self._settings.rescan_interval
        self._next_tend, self._next_wake = now + TEND, now + WAKE
        self._note_mark(now)
        since = past.mark.settled if past else "nothing is known of the time before"
        self._log.event(Level.INFO, "service.started", jobs=jobs, refused=refused, pid=os.getpid(), settled=since)
        self._notifier.notify("READY=1", f"STATUS={self._status()}")

    def close(self) -> None:
        """Stop talking to the manager."""
        self._notifier.close()

    def run(self) -> int:
        """Supervise until a signal or a dead part ends the service; return the exit status."""
        try:
            return self._supervise()
        except Exception as error:
            traceback.print_exc()
            return self._die(f"the supervising loop failed: {_text(error)}")

    def _supervise(self) -> int:
        while True:
            message = self._next_message()
            if message in {"SIGTERM", "SIGINT"}:
                return self._stop(message)
            if message == "SIGHUP":
                self._reload()
            elif message == "tend":
                self._next_tend = 0.0
            fault = self._health.fault()
            if fault:
                return self._die(fault)
            self.step(time.monotonic())

    def step(self, now: float) -> None:
        """Do what is due at `now` (monotonic seconds): what has settled, the watch, the clock, the full rescan."""
        settles = self._reconciler.settle_at()
        if settles is not None and settles <= now:
            self._look(partial(self._reconciler.look_at, ()))
        if now >= self._next_tend:
            self._next_tend = now + TEND
            self._tend()
            self._look_at_clock()
            self._look_at_zone()
            self._scheduler.look_at_pool(now)
            self._ping()
        if now >= self._next_wake:
            self._next_wake = now + WAKE
            self._health.wake()
        if now >= self._next_rescan:
            self._next_rescan = now + self._settings.rescan_interval
            self._look(self._reconciler.look_at_everything)
        self._mark_if_due(now)

    def _next_message(self) -> str | None:
        """Wait for a message until the next thing is due."""
        due = min(self._next_tend, self._next_wake, self._next_rescan)
        settles = self._reconciler.settle_at()
        if settles is not None:
            due = min(due, settles)
        try:
            return self._mailbox.get(timeout=max(0.0, due - time.monotonic()))
        except Empty:
            return None

    def _tend(self) -> None:
        """Keep the watch on the right directory, and see whether that is there at all.

        While it cannot be watched, or a pass fails, everything is looked at each second; the trouble and its end are
        told once.
        """
        state, problem = self._watch.tend()
        fault, self._fault = self._fault, ""
        self._degrade(problem or fault)
        is_clear = state is State.CLEAR and not fault
        self._look(self._reconciler.check if is_clear else self._reconciler.look_at_everything)
        self._degrade(self._fault)
        if self._blind and state is not State.BLIND and not problem and not self._fault:
            self._log.event(Level.INFO, "watch.restored")
            self._blind = False

    def _look(self, look: Callable[[], None]) -> None:
        """Have a pass made. One that fails is told by the next `_tend`, which looks at everything."""
        try:
            look()
        except Exception as error:
            self._fault = f"a pass failed: {_text(error)}"

    def _degrade(self, problem: str) -> None:
        if problem and not self._blind:
            self._log.event(Level.WARNING, "watch.degraded", problem=problem)
            self._blind = True

    def _ping(self) -> None:
        """Tell systemd how it goes, and that all is well only if every part is on time; say what is not, once."""
        late = self._health.late()
        if late and not self._late:
            self._log.event(Level.WARNING, "service.late", part=late)
        self._late = bool(late)
        status = f"STATUS={self._status()}{f'; {late} is late' if late else ''}"
        self._notifier.notify(*([status] if late else ["WATCHDOG=1", status]))

    def _look_at_zone(self) -> None:
        """Say so, once, when the host's zone was changed. It is not applied: SIGHUP does that."""
        seen = zone_signature(os.environ)
        if seen == self._zone_seen:
            return
        self._zone_seen = seen
        try:
            zone = service_zone(self._settings.timezone, os.environ).key
        except ZoneUnknown as unknown:
            zone = unknown.message
        if zone not in {self._told_zone, self._rules.zone.key}:
            help_ = "`systemctl reload jobscheduler`, or SIGHUP, to apply it"
            self._log.event(Level.WARNING, "zone.changed", zone=zone, in_force=self._rules.zone.key, help=help_)
        self._told_zone = zone

    def _look_at_clock(self) -> None:
        """Have slots decided at once when the clock was set or the host has slept; say so."""
        jump = self._clock.look()
        if jump is None:
            return
        self._log.event(Level.WARNING, "clock.stepped", set_by=jump.set_by or None, slept=jump.slept or None)
        if jump.set_by < -ACCEPTED.total_seconds():
            self._log.event(Level.WARNING, "clock.accepted", set_by=jump.set_by)
            self._scheduler.accept_clock(_now())
        self._scheduler.wakeup()
        self._mark(time.monotonic())

    def _mark_if_due(self, now: float) -> None:
        """Write a mark after changes of jobs and rotations, and once a minute while anything runs."""
        state = self._state()
        if state == self._marked or now < self._next_mark - (MARK - TEND if state[:2] != self._marked[:2] else 0):
            return
        self._mark(now)

    def _mark(self, now: float) -> None:
        self._note_mark(now)
        self._scheduler.mark()

    def _note_mark(self, now: float) -> None:
        self._marked = self._state()
        self._next_mark = now + MARK

    def _state(self) -> tuple[int, int, int]:
        return self._reconciler.changes, self._file.beginnings, self._scheduler.activity

    def _reload(self) -> None:
        """Look at everything again, also at the host's zone, and open the log anew."""
        self._notifier.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._log.reopen()
        try:
            self._rules = _rules(self._settings)
        except CannotStart as cannot:
            problem, help_ = cannot.problem.message, cannot.problem.help
            self._log.event(Level.ERROR, "zone.kept", problem=problem, in_force=self._rules.zone.key, help=help_)
        self._reload_alerts()
        self._look(partial(self._reconciler.reload, self._rules))
        self._zone_seen, self._told_zone = zone_signature(os.environ), self._rules.zone.key
        jobs, refused = self._reconciler.counts()
        self._log.event(Level.INFO, "service.reloaded", jobs=jobs, refused=refused, timezone=self._rules.zone.key)
        self._notifier.notify("READY=1", f"STATUS={self._status()}")

    def _reload_alerts(self) -> None:
        """Read the service's own alerts again; those that cannot be used are said, and the former stay."""
        try:
            self._alerts.defaults = _defaults(self._settings, self._rules)
        except CannotStart as cannot:
            bad = cannot.problem
            where = {"file": bad.file, "line": bad.line, "column": bad.column}
            self._log.event(Level.ERROR, "alert.kept", **where, problem=bad.message, help=bad.help)

    def _status(self) -> str:
        jobs, refused = self._reconciler.counts()
        upcoming = self._scheduler.earliest()
        slot = f", next {upcoming:%Y-%m-%d %H:%M:%S}Z" if upcoming else ""
        lost = self._scheduler.lost_threads()
        held = f", {lost} threads lost" if lost else ""
        return f"{jobs} jobs, {self._scheduler.running()} running, {refused} files refused{held}{slot}"

    def _stop(self, cause: str) -> int:
        self._notifier.notify("STOPPING=1")
        self._log.event(Level.INFO, "service.stopping", cause=cause)
        drained = time.monotonic() + self._settings.drain_timeout
        self._scheduler.stop(self._settings.drain_timeout, self._is_hurried)
        self._alerts.stop(drained - time.monotonic(), self._is_hurried)
        self._scheduler.mark()
        self._log.event(Level.INFO, "service.stopped")
        return 0

    def _is_hurried(self) -> bool:
        """Tell whether a second signal came; keep the watchdog content meanwhile."""
        self._notifier.notify("WATCHDOG=1")
        with suppress(Empty):
            self._hurried |= self._mailbox.get_nowait() in {"SIGTERM", "SIGINT"}
        return self._hurried

    def _die(self, fault: str) -> int:
        self._notifier.notify("STOPPING=1", f"STATUS={fault}")
        self._log.event(Level.ERROR, "service.stopping", cause=fault)
        return INTERNAL_FAILURE


def _check_paths(settings: Settings, source: DirectorySource) -> None:
    """Refuse to start without the jobs directory or a place for the log, in one problem.

    Raises:
        CannotStart: one or both are missing.

    """
    folder = settings.log_file.absolute().parent
    make, problems = [], []
    try:
        with source.look():
            pass
    except SourceUnavailable as reason:
        problems.append(Problem(str(reason), help=reason.help))
        make += [] if settings.jobs_dir.exists() else [settings.jobs_dir]
    if not folder.is_dir():
        problems.append(Problem(f"the log's directory `{folder}` does not exist"))
        make.append(folder)
    elif not _may_write(settings.log_file):
        help_ = "let the service's user write there, or name another with `--log-file FILE`"
        problems.append(Problem(f"the log file `{settings.log_file}` cannot be written", help=help_))
    if make:
        paths = " ".join(shlex.quote(str(path)) for path in make)
        help_ = f"make it so with `mkdir -p {paths}`, or name others with `--jobs-dir DIR --log-file FILE`"
        raise CannotStart(Problem("; ".join(problem.message for problem in problems), help=help_))
    if problems:
        raise CannotStart(problems[0])


def _may_write(file: Path) -> bool:
    return os.access(file if file.exists() else file.absolute().parent, os.W_OK) and not file.is_dir()


def _rules(settings: Settings) -> Rules:
    try:
        zone = service_zone(settings.timezone, os.environ)
    except ZoneUnknown as unknown:
        raise CannotStart(Problem(str(unknown), help=unknown.help)) from None
    return Rules(zone, tasks.task_type, tasks.task_names())


def _defaults(settings: Settings, rules: Rules) -> Defaults:
    try:
        return read_defaults(settings.on_failure, settings.on_recovery, rules)
    except BadDefault as bad:
        raise CannotStart(bad.problem) from None


def _claim(settings: Settings, file: LogFile, stack: ExitStack) -> None:
    """Take the jobs directory and the log for this service alone.

    Raises:
        CannotStart: another service has one of them.

    """
    descriptor = os.open(settings.jobs_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    try:
        holder = None if lock(descriptor) else holder_of(descriptor)
        what = f"the jobs directory `{settings.jobs_dir}`"
        if holder is None:
            holder, what = file.claim(), f"the log `{settings.log_file}`"
    except OSError as error:
        raise CannotStart(Problem(f"the log file `{settings.log_file}` cannot be opened: {error.strerror}")) from None
    if holder is not None:
        who = f"process {holder}" if holder else "another process"
        help_ = (
            f"stop that service first, or name others with `--jobs-dir DIR --log-file FILE`; see `ps {holder or ''}`"
        )
        raise CannotStart(Problem(f"{what} is in use by {who}", help=help_))


def _signals(stack: ExitStack) -> SimpleQueue[str]:
    """Turn signals into messages; the handlers do nothing else, and `SimpleQueue.put` may be called in them."""
    mailbox: SimpleQueue[str] = SimpleQueue()
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        former = signal.signal(one, lambda number, _: mailbox.put(signal.Signals(number).name))
        stack.callback(signal.signal, one, former)
    return mailbox


def _looking(reconciler: Reconciler, mailbox: SimpleQueue[str]) -> Callable[[frozenset[str]], None]:
    """Return what the Observer's thread calls: a pass, and a word to the main thread if something has to settle."""

    def look(names: frozenset[str]) -> None:
        if all(map(is_job_file, names)):
            reconciler.look_at(names)
        else:  # something that links lead through, as in a ConfigMap
            reconciler.look_at_everything()
        if reconciler.settle_at() is not None:
            mailbox.put("settle")

    return look


def _library_warnings(log: RunLog) -> ExitStack:
    """Have what the libraries warn of appear in the log, as one line each."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
            error = record.exc_info[1] if record.exc_info else None
            problem = record.getMessage() + (f": {_text(error)}" if error else "")
            log.event(level, "library.warning", library=record.name.partition(".")[0], problem=problem)

    handler = Forward(logging.WARNING)
    logging.getLogger().addHandler(handler)
    stack = ExitStack()
    stack.callback(logging.getLogger().removeHandler, handler)
    return stack


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _now() -> datetime:
    return datetime.now(UTC)
