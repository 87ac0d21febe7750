"""The watchdog Observer: it hears what changes in the jobs directory and has somebody look there.

It only hints. Events may be lost, doubled or late; a pass looks at the files themselves, and a rescan repairs. What it
must not do is go blind in silence: watchdog keeps a dead watch looking alive when the directory is deleted, replaced,
or was never readable, so what is watched is compared with what the path means, again and again (`tend`).
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

DEBOUNCE_S = 0.02
"""How old the oldest hint may become while more events keep coming, in seconds."""

_EVENTS: list[type[FileSystemEvent]] = [
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""What can change a job. Reads are left out: a pass reads files itself."""


class _ChangeHandler(FileSystemEventHandler):
    """Gathers the names that may have changed and, on the Observer's thread, has them looked at.

    A burst becomes few passes and a single change waits for nothing: a pass begins when no more events are queued or
    the oldest hint is `GATHER` seconds old. Hints are only let go of when their pass succeeded.
    """

    def __init__(
        self,
        on_change: Callable[[frozenset[str]], None],
        is_relevant: Callable[[str], bool],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._on_change = on_change
        self._is_relevant = is_relevant
        self._on_fault = on_fault
        self._names: set[str] = set()
        self._oldest = 0.0
        self.busy_since = 0.0
        self.is_quiet: Callable[[], bool] = lambda: True

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take a hint, and act on what has gathered. Nothing may be raised here: it would end the Observer."""
        self.busy_since = time.monotonic()
        try:
            self._take(event)
            if self._names and (self.is_quiet() or time.monotonic() - self._oldest > DEBOUNCE_S):
                self._on_change(frozenset(self._names))
                self._names.clear()
        except Exception as error:
            self._on_fault(error)
        finally:
            self.busy_since = 0.0

    def _take(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            name = os.path.basename(os.fsdecode(path)) if path else ""  # noqa: PTH119 - bytes or text, kept as it is
            if self._is_relevant(name):
                if not self._names:
                    self._oldest = time.monotonic()
                self._names.add(name)


class WatchState(StrEnum):
    """What a look at the watch gave."""

    OK = "clear"
    REARMED = "anew"
    UNAVAILABLE = "blind"


class DirectoryWatcher:
    """Watches one directory for as long as it stands under its path. A context manager: it ends the Observer.

    `identity` tells the directory that the path means now from every other, and raises if there is none.
    `on_trouble` is called, on any thread, when somebody should call `tend` soon.
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
        self._has_lost_events: str | None = None
        self._overflows = _Overflows(self._events_lost)

    def __enter__(self) -> Self:
        logger = logging.getLogger(_OVERFLOWS)
        logger.addHandler(self._overflows)
        logger.propagate = False  # it is told once, with what it means
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger(_OVERFLOWS)
        logger.removeHandler(self._overflows)
        logger.propagate = True
        self._disarm()

    def ensure_armed(self) -> tuple[WatchState, str]:
        """Arm the watch if it is not armed, or is on something else than what the path means now.

        ANEW: it was, or events were lost, so that everything has to be looked at once more; the text says what was
        wrong, if that is worth telling. BLIND: it cannot be armed, for the reason in the text, and everything has
        to be looked at again and again; the text is empty if the directory itself is what is wanting.
        """
        lost, self._has_lost_events = self._has_lost_events, None
        try:
            identity = self._identity()
        except Exception:
            self._disarm()
            return WatchState.UNAVAILABLE, ""
        if identity == self._armed and self.is_alive():
            return (WatchState.OK if lost is None else WatchState.REARMED), lost or ""
        died = identity == self._armed
        self._disarm()
        try:
            self._arm(identity)
        except (OSError, RuntimeError) as error:  # the latter if no thread can be started
            return (
                WatchState.UNAVAILABLE,
                f"the directory cannot be watched: {getattr(error, 'strerror', None) or error}",
            )
        return WatchState.REARMED, lost or ("the watching thread had died" if died else "")

    def quick_fingerprint(self) -> object:
        """Return what changes when the path comes to mean another directory, and at times when it does not.

        None if it means nothing. A directory made anew with the inode of the former one has the same on a file system
        whose times are coarse; `tend` compares more.
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116 - asked every second
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_ctime_ns

    def is_alive(self) -> bool:
        """Tell whether the Observer's thread, and the one that reads inotify, run."""
        observer = self._observer
        return observer is not None and observer.is_alive() and all(one.is_alive() for one in observer.emitters)

    def busy_for(self) -> float:
        """Return for how many seconds the Observer has been at one event; 0 when it waits for the next."""
        since = self._handler.busy_since if self._handler is not None else 0.0
        return time.monotonic() - since if since else 0.0

    def _events_lost(self, reason: str) -> None:
        """Take note, on any thread, that hints were lost."""
        self._has_lost_events = reason
        self._on_trouble()

    def _fail(self, error: BaseException) -> None:
        self._events_lost(f"a pass failed: {type(error).__name__}: {error}")

    def _arm(self, identity: object) -> None:
        hints = _ChangeHandler(self._on_change, self._is_relevant, self._fail)
        observer = Observer()
        hints.is_quiet = observer.event_queue.empty
        try:
            observer.schedule(hints, str(self._path.resolve(strict=True)), event_filter=_EVENTS)
            observer.start()
        except BaseException:
            _stop(observer)
            raise
        self._observer, self._handler, self._armed = observer, hints, identity

    def _disarm(self) -> None:
        observer, self._observer, self._handler, self._armed = self._observer, None, None, None
        if observer is not None:
            _stop(observer)


class NullWatcher(DirectoryWatcher):
    """The watch of a service that has no directory: nothing changes there, and nothing is ever wrong."""

    def __init__(self) -> None:
        super().__init__(Path(), lambda names: None, identity=lambda: None, is_relevant=lambda name: False)

    def ensure_armed(self) -> tuple[WatchState, str]:
        """Find all well."""
        return WatchState.OK, ""

    def quick_fingerprint(self) -> object:
        """Find nothing that could change."""
        return ()


_OVERFLOWS = "watchdog.observers.inotify_c"


class _Overflows(logging.Handler):
    """Hears of an overflow of inotify's queue, for which watchdog has no event, only a warning in its log."""

    def __init__(self, lose: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._lose_events = lose

    def emit(self, record: logging.LogRecord) -> None:
        """Take a warning; any one from there means that events may be lost."""
        self._lose_events(f"inotify: {record.getMessage()}")


def _stop(observer: BaseObserver) -> None:
    """End an Observer, started or not, so that it gives its descriptors back."""
    observer.stop()
    if observer.ident is not None:
        observer.join()
