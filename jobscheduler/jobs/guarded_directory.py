"""A directory of job files of which one, or the directory itself, may hang: what hangs is unknown, the rest is read.

A file behind a link may be on a mount that does not answer. So each look is made on a worker thread of the guard, a
few files at a time, and is watched from outside:

1. While files follow each other, nothing else happens.
2. A file at which the worker stays is given up together with the worker. The look goes on with another one, after the
   directory was opened anew: what the first one holds open is its own to close.
3. A file that was given up has a problem, like one that cannot be read, so that its last good version stays in force.
   It is not read again before its thread has come back, or another file or link stands under its name.
4. When `MOST` files are given up, links are no longer followed: further threads would be lost to the same mount.
5. A worker that stays anywhere else has met a directory that does not answer: the source is unavailable.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from jobscheduler.jobs.directory import HUNG_HELP, DirectorySource, _OpenDirectory, fingerprint_of
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Fingerprint, Problem
from jobscheduler.util.hang_guard import GuardedCall, HangGuard, Worker

T = TypeVar("T")

MAX_HUNG = 16
"""How many files may be given up at the same time."""

RETRY_PATIENCE_S = 0.25
"""How long a look that has met a file that hangs waits for each further one, in seconds."""

READ_BATCH = 64
"""How many files a worker reads at once, at most."""

CHECK_INTERVAL_S = 0.1
"""For how long a worker reads on, in seconds: then the pass sees whether it is to end."""


@dataclass(frozen=True, slots=True, eq=False)
class _HungItem:
    """A file that was given up: the state of its entry in the directory, and where that leads if it is a link."""

    entry: Fingerprint
    target: str | None


class GuardedSource:
    """A directory of job files, read on threads that can be given up (a `Source`)."""

    def __init__(self, inner: DirectorySource, guard: HangGuard) -> None:
        self.inner = inner
        self.kind = inner.kind
        self.noun = inner.noun
        self.prefix = inner.prefix
        self.is_atomic = inner.is_atomic
        self.name = f"the jobs directory `{inner.path}`"
        self.guard = guard
        self.hung_since = 0
        self.hung_items: dict[str, _HungItem] = {}

    def __str__(self) -> str:
        """Where it is."""
        return str(self.inner)

    @contextmanager
    def open(self) -> Iterator[_GuardedView]:
        """Open the directory for one pass.

        Raises:
            SourceUnavailable: it is not there, is no directory, may not be read, or does not answer.

        """
        look = _GuardedView(self)
        look.open()
        try:
            yield look
        finally:
            look.close()

    def is_skipped(self, view: _OpenDirectory, name: str) -> bool:
        """Tell whether a file is not to be asked for: it hangs, or is a link while too many do. On the worker."""
        known = self.hung_items.get(name)
        if known is None and self.hung_since < MAX_HUNG:
            return False
        entry = view.entry(name)
        if known is not None and _fingerprint(entry) == known.entry:
            return True
        return self.hung_since >= MAX_HUNG and entry is not None and stat.S_ISLNK(entry.st_mode)

    def hung_problem(self, name: str) -> Problem:
        """Say that a file does not answer."""
        known = self.hung_items.get(name)
        if known is None:
            message = f"the link is not followed while {self.hung_since} other files do not answer"
        elif known.target is None:
            message = "the file does not answer"
        else:
            message = f"the file does not answer: it is a link to `{known.target}`"
        help_ = "is the file system there mounted, and its server reachable? The file is read when it answers"
        return Problem(message, file=name, help=help_, host_dependent=True)


class _GuardedView:
    """One pass over the directory (a `View`)."""

    def __init__(self, source: GuardedSource) -> None:
        self._source = source
        self._guard = source.guard
        self._patience = source.guard.patience
        self._worker: Worker | None = None
        self._view: _OpenDirectory
        self._close_view: Callable[[], object]

    def open(self) -> None:
        """Open the directory on a worker.

        Raises:
            SourceUnavailable: it cannot be opened, or does not answer.

        """
        if self._guard.is_hung(self._source.name):
            raise self._unavailable()
        context = self._source.inner.open()
        self._close_view = partial(_close, context.__exit__)
        self._worker = self._guard.acquire()
        try:
            self._view = self._call(context.__enter__)
        except SourceUnavailable:
            if self._worker is not None:
                self._guard.release(self._worker)
            self._worker = None
            raise

    def close(self) -> None:
        """Close the directory, unless a thread that was given up has to."""
        if self._worker is not None:
            with suppress(SourceUnavailable):
                self._call(self._close_view)
        if self._worker is not None:
            self._guard.release(self._worker)

    def is_same_place(self) -> bool:
        return self._view.is_same_place()

    def list_items(self) -> Mapping[str, Fingerprint]:
        while True:
            view = self._open_view()
            is_quiet = not self._source.hung_items and self._source.hung_since < MAX_HUNG
            skipped = None if is_quiet else partial(self._source.is_skipped, view)
            step = self._put(partial(view.list_items, skipped))
            if self._wait(step, partial(getattr, view, "at")):
                return step.result()
            self._give_up_at(view.opened_at, step)

    def read(self, name: str) -> ReadResult:
        return next(self.read_all([name]))

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        begin = 0
        while begin < len(names):
            found = self._read_some(names[begin : begin + READ_BATCH])
            yield from found
            begin += len(found)

    def _read_some(self, names: Sequence[str]) -> list[ReadResult]:
        """Read files for a moment, in one step; none if the first of them hangs, which is then known."""
        view, found = self._open_view(), list[ReadResult]()
        step = self._put(partial(self._read_on, view, names, found))
        if self._wait(step, found.__len__):
            step.result()
        else:
            view.is_closed = True
            self._give_up_at(names[min(len(found), len(names) - 1)], step)
        return found[: len(names)]

    def _read_on(self, view: _OpenDirectory, names: Sequence[str], found: list[ReadResult]) -> None:
        """Read files one after the other until a moment is over or the look is given up (on the worker)."""
        until = time.monotonic() + CHECK_INTERVAL_S
        for name in names:
            if view.is_closed or (found and time.monotonic() > until):
                return
            found.append(self._read_one(view, name))

    def _read_one(self, view: _OpenDirectory, name: str) -> ReadResult:
        if self._source.is_skipped(view, name):
            return ReadResult(name, HUNG_HELP, problem=self._source.hung_problem(name))
        return view.read(name)

    # -- steps on the worker

    def _open_view(self) -> _OpenDirectory:
        if self._worker is None:
            self.open()
        return self._view

    def _call(self, function: Callable[[], T]) -> T:
        """Make one step that is about the directory itself.

        Raises:
            SourceUnavailable: it does not answer, or what the step raises.

        """
        step = self._put(function)
        if not self._wait(step, lambda: None):
            self._give_up_at("", step)
        return step.result()

    def _put(self, function: Callable[[], T]) -> GuardedCall[T]:
        assert self._worker is not None  # noqa: S101 - `open` has taken one
        return self._worker.submit(function)

    def _wait(self, step: GuardedCall[T], count: Callable[[], object]) -> bool:
        assert self._worker is not None  # noqa: S101
        progress = self._worker.progress
        return self._guard.wait(step, lambda: (count(), progress()), self._patience)

    def _give_up_at(self, name: str, step: GuardedCall[T]) -> None:
        """Give up the worker and what it is at: a file, or with an empty name the directory.

        Raises:
            SourceUnavailable: it is the directory that does not answer.

        """
        assert self._worker is not None  # noqa: S101
        worker, view = self._worker, getattr(self, "_view", None)
        self._worker = None
        if view is not None:
            view.is_left = True
        if not name:
            self._guard.abandon(self._source.name, worker, step, self._close_view)
            raise self._unavailable()
        self._patience = RETRY_PATIENCE_S
        self._source.hung_since += 1
        forget = partial(self._discard, name, self._close_view)
        self._guard.abandon(f"the file `{self._source.inner.path / name}`", worker, step, forget)
        self.open()
        entry, target = self._call(lambda: (self._view.entry(name), self._view.target(name)))
        self._source.hung_items[name] = _HungItem(_fingerprint(entry), target)
        if step.has_ended:  # it came back before it was noted, and is not to stay there
            self._source.hung_items.pop(name, None)

    def _discard(self, name: str, leave: Callable[[], object]) -> None:
        """Take note that a file answers, and close what was open for it (on the worker that was given up)."""
        self._source.hung_since -= 1
        self._source.hung_items.pop(name, None)
        leave()

    def _unavailable(self) -> SourceUnavailable:
        help_ = "is its file system mounted, and the server of that reachable? It is read when it answers"
        return SourceUnavailable(f"{self._source.name} does not answer", help_)


def _close(leave: Callable[[None, None, None], object]) -> None:
    """Leave what was entered, whether or not that had succeeded."""
    with suppress(Exception):
        leave(None, None, None)


def _fingerprint(entry: os.stat_result | None) -> Fingerprint:
    return None if entry is None else fingerprint_of(entry)
