"""Who owns what, started and stopped in order. No rules of its own."""

from __future__ import annotations

import errno
import gc
import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec, TypeVar

from jobscheduler.alerts import AlertDispatcher, DefaultAlerts
from jobscheduler.config import Settings
from jobscheduler.control.last_records import LastRecordLoader
from jobscheduler.control.recent_records import RecentRecords
from jobscheduler.control.routes import build_app
from jobscheduler.control.server import ControlServer, ListenError
from jobscheduler.control.service import ControlService
from jobscheduler.control.service_view import LiveServiceView
from jobscheduler.control.snapshot_builder import SnapshotBuilder
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.guarded_directory import GuardedSource
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.sources import Source
from jobscheduler.jobs.watcher import DirectoryWatcher, NullWatcher
from jobscheduler.model import Event, EventLogger, Level, LogEntry, LogValue, Problem, RecoveredState
from jobscheduler.runlog import LogFile, LogWriter, last_results, recover, volatile_log
from jobscheduler.runner import detach_output_pipes
from jobscheduler.scheduler import Scheduler
from jobscheduler.service import sd_notify
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.database_jobs import DatabaseJobs, open_database
from jobscheduler.service.directory_guard import format_error
from jobscheduler.service.forced_exit import ForcedExit
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.startup import DirectoryLock, StartupError, check_paths, lock_log
from jobscheduler.service.supervisor import Supervisor, default_alerts, parse_context, utc_now, web_token
from jobscheduler.status.run_stats import RunStats
from jobscheduler.tasks.command.fd_budget import FD_LIMIT
from jobscheduler.tasks.command.reaper import REAPER
from jobscheduler.util.hang_guard import CallHung, HangGuard
from jobscheduler.util.host_id import MACHINE_ID, boot_id, first_line, host_id, is_estimated
from jobscheduler.util.path_walk import is_missing
from jobscheduler.util.secret_file import exposed_url_warning
from jobscheduler.web import WebServer

P = ParamSpec("P")
T = TypeVar("T")

LAST_LINE_WAIT_S = 1.0
"""How long the last line waits to be written when the service gives up, in seconds."""

ABORT_WAIT_S = 15.0
"""How long the end after an internal failure may take, in seconds."""

GC_THRESHOLD = 5_000
"""After so many more new objects than gone ones Python looks for cycles; its own number is 700."""

LINES_LOST = 1
"""The exit status when the log could not be written until the end."""

INTERNAL_FAILURE = 70
"""The exit status when an internal part died."""


def serve(settings: Settings) -> int:
    """Run the service until it is told to stop; return its exit status.

    Raises:
        CannotStart: something that it needs is not there, or another service has it.

    """
    _prepare_process()
    mailbox = Mailbox()
    guard = HangGuard(partial(mailbox.put, "answer"))
    given = _check_startup(settings, guard)
    second, source, rules = given.database, given.source, given.rules
    with ExitStack() as stack:
        _pause_gc(stack)
        _signals(stack, mailbox, settings.drain_timeout)
        file = LogFile(
            settings.log_file, settings.log_max_bytes, settings.log_backups, on_beginning=partial(mailbox.put, "mark")
        )
        claim = DirectoryLock(None if source is None else settings.jobs_dir)
        stack.enter_context(_entered(guard, given.jobs_name, claim))
        past = _read_log(settings, guard, given.log_name, file)
        log = stack.enter_context(_log(settings, file, second, stack))
        stack.enter_context(_library_warnings(log))
        _warn_exposed_url(log)
        notes = _warn_of_passing_log(settings, guard, given.log_name, log)
        stack.callback(detach_output_pipes)
        clock, results, recent = ClockMonitor(), RunStats(), RecentRecords()
        former = _open_database(guard, given.log_name, partial(last_results, settings.log_file, settings.log_backups))
        alerts = AlertDispatcher(log.write, former, given.defaults, host=os.uname().nodename)
        takers = (
            (results.observe, alerts.observe)
            if settings.http is None
            else (results.observe, recent.observe, alerts.observe)
        )
        scheduler = stack.enter_context(_scheduler(settings, log, _each(*takers), second, clock))
        tell, sources = _telling(log, results, recent), _sources(source, second)
        reconciler = Reconciler(
            sources, scheduler, rules, tell, observe_latency=results.observe_latency, is_stopping=mailbox.is_ending
        )
        watch = stack.enter_context(_entered(guard, given.jobs_name, _watch(settings, source, reconciler, mailbox)))
        if second is not None:
            look = partial(_make_sync(reconciler, mailbox), frozenset())
            second.start(stack, look, log.event, is_ending=mailbox.is_stopping)
        parts = scheduler, reconciler, alerts, watch, mailbox, guard, given.jobs_name
        supervisor = Supervisor(settings, rules, log, claim, clock, *parts)
        stack.callback(supervisor.close)
        if given.silent is not None:
            supervisor.report_unread_alerts(given.silent)
        if supervisor.start(past):
            if second is not None:
                _begin_database(second, supervisor)
            ask = partial(guard.call, given.log_name)
            recall = LastRecordLoader(
                settings.log_file, settings.log_backups, results, recent if settings.http else None, ask
            )
            places = {"jobs_dir": str(source or ""), "database": str(second or "")}
            snapshots = SnapshotBuilder(
                settings,
                scheduler,
                reconciler,
                results,
                supervisor,
                recall,
                alerts=alerts.waiting,
                notes=notes,
                **places,
            )
            desk = ControlService(snapshots, scheduler, reconciler, log.event)
            supervisor.control = _control(settings, desk, log, guard, stack)
            face = LiveServiceView(settings, snapshots, scheduler, results, supervisor, recent, ask)
            _start_web(settings, face, given.token, log, stack)
            _tune_gc()
            supervisor.notify_ready()
            if supervisor.run() is not None:
                _abort(scheduler, log)
    return _exit_status(log, scheduler)


