"""Search for the processes of stopping runs, on one thread for all of them.

When hundreds of runs stop at once, a thread for each would scan the same processes hundreds of times.

1. A round first scans the descendants of each tree, which other users cannot make slow. Then it checks the processes
   that the service has adopted: their session, and the markers in their environment, which are read once.
2. A tree leaves the search when two whole rounds in a row have found none of its processes after its main process
   ended. A round is whole if the adopted processes were listed once more after all their markers were known, because
   a process may fork and die while its markers are read.
3. A tree that takes longer than `BRIEF_SCAN_S` is left to a second search with its own thread. So a user with
   thousands of processes delays the end of no other run.
4. A round that takes longer than `ROUND_TIMEOUT_S` is given up. Another thread continues, unless `MAX_HUNG` hang.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from jobscheduler.tasks.command.adopted_processes import ADOPTED
from jobscheduler.tasks.command.processes import Process, children_of, read_process
from jobscheduler.tasks.command.run_markers import MARKERS, Known, MarkerReader, Markers

SCAN_TIMEOUT_S = 0.5  # after which a scan of one tree stops; the next scan continues

BRIEF_SCAN_S = 0.05  # that a scan of one tree may take among others; the usual one takes 0.0005

MARKERS_TIMEOUT_S = 0.5  # that a round waits for unknown markers

ROUND_TIMEOUT_S = 3.0  # after which a round is given up

MAX_HUNG = 8  # threads that may hang in a round at the same time

_MOST_LISTS = 3  # of adopted processes in a round; users may fork faster than markers are read
_POLL_S = 0.02  # seconds between two rounds
_SHARE = 4  # the pause after a round is this many times as long as the round
_MAX_PAUSE_S = 1.0
_AFTER_FAULT = 0.25  # seconds until another thread goes on
_LOCK_TIMEOUT_S = 0.1  # seconds to wait for the lock


def descendants(roots: Iterable[tuple[int, int | None]], within: float) -> list[Process]:
    """Return the processes at and below `roots` that have not ended. Stop after `within` seconds.

    A root is a pid with its start time, or with None if the process cannot have been reaped. A child counts while its
    parent is the scanned process or the service. Otherwise its pid belongs to another process by now.
    """
    until = time.monotonic() + within
    waiting: list[tuple[int, int | None, int | None]] = [(pid, start, None) for pid, start in roots]
    seen: set[int] = set()
    found = []
    while waiting and time.monotonic() < until:
        pid, start, parent = waiting.pop()
        process = None if pid in seen else read_process(pid)
        if process is None or start not in (None, process.start) or parent not in (None, process.parent, os.getpid()):
            continue
        seen.add(pid)
        if not process.is_zombie:
            found.append(process)
        waiting += [(child, None, pid) for child in children_of(pid)]
    return found


class SearchedTree(Protocol):
    """A process tree that the search scans."""

    first_scan: threading.Event

    @property
    def main_has_ended(self) -> bool:
        """Whether the main process has ended."""

    def owns(self, process: Process, markers: Markers | None) -> bool:
        """Return whether an adopted process belongs to this tree."""

    def scan(self, within: float, adopted: Iterable[Process] = ()) -> None:
        """Find members and signal them."""

    def settle(self, *, has_ended: bool) -> bool:
        """Forget the members that have ended. Return whether the tree has ended."""


class TreeSearch:
    """Searches for the processes of trees, on a thread that can be given up.

    `adopted` lists the adopted processes. `large` is the search for trees that take longer than a brief scan. With
    None this search keeps all trees.
    """

    def __init__(
        self, adopted: Callable[[], Iterable[Process]], reader: MarkerReader, large: TreeSearch | None = None
    ) -> None:
        self._adopted = adopted
        self._reader = reader
        self._large_trees = large
        self._trees: tuple[SearchedTree, ...] = ()
        self._lock = threading.Lock()
        self._new = threading.Event()
        self._generation = 0
        self._hung: set[int] = set()
        self._is_alive = False
        self._since: float | None = None

    @property
    def is_blind(self) -> bool:
        """Whether too many rounds hang to make another one."""
        return len(self._hung) >= MAX_HUNG or (self._large_trees is not None and self._large_trees.is_blind)

    def add(self, tree: SearchedTree) -> bool:
        """Search for the processes of a tree from now on. Return False if the lock is not free in time."""
        is_done = self._change(lambda: (*self._trees, tree))
        self._new.set()
        return is_done

    def drop(self, tree: SearchedTree) -> None:
        """Stop searching for the processes of a tree."""
        self._remove(tree)
        if self._large_trees is not None:
            self._large_trees.drop(tree)

    def _remove(self, tree: SearchedTree) -> None:
        if tree in self._trees:
            self._change(lambda: tuple(other for other in self._trees if other is not tree))

    def _change(self, changed: Callable[[], tuple[SearchedTree, ...]]) -> bool:
        """Replace the list of trees. Lock: held only to change the list or to start a thread."""
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT_S):
            return False
        try:
            self._trees = changed()
            self._ensure_thread(time.monotonic())
        finally:
            self._lock.release()
        return True

    def _ensure_thread(self, now: float) -> None:
        hangs = self._since is not None and now - self._since > ROUND_TIMEOUT_S
        if (self._is_alive and not hangs) or not self._trees or len(self._hung) >= MAX_HUNG:
            return
        if hangs:
            self._hung.add(self._generation)
        self._generation += 1
        self._since = None
        self._is_alive = False
        with suppress(RuntimeError):  # the host has no thread left: the next tree tries again
            threading.Thread(target=self._work, args=(self._generation,), name="tree-search", daemon=True).start()
            self._is_alive = True

    def _work(self, term: int) -> None:
        try:
            self._search(term)
        except Exception:
            time.sleep(_AFTER_FAULT)
            raise
        finally:
            with self._lock:
                self._hung.discard(term)
                if self._generation == term:
                    self._is_alive = False
                self._ensure_thread(time.monotonic())

    def _search(self, term: int) -> None:
        while not self._has_ended(term):
            self._new.clear()
            began = self._since = time.monotonic()
            try:
                self._round(self._trees)
            finally:
                if self._generation == term:
                    self._since = None
            self._new.wait(min(max(_POLL_S, _SHARE * (time.monotonic() - began)), _MAX_PAUSE_S))

    def _has_ended(self, term: int) -> bool:
        """Return whether the thread ends. Lock: the end is reported under it, so a new tree starts another thread."""
        with self._lock:
            if self._generation == term and not self._trees:
                self._is_alive = False
            return self._generation != term or not self._trees

    def _round(self, trees: tuple[SearchedTree, ...]) -> None:
        ended = {id(tree): tree.main_has_ended for tree in trees}
        scanned = [tree for tree in trees if self._scan(tree)]
        adopted, is_whole = self._list_adopted()
        for tree in scanned:
            owned = [process for process in adopted if tree.owns(process, self._reader.known(process.identity))]
            if owned and not self._scan(tree, owned):
                continue
            if tree.settle(has_ended=ended[id(tree)] and is_whole):
                self._remove(tree)

    def _scan(self, tree: SearchedTree, adopted: Iterable[Process] = ()) -> bool:
        """Scan a tree. If that takes too long, leave it to the search for large trees and return False."""
        large, began = self._large_trees, time.monotonic()
        if large is not None and large.is_blind:
            large = None
        tree.scan(SCAN_TIMEOUT_S if large is None else BRIEF_SCAN_S, adopted)
        if large is not None and time.monotonic() - began >= BRIEF_SCAN_S and large.add(tree):
            self._remove(tree)
            return False
        tree.first_scan.set()
        return True

    def _list_adopted(self) -> tuple[tuple[Process, ...], bool]:
        """List the adopted processes, also those that die meanwhile; tell whether all markers of a list were known."""
        seen: dict[Known, Process] = {}
        for _ in range(_MOST_LISTS):
            listed = {process.identity: process for process in self._adopted()}
            is_whole = all(self._reader.known(known) is not None for known in listed)
            seen.update(listed)
            if is_whole or not self._read_markers(listed.values()):
                break
        return tuple(seen.values()), is_whole

    def _read_markers(self, adopted: Iterable[Process]) -> bool:
        """Wait for the markers of processes. Return whether all are known."""
        unknown = [process for process in adopted if self._reader.known(process.identity) is None]
        if unknown:
            self._reader.wait(MARKERS_TIMEOUT_S)
        return all(self._reader.known(process.identity) is not None for process in unknown)


SEARCH = TreeSearch(ADOPTED.processes, MARKERS, TreeSearch(ADOPTED.processes, MARKERS))  # of this process
