"""End the processes that a crash has left behind.

1. After a crash the processes of a run are those with its marker (`JOB_RUN_ID`) in their environment, and all their
   descendants. The user of the run is no longer known. So all processes of the host are scanned, the head of each
   environment once, for `SCAN_TIMEOUT_S` at most.
2. They are ended in two steps: TERM (and CONT, so that a stopped process receives it), then KILL after a grace. Each
   step scans again until it finds no new process, because one may be forked between scan and signal. A process that
   got TERM remains a member even if the parent that linked it to the run has died.

`tree_killer` ends the tree of an active run.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from jobscheduler.tasks.command.processes import (
    KILL_TIMEOUT_S,
    TERM_GRACE_S,
    Process,
    is_alive,
    iter_processes,
    read_process,
    send_signals,
)
from jobscheduler.tasks.command.run_markers import MARKERS, NO_MARKERS, matches

SCAN_TIMEOUT_S = 2.0  # after which reading the environments of all processes is given up

_PAUSE = 0.05  # seconds between two checks of processes that are ending
_KERNEL = 2  # the parent of the kernel's own threads, which have no environment


@dataclass(frozen=True, slots=True)
class LeftoverKiller:
    """Ends all processes of some runs that a crash has left behind.

    `pause` waits the given seconds between two checks.
    """

    run_ids: tuple[str, ...]
    pause: Callable[[float], object] = time.sleep

    def __call__(self, grace: float = TERM_GRACE_S) -> tuple[Process, ...]:
        """Send TERM, wait `grace` seconds, send KILL. Return the processes that could not be ended."""
        members: dict[tuple[int, int], Process] = {}
        left = self._with((signal.SIGTERM, signal.SIGCONT), grace, members)
        return self._with((signal.SIGKILL,), KILL_TIMEOUT_S, members) if left else ()

    def _with(
        self, signals: tuple[signal.Signals, ...], seconds: float, members: dict[tuple[int, int], Process]
    ) -> tuple[Process, ...]:
        """Signal each process once, new ones included. Return the processes left after `seconds`."""
        until = time.monotonic() + seconds
        signalled: set[tuple[int, int]] = set()
        while left := self._scan(members):
            for process in left:
                if process.identity not in signalled:
                    signalled.add(process.identity)
                    send_signals(process, *signals)
            while any(map(is_alive, left)):
                if time.monotonic() >= until:
                    return left
                self.pause(_PAUSE)
            if time.monotonic() >= until:
                return self._scan(members)
        return ()

    def _scan(self, members: dict[tuple[int, int], Process]) -> tuple[Process, ...]:
        """Return the processes of the runs that have not ended. Earlier members and their children remain members.

        TERM may kill a parent and so cut the only link to a child without the marker.
        """
        members.update((process.identity, process) for process in find_tree(self.run_ids, members))
        for known in [known for known, process in members.items() if not is_alive(process)]:
            del members[known]
        return tuple(members.values())


def find_tree(run_ids: Iterable[str], known: Container[tuple[int, int]] = ()) -> tuple[Process, ...]:
    """Return the processes of the whole host that belong to these runs and have not ended.

    `known` holds the identities of processes that are known to belong to them.
    """
    processes = {process.pid: process for process in iter_processes()}
    wanted, protected = {run_id.encode() for run_id in run_ids}, service_processes()
    candidates = [process for process in processes.values() if process.parent != _KERNEL and not process.is_zombie]
    _read_markers(candidates)
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    roots = {
        process.pid
        for process in candidates
        if process.identity in known or matches(MARKERS.known(process.identity) or NO_MARKERS, wanted)
    }
    members = with_descendants(roots - protected, children) - protected
    return tuple(processes[pid] for pid in sorted(members) if not processes[pid].is_zombie)


def _read_markers(processes: Iterable[Process]) -> None:
    for process in processes:
        MARKERS.known(process.identity)
    MARKERS.wait(SCAN_TIMEOUT_S)


def service_processes() -> frozenset[int]:
    """Return this process, its ancestors and init. They never belong to a tree, even with a marker."""
    pids, pid = {0, 1}, os.getpid()
    while pid not in pids:
        pids.add(pid)
        process = read_process(pid)
        pid = process.parent if process else 0
    return frozenset(pids)


def with_descendants(roots: set[int], children: Mapping[int, list[int]]) -> set[int]:
    """Return `roots` and all their descendants; `children` maps a pid to its children."""
    members: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in members:
            members.add(pid)
            waiting += children.get(pid, ())
    return members
