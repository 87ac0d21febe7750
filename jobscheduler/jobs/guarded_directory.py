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

from jobscheduler.jobs.directory import UNANSWERED, DirectorySource, _OpenDirectory, signature_of
from jobscheduler.jobs.sources import Read, SourceUnavailable
from jobscheduler.model import Problem, Signature
from jobscheduler.util.hang_guard import HangGuard, Step, Worker

T = TypeVar("T")

MOST = 16
"""How many files may be given up at the same time."""

IMPATIENCE = 0.25
"""How long a look that has met a file that hangs waits for each further one, in seconds."""

CHUNK = 64
"""How many files a worker reads at once, at most."""

MOMENT = 0.1
"""For how long a worker reads on, in seconds: then the pass sees whether it is to end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Unanswered:
    """A file that was given up: the state of its entry in the directory, and where that leads if it is a link."""

    entry: Signature
    target: str | None


class GuardedSource:
    """A directory of job files, read on threads that can be given up (a `Source`)."""

    def __init__(self, inner: DirectorySource, guard: HangGuard) -> None:
        self.inner = inner
        self.kind = inner.kind
        self.noun = inner.noun
        self.prefix = inner.prefix
        self.is_exact = inner.is_exact
        self.thing = f"the jobs directory `{inner.path}`"
        self.guard = guard
        self.given_up = 0
        self.unanswered: dict[str, _Unanswered] = {}

    def __str__(self) -> str:
        """Where it is."""
        return str(self.inner)

    @contextmanager
    def look(self) -> Iterator[_GuardedLook]:
        """Open the directory for one pass.

        Raises:
            SourceUnavailable: it is not there, is no directory, may not be read, or does not answer.

        """
        look = _GuardedLook(self)
        look.open()
        try:
            yield look
        finally:
            look.close()

    def is_skipped(self, view: _OpenDirectory, name: str) -> bool:
        """Tell whether a file is not to be asked for: it hangs, or is a link while too many do. On the worker."""
        known = self.unanswered.get(name)
        if known is None and self.given_up < MOST:
            return False
        entry = view.entry(name)
        if known is not None and _signature(entry) == known.entry:
            return True
        return self.given_up >= MOST and entry is not None and stat.S_ISLNK(entry.st_mode)

    def problem_of(self, name: str) -> Problem:
        """Say that a file does not answer."""
        known = self.unanswered.get(name)
        if known is None:
            message = f"the link is not followed while {self.given_up} other files do not answer"
        elif known.target is None:
            message = "the file does not answer"
        else:
            message = f"the file does not answer: it is a link to `{known.target}`"
        help_ = "is the file system there mounted, and its server reachable? The file is read when it answers"
        return Problem(message, file=name, help=help_, host=True)


class _GuardedLook:
    """One pass over the directory (a `View`)."""

    def __init__(self, source: GuardedSource) -> None:
        self._source = source
        self._guard = source.guard
        self._patience = source.guard.patience
        self._worker: Worker | None = None
        self._view: _OpenDirectory
        self._leave: Callable[[], object]

    def open(self) -> None:
        """Open the directory on a worker.

        Raises:
            SourceUnavailable: it cannot be opened, or does not answer.

        """
        if self._guard.is_hung(self._source.thing):
            raise self._unavailable()
        context = self._source.inner.look()
        self._leave = partial(_leave, context.__exit__)
        self._worker = self._guard.take()
        try:
            self._view = self._make(context.__enter__)
        except SourceUnavailable:
            if self._worker is not None:
                self._guard.give_back(self._worker)
            self._worker = None
            raise

    def close(self) -> None:
        """Close the directory, unless a thread that was given up has to."""
        if self._worker is not None:
            with suppress(SourceUnavailable):
                self._make(self._leave)
        if self._worker is not None:
            self._guard.give_back(self._worker)

    def is_same(self) -> bool:
        return self._view.is_same()

    def listing(self) -> Mapping[str, Signature]:
        while True:
            view = self._open_view()
            is_quiet = not self._source.unanswered and self._source.given_up < MOST
            skipped = None if is_quiet else partial(self._source.is_skipped, view)
            step = self._put(partial(view.listing, skipped))
            if self._wait(step, partial(getattr, view, "at")):
                return step.result()
            self._give_up_at(view.at, step)

    def read(self, name: str) -> Read:
        return next(self.read_all([name]))

    def read_all(self, names: Sequence[str]) -> Iterator[Read]:
        begin = 0
        while begin < len(names):
            found = self._read_some(names[begin : begin + CHUNK])
            yield from found
            begin += len(found)

    def _read_some(self, names: Sequence[str]) -> list[Read]:
        """Read files for a moment, in one step; none if the first of them hangs, which is then known."""
        view, found = self._open_view(), list[Read]()
        step = self._put(partial(self._read_on, view, names, found))
        if self._wait(step, found.__len__):
            step.result()
        else:
            view.is_left = True
            self._give_up_at(names[min(len(found), len(names) - 1)], step)
        return found[: len(names)]

    def _read_on(self, view: _OpenDirectory, names: Sequence[str], found: list[Read]) -> None:
        """Read files one after the other until a moment is over or the look is given up (on the worker)."""
        until = time.monotonic() + MOMENT
        for name in names:
            if view.is_left or (found and time.monotonic() > until):
                return
            found.append(self._read_one(view, name))

    def _read_one(self, view: _OpenDirectory, name: str) -> Read:
        if self._source.is_skipped(view, name):
            return Read(name, UNANSWERED, problem=self._source.problem_of(name))
        return view.read(name)

    # -- steps on the worker

    def _open_view(self) -> _OpenDirectory:
        if self._worker is None:
            self.open()
        return self._view

    def _make(self, function: Callable[[], T]) -> T:
        """Make one step that is about the directory itself.

        Raises:
            SourceUnavailable: it does not answer, or what the step raises.

        """
        step = self._put(function)
        if not self._wait(step, lambda: None):
            self._give_up_at("", step)
        return step.result()

    def _put(self, function: Callable[[], T]) -> Step[T]:
        assert self._worker is not None  # noqa: S101 - `open` has taken one
        return self._worker.put(function)

    def _wait(self, step: Step[T], count: Callable[[], object]) -> bool:
        assert self._worker is not None  # noqa: S101
        progress = self._worker.progress
        return self._guard.wait(step, lambda: (count(), progress()), self._patience)

    def _give_up_at(self, name: str, step: Step[T]) -> None:
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
            self._guard.give_up(self._source.thing, worker, step, self._leave)
            raise self._unavailable()
        self._patience = IMPATIENCE
        self._source.given_up += 1
        forget = partial(self._forget, name, self._leave)
        self._guard.give_up(f"the file `{self._source.inner.path / name}`", worker, step, forget)
        self.open()
        entry, target = self._make(lambda: (self._view.entry(name), self._view.target(name)))
        self._source.unanswered[name] = _Unanswered(_signature(entry), target)
        if step.has_ended:  # it came back before it was noted, and is not to stay there
            self._source.unanswered.pop(name, None)

    def _forget(self, name: str, leave: Callable[[], object]) -> None:
        """Take note that a file answers, and close what was open for it (on the worker that was given up)."""
        self._source.given_up -= 1
        self._source.unanswered.pop(name, None)
        leave()

    def _unavailable(self) -> SourceUnavailable:
        help_ = "is its file system mounted, and the server of that reachable? It is read when it answers"
        return SourceUnavailable(f"{self._source.thing} does not answer", help_)


def _leave(leave: Callable[[None, None, None], object]) -> None:
    """Leave what was entered, whether or not that had succeeded."""
    with suppress(Exception):
        leave(None, None, None)


def _signature(entry: os.stat_result | None) -> Signature:
    return None if entry is None else signature_of(entry)