def _prepare_process() -> None:
    """Set what belongs to the process as a whole: the signal of ended children, its descriptors, whom it reaps."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents leave it, no exit status would be known
    FD_LIMIT.raise_limit()
    REAPER.keep_reaping()


def _exit_status(log: LogWriter, scheduler: Scheduler) -> int:
    """Return the exit status; with a thread that does not heed its end, end the process with it at once."""
    status = LINES_LOST if log.lines_lost else 0
    if scheduler.lost_threads():
        os._exit(status)  # such a thread would hold up the interpreter's end for ever
    return status


def _read_startup(guard: HangGuard, thing: str, question: Callable[[], T]) -> T:
    """Ask something that a start needs to know.

    Raises:
        CannotStart: it does not answer.
        Exception: what the question raises.

    """
    try:
        return guard.call(thing, question)
    except CallHung as hung:
        help_ = "is its file system mounted, and the server of that reachable?"
        raise StartupError(Problem(str(hung), help=help_)) from None


def _open_database(guard: HangGuard, thing: str, question: Callable[P, T]) -> Callable[P, T]:
    """Return what asks through the guard, and raises `OSError` if the thing does not answer."""

    def ask(*args: P.args, **named: P.kwargs) -> T:
        try:
            return guard.call(thing, partial(question, *args, **named))
        except CallHung as hung:
            raise OSError(errno.ETIMEDOUT, str(hung)) from None

    return ask


@contextmanager
def _entered(guard: HangGuard, thing: str, context: AbstractContextManager[T]) -> Iterator[T]:
    """Enter and leave a context whose thing may hang; what hangs at the end is left to the end of the process.

    Raises:
        CannotStart: it does not answer when it is entered.

    """
    entered = _read_startup(guard, thing, context.__enter__)
    try:
        yield entered
    finally:
        with suppress(CallHung):
            guard.call(thing, partial(context.__exit__, None, None, None))


@dataclass(frozen=True, slots=True)
class _Startup:
    """What a start needs and finds there, and the names under which the guard knows it.

    `silent` tells of a file with an alert that does not answer: jobs do without until it does.
    """

    jobs_name: str
    log_name: str
    database: DatabaseJobs | None
    source: GuardedSource | None
    rules: ParseContext
    defaults: DefaultAlerts
    silent: CallHung | None
    token: str | None


def _check_startup(settings: Settings, guard: HangGuard) -> _Startup:
    """Read what a start needs.

    Raises:
        CannotStart: something of it is not there, cannot be used, or does not answer.

    """
    answered = partial(_read_startup, guard)
    jobs_name, log_name = f"the jobs directory `{settings.jobs_dir}`", f"the log file `{settings.log_file}`"
    second = answered("the file with the URL of the database", partial(open_database, settings))
    directory = answered(jobs_name, partial(_directory, settings))
    source = None if directory is None else GuardedSource(directory, guard)
    for name, path in ((jobs_name, settings.jobs_dir), (log_name, settings.log_file)):
        answered(name, path.exists)
    answered("a path of the service", partial(check_paths, settings, source))
    rules = parse_context(settings, guard)
    try:
        defaults, silent = default_alerts(settings, rules, guard), None
    except CallHung as hung:
        defaults, silent = DefaultAlerts(), hung
    return _Startup(jobs_name, log_name, second, source, rules, defaults, silent, web_token(settings, guard))


def _read_log(settings: Settings, guard: HangGuard, name: str, file: LogFile) -> RecoveredState | None:
    """Take the log, and return what it says of the time before.

    Raises:
        CannotStart: another service has it, or it does not answer.

    """
    _read_startup(guard, name, partial(lock_log, settings, file))  # what another service still writes would be missing
    past = _read_startup(guard, name, partial(recover, settings.log_file, settings.log_backups))
    if past is None or past.last_decided_slot is None:
        return past
    return replace(past, last_decided_slot=_open_database(guard, name, past.last_decided_slot))


def _warn_exposed_url(log: LogWriter) -> None:
    """Say once a start that the unit's settings show all users the password of the database."""
    exposed = exposed_url_warning()
    if exposed is not None:
        log.event(Level.WARNING, "settings.exposed", file=exposed.file, problem=exposed.message, help=exposed.help)


