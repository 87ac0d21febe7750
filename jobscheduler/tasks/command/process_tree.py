"""The members of the process tree of one attempt, as the search finds them.

A tree is the main process, its whole session, and the adopted processes of its user (or root) with the markers of
the run (`JOB_RUN_ID`) and of its current attempt. All their descendants belong to it. The service is a subreaper,
so every member is a descendant of the service, and other processes of the host are not scanned.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from jobscheduler.tasks.command.processes import Process, is_alive
from jobscheduler.tasks.command.run_groups import RunGroup
from jobscheduler.tasks.command.run_markers import NO_MARKERS, Known, Markers, matches, owners
from jobscheduler.tasks.command.self_stop import stops_this_service
from jobscheduler.tasks.command.tree_search import descendants
from jobscheduler.tasks.command.tree_signals import MainProcess, TreeSignals
from jobscheduler.tasks.stop_signals import UnkillableProcess

QUIET_ROUNDS = 2  # in a row that find no process before the tree has ended

_RECENT_S = 1.0  # for which a process that has vanished counts as replaced by another


class QuietRounds:
    """Counts the rounds in a row in which the search has found no process.

    A process that has died since it was found counts as found, too, because it may have forked.
    """

    def __init__(self) -> None:
        self._ended: set[Known] = set()
        self._has_found = False
        self._count = 0
        self._last: tuple[Process, float] | None = None

    def found(self, processes: Iterable[Process], adopted: Iterable[Process]) -> None:
        """Note what a scan found. An adopted process counts until it has died and was found once more."""
        fresh = [*processes, *(process for process in adopted if process.identity not in self._ended)]
        self._ended.update(process.identity for process in fresh if not is_alive(process))
        if fresh:
            self._has_found = True
            self._last = fresh[-1], time.monotonic()

    def end_round(self, *, may_be_quiet: bool) -> int:
        """End a round. Return the number of quiet rounds in a row."""
        self._count = self._count + 1 if may_be_quiet and not self._has_found else 0
        self._has_found = False
        return self._count

    def last_found(self) -> Process | None:
        """Return the process that was found last, if that was a moment ago."""
        is_recent = self._last is not None and time.monotonic() - self._last[1] < _RECENT_S
        return self._last[0] if self._last is not None and is_recent else None


class RunOwnership:
    """What makes a process one of a run: the session of its main process, or the markers in its environment.

    `marker` is the id of the run and the number of the attempt. `owner` is the user of the run, None for the user of
    the service.
    """

    def __init__(self, main: MainProcess, marker: tuple[str, int], owner: int | None) -> None:
        self._main = main
        self._run_ids = frozenset({marker[0].encode()})
        self._attempt = marker[1]
        self._users = owners(owner)
        self._is_reaped = False

    @property
    def main_pid(self) -> int | None:
        """The pid of the main process; None since it may be that of another process."""
        return None if self._is_reaped else self._main.pid

    @property
    def main_has_ended(self) -> bool:
        """Whether the main process has ended."""
        return self._is_reaped or self._main.has_ended()

    def abandon_main(self) -> None:
        """Leave the main process alone from now on, because its pid may soon be that of another process."""
        self._is_reaped = True

    def was_main(self, process: Process) -> bool:
        """Return whether a process has the pid of the main process, which was reaped."""
        return self._is_reaped and process.pid == self._main.pid

    def owns(self, process: Process, markers: Markers) -> bool:
        """Return whether an adopted process belongs to the run."""
        if process.session == self._main.pid and not self._is_reaped:
            return True
        return matches(markers, self._run_ids, self._attempt) and markers.uid in self._users


class ProcessTree:
    """The tree of one attempt. `marker` is the id of its run and the number of the attempt.

    `notice` gets the processes that the search finds. `owner` is the user of the run, None for the user of the
    service. The processes in `group`, its control group, are members, too. `first_scan` is set after the first whole
    scan. `is_over` is set when the tree has ended, or when the run no longer waits for it. `stops_service` is set when
    a member stops this very service.

    Thread: that of the search, except for `abandon` and `unkillable`.
    """

    def __init__(
        self,
        main: MainProcess,
        marker: tuple[str, int],
        owner: int | None,
        notice: Callable[[Iterable[Process]], object],
        group: RunGroup | None = None,
    ) -> None:
        self._group = group
        self.first_scan = threading.Event()
        self.is_over = threading.Event()
        self.stops_service = False
        self._main = main
        self._ownership = RunOwnership(main, marker, owner)
        self._notice = notice
        self._members: dict[Known, Process] = {}
        self._rounds = QuietRounds()
        self.signals = TreeSignals(main, self._members)

    @property
    def main_has_ended(self) -> bool:
        """Whether the main process has ended."""
        return self._ownership.main_has_ended

    def owns(self, process: Process, markers: Markers | None) -> bool:
        """Return whether an adopted process belongs to this tree."""
        return self._ownership.owns(process, markers or NO_MARKERS)

    def scan(self, within: float, adopted: Iterable[Process] = ()) -> None:
        """Find all descendants of the members and of `adopted`. Signal the new ones."""
        pid = self._ownership.main_pid
        main = () if pid is None else ((pid, None),)
        adopted = (*adopted, *(() if self._group is None else self._group.processes()))
        roots = [*main, *((process.pid, process.start) for process in (*self._members.values(), *adopted))]
        found = descendants(roots, within)
        if self.is_over.is_set():  # the pid of the main process may be that of another process
            return
        self._rounds.found(found, adopted)
        new = [
            process
            for process in found
            if process.identity not in self._members and not self._ownership.was_main(process)
        ]
        self._members.update((process.identity, process) for process in found if not self._ownership.was_main(process))
        self._notice(new)
        self.stops_service |= any(stops_this_service(process.pid, process.name) for process in new)
        self.signals.send_to_new(new)

    def settle(self, *, has_ended: bool) -> bool:
        """Forget the members that have ended. Return whether enough rounds in a row have found none.

        `has_ended` means that the round was whole and the main process had ended before it.
        """
        for known, process in tuple(self._members.items()):
            if not is_alive(process):
                del self._members[known]
        may_be_quiet = has_ended and self.signals.has_begun and not self._members
        if self._rounds.end_round(may_be_quiet=may_be_quiet) >= QUIET_ROUNDS:
            self.is_over.set()
        return self.is_over.is_set()

    def abandon(self) -> None:
        """Leave the main process alone from now on, because its pid may soon be that of another process."""
        self._ownership.abandon_main()

    def unkillable(self) -> tuple[UnkillableProcess, ...]:
        """Return the members that are left. This reads no file, because that may be the call that hangs."""
        members = {member.pid: member for member in tuple(self._members.values())}
        main = members.pop(self._main.pid, None)
        left = [self._unkillable_process(member) for member in members.values()]
        if not self._main.has_ended():
            left.append(self._unkillable_process(main or Process(self._main.pid, 0, 0, 0, "", name="main process")))
        if not left and (last := self._rounds.last_found()) is not None:
            left.append(UnkillableProcess(last.pid, last.start, last.name, "replaces itself by fork"))
        return tuple(left)

    def _unkillable_process(self, process: Process) -> UnkillableProcess:
        is_refused = self.signals.was_refused(process)
        reason = "not permitted" if is_refused else "waits for a device" if process.state == "D" else "does not end"
        return UnkillableProcess(process.pid, process.start, process.name, reason)
