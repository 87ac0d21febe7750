"""Asks leave for runs that have a worker, where another service may have taken their slots meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jobscheduler.runner import Run
from jobscheduler.scheduler.accounting import Claims


class BeginRequests:
    """Has runs make their attempts when they may.

    `begin` has a run make its next attempt on its worker, at once or when it may.

    Thread: any. Lock: none; the steps on a set are atomic, and each run is asked for once.
    """

    def __init__(
        self, claims: Claims | None, hand_over: Callable[[Run], object], refused: Callable[[Run], object]
    ) -> None:
        """`hand_over` gives a run to its worker; `refused` gets a run that must not begin, after its worker is free."""
        self.begin: Callable[[Run], object] = hand_over if claims is None else self._ask_first
        self._claims = claims
        self._hand_over = hand_over
        self._refused = refused
        self._asked: set[Run] = set()

    def __contains__(self, run: object) -> bool:
        """Return whether a run waits for an answer."""
        return run in self._asked

    def _ask_first(self, run: Run) -> None:
        if self._claims is None:
            self._hand_over(run)
            return
        self._asked.add(run)
        self._claims.begin(run, partial(self._answered, run))

    def _answered(self, run: Run, may_begin: bool) -> None:
        try:
            self._asked.remove(run)
        except KeyError:  # the answer came twice
            return
        (self._hand_over if may_begin else self._refused)(run)

    def never_began(self, run: Run) -> None:
        """Note that a run was cancelled, or has ended, after it was allowed to begin."""
        if self._claims is not None:
            self._claims.give_back(run)