def _warn_of_passing_log(settings: Settings, guard: HangGuard, name: str, log: LogWriter) -> tuple[str, ...]:
    """Say once a start that a boot of the host loses the log; return it in words for `status`."""
    problem = _read_startup(guard, name, partial(volatile_log, settings.log_file))
    if problem is None:
        return ()
    log.event(Level.WARNING, "log.passing", file=problem.file, problem=problem.message, help=problem.help)
    return (f"{problem.message}; {problem.help}",)


def _begin_database(second: DatabaseJobs, supervisor: Supervisor) -> None:
    """Let the database's jobs be read, and the supervisor ask it at a reload, at the end and about its issues."""
    second.allow_sync()
    supervisor.on_reload, supervisor.on_stop = second.reload, second.report_unsent
    supervisor.further_issues = second.issues


def _pause_gc(stack: ExitStack) -> None:
    """Keep Python's collector of cycles away from a start, which makes many objects and drops none."""
    gc.disable()
    stack.callback(gc.enable)


def _tune_gc() -> None:
    """Have the collector leave alone what was loaded, and else look seldom.

    Runs make hardly any cycles, and to look through ten thousand definitions stops all threads for tens of
    milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()


def _start_web(settings: Settings, view: LiveServiceView, token: str | None, log: LogWriter, stack: ExitStack) -> None:
    """Serve the page if it is wanted, and say where; that it cannot be is a warning that `Web` gives."""
    if settings.http is None:
        return
    web = stack.enter_context(WebServer(settings.http, view, token=token))
    if web.error is None:
        host, port = web.address
        log.event(Level.INFO, "page.served", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/")


def _directory(settings: Settings) -> DirectorySource | None:
    """Return the jobs directory. A service with a database can do without, if nobody named one and there is none."""
    if settings.has_database and "jobs_dir" not in settings.explicit and is_missing(settings.jobs_dir):
        return None
    return DirectorySource(settings.jobs_dir)


def _sources(directory: GuardedSource | None, second: DatabaseJobs | None) -> list[Source]:
    """List where jobs come from; at a start, a file has its id before a row of the database has it."""
    sources: list[Source] = [] if directory is None else [directory]
    return sources if second is None else [*sources, second.source]


def _log(settings: Settings, file: LogFile, second: DatabaseJobs | None, stack: ExitStack) -> LogWriter:
    """Make the log, with a copy in the database if there is one; that ends after the log has."""
    form, priorities = settings.log_format, sd_notify.stderr_is_journal()
    if second is None:
        return LogWriter(file, form=form, priorities=priorities)
    return LogWriter(file, form=form, priorities=priorities, also=stack.enter_context(second.log_copier).put)


def _each(*takers: Callable[[LogEntry], object]) -> Callable[[LogEntry], object]:
    def take(entry: LogEntry) -> None:
        for taker in takers:
            taker(entry)

    return take


def _telling(log: LogWriter, results: RunStats, recent: RecentRecords) -> EventLogger:
    """Return what a pass tells its changes to: the log, and whoever keeps something of each job."""

    def tell(level: Level, name: str, /, **values: LogValue | None) -> None:
        log.event(level, name, **values)
        if name == "job.removed":
            results.discard([str(values["job_id"])])
            recent.discard([str(values["job_id"])])

    return tell


def _scheduler(
    settings: Settings,
    log: LogWriter,
    write: Callable[[LogEntry], object],
    second: DatabaseJobs | None,
    clock: ClockMonitor,
) -> Scheduler:
    return Scheduler(
        write=write,
        write_checkpoint=log.checkpoint if second is None else second.checkpoint_gate(log.checkpoint),
        log_then=log.write_and_call,
        on_behind=log.warn_behind,
        max_workers=settings.max_workers,
        host=settings.host_id or first_line(MACHINE_ID) or os.uname().nodename,
        host_id=host_id(settings.host_id),
        boot=_boot(log),
        late_reason=clock.late_reason,
        standstills=clock.standstills,
    )


def _watch(
    settings: Settings, source: GuardedSource | None, reconciler: Reconciler, mailbox: Mailbox
) -> DirectoryWatcher:
    if source is None:
        return NullWatcher()
    return DirectoryWatcher(
        settings.jobs_dir,
        _make_sync(reconciler, mailbox),
        identity=source.inner.identity,
        is_relevant=source.inner.is_relevant,
        on_trouble=partial(mailbox.put, "tend"),
    )


def _control(
    settings: Settings, desk: ControlService, log: LogWriter, guard: HangGuard, stack: ExitStack
) -> ControlServer | None:
    """Make the control socket. One that cannot be made is a warning: jobs run without it."""
    app = build_app(desk, lambda why: log.event(Level.ERROR, "control.failed", problem=why))
    try:
        return stack.enter_context(
            _entered(guard, f"the control socket `{settings.socket}`", ControlServer(settings.socket, app))
        )
    except (ListenError, StartupError) as cannot:
        log.event(Level.WARNING, "control.unavailable", problem=cannot.problem.message, help=cannot.problem.help)
        return None


def _abort(scheduler: Scheduler, log: LogWriter) -> None:
    """End the process although a part of it is dead or stuck, with whatever lock it holds; wait for nothing long."""
    ending = threading.Thread(target=scheduler.abort, args=(ABORT_WAIT_S,), daemon=True)
    with suppress(RuntimeError):  # no thread left
        ending.start()
        ending.join(ABORT_WAIT_S)
    log.write_and_wait(
        Event(utc_now(), Level.ERROR, "service.died", (("exit_status", INTERNAL_FAILURE),)), timeout=LAST_LINE_WAIT_S
    )
    os._exit(INTERNAL_FAILURE)


def _force_exit() -> None:
    """End the process although its end hangs. What runs is ended by systemd, or by the next start."""
    message = b"jobscheduler: the service was told to end and hangs: it is ended all the same\n"
    if select.select([], [2], [], 0.0)[1]:
        with suppress(OSError):
            os.write(2, message)
    os._exit(INTERNAL_FAILURE)


def _signals(stack: ExitStack, mailbox: Mailbox, drain: float) -> None:
    """Turn signals into messages; the handlers do nothing else. They are heard even if the main thread is stuck."""
    stack.enter_context(ForcedExit(drain, _force_exit))
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        former = signal.signal(one, lambda number, _: mailbox.put(signal.Signals(number).name))
        stack.callback(signal.signal, one, former)


def _make_sync(reconciler: Reconciler, mailbox: Mailbox) -> Callable[[frozenset[str]], None]:
    """Return what the Observer's thread calls: a pass, and a word to the main thread if something has to settle."""

    def look(names: frozenset[str]) -> None:
        if all(map(is_job_file, names)):
            reconciler.sync_items(names)
        else:  # something that links lead through, as in a ConfigMap
            reconciler.sync_all()
        if reconciler.next_settle_at() is not None:
            mailbox.put("settle")

    return look


def _library_warnings(log: LogWriter) -> ExitStack:
    """Have what the libraries warn of appear in the log, as one line each."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
            error = record.exc_info[1] if record.exc_info else None
            problem = record.getMessage() + (f": {format_error(error)}" if error else "")
            log.event(level, "library.warning", library=record.name.partition(".")[0], problem=problem)

    handler = Forward(logging.WARNING)
    logging.getLogger().addHandler(handler)
    stack = ExitStack()
    stack.callback(logging.getLogger().removeHandler, handler)
    return stack


def _boot(log: LogWriter) -> str:
    """Name this boot; say so if that has to be guessed."""
    boot = boot_id()
    if is_estimated(boot):
        problem = "the boot of the host cannot be told (`/proc/sys/kernel/random/boot_id` cannot be read)"
        help_ = "a boot is known by the clock alone: after that was set, `@reboot` may run once more at a start"
        log.event(Level.WARNING, "boot.unsure", problem=problem, help=help_)
    return boot
