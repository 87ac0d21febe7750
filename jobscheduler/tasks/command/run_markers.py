"""The marks by which the processes of a run are known: two variables in the environment they were started with.

Any process can carry any mark, so a mark counts only if the process belongs to the user of the run, to root, or to
the service's own user: by its real user, since that of a setuid program is the one that started it.

Reading an environment needs the memory map of its process, and that can be locked for as long as a disk does not
answer. So environments are read by one thread that does nothing else and can be given up:

1. `known` answers at once with what was read before, and has the thread read what was not. `wait` waits a moment.
2. A read that takes longer than `HANGS` is given up: its process counts as unmarked, and another thread goes on.
3. While `MOST_HUNG` such threads hang nothing more is read; every process that is not known counts as unmarked then.
   A thread that comes back counts no more, and what it has read is believed.

The marks stand first in the environment that a run is given, so `HEAD` bytes are read of each process. A shell puts
variables in an order of its own; of an environment that is longer and has no mark in its head, `WHOLE` bytes are read,
as long as that takes no more than a small share of the time: anybody may have thousands of processes with 6 MB each.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Set
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import NamedTuple

RUN_ID_VAR = "JOB_RUN_ID"
"""The environment variable by which the processes of a run are known."""

ATTEMPT_VAR = "JOB_ATTEMPT"
"""The one by which those of one attempt are told from what an earlier one left in the background."""

HEAD_BYTES = 4096
"""Bytes that are read of an environment."""

MAX_ENVIRONMENT_BYTES = 128 * 1024
"""Bytes that are read of a long one, when there is time for that."""

READ_TIMEOUT_S = 0.25
"""Seconds after which a read is given up. The usual one takes 0.00002."""

MAX_HUNG = 16
"""Threads that may hang in a read at the same time."""

MAX_KNOWN = 50_000
"""Processes whose marks are remembered."""

_BURST_S = 0.2  # seconds that reads of long environments may take at once
_SHARE = 0.05  # of the time, that they may take for good
_START_WINDOW_S = 0.5  # seconds for which an environment may be empty because its process is just starting
_POLL_S = 0.002  # between two looks at how far it is

Known = tuple[int, int]
"""Pid and start time of a process."""


class Markers(NamedTuple):
    """The runs and the attempts that stand in the environment of a process, and its real user if there are any."""

    runs: frozenset[bytes]
    attempts: frozenset[bytes]
    uid: int | None = None


NO_MARKERS = Markers(frozenset(), frozenset())

_TRUNCATED = Markers(frozenset(), frozenset())
"""No mark in what was read of an environment, which goes on."""

_RUNS, _ATTEMPTS = (re.compile(rb"\0%b=([^\0]*)" % name.encode()) for name in (RUN_ID_VAR, ATTEMPT_VAR))
_UID = re.compile(rb"\nUid:\t(\d+)")
_STATUS_BYTES = 1024  # of /proc/PID/status, more than stand before and in the line of the user


def read_markers(pid: int, most: int = MAX_ENVIRONMENT_BYTES) -> Markers | None:
    """Read the marks of a process. None if its environment is empty, as it is for a moment while it starts."""
    try:
        start = _start(f"/proc/{pid}/environ", most)
    except OSError:  # gone, or not ours to read: then it is not ours to signal either
        return NO_MARKERS
    if not start:
        return None
    is_cut = len(start) == most
    text = b"\0" + (start[: start.rfind(b"\0")] if is_cut else start)  # without the variable that was cut
    runs = _RUNS.findall(text)
    if not runs:
        return _TRUNCATED if is_cut else NO_MARKERS
    return Markers(frozenset(runs), frozenset(_ATTEMPTS.findall(text)), _real_user_of(pid))


def _real_user_of(pid: int) -> int | None:
    """The real user of a process. Not the owner of its directory in /proc, which is root for many others."""
    try:
        found = _UID.search(_start(f"/proc/{pid}/status", _STATUS_BYTES))
    except OSError:
        return None
    return int(found[1]) if found else None


def _start(path: str, most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def matches(marks: Markers, run_ids: Set[bytes], attempt: int | None = None) -> bool:
    """Tell whether marks are those of one of these runs, and of this attempt (None: of any)."""
    return not marks.runs.isdisjoint(run_ids) and (attempt is None or b"%d" % attempt in marks.attempts)


def owners(uid: int | None) -> frozenset[int]:
    """Return the users whose processes may belong to a run of user `uid` (None: of the service's own user)."""
    return frozenset({0, os.getuid(), os.geteuid()} | ({uid} if uid is not None else set()))


class _Allowance:
    """Time that something may take: a burst, and a share of all time. A context manager around what takes it."""

    def __init__(self) -> None:
        self._left = _BURST_S
        self._at = time.monotonic()

    def is_left(self) -> bool:
        """Tell whether there is some."""
        now = time.monotonic()
        self._left = min(_BURST_S, self._left + _SHARE * (now - self._at))
        self._at = now
        return self._left > 0

    def __enter__(self) -> None:
        self._at = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        now = time.monotonic()
        self._left -= now - self._at
        self._at = now


class MarkerReader:
    """Reads marks, each process once, on a thread that can be given up.

    `read` is given a pid and the number of bytes to read.
    """

    def __init__(self, read: Callable[[int, int], Markers | None] = read_markers) -> None:
        self._read = read
        self._may_spend = _Allowance()
        self._known: dict[Known, Markers] = {}
        self._requested: dict[Known, None] = {}
        self._empty_since: dict[Known, float] = {}
        self._wanted: SimpleQueue[Known] = SimpleQueue()
        self._lock = threading.Lock()
        self._generation = 0
        self._is_alive = False
        self._reading_since: tuple[Known, float] | None = None
        self._hung = 0

    @property
    def is_blind(self) -> bool:
        """Whether so many reads hang that no more are made."""
        return self._hung >= MAX_HUNG

    def known(self, process: Known) -> Markers | None:
        """Return the marks of a process; None if they are not read yet, which they will be. Does not wait."""
        marks = self._known.get(process)
        if marks is None and self.is_blind:
            return NO_MARKERS
        if marks is None and process not in self._requested:
            self._request(process)
        return marks

    def _request(self, process: Known) -> None:
        self._requested[process] = None
        self._wanted.put(process)
        self._ensure_thread()

    def wait(self, seconds: float) -> bool:
        """Wait until all that was asked for is known, at most for so long; return whether it is."""
        until = time.monotonic() + seconds
        while self._requested:
            now = time.monotonic()
            self._abandon_hung(now)
            if now >= until:
                break
            time.sleep(_POLL_S)
        return not self._requested

    def _abandon_hung(self, now: float) -> None:
        at = self._reading_since
        if at is None:
            self._ensure_thread()
        elif now - at[1] > READ_TIMEOUT_S:
            with self._lock:
                if self._reading_since is at:
                    self._hung += 1
                    self._answer(at[0], NO_MARKERS)
                    self._start_thread()

    def _ensure_thread(self) -> None:
        if not self._is_alive:
            with self._lock:
                if not self._is_alive:
                    self._start_thread()

    def _start_thread(self) -> None:
        """Have a new thread read; the former one notices when it gets on. Under the lock."""
        self._generation += 1
        self._reading_since = None
        self._is_alive = False
        if self.is_blind:
            self._abandon_all()
            return
        with suppress(RuntimeError):  # the host has no thread left: `wait` tries again
            threading.Thread(target=self._work, args=(self._generation,), name="marks", daemon=True).start()
            self._is_alive = True

    def _abandon_all(self) -> None:
        """Read nothing of what was asked for. It is not remembered as unmarked: it may be asked for again later."""
        self._wanted = SimpleQueue()
        self._requested.clear()

    def _work(self, term: int) -> None:
        while self._generation == term:
            try:
                process = self._wanted.get_nowait()
            except Empty:
                if self._has_ended(term):
                    return
                continue
            self._reading_since = process, time.monotonic()
            marks = self._read_thriftily(process[0])
            if self._has_come_back_late(term):
                if marks is not None:
                    self._answer(process, marks)
                return
            self._next(process, marks)

    def _has_come_back_late(self, term: int) -> bool:
        """Whether the thread was given up while it read; it does not hang any more then."""
        with self._lock:
            if self._generation != term:
                self._hung -= 1
                return True
            self._reading_since = None
        return False

    def _read_thriftily(self, pid: int) -> Markers | None:
        marks = self._read(pid, HEAD_BYTES)
        if marks is _TRUNCATED and self._may_spend.is_left():
            with self._may_spend:
                return self._read(pid, MAX_ENVIRONMENT_BYTES)
        return marks

    def _has_ended(self, term: int) -> bool:
        """Whether the thread may end. It says so before it looks: what is put meanwhile begins another one."""
        with self._lock:
            if self._generation != term:
                return True
            self._is_alive = False
            if self._wanted.empty():
                return True
            self._is_alive = True
        return False

    def _next(self, process: Known, marks: Markers | None) -> None:
        """Remember marks. An empty environment may be that of a process that is just starting: it is read again."""
        now = time.monotonic()
        if marks is not None:
            self._answer(process, marks)
        elif now - self._empty_since.setdefault(process, now) > _START_WINDOW_S:
            self._answer(process, NO_MARKERS)
        else:
            self._requested.pop(process, None)

    def _answer(self, process: Known, marks: Markers) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
            self._empty_since.clear()
        self._known[process] = marks
        self._empty_since.pop(process, None)
        self._requested.pop(process, None)


MARKERS = MarkerReader()
"""The one of this process."""
