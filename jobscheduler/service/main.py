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

from jobscheduler.alerts import Alerts, Defaults
from jobscheduler.config import Settings
from jobscheduler.control.last_records import Recall
from jobscheduler.control.recent_records import Recent
from jobscheduler.control.routes import application
from jobscheduler.control.server import CannotListen, Control
from jobscheduler.control.service import Desk
from jobscheduler.control.service_view import ServiceFace
from jobscheduler.control.snapshot_builder import Snapshots
from jobscheduler.jobs.directory import DirectorySource, is_job_file
from jobscheduler.jobs.guarded_directory import GuardedSource
from jobscheduler.jobs.parser import Rules
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.sources import Source
from jobscheduler.jobs.watcher import NoWatch, Watch
from jobscheduler.model import Entry, Event, Level, Past, Problem, Tell, Value
from jobscheduler.runlog import LogFile, RunLog, last_results, passing_log, read_back
from jobscheduler.runner import hand_over_leftovers
from jobscheduler.scheduler import Scheduler
from jobscheduler.service import sd_notify
from jobscheduler.service.clock_monitor import HostClock
from jobscheduler.service.database_jobs import Second, second_of
from jobscheduler.service.directory_guard import text_of
from jobscheduler.service.forced_exit import LastResort
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.startup import CannotStart, Claim, check_paths, claim_log
from jobscheduler.service.supervisor import Supervisor, defaults_of, rules_of, token_of, utc_now
from jobscheduler.status.run_stats import Results
from jobscheduler.tasks.command.fd_budget import FORMER_LIMIT
from jobscheduler.tasks.command.reaper import AFTERMATH
from jobscheduler.util.hang_guard import HangGuard, Hung
from jobscheduler.util.host_id import MACHINE_ID, boot_id, first_line, host_id, is_guess
from jobscheduler.util.path_walk import is_missing
from jobscheduler.util.secret_file import exposed_url
from jobscheduler.web import Web

P = ParamSpec("P")
T = TypeVar("T")

DYING = 1.0
"""How long the last line waits to be written when the service gives up, in seconds."""

ENDING = 15.0
"""How long the end after an internal failure may take, in seconds."""

