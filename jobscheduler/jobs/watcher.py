"""Watch the jobs directory with watchdog's Observer, and have the items that may have changed synced.

Events are only hints. They may be lost, doubled or late: a sync reads the files themselves, and a rescan repairs. But
watchdog keeps a dead watch looking alive when the directory is deleted, replaced, or was never readable. So the owner
calls `ensure_armed` again and again, which compares the watched directory with the one that the path means now.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Self

from watchdog.events import (
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from jobscheduler.util.text import format_error

DEBOUNCE_S = 0.02  # while events keep coming, sync when the oldest hint is this old

_EVENTS: list[type[FileSystemEvent]] = [
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]  # whatever can change a job; not reads, since a sync reads files itself


class _ChangeHandler(FileSystemEventHandler):
    """Collects the names that may have changed, and has them synced on the Observer's thread.

    A sync begins when no more events are queued or the oldest hint is `DEBOUNCE_S` old. So a burst becomes few syncs
    and a single change waits for nothing. Hints are dropped only after their sync succeeded.
    """

    def __init__(
        self,
        on_change: Callable[[frozenset[str]], None],
        is_relevant: Callable[[str], bool],
        on_error: Callable[[BaseException], None],
        *,
        is_queue_empty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_change = on_change
        self._is_relevant = is_relevant
        self._on_error = on_error
        self._is_queue_empty = is_queue_empty
        self._names: set[str] = set()
        self._oldest = 0.0
        self.busy_since = 0.0

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Collect a hint, and sync if it is time. Raises nothing, because that would end the Observer."""
        self.busy_since = time.monotonic()
        try:
            self._collect(event)
            if self._names and (self._is_queue_empty() or time.monotonic() - self._oldest > DEBOUNCE_S):
                self._on_change(frozenset(self._names))
                self._names.clear()
        except Exception as error:
            self._on_error(error)
        finally:
            self.busy_since = 0.0

    def _collect(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            name = os.path.basename(os.fsdecode(path)) if path else ""  # noqa: PTH119 - bytes or text, kept as it is
            if self._is_relevant(name):
                if not self._names:
                    self._oldest = time.monotonic()
                self._names.add(name)


class WatchState(StrEnum):
    """Result of checking the watch."""

    OK = "ok"
    REARMED = "rearmed"  # or events were lost: everything must be synced
    UNAVAILABLE = "unavailable"


class DirectoryWatcher:
    """Watches the directory that a path means. A context manager: leaving it ends the Observer.

    `identity` returns the identity of the directory that the path means now, and raises if there is none.
    `on_trouble` is called on any thread when `ensure_armed` should be called soon.
    """

    def __init__(
        self,
        path: Path,
        on_change: Callable[[frozenset[str]], None],
        *,
        identity: Callable[[], object],
        is_relevant: Callable[[str], bool],
        on_trouble: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._identity = identity
        self._is_relevant = is_relevant
        self._on_trouble = on_trouble
        self._observer: BaseObserver | None = None
        self._handler: _ChangeHandler | None = None
        self._armed: object = None
        self._loss: str | None = None
        self._overflows = _OverflowHandler(self._events_lost)

    def __enter__(self) -> Self:
        logger = logging.getLogger(_INOTIFY_LOGGER)
        logger.addHandler(self._overflows)
        logger.propagate = False  # `ensure_armed` returns it once, with its meaning
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger(_INOTIFY_LOGGER)
        logger.removeHandler(self._overflows)
        logger.propagate = True
        self._disarm()

    def ensure_armed(self) -> tuple[WatchState, str]:
        """Arm the watch if it is not armed, or watches another directory than the path means now.

        REARMED: the text is what was wrong, if that should be logged. UNAVAILABLE: the watch cannot be armed for the
        reason in the text, so everything must be synced again and again. The text is empty if there is no directory.
        """
        loss, self._loss = self._loss, None
        try:
            identity = self._identity()
        except Exception:  # of any kind: the source reports why its directory cannot be found
            self._disarm()
            return WatchState.UNAVAILABLE, ""
        if identity == self._armed and self.is_alive():
            return (WatchState.OK if loss is None else WatchState.REARMED), loss or ""
        has_died = identity == self._armed
        self._disarm()
        try:
            self._arm(identity)
        except (OSError, RuntimeError) as error:  # the latter if no thread can be started
            reason = getattr(error, "strerror", None) or error
            return WatchState.UNAVAILABLE, f"the directory cannot be watched: {reason}"
        return WatchState.REARMED, loss or ("the watching thread had died" if has_died else "")

    def quick_fingerprint(self) -> object:
        """Return a value that changes when the path comes to mean another directory; None if it means none.

        It may also change when the directory stays the same. It may stay the same when a new directory gets the inode
        of the former one on a file system with coarse times; `ensure_armed` compares more.
        """
        try:
            stat = os.stat(self._path)  # noqa: PTH116 - called every second
        except OSError:
            return None
        return stat.st_dev, stat.st_ino, stat.st_mode, stat.st_uid, stat.st_gid, stat.st_ctime_ns

    def is_alive(self) -> bool:
        """Return whether the Observer's thread and the thread that reads inotify are running."""
        observer = self._observer
        return observer is not None and observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def busy_for(self) -> float:
        """Return for how many seconds the Observer has been handling one event; 0 while it waits for the next."""
        since = self._handler.busy_since if self._handler is not None else 0.0
        return time.monotonic() - since if since else 0.0

    def _events_lost(self, reason: str) -> None:
        """Note that hints were lost. Thread: any."""
        self._loss = reason
        self._on_trouble()

    def _fail(self, error: BaseException) -> None:
        self._events_lost(f"a sync failed: {format_error(error)}")

    def _arm(self, identity: object) -> None:
        observer = Observer()
        handler = _ChangeHandler(
            self._on_change, self._is_relevant, self._fail, is_queue_empty=observer.event_queue.empty
        )
        try:
            observer.schedule(handler, str(self._path.resolve(strict=True)), event_filter=_EVENTS)
            observer.start()
        except BaseException:
            _stop(observer)
            raise
        self._observer, self._handler, self._armed = observer, handler, identity

    def _disarm(self) -> None:
        observer, self._observer, self._handler, self._armed = self._observer, None, None, None
        if observer is not None:
            _stop(observer)


class NullWatcher(DirectoryWatcher):
    """The watcher of a service without a jobs directory: nothing changes, and nothing is ever wrong."""

    def __init__(self) -> None:
        super().__init__(Path(), lambda names: None, identity=lambda: None, is_relevant=lambda name: False)

    def ensure_armed(self) -> tuple[WatchState, str]:
        """Return OK."""
        return WatchState.OK, ""

    def quick_fingerprint(self) -> object:
        """Return a constant: nothing can change."""
        return ()


_INOTIFY_LOGGER = "watchdog.observers.inotify_c"


class _OverflowHandler(logging.Handler):
    """Catches an overflow of inotify's queue. watchdog has no event for it, only a warning in its log."""

    def __init__(self, on_loss: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_loss = on_loss

    def emit(self, record: logging.LogRecord) -> None:
        """Report a warning. Each one from that logger means that events may be lost."""
        self._on_loss(f"inotify: {record.getMessage()}")


def _stop(observer: BaseObserver) -> None:
    """End an Observer, started or not, so that it closes its descriptors."""
    observer.stop()
    if observer.ident is not None:
        observer.join()
