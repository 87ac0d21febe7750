"""What a command uses while it runs, as /proc tells it.

A read of `/proc/PID/stat` waits for nothing that a process can hold, so none of them can hang.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass

MAX_PROCESSES = 16  # of one run that are looked at

_TICKS = os.sysconf("SC_CLK_TCK")  # a second
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CPU = slice(11, 15)  # fields behind the name: user and system, own and of children that were waited for
_RSS = 21  # field behind the name


@dataclass(frozen=True, slots=True)
class LiveUsage:
    """Processor time in seconds, of processes at work and of those that they waited for; memory in bytes."""

    cpu: float
    memory: int


def live_usage(pid: int) -> LiveUsage | None:
    """Return what a process and its descendants use, `MAX_PROCESSES` at most; None if there is no such process."""
    ticks = pages = seen = 0
    waiting = deque([pid])
    while waiting and seen < MAX_PROCESSES:
        process = waiting.popleft()
        fields = _stat(process)
        if fields is not None:
            seen += 1
            ticks += sum(map(int, fields[_CPU]))
            pages += int(fields[_RSS])
            waiting += _children(process)
    return LiveUsage(ticks / _TICKS, pages * _PAGE_BYTES) if seen else None


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields behind the name, which may hold blanks and parentheses."""
    text = _read(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split() if text else None


def _children(pid: int) -> list[int]:
    """Return the children of the first thread of a process."""
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> bytes:
    """Return the text of a file of a process; empty when that has ended."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - read often
            return file.read()
    except OSError:
        return b""
