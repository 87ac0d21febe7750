"""The supervising loop on the main thread: signals, the clock, health, marks, and when files are to be looked at.

It waits for nothing that may hang. What reads files is work for the file thread; whatever becomes of that, signals are
heard, systemd is told how it goes, and the service can be ended.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from jobscheduler import tasks
from jobscheduler.alerts import AlertConfigError, AlertDispatcher, DefaultAlerts, read_defaults
from jobscheduler.config import Settings
from jobscheduler.control.server import ControlServer
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.jobs.watcher import DirectoryWatcher
from jobscheduler.model import Level, Problem, RecoveredState
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service import sd_notify
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.directory_guard import DirectoryGuard, format_error
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.health import HealthMonitor
from jobscheduler.service.mailbox import STOPS, Mailbox
from jobscheduler.service.startup import DirectoryLock, StartupError
from jobscheduler.status.snapshot import Behind
from jobscheduler.timetable.timezones import UnknownTimezone, service_zone, zone_fingerprint, zone_note
from jobscheduler.util.durations import format_rough_duration
from jobscheduler.util.hang_guard import CallHung, HangGuard
from jobscheduler.web import WebConfigError, load_token

CHECK_INTERVAL_S = 1.0
"""How often the jobs directory, the clock and the pool are looked at, in seconds."""

HEALTH_INTERVAL_S = 5.0
"""How often all else is looked at, closely: the threads, the watch, the socket, the host's zone. In seconds."""

COALESCE_S = 0.25
"""What is due so soon is done at once when something else is, in seconds: to wake up costs more than what is done."""

PING_INTERVAL_S = 5.0
"""How often systemd is told how it goes, in seconds; more often if the unit's `WatchdogSec=` wants to hear sooner."""

SHUTDOWN_WAIT_S = 1.0
"""How long the end waits for the log's writer before the last line, in seconds."""

ZONE = "the host's time zone"
"""What the guard calls the files that say it."""

CHECKPOINT_INTERVAL_S = 60.0
"""How often the log gets a mark while anything runs, in seconds."""


BEHIND_INTERVAL_S = timedelta(seconds=10)
"""A clock that was set back by less keeps jobs waiting for too short a time to be told."""


