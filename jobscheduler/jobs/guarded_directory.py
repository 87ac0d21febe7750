"""A directory of job files, read so that a file or a directory that hangs stops nothing else.

A file behind a link may be on a mount that does not answer. So a worker thread of the guard reads a few files at a
time, and the thread of the sync watches it:

1. While files follow each other, nothing else happens.
2. If the worker stays at a file, the file and the worker are both given up. Another worker opens the directory anew and
   goes on. The first worker closes what it holds open itself.
3. A file that was given up has a problem, like one that cannot be read, so its last good version stays active. It is
   read again only after its thread has come back, or when another file or link has its name.
4. When `MAX_HUNG_FILES` files are given up, links are no longer followed. Otherwise more threads would be lost to the
   same mount.
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

from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.open_directory import HUNG_FINGERPRINT, OpenDirectory, fingerprint_of
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Fingerprint, Problem
from jobscheduler.util.hang_guard import GuardedCall, HangGuard, Worker

T = TypeVar("T")

MAX_HUNG_FILES = 16  # given up at the same time
RETRY_PATIENCE_S = 0.25  # wait for each further hung file in a sync; the first one is waited for longer
READ_BATCH = 64  # files that a worker reads at once, at most
CHECK_INTERVAL_S = 0.1  # a worker reads on for this long; then the sync checks whether it must end


@dataclass(frozen=True, slots=True, eq=False)
class _HungItem:
    """A file that was given up: the state of its entry in the directory, and its target if it is a link."""

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
        self.hung_count = 0
        self.hung_items: dict[str, _HungItem] = {}

    def __str__(self) -> str:
        """Return the absolute path."""
        return str(self.inner)

    @contextmanager
    def open(self) -> Iterator[_GuardedView]:
        """Open the directory for one sync.

        Raises:
            SourceUnavailable: it does not exist, is not a directory, may not be read, or does not answer.

        """
        view = _GuardedView(self)
        view.open()
        try:
            yield view
        finally:
            view.close()

    def is_skipped(self, view: OpenDirectory, name: str) -> bool:
        """Return whether a file must not be opened: it hangs, or it is a link while too many hang.

        Thread: the worker.
        """
        hung = self.hung_items.get(name)
        if hung is None and self.hung_count < MAX_HUNG_FILES:
            return False
        entry = view.entry(name)
        if hung is not None and _fingerprint(entry) == hung.entry:
            return True
        return self.hung_count >= MAX_HUNG_FILES and entry is not None and stat.S_ISLNK(entry.st_mode)

    def hung_problem(self, name: str) -> Problem:
        """Return the problem of a file that does not answer."""
        hung = self.hung_items.get(name)
        if hung is None:
            message = f"the link is not followed while {self.hung_count} other files do not answer"
        elif hung.target is None:
            message = "the file does not answer"
        else:
            message = f"the file does not answer: it is a link to `{hung.target}`"
        help_ = "is the file system there mounted, and its server reachable? The file is read when it answers"
        return Problem(message, file=name, help=help_, host_dependent=True)


class _GuardedView:
    """The directory, open for one sync (a `SourceView`)."""

    def __init__(self, source: GuardedSource) -> None:
        self._source = source
        self._guard = source.guard
        self._patience = source.guard.patience
        self._worker: Worker | None = None
        self._view: OpenDirectory
        self._close_view: Callable[[], object]

    def open(self) -> None:
        """Have a worker open the directory.

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
        """Close the directory, unless a thread that was given up must do that."""
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
            none_hangs = not self._source.hung_items and self._source.hung_count < MAX_HUNG_FILES
            skipped = None if none_hangs else partial(self._source.is_skipped, view)
            step = self._put(partial(view.list_items, skipped))
            if self._wait(step, partial(getattr, view, "current")):
                return step.result()
            self._give_up_at(view.current, step)

    def read(self, name: str) -> ReadResult:
        return next(self.read_all([name]))

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        begin = 0
        while begin < len(names):
            results = self._read_some(names[begin : begin + READ_BATCH])
            yield from results
            begin += len(results)

    def _read_some(self, names: Sequence[str]) -> list[ReadResult]:
        """Read files for `CHECK_INTERVAL_S`, in one step. Return none if the first hangs; that is noted then."""
        view, results = self._open_view(), list[ReadResult]()
        step = self._put(partial(self._read_until_due, view, names, results))
        if self._wait(step, results.__len__):
            step.result()
        else:
            view.abandon()
            self._give_up_at(names[min(len(results), len(names) - 1)], step)
        return results[: len(names)]

    def _read_until_due(self, view: OpenDirectory, names: Sequence[str], results: list[ReadResult]) -> None:
        """Read files one after the other until `CHECK_INTERVAL_S` is over or the view is abandoned.

        Thread: the worker.
        """
        until = time.monotonic() + CHECK_INTERVAL_S
        for name in names:
            if view.is_abandoned or (results and time.monotonic() > until):
                return
            results.append(self._read_one(view, name))

    def _read_one(self, view: OpenDirectory, name: str) -> ReadResult:
        if self._source.is_skipped(view, name):
            return ReadResult(name, HUNG_FINGERPRINT, problem=self._source.hung_problem(name))
        return view.read(name)

    # -- steps on the worker

    def _open_view(self) -> OpenDirectory:
        if self._worker is None:
            self.open()
        return self._view

    def _call(self, function: Callable[[], T]) -> T:
        """Carry out one step about the directory itself on the worker.

        Raises:
            SourceUnavailable: the directory does not answer. Also raises what the step raises.

        """
        step = self._put(function)
        if not self._wait(step, lambda: None):
            self._give_up_at("", step)
        return step.result()

    def _put(self, function: Callable[[], T]) -> GuardedCall[T]:
        assert self._worker is not None  # noqa: S101 - `open` acquired one
        return self._worker.submit(function)

    def _wait(self, step: GuardedCall[T], count: Callable[[], object]) -> bool:
        assert self._worker is not None  # noqa: S101
        progress = self._worker.progress
        return self._guard.wait(step, lambda: (count(), progress()), self._patience)

    def _give_up_at(self, name: str, step: GuardedCall[T]) -> None:
        """Give up the worker and the file at which it stays, or with an empty name the directory.

        Raises:
            SourceUnavailable: the directory itself does not answer.

        """
        assert self._worker is not None  # noqa: S101
        worker, view = self._worker, getattr(self, "_view", None)
        self._worker = None
        if view is not None:
            view.abandon()
        if not name:
            self._guard.abandon(self._source.name, worker, step, self._close_view)
            raise self._unavailable()
        self._patience = RETRY_PATIENCE_S
        self._source.hung_count += 1
        on_return = partial(self._hung_file_answered, name, self._close_view)
        self._guard.abandon(f"the file `{self._source.inner.path / name}`", worker, step, on_return)
        self.open()
        entry, target = self._call(lambda: (self._view.entry(name), self._view.target(name)))
        self._source.hung_items[name] = _HungItem(_fingerprint(entry), target)
        if step.has_ended:  # the file answered before it was noted as hung
            self._source.hung_items.pop(name, None)

    def _hung_file_answered(self, name: str, close_view: Callable[[], object]) -> None:
        """Forget that a file hangs, and close the directory that was open for it.

        Thread: the worker that was given up.
        """
        self._source.hung_count -= 1
        self._source.hung_items.pop(name, None)
        close_view()

    def _unavailable(self) -> SourceUnavailable:
        help_ = "is its file system mounted, and the server of that reachable? It is read when it answers"
        return SourceUnavailable(f"{self._source.name} does not answer", help_)


def _close(exit_context: Callable[[None, None, None], object]) -> None:
    """Exit a context, whether or not entering it succeeded."""
    with suppress(Exception):  # it is given up, and no caller waits for it any more
        exit_context(None, None, None)


def _fingerprint(entry: os.stat_result | None) -> Fingerprint:
    return None if entry is None else fingerprint_of(entry)
