"""The process tree of a run: found in /proc, and ended.

1. A tree is: the main process, all of its session, every process that carries the run's mark (`JOB_RUN_ID`) in the
   environment it was started with, and the descendants of all these. The mark finds what left the session after its
   parent had died. While a run goes on only its present attempt (`JOB_ATTEMPT`) is meant, after a crash all of them.
2. It is ended in two steps: TERM (and CONT, so that a stopped process hears it), after a grace KILL. Each step looks
   again until it finds nobody new, because a process may have been forked between looking and signalling. Who was
   told TERM stays in the tree, also when the parent that tied it to the run has died of it.
3. A process is known by its pid *and* its start time, and is signalled through a pidfd opened before that pair is
   checked: a pid that was given to somebody else meanwhile is never hit.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

MARK = "JOB_RUN_ID"
"""The environment variable by which the processes of a run are known."""

ATTEMPT = "JOB_ATTEMPT"
"""The one by which those of one attempt are told from what an earlier one left in the background."""

GRACE = 5.0
"""Seconds between TERM and KILL."""

KILL_WITHIN = 2.0
"""Seconds for which KILL is repeated before a tree that does not die (a hanging disk) is given up."""

_PAUSE = 0.05  # between two looks at a tree that is ending


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `start` is its start time in clock ticks since boot."""

    pid: int
    start: int
    parent: int
    session: int
    state: str

    @property
    def known(self) -> tuple[int, int]:
        """Pid and start time: what nobody else ever has."""
        return self.pid, self.start

    @property
    def ended(self) -> bool:
        """Whether it is only a zombie."""
        return self.state in "ZX"


def look_at(pid: int) -> Process | None:
    """The process with this pid, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    rest = text[text.rindex(b")") + 2 :].split()  # the name before it may hold blanks and parentheses
    return Process(pid, int(rest[19]), int(rest[1]), int(rest[3]), rest[0].decode("ascii"))


def everybody() -> Iterator[Process]:
    """All processes that are visible."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a name is all that is wanted, on a host with many processes
        if name.isdigit() and (process := look_at(int(name))):
            yield process


def marked(pid: int, run_ids: Iterable[str], attempt: int | None = None) -> bool:
    """Whether the process was started with the mark of one of these runs, and of this attempt (None: of any)."""
    return _fits(_marks_of(pid), {run_id.encode() for run_id in run_ids}, attempt)


_Marks = tuple[frozenset[bytes], frozenset[bytes]]
"""The runs and the attempts that stand in the environment of a process."""

_NO_MARKS: _Marks = (frozenset(), frozenset())
_RUNS, _ATTEMPTS = (re.compile(rb"\0%b=([^\0]*)" % name.encode()) for name in (MARK, ATTEMPT))


def _marks_of(pid: int) -> _Marks:
    try:
        environment = b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or not ours to read: then it is not ours to signal either
        return _NO_MARKS
    runs = _RUNS.findall(environment)
    return (frozenset(runs), frozenset(_ATTEMPTS.findall(environment))) if runs else _NO_MARKS


def _fits(marks: _Marks, run_ids: Set[bytes], attempt: int | None) -> bool:
    runs, attempts = marks
    return not runs.isdisjoint(run_ids) and (attempt is None or b"%d" % attempt in attempts)


@dataclass(frozen=True, slots=True)
class _Host:
    """Everybody at one moment, the marks of those that carry any, and whose children they are."""

    found: Mapping[int, Process]
    marks: Mapping[int, _Marks]
    children: Mapping[int, list[int]]


def _look() -> _Host:
    found = {process.pid: process for process in everybody()}
    marks = {pid: marks for pid in found if (marks := _marks_of(pid)) is not _NO_MARKS}
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    return _Host(found, marks, children)


