"""The process tree of a run that goes on, and how it is ended.

A tree is: the main process, all of its session, the adopted processes of its user (or root) that carry the mark of
the run (`JOB_RUN_ID`) and of its present attempt, and the descendants of all these. The service is a
subreaper, so each of them is a descendant of the service: other processes of the host are not looked at.

1. `TreeEnd.begin` has a thread of its own send the signals: TERM (and CONT, so that a stopped process hears it), and
   KILL a grace later unless the tree has ended. Nothing else is done there.
2. TERM waits for `HEAD_START` at most: for a first look, because the death of a parent cuts the only tie to a child
   without session and mark, and for a thread that reads what the dying still write.
3. The search looks for the rest, again and again, and signals what it finds once. It ends when `QUIET_ROUNDS` in a
   row found no process: one that dies may have forked another since it was found. What it cannot catch before the
   wait of 4 is over, because it replaces itself too fast, is named as a survivor.
   Without the first look TERM goes to the whole group of the main process instead.
4. `TreeEnd.see_through` waits for the end, no longer than the grace and `KILL_WITHIN`.

Invariant: 1, 2 and 4 need neither a look at /proc nor a lock that another thread may hold for longer than it takes
to send a signal. Whatever becomes of 3, both signals are sent in time and the run gets its record.
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

SCAN_DELAY_S = 0.25
"""Seconds that TERM waits for the first look and a reader; the usual wait takes 0.002."""

QUIET_ROUNDS = 2
"""Rounds in a row that must find no process before the tree has ended."""

_POLL_S = 0.02  # between two looks at whether it is over
_RECENT = 1.0  # seconds for which a process that was seen and is gone counts as replaced by another
_LATE_SIGNAL_S = 0.25  # seconds by which a signal may be late before the waiting thread sends it
_TERM = (signal.SIGTERM, signal.SIGCONT)
_KILL = (signal.SIGKILL,)


class MainProcess(Protocol):
    """The main process of a run, which leads a session and a group."""

    pid: int

    def send(self, *signals: signal.Signals, group: bool) -> bool:
        """Signal it, or all of its group, unless it has been reaped; return whether that was permitted."""

    def has_ended(self) -> bool:
        """Whether it has ended."""


class TreeKiller:
    """How the tree of one attempt is ended. `begin` may be called from any thread, and often; only once it counts.

    `notice` is called with the processes that are found, on the thread of the search. `stops_service` tells that one of
    them stops this very service. `owner` is the user of the run, None if that is the service's own.
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
        """Have TERM sent now, and KILL a grace later. Does not wait."""
        if not self._once.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._send_in_time, name="ending", daemon=True).start()
        except RuntimeError:  # the host has no thread left: `see_through` sends KILL
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
        """Signal the main process or its group, then what has been found so far."""
        self._goes_to_group = group
        self._sends = signals
        if not self.main.send(*signals, group=group):
            self._refused.add((self.main.pid, 0))
        for process in tuple(self._members.values()):
            self._signal_members(process)

    def _signal_members(self, process: Process) -> None:
        """Signal a member once: a second TERM means `at once` to some programs."""
        if process.pid == self.main.pid or (self._goes_to_group and process.group == self.main.pid):
            return
        claim = object()
        if self._signalled.setdefault(process.identity, claim) is claim and not send_signals(process, *self._sends):
            self._refused.add(process.identity)

    # -- the wait

    def wait(self, pause: Callable[[float], object]) -> tuple[Survivor, ...]:
        """Wait until the tree has ended, or cannot be ended; return the processes that live on.

        `pause` is called with the seconds between two looks: what the dying still write is read there.
        """
        self._is_attended.set()
        self.begin()
        told_at = time.monotonic()
        while (
            not self._is_over.is_set()
            and time.monotonic() < (self._signals.term_sent or told_at) + TERM_GRACE_S + KILL_TIMEOUT_S
        ):
            self._send_late_signals(told_at, time.monotonic())
            pause(_POLL_S)
        return () if self._is_over.is_set() else self._give_up()

    def _send_late_signals(self, told_at: float, now: float) -> None:
        if self._signals.term_sent is None:
            if now > told_at + SCAN_DELAY_S + _LATE_SIGNAL_S:
                self._terminate()
        elif self._signals.kill_sent is None and now > self._signals.term_sent + TERM_GRACE_S + _LATE_SIGNAL_S:
            self._kill()

    def abandon(self) -> None:
        """Leave the main process alone from now on: its pid is about to be free for another process."""
        self._is_reaped = True

    def _give_up(self) -> tuple[Survivor, ...]:
        """Say which processes live on. Not by a look at /proc of this thread: that might be what hangs."""
        found = {one.pid: self._survivor(one) for one in tuple(self._members.values()) if one.pid != self.main.pid}
        if not self.main.has_ended():
            main = next((one for one in tuple(self._members.values()) if one.pid == self.main.pid), None)
            main = main or Process(self.main.pid, 0, 0, 0, "", name="main process")
            found[self.main.pid] = self._survivor(main)
        if not found and self._last is not None and time.monotonic() - self._last[1] < _RECENT:
            last = self._last[0]
            found[last.pid] = Survivor(last.pid, last.start, last.name, "replaces itself by fork")
        self._is_over.set()
        self._signals.survivors = tuple(found.values())
        return self._signals.survivors

    def _survivor(self, process: Process) -> Survivor:
        is_main = process.pid == self.main.pid
        is_refused = ((process.pid, 0) if is_main else process.identity) in self._refused
        why = "not permitted" if is_refused else "waits for a device" if process.state == "D" else "does not end"
        return Survivor(process.pid, process.start, process.name, why)

    # -- for the search, on its thread

    @property
    def main_has_ended(self) -> bool:
        """Whether the main process has ended."""
        return self._is_reaped or self.main.has_ended()

    def owns(self, process: Process, marks: Markers | None) -> bool:
        """Tell whether an adopted process belongs to this tree."""
        if process.session == self.main.pid and not self._is_reaped:
            return True
        marks = marks or NO_MARKERS
        return matches(marks, self._run_ids, self._attempt) and marks.uid in self._owners

    def scan(self, within: float, adopted: Iterable[Process] = ()) -> None:
        """Find members, and signal those that are new: of what is known already, and of `adopted`, all descendants."""
        main = () if self._is_reaped else ((self.main.pid, None),)
        adopted = tuple(adopted)
        roots = [*main, *((one.pid, one.start) for one in (*self._members.values(), *adopted))]
        found = descendants(roots, within)
        if self._is_over.is_set():  # then the pid of the main process may be that of another one
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
        """Take note that the round found a process, also of one that has died since: it may have forked another."""
        fresh = [*found, *(one for one in adopted if one.identity not in self._ended)]
        self._ended.update(one.identity for one in fresh if not is_alive(one))
        if fresh:
            self._is_sighted = True
            self._last = fresh[-1], time.monotonic()

    def _was_main(self, process: Process) -> bool:
        return self._is_reaped and process.pid == self.main.pid

    def settle(self, *, has_ended: bool) -> bool:
        """Forget the members that have ended; tell whether enough rounds in a row have found none.

        `has_ended` says that the round was whole, and that the main process had ended before it.
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
