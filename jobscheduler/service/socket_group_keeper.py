"""Keep the control socket open to the group of operators, and report why it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jobscheduler.control.server import MadeSocket
from jobscheduler.control.socket_group import GroupRefused, give_to_group
from jobscheduler.model import EventLogger, Level, Problem
from jobscheduler.service.optional_parts import SOCKET_GROUP, OptionalParts
from jobscheduler.util.hang_guard import CallHung, HangGuard


class SocketGroupKeeper:
    """Gives each file of the control socket to the group, and tries again until that succeeds.

    Until then the file stays with the service's own group. Thread: one at a time.
    """

    def __init__(
        self,
        path: Path,
        group: str,
        made: Callable[[], MadeSocket],
        guard: HangGuard,
        optional: OptionalParts,
        log_event: EventLogger,
    ) -> None:
        """`made` returns the present file of the socket."""
        self._path = path
        self._group = group
        self._made = made
        self._guard = guard
        self._optional = optional
        self._log_event = log_event
        self._given: MadeSocket | None = None
        self._problem: Problem | None = None

    def keep(self) -> None:
        """Give the present file to the group if it has not got it. Call it from time to time."""
        made = self._made()
        if made.identity is None or made == self._given:
            return
        try:
            self._guard.call(
                f"the group `{self._group}` of the control socket",
                partial(give_to_group, self._path, made.identity, self._group),
            )
        except CallHung as hung:
            self._report(Problem(str(hung)), is_shown=True)
        except GroupRefused as refused:
            self._report(refused.problem)
        else:
            self._given = made
            self._report(None)

    def _report(self, problem: Problem | None, *, is_shown: bool = False) -> None:
        """Log a problem that is new, and its end. It is an issue unless `is_shown` by the guard, as what hangs is."""
        if problem == self._problem:
            return
        self._problem = problem
        self._optional.note(SOCKET_GROUP, () if problem is None or is_shown else (problem,))
        if problem is None:
            self._log_event(Level.INFO, "control.group_given", group=self._group)
        else:
            self._log_event(
                Level.WARNING, "control.group_refused", group=self._group, problem=problem.message, help=problem.help
            )