class Supervisor:
    """The loop: `step` once in a while, and when something asks for it.

    `control` is tended, if there is one, `on_reload` called when SIGHUP asks for a look at everything, and `on_stop`
    before the last line. `further_troubles` are what other parts have to tell.
    """

    def __init__(
        self,
        settings: Settings,
        rules: ParseContext,
        log: LogWriter,
        claim: DirectoryLock,
        clock: ClockMonitor,
        scheduler: Scheduler,
        reconciler: Reconciler,
        alerts: AlertDispatcher,
        watch: DirectoryWatcher,
        mailbox: Mailbox,
        guard: HangGuard,
        thing: str = "",
    ) -> None:
        """`thing` is what the guard calls the jobs directory."""
        self._settings = settings
        self._rules = rules
        self._log = log
        self.control: ControlServer | None = None
        self.on_reload: Callable[[], object] = lambda: None
        self.on_stop: Callable[[], object] = lambda: None
        self.further_issues: Callable[[], tuple[str, ...]] = tuple
        self._clock = clock
        self._scheduler = scheduler
        self._reconciler = reconciler
        self._alerts = alerts
        self._guard = guard
        self._directory_guard = DirectoryGuard(watch, reconciler, claim, log, guard, thing)
        self._files = FileThread(self._request_settle)
        self._mailbox = mailbox
        self._notifier = sd_notify.Notifier()
        self._ping_every = min(PING_INTERVAL_S, sd_notify.watchdog_interval() or PING_INTERVAL_S)
        others = {"the supervising loop": self._stuck_for, "the thread that reads files": self._files.busy_for}
        self._health = HealthMonitor(scheduler, log, watch, others)
        self._set_back_at = 0.0
        self._alerts_unread = False
        self._zone_seen = self._zone_signature()
        self._reported_zone = rules.zone.key
        self._overdue = self._hurried = False
        self._next_check = self._next_probe = self._next_rescan = 0.0
        self._last_checkpoint = (0, 0)
        self._next_checkpoint = 0.0

    def start(self, past: RecoveredState | None) -> bool:
        """Arm the watch, read every file, and only then begin to schedule: nothing is due before all is known.

        False if a signal ended that before anything was begun. There is no mark then, so the next start goes on from
        the same one as this, and from the records that were written since.
        """
        past = self._scheduler.restore(past, utc_now())
        self._directory_guard.check()
        if self._mailbox.is_stopping():
            self._notify_stopping(self._mailbox.take(0.0) or "")
            self._log.event(Level.INFO, "service.stopped")
            return False
        jobs, refused = self._reconciler.counts()
        self._scheduler.start()
        self._alerts.start(self._reconciler.job)
        now = time.monotonic()
        self._next_rescan = now + self._settings.rescan_interval
        self._next_check = now + CHECK_INTERVAL_S
        self._next_ping = now + self._ping_every
        self._next_probe = now + HEALTH_INTERVAL_S
        self._files.start()
        self._checkpoint_written(now)
        self._warn_of_zone()
        since = past.checkpoint.settled if past else "nothing is known of the time before"
        self._log.event(Level.INFO, "service.started", jobs=jobs, refused=refused, pid=os.getpid(), settled=since)
        return True

    def _warn_of_zone(self) -> None:
        """Log what surprises people about the zone that is in force."""
        if note := zone_note(self._rules.zone.key):
            help_ = "`--timezone NAME` sets another"
            self._log.event(Level.WARNING, "zone.odd", zone=self._rules.zone.key, problem=note, help=help_)

    def notify_ready(self) -> None:
        """Tell the manager that the service can be used."""
        self._notifier.notify("READY=1", f"STATUS={self._status()}")

    def zone(self) -> str:
        """Name the zone that is in force."""
        return self._rules.zone.key

    def overdue(self) -> str | None:
        """Name a part that is not on time, if any."""
        return self._health.overdue()

    def issues(self) -> tuple[str, ...]:
        """Say in words what is wrong, and the way out where it is known."""
        lost = tuple(map(_lost, self._reconciler.unavailable().values()))
        hung = (f"{thing} does not answer" for thing in (*self._guard.hung(), *tasks.GUARD.hung()))
        silent = (text for text in hung if not any(text in one for one in lost))
        behind = self._scheduler.behind_clock()
        others = (
            (behind is not None and behind.by > BEHIND_INTERVAL_S, _behind(behind) if behind else ""),
            (
                self._directory_guard.is_degraded,
                "changes of files are not watched: everything is looked at again and again",
            ),
            (self._log.is_silent(), "the log file does not answer: lines are kept, and go to standard error"),
            (self._log.is_failing(), "the log file cannot be written: lines are kept, and go to standard error"),
            (self._directory_guard.is_shared, "another service uses the same jobs directory"),
        )
        told = (text for is_so, text in others if is_so)
        return (*lost, *silent, *told, *tasks.search_issues(), *self.further_issues())

    def close(self) -> None:
        """Stop talking to the manager."""
        self._notifier.close()

    def run(self) -> str | None:
        """Supervise until a signal ends the service (None), or something in it died: then say what."""
        try:
            return self._supervise()
        except Exception as error:
            traceback.print_exc()
            return self._exit_at_once(f"the supervising loop failed: {format_error(error)}")

    def _supervise(self) -> str | None:
        while True:
            message = self._next_message()
            self._set_back_at = time.monotonic()
            if message in STOPS:
                self._stop(message)
                return None
            if message == "SIGHUP":
                self._files.submit("reload", self._reload)
            elif message == "answer":
                self._files.submit("answer", self._check_hung)
            elif message == "tend":
                self._next_check = 0.0
                self._directory_guard.invalidate()
            elif message == "mark":
                self._write_checkpoint(time.monotonic(), full=True)  # at the head of a new file
            fault = self.step(time.monotonic())
            if fault:
                return self._exit_at_once(fault)

    def step(self, now: float) -> str | None:
        """Do what is due at `now` (monotonic seconds): what has settled, the watch, the clock, the full rescan.

        Return what has died or is stuck, if anything, so that only a new process helps.

        Raises:
            Exception: what a piece of work for the file thread has raised.

        """
        if self._files.fault is not None:
            raise self._files.fault
        soon = now + COALESCE_S
        settles = self._reconciler.next_settle_at()
        if settles is not None and settles <= now:
            self._files.submit(
                "settle", partial(self._directory_guard.run_sync, partial(self._reconciler.sync_items, ()))
            )
        if soon >= self._next_probe:
            self._next_probe = now + HEALTH_INTERVAL_S
            fault = self._health.fatal()
            if fault:
                return fault
            self._maintain(now)
        if soon >= self._next_check:
            self._next_check = now + CHECK_INTERVAL_S
            self._files.submit("tend", self._directory_guard.check)
            self._log.check_file(now)
            self._check_clock()
            self._scheduler.check_backlog(now)
        if soon >= self._next_ping:
            self._next_ping = now + self._ping_every
            self._ping()
        if soon >= self._next_rescan:
            self._next_rescan = now + self._settings.rescan_interval
            self._files.submit("rescan", self._rescan)
        self._checkpoint_if_due(now)
        return None

    def _maintain(self, now: float) -> None:
        self._directory_guard.invalidate()
        self._health.probe()
        self._files.submit("zone", self._check_zone)
        if self.control is not None:
            self._files.submit("control", partial(self._tend_control, self.control, now))

    def _tend_control(self, control: ControlServer, now: float) -> None:
        with suppress(CallHung):
            self._guard.call(f"the control socket `{self._settings.socket}`", partial(control.maintain, now))

    def _rescan(self) -> None:
        self._directory_guard.run_sync(self._reconciler.sync_all)

    def _check_hung(self) -> None:
        """Read again what did not answer before, on the file thread; no file tells that by an event."""
        if self._alerts_unread:
            self._reload_alerts()
        self._rescan()

    def _request_settle(self) -> None:
        """Have the main thread see when bad news settles, after a piece of work for the file thread."""
        if self._files.fault is not None or self._reconciler.next_settle_at() is not None:
            self._mailbox.put("settle")

    def _stuck_for(self) -> float:
        """Return for how many seconds the main thread has been at one turn of its loop, waiting not counted."""
        return max(0.0, time.monotonic() - self._set_back_at - HEALTH_INTERVAL_S) if self._set_back_at else 0.0

    def _next_message(self) -> str | None:
        """Wait for a message until the next thing is due."""
        due = min(self._next_check, self._next_probe, self._next_ping, self._next_rescan)
        settles = self._reconciler.next_settle_at()
        if settles is not None and not self._files.is_waiting("settle"):
            due = min(due, settles)
        return self._mailbox.take(max(0.0, due - time.monotonic()))

    def _ping(self) -> None:
        """Tell systemd how it goes, and that all is well only if every part is on time; say what is not, once."""
        late = self._health.overdue()
        if late and not self._overdue:
            self._log.event(Level.WARNING, "service.late", part=late)
        self._overdue = bool(late)
        status = f"STATUS={self._status()}{f'; {late} is late' if late else ''}"
        self._notifier.notify(*([status] if late else ["WATCHDOG=1", status]))

    def _check_zone(self) -> None:
        """Say so, once, when the host's zone was changed. It is not applied: SIGHUP does that."""
        seen = self._zone_signature()
        if seen == self._zone_seen:
            return
        self._zone_seen = seen
        try:
            zone = self._guard.call(ZONE, partial(service_zone, self._settings.timezone, os.environ)).key
        except UnknownTimezone as unknown:
            zone = unknown.message
        except CallHung as hung:
            self._log.event(Level.ERROR, "zone.kept", problem=str(hung), in_force=self._rules.zone.key)
            return
        if zone not in {self._reported_zone, self._rules.zone.key}:
            help_ = "`systemctl reload jobscheduler`, or SIGHUP, to apply it"
            self._log.event(Level.WARNING, "zone.changed", zone=zone, in_force=self._rules.zone.key, help=help_)
        self._reported_zone = zone

    def _zone_signature(self) -> object:
        try:
            return self._guard.call(ZONE, partial(zone_fingerprint, os.environ))
        except CallHung as hung:
            return hung.name

    def _check_clock(self) -> None:
        """Have slots decided at once when the clock was set or the host has slept; say so."""
        jump = self._clock.check()
        if jump is not None:
            self._log.event(Level.WARNING, "clock.stepped", set_by=jump.set_by or None, slept=jump.slept or None)
        if self._scheduler.check_clock():  # also one that is set back by little, again and again, is seen there
            self._files.submit("reconsider", partial(self._directory_guard.run_sync, self._reconciler.reconsider))
        if jump is not None:
            self._scheduler.wakeup()
            self._write_checkpoint(time.monotonic())

    def _checkpoint_if_due(self, now: float) -> None:
        """Write a mark after changes of jobs, and once a minute while anything runs."""
        state = self._state()
        if state == self._last_checkpoint or now < self._next_checkpoint - (
            CHECKPOINT_INTERVAL_S - CHECK_INTERVAL_S if state[0] != self._last_checkpoint[0] else 0
        ):
            return
        self._write_checkpoint(now)

    def _write_checkpoint(self, now: float, *, full: bool = False) -> None:
        self._checkpoint_written(now)
        self._scheduler.write_checkpoint(full=full)

    def _checkpoint_written(self, now: float) -> None:
        self._last_checkpoint = self._state()
        self._next_checkpoint = now + CHECKPOINT_INTERVAL_S

    def _state(self) -> tuple[int, int]:
        return self._reconciler.changes, self._scheduler.activity

    def _reload(self) -> None:
        """Look at everything again, also at the host's zone, on the file thread; the log follows its name by itself."""
        self._notifier.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._rules = parse_context(self._settings, self._guard)
        except StartupError as cannot:
            problem, help_ = cannot.problem.message, cannot.problem.help
            self._log.event(Level.ERROR, "zone.kept", problem=problem, in_force=self._rules.zone.key, help=help_)
        self._reload_alerts()
        self._directory_guard.run_sync(partial(self._reconciler.reload, self._rules))
        self.on_reload()
        if self._mailbox.is_ending():
            return
        self._zone_seen, self._reported_zone = self._zone_signature(), self._rules.zone.key
        jobs, refused = self._reconciler.counts()
        self._warn_of_zone()
        self._log.event(Level.INFO, "service.reloaded", jobs=jobs, refused=refused, timezone=self._rules.zone.key)
        self._notifier.notify("READY=1", f"STATUS={self._status()}")

    def _reload_alerts(self) -> None:
        """Read the service's own alerts again; those that cannot be used are said, and the former stay."""
        try:
            self._alerts_unread = False
            self._alerts.defaults = default_alerts(self._settings, self._rules, self._guard)
        except CallHung as hung:
            self.report_unread_alerts(hung)
        except StartupError as cannot:
            bad = cannot.problem
            where = {"file": bad.file, "line": bad.line, "column": bad.column}
            self._log.event(Level.ERROR, "alert.kept", **where, problem=bad.message, help=bad.help)

    def report_unread_alerts(self, hung: CallHung) -> None:
        """Say that a file with an alert does not answer. The former alerts stay until it does."""
        self._alerts_unread = True
        help_ = "it is read when it answers; until then the alerts known before stay"
        self._log.event(Level.ERROR, "alert.kept", problem=str(hung), help=help_)

    def _status(self) -> str:
        jobs, refused = self._reconciler.counts()
        upcoming = self._scheduler.earliest()
        slot = f", next {upcoming:%Y-%m-%d %H:%M:%S}Z" if upcoming else ""
        lost = self._scheduler.lost_threads()
        held = f", {lost} threads lost" if lost else ""
        return f"{jobs} jobs, {self._scheduler.running()} running, {refused} files refused{held}{slot}"

    def _stop(self, cause: str) -> None:
        drained = time.monotonic() + self._settings.drain_timeout
        self._notify_stopping(cause)
        self._files.close(SHUTDOWN_WAIT_S)
        self._scheduler.stop(self._settings.drain_timeout, self._is_hurried)
        self._alerts.stop(drained - time.monotonic(), self._is_hurried)
        self._scheduler.write_checkpoint(full=True)
        self._scheduler.write_checkpoint()  # a small one, for which there is room on a disk that is full
        self._log.flush(SHUTDOWN_WAIT_S)  # who counts the lines that a copy of the log lacks has seen them all then
        self.on_stop()
        self._log.event(Level.INFO, "service.stopped")

    def _notify_stopping(self, cause: str) -> None:
        self._notifier.notify("STOPPING=1")
        self._log.event(Level.INFO, "service.stopping", cause=cause)

    def _is_hurried(self) -> bool:
        """Tell whether a second signal came; keep the watchdog content meanwhile."""
        self._notifier.notify("WATCHDOG=1")
        self._set_back_at = time.monotonic()
        self._log.check_file(self._set_back_at)
        self._hurried |= self._mailbox.take_stop()
        return self._hurried

    def _exit_at_once(self, fault: str) -> str:
        self._notifier.notify("STOPPING=1", f"STATUS={fault}")
        self._log.event(Level.ERROR, "service.stopping", cause=fault)
        return fault


