"""End the process tree of an active run.

1. `TreeKiller.begin` starts a thread that only sends signals: TERM (and CONT, so that a stopped process receives it),
   then KILL after the grace unless the tree has ended.
2. TERM waits up to `SCAN_DELAY_S` for a first scan and for a thread that reads the last output. The scan comes first
   because the death of a parent cuts the only link to a child without its session and markers.
3. The search (`tree_search.py`) scans for further members of the tree (`process_tree.py`) again and again, and each is
   signalled once (`tree_signals.py`). It ends after `QUIET_ROUNDS` in a row without a process, because a dying process
   may have forked since it was found. A process that replaces itself too fast to be caught within the wait of 5 is
   named as unkillable. Without the first scan, TERM goes to the whole group of the main process instead.
4. The processes in the control group of a run with limits are members, too, and KILL goes to the group as a whole.
5. `TreeKiller.wait` waits for the end, no longer than the grace and `KILL_TIMEOUT_S`.

Invariant: 1, 2 and 5 need neither /proc nor a lock that another thread may hold for longer than it takes to send a
signal. Even if 3 hangs, both signals are sent in time and the run gets its record.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable

from jobscheduler.tasks.command.process_tree import ProcessTree
from jobscheduler.tasks.command.processes import KILL_TIMEOUT_S, TERM_GRACE_S, Process
from jobscheduler.tasks.command.run_groups import RunGroup
from jobscheduler.tasks.command.tree_search import SEARCH, TreeSearch
from jobscheduler.tasks.command.tree_signals import MainProcess
from jobscheduler.tasks.stop_signals import StopSignals, UnkillableProcess

SCAN_DELAY_S = 0.25  # that TERM waits for the first scan and a reader; the usual wait takes 0.002

_POLL_S = 0.02  # seconds between two checks for the end
_LATE_SIGNAL_S = 0.25  # seconds by which a signal may be late before the waiting thread sends it
_TERM = (signal.SIGTERM, signal.SIGCONT)
_KILL = (signal.SIGKILL,)


class TreeKiller:
    """Ends the tree of one attempt. `main`, `marker`, `notice`, `owner` and `group` make the `ProcessTree`.

    `signals` gets the instants at which TERM and KILL were sent, and the unkillable processes.

    Thread: any thread may call `begin`, and only the first call counts.
    """

    def __init__(
        self,
        main: MainProcess,
        marker: tuple[str, int],
        signals: StopSignals,
        notice: Callable[[Iterable[Process]], object] = tuple,
        search: TreeSearch = SEARCH,
        owner: int | None = None,
        group: RunGroup | None = None,
    ) -> None:
        self.tree = ProcessTree(main, marker, owner, notice, group)
        self._group = group
        self._signals = signals
        self._search = search
        self._once = threading.Lock()
        self._is_attended = threading.Event()

    def begin(self) -> None:
        """Send TERM soon, and KILL after the grace, on a thread of its own. Does not wait."""
        if not self._once.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._send_in_time, name="tree-killer", daemon=True).start()
        except RuntimeError:  # the host has no thread left: `wait` sends KILL
            self._search.add(self.tree)
            self._terminate()

    def _send_in_time(self) -> None:
        until = time.monotonic() + SCAN_DELAY_S
        self._search.add(self.tree)
        self.tree.first_scan.wait(SCAN_DELAY_S)
        self._is_attended.wait(until - time.monotonic())
        self._terminate()
        if not self.tree.is_over.wait(TERM_GRACE_S):
            self._kill()
            self.tree.is_over.wait(KILL_TIMEOUT_S)
        self._search.drop(self.tree)

    def _terminate(self) -> None:
        self.tree.signals.send(_TERM, group=not self.tree.first_scan.is_set())
        self._signals.term_sent = time.monotonic()

    def _kill(self) -> None:
        if self._group is not None:
            self._group.kill()
        self.tree.signals.send(_KILL, group=True)
        self._signals.kill_sent = time.monotonic()

    def wait(self, pause: Callable[[float], object]) -> tuple[UnkillableProcess, ...]:
        """Wait until the tree has ended or cannot be ended. Return its unkillable processes.

        `pause` gets the seconds between two checks; it reads the last output meanwhile.
        """
        self._is_attended.set()
        self.begin()
        is_over, requested_at = self.tree.is_over, time.monotonic()
        while (
            not is_over.is_set()
            and time.monotonic() < (self._signals.term_sent or requested_at) + TERM_GRACE_S + KILL_TIMEOUT_S
        ):
            self._send_late_signals(requested_at, time.monotonic())
            pause(_POLL_S)
        return () if is_over.is_set() else self._give_up()

    def _send_late_signals(self, requested_at: float, now: float) -> None:
        if self._signals.term_sent is None:
            if now > requested_at + SCAN_DELAY_S + _LATE_SIGNAL_S:
                self._terminate()
        elif self._signals.kill_sent is None and now > self._signals.term_sent + TERM_GRACE_S + _LATE_SIGNAL_S:
            self._kill()

    def _give_up(self) -> tuple[UnkillableProcess, ...]:
        unkillable = self.tree.unkillable()
        self.tree.is_over.set()
        self._signals.unkillable = unkillable
        return unkillable
