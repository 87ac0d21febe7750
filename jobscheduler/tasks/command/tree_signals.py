"""Send the signals that end a process tree, to each member once."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from typing import Protocol

from jobscheduler.tasks.command.processes import Process, send_signals
from jobscheduler.tasks.command.run_markers import Known


class MainProcess(Protocol):
    """The main process of a run; leads a session and a group."""

    pid: int

    def send(self, *signals: signal.Signals, group: bool) -> bool:
        """Signal it, or its whole group, unless it has been reaped. Return whether that was permitted."""

    def has_ended(self) -> bool:
        """Return whether it has ended."""


class TreeSignals:
    """Signals the main process of one tree and its members. `members` is the present mapping of known members.

    Thread: `send` is called by the thread that ends the tree, `send_to_new` by that of the search.
    Invariant: the search adds a member to `members` before `send_to_new`, and `send` sets the signals before it goes
    through `members`. So each member gets them from one of the two.
    """

    def __init__(self, main: MainProcess, members: Mapping[Known, Process]) -> None:
        self._main = main
        self._members = members
        self._signals: tuple[signal.Signals, ...] = ()
        self._goes_to_group = False
        self._claimed: dict[Known, object] = {}
        self._refused: set[Known] = set()

    @property
    def has_begun(self) -> bool:
        """Whether signals are sent."""
        return bool(self._signals)

    def send(self, signals: tuple[signal.Signals, ...], *, group: bool) -> None:
        """Signal the main process or its group, then the members found so far."""
        self._goes_to_group = group
        if signals != self._signals:
            self._signals = signals  # first, so that a claim in the new dictionary is for the new signals
            self._claimed = {}
        if not self._main.send(*signals, group=group):
            self._refused.add((self._main.pid, 0))
        self._send_to(tuple(self._members.values()))

    def send_to_new(self, members: Iterable[Process]) -> None:
        """Signal members that were found just now, if signals are sent."""
        if self._signals:
            self._send_to(members)

    def _send_to(self, members: Iterable[Process]) -> None:
        """Signal each member once, because some programs skip their cleanup at a second TERM."""
        main = self._main.pid
        for process in members:
            if process.pid == main or (self._goes_to_group and process.group == main):
                continue
            claim = object()
            is_ours = self._claimed.setdefault(process.identity, claim) is claim
            if is_ours and not send_signals(process, *self._signals):
                self._refused.add(process.identity)

    def was_refused(self, process: Process) -> bool:
        """Return whether signals to a process were not permitted."""
        return ((process.pid, 0) if process.pid == self._main.pid else process.identity) in self._refused
