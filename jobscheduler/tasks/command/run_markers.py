"""Read the markers of the processes of a run: two variables in the environment of each process.

Any process can carry any marker. So a marker counts only if the process belongs to the user of the run, to root, or to
the user of the service. The real user counts, because that of a setuid program is the user who started it.

Reading an environment needs the memory map of its process, which can stay locked while a disk does not answer. So one
thread does nothing but read environments, and it can be given up:

1. `known` returns at once what was read before, and requests a read otherwise. `wait` waits for requested reads.
2. A read that takes longer than `READ_TIMEOUT_S` is given up. Its process counts as unmarked, and another thread
   continues.
3. While `MAX_HUNG` threads hang, nothing is read, and unknown processes count as unmarked. A thread that returns no
   longer counts as hung, and its result is used.

The markers come first in the environment that a run gets, so `HEAD_BYTES` are read of each process. A shell may reorder
its variables. So `MAX_ENVIRONMENT_BYTES` are read of a longer environment without a marker in its head. These reads
get only a small share of the time, because any user may have thousands of processes with 6 MB each.
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

RUN_ID_VAR = "JOB_RUN_ID"  # environment variable that identifies the processes of a run

ATTEMPT_VAR = "JOB_ATTEMPT"  # tells the processes of an attempt from those that an earlier one left behind

HEAD_BYTES = 4096  # read of each environment
MAX_ENVIRONMENT_BYTES = 128 * 1024  # read of a long environment when time allows

READ_TIMEOUT_S = 0.25  # after which a read is given up; the usual one takes 0.00002

MAX_HUNG = 16  # threads that may hang in a read at the same time

MAX_KNOWN = 50_000  # processes whose markers are remembered

_BURST_S = 0.2  # seconds that reads of long environments may take in a row
_SHARE = 0.05  # of all time that they may take in the long run
_START_WINDOW_S = 0.5  # seconds for which an environment may be empty because its process is just starting
_POLL_S = 0.002  # seconds between two checks for answers

Known = tuple[int, int]  # pid and start time of a process


class Markers(NamedTuple):
    """Runs and attempts in the environment of a process, and its real user if there are any."""

    runs: frozenset[bytes]
    attempts: frozenset[bytes]
    uid: int | None = None


NO_MARKERS = Markers(frozenset(), frozenset())

_TRUNCATED = Markers(frozenset(), frozenset())  # no marker in the part that was read of a longer environment

_RUNS, _ATTEMPTS = (re.compile(rb"\0%b=([^\0]*)" % name.encode()) for name in (RUN_ID_VAR, ATTEMPT_VAR))
_UID = re.compile(rb"\nUid:\t(\d+)")
_STATUS_BYTES = 1024  # of /proc/PID/status, enough for the line of the user


def read_markers(pid: int, size: int = MAX_ENVIRONMENT_BYTES) -> Markers | None:
    """Read the markers of a process. Return None if its environment is empty, as it is while a process starts."""
    try:
        start = read_start(f"/proc/{pid}/environ", size)
    except OSError:  # it has ended, or we may not read it and so may not signal it
        return NO_MARKERS
    if not start:
        return None
    is_cut = len(start) == size
    text = b"\0" + (start[: start.rfind(b"\0")] if is_cut else start)  # without the truncated variable
    runs = _RUNS.findall(text)
    if not runs:
        return _TRUNCATED if is_cut else NO_MARKERS
    return Markers(frozenset(runs), frozenset(_ATTEMPTS.findall(text)), _real_user_of(pid))


def _real_user_of(pid: int) -> int | None:
    """Return the real user of a process. The owner of its /proc directory would be root for many processes."""
    try:
        match = _UID.search(read_start(f"/proc/{pid}/status", _STATUS_BYTES))
    except OSError:
        return None
    return int(match[1]) if match else None


def read_start(path: str, size: int) -> bytes:
    """Return the first bytes of a file, with one read: /proc then shows one state of its process."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def matches(markers: Markers, run_ids: Set[bytes], attempt: int | None = None) -> bool:
    """Return whether the markers name one of these runs, and this attempt (None: any attempt)."""
    return not markers.runs.isdisjoint(run_ids) and (attempt is None or b"%d" % attempt in markers.attempts)


def owners(uid: int | None) -> frozenset[int]:
    """Return the users whose processes may belong to a run of user `uid` (None: of the service's own user)."""
    return frozenset({0, os.getuid(), os.geteuid()} | ({uid} if uid is not None else set()))


