"""Watch the sources of jobs: the directory by its events, the database by its markers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.watcher import DirectoryWatcher, NullWatcher
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.service.directory_lock import DirectoryLock, LockKeeper
from jobscheduler.service.guarded_calls import entered
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.parts import Parts


@dataclass(frozen=True, slots=True)
class SourceWatch:
    """What watches the sources."""

    watcher: DirectoryWatcher
    lock: LockKeeper
    directory: DirectoryGuard


def watch_sources(parts: Parts, lock: DirectoryLock, stack: ExitStack) -> SourceWatch:
    """Start the watcher, which `DirectoryGuard` arms at its first check, and the reloads of the database.

    Raises:
        StartupError: another service uses the database, or the directory does not answer.

    """
    checked, mailbox, reconciler, log = parts.checked, parts.mailbox, parts.reconciler, parts.log
    watcher = _watcher(parts)
    stack.enter_context(entered(checked.guard, checked.jobs_name, watcher))
    sync_all = partial(_sync_items, reconciler, mailbox, frozenset[str]())
    decides = None if parts.account is None else partial(_decides, parts)
    checked.database.start(stack, sync_all, log.event, is_ending=mailbox.is_stopping, decides=decides)
    keeper = LockKeeper(lock, log.event, checked.guard, checked.jobs_name)
    directory = DirectoryGuard(watcher, reconciler, keeper, log.event, checked.guard, checked.jobs_name)
    return SourceWatch(watcher, keeper, directory)


def request_settle(reconciler: Reconciler, mailbox: Mailbox, fault: BaseException | None = None) -> None:
    """Wake the main thread if bad news is to settle, or if the file thread has failed."""
    if fault is not None or reconciler.next_settle_at() is not None:
        mailbox.put(Message.SETTLE)


def _decides(parts: Parts) -> bool:
    return parts.scheduler.leadership.decides


def _watcher(parts: Parts) -> DirectoryWatcher:
    directory = parts.checked.directory
    if directory is None:
        return NullWatcher()
    return DirectoryWatcher(
        parts.checked.settings.jobs_dir,
        partial(_sync_items, parts.reconciler, parts.mailbox),
        identity=directory.inner.identity,
        is_relevant=directory.inner.is_relevant,
        on_trouble=partial(parts.mailbox.put, Message.CHECK_DIRECTORY),
    )


def _sync_items(reconciler: Reconciler, mailbox: Mailbox, names: frozenset[str]) -> None:
    """Sync items on the thread of their source, and have the main thread see when bad news settles."""
    if all(map(is_job_file, names)):
        reconciler.sync_items(names)
    else:  # a name on the way of links to job files, as in a ConfigMap
        reconciler.sync_all()
    request_settle(reconciler, mailbox)
