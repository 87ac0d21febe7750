"""The composition of the service: which part owns which, started and stopped in order. No rules of its own."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

from jobscheduler.alerts import AlertDispatcher
from jobscheduler.config import Settings
from jobscheduler.control.recent_records import RecentRecords
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.watcher import DirectoryWatcher, NullWatcher
from jobscheduler.model import Level, RecoveredState
from jobscheduler.runlog import LogFile, LogWriter, last_results
from jobscheduler.runner import detach_output_pipes
from jobscheduler.scheduler import Scheduler
from jobscheduler.service import process
from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.clients import open_clients
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.condition import ServiceCondition
from jobscheduler.service.database_jobs import DatabaseJobs, NoDatabase
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.guarded_calls import entered, raising_os_error
from jobscheduler.service.health import HealthMonitor, TurnTimer
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.open_log import (
    open_log,
    read_boot_id,
    recover_log,
    warn_of_exposed_url,
    warn_of_volatile_log,
)
from jobscheduler.service.parts import Parts
from jobscheduler.service.reload import Reload
from jobscheduler.service.sd_notify import Notifier
from jobscheduler.service.shutdown import Shutdown
from jobscheduler.service.startup import DirectoryLock
from jobscheduler.service.startup_checks import Startup, check_startup
from jobscheduler.service.supervisor import Supervisor
from jobscheduler.service.zone_watch import ZoneWatch
from jobscheduler.status.run_stats import RunStats
from jobscheduler.util.hang_guard import HangGuard
from jobscheduler.util.host_id import MACHINE_ID, first_line, host_id


def serve(settings: Settings) -> int:
    """Run the service until a signal ends it; return its exit status.

    Raises:
        StartupError: a part that the service needs is missing, or another service uses it.

    """
    process.prepare_process()
    mailbox = Mailbox()
    guard = HangGuard(partial(mailbox.put, Message.HUNG_CALL_ENDED))
    startup = check_startup(settings, guard)
    with ExitStack() as stack:
        process.pause_gc(stack)
        process.receive_signals(stack, mailbox, settings.drain_timeout)

        # The log, and what it says of the time before.
        lock = DirectoryLock(None if startup.directory is None else settings.jobs_dir)
        stack.enter_context(entered(guard, startup.jobs_name, lock))
        log_file = _log_file(settings, mailbox)
        recovered = recover_log(settings, guard, startup.log_name, log_file)
        log = open_log(settings, log_file, startup.database, stack)
        warn_of_exposed_url(log)
        notes = warn_of_volatile_log(settings, guard, startup.log_name, log)
        stack.callback(detach_output_pipes)

        # Jobs become runs, and runs become records, which are observed on their way to the log.
        clock, stats, recent = ClockMonitor(), RunStats(), RecentRecords()
        scheduler = stack.enter_context(_scheduler(settings, log, startup.database, clock))
        reconciler = Reconciler(
            startup.sources,
            scheduler,
            startup.context,
            log.event,
            observe_latency=stats.observe_latency,
            is_stopping=mailbox.is_ending,
        )
        alerts = _alerts(settings, startup, log, reconciler, guard)
        counters = [stats.observe, recent.observe] if settings.http else [stats.observe]
        log.subscribe(before=counters, after=[alerts.observe])

        # The sources are watched: the directory by its events, the database by its markers.
        watcher = _watcher(settings, startup, reconciler, mailbox)
        stack.enter_context(entered(guard, startup.jobs_name, watcher))
        sync_all = partial(_sync_items, reconciler, mailbox, frozenset[str]())
        startup.database.start(stack, sync_all, log.event, is_ending=mailbox.is_stopping)

        parts = Parts(settings, startup, mailbox, guard, log, scheduler, reconciler, alerts, stats, recent)
        directory = DirectoryGuard(watcher, reconciler, lock, log, guard, startup.jobs_name)
        if _supervise(parts, directory, watcher, clock, recovered, notes, stack) is not None:
            process.abort(scheduler, log)
    return process.exit_status(log, scheduler)


def _supervise(
    parts: Parts,
    directory: DirectoryGuard,
    watcher: DirectoryWatcher,
    clock: ClockMonitor,
    recovered: RecoveredState | None,
    notes: tuple[str, ...],
    stack: ExitStack,
) -> str | None:
    """Make the first sync, begin to schedule, open the service to clients, and supervise it to its end.

    Return None after an end in order, or which part died.
    """
    settings, startup, log, guard, mailbox = parts.settings, parts.startup, parts.log, parts.guard, parts.mailbox
    scheduler, reconciler, alerts, database = parts.scheduler, parts.reconciler, parts.alerts, startup.database

    # The supervision: what it checks, what it tells systemd, and how it reloads and ends the service.
    files, turns = FileThread(partial(_request_settle, reconciler, mailbox)), TurnTimer()
    loops = {"the supervising loop": turns.busy_for, "the thread that reads files": files.busy_for}
    health = HealthMonitor(scheduler, log, watcher, loops)
    notifier = Notifier()
    stack.callback(notifier.close)
    manager = ManagerStatus(notifier, scheduler, reconciler, health, log)
    zone = ZoneWatch(settings, startup.context, log, guard)
    alert_defaults = AlertDefaultsReader(settings, zone, alerts, log, guard)
    if startup.hung_alerts is not None:
        alert_defaults.report_hung(startup.hung_alerts)
    reload = Reload(mailbox, log, manager, zone, alert_defaults, directory, reconciler, database.reload)
    drain, last_report = settings.drain_timeout, database.report_unsent
    shutdown = Shutdown(drain, mailbox, log, manager, turns, files, scheduler, alerts, last_report)

    # The first sync reads every file. Only then does scheduling begin: nothing is due before all jobs are known.
    recovered = scheduler.restore(recovered, datetime.now(UTC))
    directory.check()
    if mailbox.is_stopping():
        shutdown.run_before_start(mailbox.take(0.0) or "")
        return None
    jobs, refused = reconciler.counts()
    scheduler.start()
    alerts.start()
    files.start()
    checkpoints = CheckpointTimer(scheduler, reconciler, time.monotonic())
    zone.warn_of_odd_zone()
    _log_started(log, jobs, refused, recovered)
    database.allow_sync()

    # The service is open to its clients, and ready.
    condition = ServiceCondition(zone, health, scheduler, reconciler, directory, log, guard, database.issues)
    maintain_control = open_clients(parts, condition, notes, stack)
    process.tune_gc()
    manager.ready()
    supervisor = Supervisor(
        mailbox,
        log,
        clock,
        scheduler,
        reconciler,
        directory,
        files,
        health,
        turns,
        manager,
        checkpoints,
        alert_defaults,
        reload,
        shutdown,
        maintenance={"zone": lambda _: zone.check(), "control": maintain_control},
        rescan_interval=settings.rescan_interval,
    )
    return supervisor.run()


def _log_file(settings: Settings, mailbox: Mailbox) -> LogFile:
    on_beginning = partial(mailbox.put, Message.LOG_FILE_BEGUN)
    return LogFile(settings.log_file, settings.log_max_bytes, settings.log_backups, on_beginning=on_beginning)


def _scheduler(
    settings: Settings, log: LogWriter, database: DatabaseJobs | NoDatabase, clock: ClockMonitor
) -> Scheduler:
    return Scheduler(
        write=log.write,
        write_checkpoint=database.checkpoint_gate(log.checkpoint),
        log_then=log.write_and_call,
        on_behind=log.warn_behind,
        max_workers=settings.max_workers,
        host=settings.host_id or first_line(MACHINE_ID) or os.uname().nodename,
        host_id=host_id(settings.host_id),
        boot=read_boot_id(log),
        late_reason=clock.late_reason,
        standstills=clock.standstills,
    )


def _alerts(
    settings: Settings, startup: Startup, log: LogWriter, reconciler: Reconciler, guard: HangGuard
) -> AlertDispatcher:
    read_results = partial(last_results, settings.log_file, settings.log_backups)
    previous_results = raising_os_error(guard, startup.log_name, read_results)
    host = os.uname().nodename
    return AlertDispatcher(log.write, previous_results, startup.default_alerts, reconciler.job, host=host)


def _watcher(settings: Settings, startup: Startup, reconciler: Reconciler, mailbox: Mailbox) -> DirectoryWatcher:
    if startup.directory is None:
        return NullWatcher()
    return DirectoryWatcher(
        settings.jobs_dir,
        partial(_sync_items, reconciler, mailbox),
        identity=startup.directory.inner.identity,
        is_relevant=startup.directory.inner.is_relevant,
        on_trouble=partial(mailbox.put, Message.CHECK_DIRECTORY),
    )


def _sync_items(reconciler: Reconciler, mailbox: Mailbox, names: frozenset[str]) -> None:
    """Sync items on the thread of their source, and have the main thread see when bad news settles."""
    if all(map(is_job_file, names)):
        reconciler.sync_items(names)
    else:  # a name on the way of links to job files, as in a ConfigMap
        reconciler.sync_all()
    _request_settle(reconciler, mailbox)


def _request_settle(reconciler: Reconciler, mailbox: Mailbox, fault: BaseException | None = None) -> None:
    """Wake the main thread if bad news is to settle, or if the file thread has failed."""
    if fault is not None or reconciler.next_settle_at() is not None:
        mailbox.put(Message.SETTLE)


def _log_started(log: LogWriter, jobs: int, refused: int, recovered: RecoveredState | None) -> None:
    since = recovered.checkpoint.settled if recovered else "nothing is known of the time before"
    log.event(Level.INFO, "service.started", jobs=jobs, refused=refused, pid=os.getpid(), settled=since)