SELDOM = 5_000
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
    given = _given(settings, guard)
    second, source, rules = given.second, given.source, given.rules
    with ExitStack() as stack:
        _look_for_no_cycles(stack)
        _signals(stack, mailbox, settings.drain_timeout)
        file = LogFile(
            settings.log_file, settings.log_max_bytes, settings.log_backups, on_beginning=partial(mailbox.put, "mark")
        )
        claim = Claim(None if source is None else settings.jobs_dir)
        stack.enter_context(_entered(guard, given.jobs_name, claim))
        past = _read_log(settings, guard, given.log_name, file)
        log = stack.enter_context(_log(settings, file, second, stack))
        stack.enter_context(_library_warnings(log))
        _warn_of_exposure(log)
        notes = _warn_of_passing_log(settings, guard, given.log_name, log)
        stack.callback(hand_over_leftovers)
        clock, results, recent = HostClock(), Results(), Recent()
        former = _asking(guard, given.log_name, partial(last_results, settings.log_file, settings.log_backups))
        alerts = Alerts(log.write, former, given.defaults, host=os.uname().nodename)
        takers = (results.take, alerts.write) if settings.http is None else (results.take, recent.take, alerts.write)
        scheduler = stack.enter_context(_scheduler(settings, log, _each(*takers), second, clock))
        tell, sources = _telling(log, results, recent), _sources(source, second)
        reconciler = Reconciler(sources, scheduler, rules, tell, took=results.took, is_ending=mailbox.is_ending)
        watch = stack.enter_context(_entered(guard, given.jobs_name, _watch(settings, source, reconciler, mailbox)))
        if second is not None:
            look = partial(_looking(reconciler, mailbox), frozenset())
            second.start(stack, look, log.event, is_ending=mailbox.is_stopping)
        parts = scheduler, reconciler, alerts, watch, mailbox, guard, given.jobs_name
        supervisor = Supervisor(settings, rules, log, claim, clock, *parts)
        stack.callback(supervisor.close)
        if given.silent is not None:
            supervisor.note_silent_alerts(given.silent)
        if supervisor.start(past):
            if second is not None:
                _begin_database(second, supervisor)
            ask = partial(guard.call, given.log_name)
            recall = Recall(settings.log_file, settings.log_backups, results, recent if settings.http else None, ask)
            places = {"jobs_dir": str(source or ""), "database": str(second or "")}
            snapshots = Snapshots(
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
            desk = Desk(snapshots, scheduler, reconciler, log.event)
            supervisor.control = _control(settings, desk, log, guard, stack)
            face = ServiceFace(settings, snapshots, scheduler, results, supervisor, recent, ask)
            _show(settings, face, given.token, log, stack)
            _look_for_cycles_seldom()
            supervisor.ready()
            if supervisor.run() is not None:
                _abandon(scheduler, log)
    return _exit_status(log, scheduler)


def _prepare_process() -> None:
    """Set what belongs to the process as a whole: the signal of ended children, its descriptors, whom it reaps."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents leave it, no exit status would be known
    FORMER_LIMIT.raise_ours()
    AFTERMATH.keep_reaping()


def _exit_status(log: RunLog, scheduler: Scheduler) -> int:
    """Return the exit status; with a thread that does not heed its end, end the process with it at once."""
    status = LINES_LOST if log.lines_lost else 0
    if scheduler.lost_threads():
        os._exit(status)  # such a thread would hold up the interpreter's end for ever
    return status


def _answered(guard: HangGuard, thing: str, question: Callable[[], T]) -> T:
    """Ask something that a start needs to know.

    Raises:
        CannotStart: it does not answer.
        Exception: what the question raises.

    """
    try:
        return guard.call(thing, question)
    except Hung as hung:
        help_ = "is its file system mounted, and the server of that reachable?"
        raise CannotStart(Problem(str(hung), help=help_)) from None


def _asking(guard: HangGuard, thing: str, question: Callable[P, T]) -> Callable[P, T]:
    """Return what asks through the guard, and raises `OSError` if the thing does not answer."""

    def ask(*args: P.args, **named: P.kwargs) -> T:
        try:
            return guard.call(thing, partial(question, *args, **named))
        except Hung as hung:
            raise OSError(errno.ETIMEDOUT, str(hung)) from None

    return ask


@contextmanager
def _entered(guard: HangGuard, thing: str, context: AbstractContextManager[T]) -> Iterator[T]:
    """Enter and leave a context whose thing may hang; what hangs at the end is left to the end of the process.

    Raises:
        CannotStart: it does not answer when it is entered.

    """
    entered = _answered(guard, thing, context.__enter__)
    try:
        yield entered
    finally:
        with suppress(Hung):
            guard.call(thing, partial(context.__exit__, None, None, None))


@dataclass(frozen=True, slots=True)
class _Given:
    """What a start needs and finds there, and the names under which the guard knows it.

    `silent` tells of a file with an alert that does not answer: jobs do without until it does.
    """

    jobs_name: str
    log_name: str
    second: Second | None
    source: GuardedSource | None
    rules: Rules
    defaults: Defaults
    silent: Hung | None
    token: str | None


def _given(settings: Settings, guard: HangGuard) -> _Given:
    """Read what a start needs.

    Raises:
        CannotStart: something of it is not there, cannot be used, or does not answer.

    """
    answered = partial(_answered, guard)
    jobs_name, log_name = f"the jobs directory `{settings.jobs_dir}`", f"the log file `{settings.log_file}`"
    second = answered("the file with the URL of the database", partial(second_of, settings))
    directory = answered(jobs_name, partial(_directory, settings))
    source = None if directory is None else GuardedSource(directory, guard)
    for name, path in ((jobs_name, settings.jobs_dir), (log_name, settings.log_file)):
        answered(name, path.exists)
    answered("a path of the service", partial(check_paths, settings, source))
    rules = rules_of(settings, guard)
    try:
        defaults, silent = defaults_of(settings, rules, guard), None
    except Hung as hung:
        defaults, silent = Defaults(), hung
    return _Given(jobs_name, log_name, second, source, rules, defaults, silent, token_of(settings, guard))


def _read_log(settings: Settings, guard: HangGuard, name: str, file: LogFile) -> Past | None:
    """Take the log, and return what it says of the time before.

    Raises:
        CannotStart: another service has it, or it does not answer.

    """
    _answered(guard, name, partial(claim_log, settings, file))  # what another service still writes would be missing
    past = _answered(guard, name, partial(read_back, settings.log_file, settings.log_backups))
    if past is None or past.decided is None:
        return past
    return replace(past, decided=_asking(guard, name, past.decided))


def _warn_of_exposure(log: RunLog) -> None:
    """Say once a start that the unit's settings show all users the password of the database."""
    exposed = exposed_url()
    if exposed is not None:
        log.event(Level.WARNING, "settings.exposed", file=exposed.file, problem=exposed.message, help=exposed.help)


def _warn_of_passing_log(settings: Settings, guard: HangGuard, name: str, log: RunLog) -> tuple[str, ...]:
    """Say once a start that a boot of the host loses the log; return it in words for `status`."""
    problem = _answered(guard, name, partial(passing_log, settings.log_file))
    if problem is None:
        return ()
    log.event(Level.WARNING, "log.passing", file=problem.file, problem=problem.message, help=problem.help)
    return (f"{problem.message}; {problem.help}",)


def _begin_database(second: Second, supervisor: Supervisor) -> None:
    """Let the database's jobs be read, and the supervisor ask it at a reload, at the end and about its issues."""
    second.begin()
    supervisor.on_reload, supervisor.on_stop = second.reload, second.take_leave
    supervisor.further_troubles = second.troubles


def _look_for_no_cycles(stack: ExitStack) -> None:
    """Keep Python's collector of cycles away from a start, which makes many objects and drops none."""
    gc.disable()
    stack.callback(gc.enable)


def _look_for_cycles_seldom() -> None:
    """Have the collector leave alone what was loaded, and else look seldom.

    Runs make hardly any cycles, and to look through ten thousand definitions stops all threads for tens of
    milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(SELDOM)
    gc.enable()


def _show(settings: Settings, face: ServiceFace, token: str | None, log: RunLog, stack: ExitStack) -> None:
    """Serve the page if it is wanted, and say where; that it cannot be is a warning that `Web` gives."""
    if settings.http is None:
        return
    web = stack.enter_context(Web(settings.http, face, token=token))
    if web.problem is None:
        host, port = web.bound
        log.event(Level.INFO, "page.served", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/")


def _directory(settings: Settings) -> DirectorySource | None:
    """Return the jobs directory. A service with a database can do without, if nobody named one and there is none."""
    if settings.has_database and "jobs_dir" not in settings.named and is_missing(settings.jobs_dir):
        return None
    return DirectorySource(settings.jobs_dir)


def _sources(directory: GuardedSource | None, second: Second | None) -> list[Source]:
    """List where jobs come from; at a start, a file has its id before a row of the database has it."""
    sources: list[Source] = [] if directory is None else [directory]
    return sources if second is None else [*sources, second.source]


def _log(settings: Settings, file: LogFile, second: Second | None, stack: ExitStack) -> RunLog:
    """Make the log, with a copy in the database if there is one; that ends after the log has."""
    form, priorities = settings.log_format, sd_notify.is_journal()
    if second is None:
        return RunLog(file, form=form, priorities=priorities)
    return RunLog(file, form=form, priorities=priorities, also=stack.enter_context(second.syslog).put)


def _each(*takers: Callable[[Entry], object]) -> Callable[[Entry], object]:
    def take(entry: Entry) -> None:
        for taker in takers:
            taker(entry)

    return take


def _telling(log: RunLog, results: Results, recent: Recent) -> Tell:
    """Return what a pass tells its changes to: the log, and whoever keeps something of each job."""

    def tell(level: Level, name: str, /, **values: Value | None) -> None:
        log.event(level, name, **values)
        if name == "job.removed":
            results.forget([str(values["job_id"])])
            recent.forget([str(values["job_id"])])

    return tell


def _scheduler(
    settings: Settings,
    log: RunLog,
    write: Callable[[Entry], object],
    second: Second | None,
    clock: HostClock,
) -> Scheduler:
    return Scheduler(
        write=write,
        write_mark=log.mark if second is None else second.withheld(log.mark),
        announce=log.write_then,
        on_behind=log.tell_behind,
        max_workers=settings.max_workers,
        host=settings.host_id or first_line(MACHINE_ID) or os.uname().nodename,
        host_id=host_id(settings.host_id),
        boot=_boot(log),
        cause=clock.cause,
        stood=clock.stood,
    )


def _watch(settings: Settings, source: GuardedSource | None, reconciler: Reconciler, mailbox: Mailbox) -> Watch:
    if source is None:
        return NoWatch()
    return Watch(
        settings.jobs_dir,
        _looking(reconciler, mailbox),
        identity=source.inner.identity,
        is_relevant=source.inner.is_relevant,
        on_trouble=partial(mailbox.put, "tend"),
    )


def _control(settings: Settings, desk: Desk, log: RunLog, guard: HangGuard, stack: ExitStack) -> Control | None:
    """Make the control socket. One that cannot be made is a warning: jobs run without it."""
    app = application(desk, lambda why: log.event(Level.ERROR, "control.failed", problem=why))
    try:
        return stack.enter_context(
            _entered(guard, f"the control socket `{settings.socket}`", Control(settings.socket, app))
        )
    except (CannotListen, CannotStart) as cannot:
        log.event(Level.WARNING, "control.unavailable", problem=cannot.problem.message, help=cannot.problem.help)
        return None


def _abandon(scheduler: Scheduler, log: RunLog) -> None:
    """End the process although a part of it is dead or stuck, with whatever lock it holds; wait for nothing long."""
    ending = threading.Thread(target=scheduler.abandon, args=(ENDING,), daemon=True)
    with suppress(RuntimeError):  # no thread left
        ending.start()
        ending.join(ENDING)
    log.write_through(
        Event(utc_now(), Level.ERROR, "service.died", (("exit_status", INTERNAL_FAILURE),)), timeout=DYING
    )
    os._exit(INTERNAL_FAILURE)


def _end_all_the_same() -> None:
    """End the process although its end hangs. What runs is ended by systemd, or by the next start."""
    message = b"jobscheduler: the service was told to end and hangs: it is ended all the same\n"
    if select.select([], [2], [], 0.0)[1]:
        with suppress(OSError):
            os.write(2, message)
    os._exit(INTERNAL_FAILURE)


def _signals(stack: ExitStack, mailbox: Mailbox, drain: float) -> None:
    """Turn signals into messages; the handlers do nothing else. They are heard even if the main thread is stuck."""
    stack.enter_context(LastResort(drain, _end_all_the_same))
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        former = signal.signal(one, lambda number, _: mailbox.put(signal.Signals(number).name))
        stack.callback(signal.signal, one, former)


def _looking(reconciler: Reconciler, mailbox: Mailbox) -> Callable[[frozenset[str]], None]:
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
            problem = record.getMessage() + (f": {text_of(error)}" if error else "")
            log.event(level, "library.warning", library=record.name.partition(".")[0], problem=problem)

    handler = Forward(logging.WARNING)
    logging.getLogger().addHandler(handler)
    stack = ExitStack()
    stack.callback(logging.getLogger().removeHandler, handler)
    return stack


def _boot(log: RunLog) -> str:
    """Name this boot; say so if that has to be guessed."""
    boot = boot_id()
    if is_guess(boot):
        problem = "the boot of the host cannot be told (`/proc/sys/kernel/random/boot_id` cannot be read)"
        help_ = "a boot is known by the clock alone: after that was set, `@reboot` may run once more at a start"
        log.event(Level.WARNING, "boot.unsure", problem=problem, help=help_)
    return boot
