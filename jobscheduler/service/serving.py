"""Who owns what, started and stopped in order. No rules of its own."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from jobscheduler import systemd
from jobscheduler.alerts import Alerts
from jobscheduler.claim import Claim, check_paths, claim_log
from jobscheduler.config import Settings
from jobscheduler.control.app import application
from jobscheduler.control.server import CannotListen, Control
from jobscheduler.desk import Desk, Recall, Recent, ServiceFace, Snapshots
from jobscheduler.hostclock import HostClock
from jobscheduler.hostid import MACHINE_ID, boot_id, first_line, host_id, is_guess
from jobscheduler.model import Entry, Event, Level, Tell, Value
from jobscheduler.passes import Reconciler
from jobscheduler.results import Results
from jobscheduler.runlog import LogFile, RunLog, last_results, read_back
from jobscheduler.runner import hand_over_leftovers
from jobscheduler.scheduler import Scheduler
from jobscheduler.secretfile import exposed_url
from jobscheduler.service.lookout import text_of
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.second import Second, second_of
from jobscheduler.service.supervisor import Supervisor, defaults_of, rules_of, token_of, utc_now
from jobscheduler.sources import Source
from jobscheduler.sources.directory import DirectorySource, is_job_file
from jobscheduler.sources.way import is_missing
from jobscheduler.tasks.aftermath import AFTERMATH
from jobscheduler.tasks.descriptors import FORMER_LIMIT
from jobscheduler.watch import NoWatch, Watch
from jobscheduler.web import Web

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
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents leave it, no exit status would be told
    FORMER_LIMIT.raise_ours()
    AFTERMATH.keep_reaping()
    second = second_of(settings)
    source = _directory(settings)
    check_paths(settings, source)
    rules = rules_of(settings)
    defaults = defaults_of(settings, rules)
    token = token_of(settings)
    with ExitStack() as stack:
        _look_for_no_cycles(stack)
        mailbox = _signals(stack)
        file = LogFile(
            settings.log_file, settings.log_max_bytes, settings.log_backups, on_beginning=partial(mailbox.put, "mark")
        )
        claim = stack.enter_context(Claim(None if source is None else settings.jobs_dir))
        claim_log(settings, file)  # before reading: what another service still writes would be missing
        past = read_back(settings.log_file, settings.log_backups)
        log = stack.enter_context(_log(settings, file, second, stack))
        stack.enter_context(_library_warnings(log))
        _warn_of_exposure(log)
        stack.callback(hand_over_leftovers)
        clock, results, recent = HostClock(), Results(), Recent()
        former = partial(last_results, settings.log_file, settings.log_backups)
        alerts = Alerts(log.write, former, defaults, host=os.uname().nodename)
        takers = (results.take, alerts.write) if settings.http is None else (results.take, recent.take, alerts.write)
        scheduler = stack.enter_context(_scheduler(settings, log, _each(*takers), second, clock))
        tell, sources = _telling(log, results, recent), _sources(source, second)
        reconciler = Reconciler(sources, scheduler, rules, tell, took=results.took, is_ending=mailbox.is_stopping)
        watch = stack.enter_context(_watch(settings, source, reconciler, mailbox))
        if second is not None:
            look = partial(_looking(reconciler, mailbox), frozenset())
            second.start(stack, look, log.event, is_ending=mailbox.is_stopping)
        supervisor = Supervisor(settings, rules, log, claim, clock, scheduler, reconciler, alerts, watch, mailbox)
        stack.callback(supervisor.close)
        if supervisor.start(past):
            if second is not None:
                _begin_database(second, supervisor)
            recall = Recall(settings.log_file, settings.log_backups, results, recent if settings.http else None)
            places = {"jobs_dir": str(source or ""), "database": str(second or "")}
            snapshots = Snapshots(
                settings, scheduler, reconciler, results, supervisor, recall, alerts=alerts.waiting, **places
            )
            supervisor.control = _control(settings, Desk(snapshots, scheduler, reconciler, log.event), log, stack)
            _show(settings, ServiceFace(settings, snapshots, scheduler, results, supervisor, recent), token, log, stack)
            _look_for_cycles_seldom()
            supervisor.ready()
            if supervisor.run() is not None:
                _abandon(scheduler, log)
    status = LINES_LOST if log.lines_lost else 0
    if scheduler.lost_threads():
        os._exit(status)  # a thread that does not heed its end would hold up the interpreter's for ever
    return status


def _warn_of_exposure(log: RunLog) -> None:
    """Say once a start that the unit's settings show all users the password of the database."""
    exposed = exposed_url()
    if exposed is not None:
        log.event(Level.WARNING, "settings.exposed", file=exposed.file, problem=exposed.message, help=exposed.help)


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


def _sources(directory: DirectorySource | None, second: Second | None) -> list[Source]:
    """List where jobs come from; at a start, a file has its id before a row of the database has it."""
    sources: list[Source] = [] if directory is None else [directory]
    return sources if second is None else [*sources, second.source]


def _log(settings: Settings, file: LogFile, second: Second | None, stack: ExitStack) -> RunLog:
    """Make the log, with a copy in the database if there is one; that ends after the log has."""
    form, priorities = settings.log_format, systemd.is_journal()
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


def _watch(settings: Settings, source: DirectorySource | None, reconciler: Reconciler, mailbox: Mailbox) -> Watch:
    if source is None:
        return NoWatch()
    return Watch(
        settings.jobs_dir,
        _looking(reconciler, mailbox),
        identity=source.identity,
        is_relevant=source.is_relevant,
        on_trouble=partial(mailbox.put, "tend"),
    )


def _control(settings: Settings, desk: Desk, log: RunLog, stack: ExitStack) -> Control | None:
    """Make the control socket. One that cannot be made is a warning: jobs run without it."""
    app = application(desk, lambda why: log.event(Level.ERROR, "control.failed", problem=why))
    try:
        return stack.enter_context(Control(settings.socket, app))
    except CannotListen as cannot:
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


def _signals(stack: ExitStack) -> Mailbox:
    """Turn signals into messages; the handlers do nothing else."""
    mailbox = Mailbox()
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        former = signal.signal(one, lambda number, _: mailbox.put(signal.Signals(number).name))
        stack.callback(signal.signal, one, former)
    return mailbox


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
