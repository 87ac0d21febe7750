"""Processes as /proc shows them, signalled as exactly those that were seen; and the end of what a crash has left.

1. A process is known by its pid *and* its start time, and is signalled through a pidfd opened before that pair is
   checked: a pid that belongs to another process by then is never hit.
2. After a crash the processes of a run are those that carry its mark (`JOB_RUN_ID`) in the environment they were
   started with, and the descendants of these. Of which user they were is not known any more. All processes of the
   host are looked at, the head of each environment once, and no longer than `LOOK_WITHIN`.
3. They are ended in two steps: TERM (and CONT, so that a stopped process hears it), after a grace KILL. Each step
   looks again until it finds no new process, because one may have been forked between looking and signalling. A
   process that was told TERM stays among them, also when the parent that tied it to the run has died of it.

The tree of a run that goes on is ended by `process_tree`.
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

TERM_GRACE_S = KILL_AFTER_S
"""Seconds between TERM and KILL."""

KILL_TIMEOUT_S = 2.0
"""Seconds for which KILL is repeated before a tree that does not die (a hanging disk) is given up."""

SCAN_TIMEOUT_S = 2.0
"""Seconds after which a look at the environments of all processes is given up."""

_PAUSE = 0.05  # between two looks at a tree that is ending
_KERNEL = 2  # the parent of the kernel's own threads, which have no environment
_STAT = 4096  # bytes that are enough for /proc/PID/stat


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `start` is its start time in clock ticks since boot.

    `name` is that of the program that it became last, at most 15 bytes, unless it has set another one. It is
    there also when it has ended, until it is reaped.
    """

    pid: int
    start: int
    parent: int
    session: int
    state: str
    group: int = field(default=0, compare=False)
    name: str = field(default="", compare=False)

    @property
    def identity(self) -> tuple[int, int]:
        """Pid and start time: what no other process ever has."""
        return self.pid, self.start

    @property
    def is_zombie(self) -> bool:
        """Whether it is only a zombie."""
        return self.state in "ZX"


def read_process(pid: int) -> Process | None:
    """The process with this pid, None if there is none."""
    try:
        text = _read(f"/proc/{pid}/stat", _STAT)
    except OSError:
        return None
    end = text.rindex(b")")  # the name before it may hold blanks and parentheses
    rest = text[end + 2 :].split()
    name = text[text.index(b"(") + 1 : end].decode("utf-8", "backslashreplace")
    state, numbers = rest[0].decode("ascii"), [int(rest[field]) for field in (19, 1, 3, 2)]
    start, parent, session, group = numbers
    return Process(pid, start, parent, session, state, group, name)


def _read(path: str, most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def iter_processes() -> Iterator[Process]:
    """All processes that are visible."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a name is all that is wanted, on a host with many processes
        if name.isdigit() and (process := read_process(int(name))):
            yield process


def children_of(pid: int) -> list[int]:
    """The pids of the children of a process, those of all its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - a name is all that is wanted
    except OSError:
        return []
    return [child for thread in threads for child in children_of_thread(pid, int(thread))]


def children_of_thread(pid: int, thread: int) -> list[int]:
    """The pids of the children of one thread; the first thread of a process has those that it adopted."""
    try:
        with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123 - read often
            return [int(word) for word in file.read().split()]
    except OSError:  # gone, or a kernel without this file
        if _has_children_files():
            return []
    return [process.pid for process in iter_processes() if process.parent == pid] if pid == thread else []


def _has_children_files() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 - asked often


def has_marker(pid: int, run_ids: Iterable[str], attempt: int | None = None) -> bool:
    """Whether the process was started with the mark of one of these runs, and of this attempt (None: of any)."""
    return matches(read_markers(pid) or NO_MARKERS, {run_id.encode() for run_id in run_ids}, attempt)


def find_tree(run_ids: Iterable[str], known: Container[tuple[int, int]] = ()) -> tuple[Process, ...]:
    """The processes of the whole host that belong to these runs and have not ended.

    `known` are pid and start time of those that are known to belong to them.
    """
    found, wanted, protected = (
        {one.pid: one for one in iter_processes()},
        {one.encode() for one in run_ids},
        service_processes(),
    )
    candidates = [one for one in found.values() if one.parent != _KERNEL and not one.is_zombie]
    _read_markers(candidates)
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    roots = {
        process.pid
        for process in candidates
        if process.identity in known or matches(MARKERS.known(process.identity) or NO_MARKERS, wanted)
    }
    members = with_descendants(roots - protected, children) - protected
    return tuple(found[pid] for pid in sorted(members) if not found[pid].is_zombie)


def _read_markers(processes: Iterable[Process]) -> None:
    for process in processes:
        MARKERS.known(process.identity)
    MARKERS.wait(SCAN_TIMEOUT_S)


def service_processes() -> frozenset[int]:
    """This process, those that started it, and init: never part of a tree, whatever mark they carry."""
    pids, pid = {0, 1}, os.getpid()
    while pid not in pids:
        pids.add(pid)
        process = read_process(pid)
        pid = process.parent if process else 0
    return frozenset(pids)


def with_descendants(roots: set[int], children: Mapping[int, list[int]]) -> set[int]:
    """Return pids and all their descendants, by the children of each."""
    members: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in members:
            members.add(pid)
            waiting += children.get(pid, ())
    return members


def send_signals(process: Process, *signals: signal.Signals) -> bool:
    """Signal this very process; False if it is gone or not ours to signal."""
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
    """Whether this very process still runs."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start and not now.is_zombie


@dataclass(frozen=True, slots=True)
class LeftoverKiller:
    """How to end all processes that a crash has left of some runs.

    `pause` is called with the seconds to wait between two looks.
    """

    run_ids: tuple[str, ...]
    pause: Callable[[float], object] = time.sleep

    def __call__(self, grace: float = TERM_GRACE_S) -> tuple[Process, ...]:
        """TERM, `grace` seconds, KILL. Returns those that could not be ended."""
        members: dict[tuple[int, int], Process] = {}
        left = self._with((signal.SIGTERM, signal.SIGCONT), grace, members)
        return self._with((signal.SIGKILL,), KILL_TIMEOUT_S, members) if left else ()

    def _with(
        self, signals: tuple[signal.Signals, ...], seconds: float, members: dict[tuple[int, int], Process]
    ) -> tuple[Process, ...]:
        """Signal each process once, also those that appear meanwhile; returns what is left after `seconds`."""
        until = time.monotonic() + seconds
        told: set[tuple[int, int]] = set()
        while left := self._look(members):
            for process in left:
                if process.identity not in told:
                    told.add(process.identity)
                    send_signals(process, *signals)
            while any(map(is_alive, left)):
                if time.monotonic() >= until:
                    return left
                self.pause(_PAUSE)
            if time.monotonic() >= until:
                return self._look(members)
        return ()

    def _look(self, members: dict[tuple[int, int], Process]) -> tuple[Process, ...]:
        """What belongs to the runs and has not ended. What once belonged to them does so for good, with its children.

        The death of a parent, which TERM itself brings about, may cut the only tie to a child without the mark.
        """
        members.update((process.identity, process) for process in find_tree(self.run_ids, members))
        for known in [known for known, process in members.items() if not is_alive(process)]:
            del members[known]
        return tuple(members.values())