class _Allowance:
    """A time budget: a burst, and a share of all time. Use it as a context manager around the work."""

    def __init__(self) -> None:
        self._left = _BURST_S
        self._at = time.monotonic()

    def is_left(self) -> bool:
        """Return whether time is left."""
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


class _MarkerCache:
    """The markers read so far, and the processes whose environment was empty. Forgets all when it is full."""

    def __init__(self) -> None:
        self._markers: dict[Known, Markers] = {}
        self._empty_since: dict[Known, float] = {}

    def get(self, process: Known) -> Markers | None:
        """Return the markers of a process, None if they are unknown."""
        return self._markers.get(process)

    def put(self, process: Known, markers: Markers) -> None:
        """Remember the markers of a process."""
        if len(self._markers) >= MAX_KNOWN:
            self._markers.clear()
            self._empty_since.clear()
        self._markers[process] = markers
        self._empty_since.pop(process, None)

    def may_be_starting(self, process: Known, now: float) -> bool:
        """Return whether a process with an empty environment may just be starting."""
        return now - self._empty_since.setdefault(process, now) <= _START_WINDOW_S


class MarkerReader:
    """Reads markers, each process once, on a thread that can be given up.

    `read` gets a pid and the number of bytes to read.
    """

    def __init__(self, read: Callable[[int, int], Markers | None] = read_markers) -> None:
        self._read = read
        self._allowance = _Allowance()
        self._cache = _MarkerCache()
        self._requested: dict[Known, None] = {}
        self._wanted: SimpleQueue[Known] = SimpleQueue()
        self._lock = threading.Lock()
        self._generation = 0
        self._is_alive = False
        self._reading_since: tuple[Known, float] | None = None
        self._hung = 0

    @property
    def is_blind(self) -> bool:
        """Whether too many reads hang to make another one."""
        return self._hung >= MAX_HUNG

    def known(self, process: Known) -> Markers | None:
        """Return the markers of a process. If they are unknown, return None and request them. Does not wait."""
        markers = self._cache.get(process)
        if markers is None and self.is_blind:
            return NO_MARKERS
        if markers is None and process not in self._requested:
            self._request(process)
        return markers

    def _request(self, process: Known) -> None:
        self._requested[process] = None
        self._wanted.put(process)
        self._ensure_thread()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for all requested markers. Return whether all are known."""
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
        """Start a new reading thread; the former one ends after its read. Lock: held by the caller."""
        self._generation += 1
        self._reading_since = None
        self._is_alive = False
        if self.is_blind:
            self._abandon_all()
            return
        with suppress(RuntimeError):  # the host has no thread left: `wait` tries again
            threading.Thread(target=self._work, args=(self._generation,), name="markers", daemon=True).start()
            self._is_alive = True

    def _abandon_all(self) -> None:
        """Drop all requests. Their processes are not remembered as unmarked, so a later request can read them."""
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
            markers = self._read_thriftily(process[0])
            if self._has_come_back_late(term):
                if markers is not None:
                    self._answer(process, markers)
                return
            self._next(process, markers)

    def _has_come_back_late(self, term: int) -> bool:
        """Return whether this thread was given up while it read. If so, it no longer counts as hung."""
        with self._lock:
            if self._generation != term:
                self._hung -= 1
                return True
            self._reading_since = None
        return False

    def _read_thriftily(self, pid: int) -> Markers | None:
        markers = self._read(pid, HEAD_BYTES)
        if markers is _TRUNCATED and self._allowance.is_left():
            with self._allowance:
                return self._read(pid, MAX_ENVIRONMENT_BYTES)
        return markers

    def _has_ended(self, term: int) -> bool:
        """Return whether the thread may end. It reports its end before it checks, so a new request starts a thread."""
        with self._lock:
            if self._generation != term:
                return True
            self._is_alive = False
            if self._wanted.empty():
                return True
            self._is_alive = True
        return False

    def _next(self, process: Known, markers: Markers | None) -> None:
        """Remember markers. An empty environment is read again, because its process may just be starting."""
        if markers is not None:
            self._answer(process, markers)
        elif self._cache.may_be_starting(process, time.monotonic()):
            self._requested.pop(process, None)
        else:
            self._answer(process, NO_MARKERS)

    def _answer(self, process: Known, markers: Markers) -> None:
        self._cache.put(process, markers)
        self._requested.pop(process, None)


MARKERS = MarkerReader()  # the only one in this process
