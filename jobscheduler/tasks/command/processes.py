"""Read processes from /proc, signal them safely, and end the processes that a crash has left behind.

1. A process is identified by its pid *and* its start time. Signals go through a pidfd that is opened before this pair
   is checked, so they never reach another process with the same pid.
2. After a crash the processes of a run are those with its marker (`JOB_RUN_ID`) in their environment, and all their
   descendants. The user of the run is no longer known. So all processes of the host are scanned, the head of each
   environment once, for `SCAN_TIMEOUT_S` at most.
3. They are ended in two steps: TERM (and CONT, so that a stopped process receives it), then KILL after a grace. Each
   step scans again until it finds no new process, because one may be forked between scan and signal. A process that
   got TERM remains a member even if the parent that linked it to the run has died.

`tree_killer` ends the tree of an active run.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jobscheduler.tasks.command.run_markers import ATTEMPT_VAR, MARKERS, NO_MARKERS, RUN_ID_VAR, matches, read_markers
from jobscheduler.tasks.stop_signals import KILL_AFTER_S

__all__ = [
    "ATTEMPT_VAR",
    "KILL_TIMEOUT_S",
    "RUN_ID_VAR",
    "TERM_GRACE_S",
    "LeftoverKiller",
    "Process",
    "children_of",
    "find_tree",
    "has_marker",
    "is_alive",
    "iter_processes",
    "read_process",
    "send_signals",
    "service_processes",
    "with_descendants",
]

TERM_GRACE_S = KILL_AFTER_S  # between TERM and KILL

KILL_TIMEOUT_S = 2.0  # after KILL until a tree that does not die (as on a hung disk) is given up

SCAN_TIMEOUT_S = 2.0  # after which reading the environments of all processes is given up

_PAUSE = 0.05  # seconds between two checks of processes that are ending
_KERNEL = 2  # the parent of the kernel's own threads, which have no environment
_STAT = 4096  # bytes; enough for /proc/PID/stat


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `start` is its start time in clock ticks since boot.

    `name` is the name of its latest program, at most 15 bytes, unless the process has set another one. It remains
    until the process is reaped. `has_reaped` is true if it has waited for a child.
    """

    pid: int
    start: int
    parent: int
    session: int
    state: str
    group: int = field(default=0, compare=False)
    name: str = field(default="", compare=False)
    has_reaped: bool = field(default=False, compare=False)

    @property
    def identity(self) -> tuple[int, int]:
        """Pid and start time; together they are unique."""
        return self.pid, self.start

    @property
    def is_zombie(self) -> bool:
        """Whether it is a zombie."""
        return self.state in "ZX"


def read_process(pid: int) -> Process | None:
    """Return the process with this pid, None if there is none."""
    try:
        text = _read(f"/proc/{pid}/stat", _STAT)
    except OSError:
        return None
    end = text.rindex(b")")  # the name may hold blanks and parentheses
    fields = text[end + 2 :].split()
    name = text[text.index(b"(") + 1 : end].decode("utf-8", "backslashreplace")
    state, numbers = fields[0].decode("ascii"), [int(fields[index]) for index in (19, 1, 3, 2)]
    start, parent, session, group = numbers
    has_reaped = fields[8] != b"0"  # page faults of its reaped children
    return Process(pid, start, parent, session, state, group, name, has_reaped)


def _read(path: str, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def iter_processes() -> Iterator[Process]:
    """Yield all visible processes."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names suffice, and there may be many
        if name.isdigit() and (process := read_process(int(name))):
            yield process


def children_of(pid: int) -> list[int]:
    """Return the pids of the children of a process, those of all its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names suffice
    except OSError:
        return []
    return [child for thread in threads for child in children_of_thread(pid, int(thread))]


def children_of_thread(pid: int, thread: int) -> list[int]:
    """Return the pids of the children of one thread. Adopted children belong to the first thread of a process."""
    try:
        with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123 - read often
            return [int(pid) for pid in file.read().split()]
    except OSError:  # the process has ended, or the kernel lacks this file
        if _has_children_files():
            return []
    return [process.pid for process in iter_processes() if process.parent == pid] if pid == thread else []


def _has_children_files() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 - called often


def has_marker(pid: int, run_ids: Iterable[str], attempt: int | None = None) -> bool:
    """Return whether a process has the markers of one of these runs, and of this attempt (None: any attempt)."""
    return matches(read_markers(pid) or NO_MARKERS, {run_id.encode() for run_id in run_ids}, attempt)


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


def send_signals(process: Process, *signals: signal.Signals) -> bool:
    """Signal this very process. Return False if it has ended or the signal is not permitted."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        return _send(handle, process, signals)
    finally:
        os.close(handle)


def _send(handle: int, process: Process, signals: tuple[signal.Signals, ...]) -> bool:
    now = read_process(process.pid)
    if now is None or now.start != process.start:
        return False
    try:
        for number in signals:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    return True


def is_alive(process: Process) -> bool:
    """Return whether this very process still runs."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start and not now.is_zombie


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
