"""End the process tree of an active run.

A tree is the main process, its whole session, and the adopted processes of its user (or root) with the markers of
the run (`JOB_RUN_ID`) and of its current attempt. All their descendants belong to it. The service is a subreaper,
so every member is a descendant of the service, and other processes of the host are not scanned.

1. `TreeKiller.begin` starts a thread that only sends signals: TERM (and CONT, so that a stopped process receives it),
   then KILL after the grace unless the tree has ended.
2. TERM waits up to `SCAN_DELAY_S` for a first scan and for a thread that reads the last output. The scan comes first
   because the death of a parent cuts the only link to a child without its session and markers.
3. The search scans for further members again and again and signals each once. It ends after `QUIET_ROUNDS` in a row
   without a process, because a dying process may have forked since it was found. A process that replaces itself too
   fast to be caught within the wait of 4 is named as a survivor.
   Without the first scan, TERM goes to the whole group of the main process instead.
4. `TreeKiller.wait` waits for the end, no longer than the grace and `KILL_TIMEOUT_S`.

Invariant: 1, 2 and 4 need neither /proc nor a lock that another thread may hold for longer than it takes to send a
signal. Even if 3 hangs, both signals are sent in time and the run gets its record.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from jobscheduler.tasks.command.processes import KILL_TIMEOUT_S, TERM_GRACE_S, Process, is_alive, send_signals
from jobscheduler.tasks.command.run_markers import NO_MARKERS, Known, Markers, matches, owners
from jobscheduler.tasks.command.self_stop import stops_this_service
from jobscheduler.tasks.command.tree_search import SEARCH, TreeSearch, descendants
from jobscheduler.tasks.stop_signals import StopSignals, Survivor

SCAN_DELAY_S = 0.25  # that TERM waits for the first scan and a reader; the usual wait takes 0.002

QUIET_ROUNDS = 2  # in a row that find no process before the tree has ended

_POLL_S = 0.02  # seconds between two checks for the end
_RECENT = 1.0  # seconds for which a process that has vanished counts as replaced by another
_LATE_SIGNAL_S = 0.25  # seconds by which a signal may be late before the waiting thread sends it
_TERM = (signal.SIGTERM, signal.SIGCONT)
_KILL = (signal.SIGKILL,)


class MainProcess(Protocol):
    """The main process of a run; leads a session and a group."""

    pid: int

    def send(self, *signals: signal.Signals, group: bool) -> bool:
        """Signal it, or its whole group, unless it has been reaped. Return whether that was permitted."""

    def has_ended(self) -> bool:
        """Return whether it has ended."""


class TreeKiller:
    """Ends the tree of one attempt.

    `notice` gets the processes that the search finds. `stops_service` is set when one of them stops this very service.
    `owner` is the user of the run, None for the user of the service.

    Thread: any thread may call `begin`, and only the first call counts. `notice` is called on that of the search.
    """

    def __init__(
        self,
        main: MainProcess,
        mark: tuple[str, int],
        signals: StopSignals,
        notice: Callable[[Iterable[Process]], object] = tuple,
        search: TreeSearch = SEARCH,
        owner: int | None = None,
    ) -> None:
        self.main = main
        self.first_look = threading.Event()
        self._run_ids, self._attempt = {mark[0].encode()}, mark[1]
        self._owners = owners(owner)
        self._signals = signals
        self._notice = notice
        self._search = search
        self._once = threading.Lock()
        self._is_attended = threading.Event()
        self._is_over = threading.Event()
        self._is_reaped = False
        self._members: dict[Known, Process] = {}
        self._signalled: dict[Known, object] = {}
        self._refused: set[Known] = set()
        self._ended: set[Known] = set()
        self._is_sighted = False
        self._quiet = 0
        self._last: tuple[Process, float] | None = None
        self.stops_service = False
        self._sends: tuple[signal.Signals, ...] = ()
        self._goes_to_group = False

    # -- the signals

    def begin(self) -> None:
        """Send TERM soon, and KILL after the grace, on a thread of its own. Does not wait."""
        if not self._once.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._send_in_time, name="tree-killer", daemon=True).start()
        except RuntimeError:  # the host has no thread left: `wait` sends KILL
            self._search.add(self)
            self._terminate()

    def _send_in_time(self) -> None:
        until = time.monotonic() + SCAN_DELAY_S
        self._search.add(self)
        self.first_look.wait(SCAN_DELAY_S)
        self._is_attended.wait(until - time.monotonic())
        self._terminate()
        if not self._is_over.wait(TERM_GRACE_S):
            self._kill()
            self._is_over.wait(KILL_TIMEOUT_S)
        self._search.drop(self)

    def _terminate(self) -> None:
        self._signal(_TERM, group=not self.first_look.is_set())
        self._signals.term_sent = time.monotonic()

    def _kill(self) -> None:
        self._signalled = {}
        self._signal(_KILL, group=True)
        self._signals.kill_sent = time.monotonic()

    def _signal(self, signals: tuple[signal.Signals, ...], *, group: bool) -> None:
        """Signal the main process or its group, then the members found so far."""
        self._goes_to_group = group
        self._sends = signals
        if not self.main.send(*signals, group=group):
            self._refused.add((self.main.pid, 0))
        for process in tuple(self._members.values()):
            self._signal_members(process)

    def _signal_members(self, process: Process) -> None:
        """Signal a member once, because some programs skip their cleanup at a second TERM."""
        if process.pid == self.main.pid or (self._goes_to_group and process.group == self.main.pid):
            return
        claim = object()
        if self._signalled.setdefault(process.identity, claim) is claim and not send_signals(process, *self._sends):
            self._refused.add(process.identity)

    # -- the wait

    def wait(self, pause: Callable[[float], object]) -> tuple[Survivor, ...]:
        """Wait until the tree has ended or cannot be ended. Return the survivors.

        `pause` gets the seconds between two checks; it reads the last output meanwhile.
        """
        self._is_attended.set()
        self.begin()
        requested_at = time.monotonic()
        while (
            not self._is_over.is_set()
            and time.monotonic() < (self._signals.term_sent or requested_at) + TERM_GRACE_S + KILL_TIMEOUT_S
        ):
            self._send_late_signals(requested_at, time.monotonic())
            pause(_POLL_S)
        return () if self._is_over.is_set() else self._give_up()

    def _send_late_signals(self, requested_at: float, now: float) -> None:
        if self._signals.term_sent is None:
            if now > requested_at + SCAN_DELAY_S + _LATE_SIGNAL_S:
                self._terminate()
        elif self._signals.kill_sent is None and now > self._signals.term_sent + TERM_GRACE_S + _LATE_SIGNAL_S:
            self._kill()

    def abandon(self) -> None:
        """Leave the main process alone from now on, because its pid may soon be that of another process."""
        self._is_reaped = True

    def _give_up(self) -> tuple[Survivor, ...]:
        """Return the survivors. This thread does not read /proc, because that may be the call that hangs."""
        members = {member.pid: member for member in tuple(self._members.values())}
        main = members.pop(self.main.pid, None)
        survivors = {pid: self._survivor(member) for pid, member in members.items()}
        if not self.main.has_ended():
            main = main or Process(self.main.pid, 0, 0, 0, "", name="main process")
            survivors[self.main.pid] = self._survivor(main)
        if not survivors and self._last is not None and time.monotonic() - self._last[1] < _RECENT:
            last = self._last[0]
            survivors[last.pid] = Survivor(last.pid, last.start, last.name, "replaces itself by fork")
        self._is_over.set()
        self._signals.survivors = tuple(survivors.values())
        return self._signals.survivors

    def _survivor(self, process: Process) -> Survivor:
        is_main = process.pid == self.main.pid
        is_refused = ((process.pid, 0) if is_main else process.identity) in self._refused
        reason = "not permitted" if is_refused else "waits for a device" if process.state == "D" else "does not end"
        return Survivor(process.pid, process.start, process.name, reason)

    # -- for the search, on its thread

    @property
    def main_has_ended(self) -> bool:
        """Whether the main process has ended."""
        return self._is_reaped or self.main.has_ended()

    def owns(self, process: Process, marks: Markers | None) -> bool:
        """Return whether an adopted process belongs to this tree."""
        if process.session == self.main.pid and not self._is_reaped:
            return True
        marks = marks or NO_MARKERS
        return matches(marks, self._run_ids, self._attempt) and marks.uid in self._owners

    def scan(self, within: float, adopted: Iterable[Process] = ()) -> None:
        """Find all descendants of the members and of `adopted`. Signal the new ones."""
        main = () if self._is_reaped else ((self.main.pid, None),)
        adopted = tuple(adopted)
        roots = [*main, *((process.pid, process.start) for process in (*self._members.values(), *adopted))]
        found = descendants(roots, within)
        if self._is_over.is_set():  # the pid of the main process may be that of another process
            return
        self._sight(found, adopted)
        new = [process for process in found if process.identity not in self._members and not self._was_main(process)]
        self._members.update((process.identity, process) for process in found if not self._was_main(process))
        self._notice(new)
        self.stops_service |= any(stops_this_service(process.pid, process.name) for process in new)
        if self._sends:
            for process in new:
                self._signal_members(process)

    def _sight(self, found: Iterable[Process], adopted: Iterable[Process]) -> None:
        """Note that the round found processes. One that has died since counts, too, because it may have forked."""
        fresh = [*found, *(process for process in adopted if process.identity not in self._ended)]
        self._ended.update(process.identity for process in fresh if not is_alive(process))
        if fresh:
            self._is_sighted = True
            self._last = fresh[-1], time.monotonic()

    def _was_main(self, process: Process) -> bool:
        return self._is_reaped and process.pid == self.main.pid

    def settle(self, *, has_ended: bool) -> bool:
        """Forget the members that have ended. Return whether enough rounds in a row have found none.

        `has_ended` means that the round was whole and the main process had ended before it.
        """
        for known, process in tuple(self._members.items()):
            if not is_alive(process):
                del self._members[known]
        is_quiet = has_ended and bool(self._sends) and not self._members and not self._is_sighted
        self._quiet = self._quiet + 1 if is_quiet else 0
        self._is_sighted = False
        if self._quiet >= QUIET_ROUNDS:
            self._is_over.set()
        return self._is_over.is_set()