def _behind(behind: Behind) -> str:
    until = behind.until.isoformat(timespec="seconds").replace("+00:00", "Z")
    jobs = "1 job has" if behind.jobs == 1 else f"{behind.jobs} jobs have"
    wait = "waits" if behind.jobs == 1 else "wait"
    by = format_rough_duration(behind.by.total_seconds())
    return f"the clock was set back and is {by} behind: {jobs} run up to {until} and {wait} until that is past"


def parse_context(settings: Settings, guard: HangGuard) -> ParseContext:
    """Return what definitions are held against.

    Raises:
        CannotStart: the service's zone cannot be told.

    """
    try:
        zone = guard.call(ZONE, partial(service_zone, settings.timezone, os.environ))
    except UnknownTimezone as unknown:
        raise StartupError(Problem(str(unknown), help=unknown.help)) from None
    except CallHung as hung:
        help_ = "name the zone with `--timezone NAME`; is the file system of `/etc` or `/usr/share/zoneinfo` there?"
        raise StartupError(Problem(str(hung), help=help_)) from None
    return ParseContext(zone, tasks.task_type, tasks.task_names())


def default_alerts(settings: Settings, rules: ParseContext, guard: HangGuard) -> DefaultAlerts:
    """Read what is done when a job's result changes that does not say it itself.

    Raises:
        CannotStart: a file cannot be read, or its content is not a task.
        Hung: a file does not answer.

    """
    try:
        return read_defaults(settings.on_failure, settings.on_recovery, rules, guard)
    except AlertConfigError as bad:
        raise StartupError(bad.problem) from None


def web_token(settings: Settings, guard: HangGuard) -> str | None:
    """Return what readers of the page have to know, None if nothing or if there is no page.

    Raises:
        CannotStart: the page cannot be served as it is asked for.

    """
    if settings.http is None:
        return None
    read = partial(load_token, settings.http, settings.http_token_file)
    try:
        return guard.call(f"the token file `{settings.http_token_file}`", read)
    except WebConfigError as cannot:
        raise StartupError(cannot.problem) from None
    except CallHung as hung:
        raise StartupError(Problem(str(hung), help="put it on a file system that is there at a start")) from None


def _lost(reason: SourceUnavailable) -> str:
    help_ = f" (help: {reason.help})" if reason.help else ""
    return f"{reason}: the last known jobs are in force{help_}"


def utc_now() -> datetime:
    """The host's time."""
    return datetime.now(UTC)
