"""Read processes from /proc, and signal them safely.

A process is identified by its pid *and* its start time. Signals go through a pidfd that is opened before this pair is
checked, so they never reach another process with the same pid.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobscheduler.tasks.command.run_markers import read_start
from jobscheduler.tasks.stop_signals import KILL_AFTER_S

TERM_GRACE_S = KILL_AFTER_S  # between TERM and KILL

KILL_TIMEOUT_S = 2.0  # after KILL until a tree that does not die (as on a hung disk) is given up

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
        text = read_start(f"/proc/{pid}/stat", _STAT)
    except OSError:
        return None
    end = text.rindex(b")")  # the name may hold blanks and parentheses
    fields = text[end + 2 :].split()
    name = text[text.index(b"(") + 1 : end].decode("utf-8", "backslashreplace")
    state, numbers = fields[0].decode("ascii"), [int(fields[index]) for index in (19, 1, 3, 2)]
    start, parent, session, group = numbers
    has_reaped = fields[8] != b"0"  # page faults of its reaped children
    return Process(pid, start, parent, session, state, group, name, has_reaped)


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
    except OSError:  # it has ended, or this is not permitted
        return False
    return True


def is_alive(process: Process) -> bool:
    """Return whether this very process still runs."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start and not now.is_zombie