class _Looks:
    """Looks at everybody, shared by those who ask at the same time.

    When hundreds of runs have to end at once, each of them asks again and again. A look that began before one asked
    is not for them: it may have missed who was forked since.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = 0
        self._latest: tuple[int, _Host] | None = None

    def look(self) -> _Host:
        """Give one that begins after this was called."""
        before = self._begun
        with self._lock:
            if self._latest is None or self._latest[0] <= before:
                self._begun += 1
                self._latest = self._begun, _look()
            return self._latest[1]


_LOOKS = _Looks()


def tree(
    run_ids: Iterable[str],
    main: int | None = None,
    known: Container[tuple[int, int]] = (),
    attempt: int | None = None,
) -> tuple[Process, ...]:
    """Who belongs to these runs and has not ended. `main` is the pid of a main process that is not yet reaped.

    `known` are pid and start time of those that are known to belong to them; `attempt` leaves those out that carry
    the mark of another attempt.
    """
    host, wanted, protected = _LOOKS.look(), {run_id.encode() for run_id in run_ids}, _ourselves()
    roots = {pid for pid, marks in host.marks.items() if _fits(marks, wanted, attempt)}
    roots |= {
        process.pid
        for process in host.found.values()
        if main in (process.pid, process.session) or process.known in known
    }
    members = _with_descendants(roots - protected, host.children) - protected
    return tuple(host.found[pid] for pid in sorted(members) if not host.found[pid].ended)


def _ourselves() -> frozenset[int]:
    """This process, those that started it, and init: never part of a tree, whatever mark they carry."""
    pids, pid = {0, 1}, os.getpid()
    while pid not in pids:
        pids.add(pid)
        process = look_at(pid)
        pid = process.parent if process else 0
    return frozenset(pids)


def _with_descendants(roots: set[int], children: Mapping[int, list[int]]) -> set[int]:
    members: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in members:
            members.add(pid)
            waiting += children.get(pid, ())
    return members


def send(process: Process, *signals: signal.Signals) -> bool:
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
    now = look_at(process.pid)
    if now is None or now.start != process.start:
        return False
    try:
        for number in signals:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    return True


def alive(process: Process) -> bool:
    """Whether this very process still runs."""
    now = look_at(process.pid)
    return now is not None and now.start == process.start and not now.ended


@dataclass(frozen=True, slots=True)
class End:
    """How to end all processes of some runs.

    `main` is the pid of a main process that is not yet reaped. `pause` is called with the seconds to wait between two
    looks: a caller that has something to do meanwhile (to read what the dying still write) does it there. `notice` is
    called with the processes that are found. With `attempt`, what another attempt left in the background is spared,
    as it was when that attempt ended.
    """

    run_ids: tuple[str, ...]
    main: int | None = None
    pause: Callable[[float], object] = time.sleep
    notice: Callable[[Iterable[Process]], object] = tuple
    attempt: int | None = None

    def __call__(self, grace: float = GRACE) -> tuple[Process, ...]:
        """TERM, `grace` seconds, KILL. Returns those that could not be ended."""
        members: dict[tuple[int, int], Process] = {}
        left = self._with((signal.SIGTERM, signal.SIGCONT), grace, members)
        return self._with((signal.SIGKILL,), KILL_WITHIN, members) if left else ()

    def _with(
        self, signals: tuple[signal.Signals, ...], seconds: float, members: dict[tuple[int, int], Process]
    ) -> tuple[Process, ...]:
        """Signal everybody once, also those who appear meanwhile; returns who is left after `seconds`."""
        until = time.monotonic() + seconds
        told: set[tuple[int, int]] = set()
        while left := self._look(members):
            self.notice(left)
            for process in left:
                if process.known not in told:
                    told.add(process.known)
                    send(process, *signals)
            while any(map(alive, left)):
                if time.monotonic() >= until:
                    return left
                self.pause(_PAUSE)
            if time.monotonic() >= until:
                return self._look(members)
        return ()

    def _look(self, members: dict[tuple[int, int], Process]) -> tuple[Process, ...]:
        """Who belongs to the tree and has not ended. Who once belonged to it stays in it, and brings its children.

        The death of a parent, which TERM itself brings about, may cut the only tie to a child without the mark.
        """
        members.update((process.known, process) for process in tree(self.run_ids, self.main, members, self.attempt))
        for known in [known for known, process in members.items() if not alive(process)]:
            del members[known]
        return tuple(members.values())
