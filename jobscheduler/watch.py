"""The watchdog Observer: it hears what changes in the jobs directory and has somebody look there.

It only hints. Events may be lost, doubled or late; a pass looks at the files themselves, and a rescan repairs. What it
must not do is go blind in silence: watchdog keeps a dead watch looking alive when the directory is deleted, replaced,
or was never readable, so what is watched is compared with what the path means, again and again (`tend`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
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

GATHER = 0.02
"""How old the oldest hint may become while more events keep coming, in seconds."""

_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""What can change a job. Reads are left out: a pass reads files itself."""


class Hints(FileSystemEventHandler):
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
        self.is_quiet: Callable[[], bool] = lambda: True

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take a hint, and act on what has gathered. Nothing may be raised here: it would end the Observer."""
        try:
            self._take(event)
            if self._names and (self.is_quiet() or time.monotonic() - self._oldest > GATHER):
                self._on_change(frozenset(self._names))
                self._names.clear()
        except Exception as error:
            self._on_fault(error)

    def _take(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            name = os.path.basename(os.fsdecode(path)) if path else ""  # noqa: PTH119 - bytes or text, kept as it is
            if self._is_relevant(name):
                if not self._names:
                    self._oldest = time.monotonic()
                self._names.add(name)


class Watch:
    """Watches one directory for as long as it stands under the path. A context manager: it ends the Observer."""

    def __init__(
        self,
        path: Path,
        on_change: Callable[[frozenset[str]], None],
        *,
        is_relevant: Callable[[str], bool],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._is_relevant = is_relevant
        self._on_fault = on_fault
        self._observer: BaseObserver | None = None
        self._armed: tuple[int, int] | None = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._disarm()

    def tend(self) -> bool:
        """Arm the watch if it is not, or is on something else than what the path means now.

        Returns whether it was armed anew, so that everything has to be looked at once more.

        Raises:
            OSError: it cannot be armed: no such directory, or the system's limits on inotify are exhausted.

        """
        found = self._path.stat()
        identity = (found.st_dev, found.st_ino)
        if self._observer is not None and self._observer.is_alive() and identity == self._armed:
            return False
        self._disarm()
        self._arm(identity)
        return True

    def is_alive(self) -> bool:
        """Tell whether the Observer's thread runs."""
        return self._observer is not None and self._observer.is_alive()

    def _arm(self, identity: tuple[int, int]) -> None:
        hints = Hints(self._on_change, self._is_relevant, self._on_fault)
        observer = Observer()
        hints.is_quiet = observer.event_queue.empty
        try:
            observer.schedule(hints, str(self._path.resolve(strict=True)), event_filter=_EVENTS)
            observer.start()
        except BaseException:
            _stop(observer)
            raise
        self._observer, self._armed = observer, identity

    def _disarm(self) -> None:
        observer, self._observer, self._armed = self._observer, None, None
        if observer is not None:
            _stop(observer)


def _stop(observer: BaseObserver) -> None:
    """End an Observer, started or not, so that it gives its descriptors back."""
    observer.stop()
    if observer.ident is not None:
        observer.join()
