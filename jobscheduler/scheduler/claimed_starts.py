"""Starts runs once their slots are claimed, where several services share the slots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from jobscheduler.runner import Run
from jobscheduler.scheduler.accounting import Claims
from jobscheduler.scheduler.run_actions import Claim, Effect


class ClaimedStarts:
    """Holds back what follows from a new run until its slot is claimed. A run that is refused has no effect at all.

    - `submit` dispatches a run whose turn has come, as soon as its slot is claimed.
    - `claim` asks for the slot of a new run, and performs effects when it is claimed; None where no run needs leave.

    Thread: any. Lock: its own, a leaf; that of the scheduler may be held for `claim`.
    """

    def __init__(
        self, claims: Claims | None, submit: Callable[[Run], object], refused: Callable[[Run], object]
    ) -> None:
        """`submit` dispatches a run at once; `refused` gets a run whose slot another service has."""
        self.submit: Callable[[Run], object] = submit if claims is None else self._submit_claimed
        self.claim: Claim | None = None if claims is None else partial(self._claim, claims)
        self._submit = submit
        self._refused = refused
        self._lock = threading.Lock()
        self._held: dict[Run, list[Effect]] = {}

    def _claim(self, claims: Claims, run: Run, effects: Iterable[Effect]) -> None:
        with self._lock:
            self._held[run] = list(effects)
        claims.claim(run, partial(self._answered, run))

    def _submit_claimed(self, run: Run) -> None:
        with self._lock:
            held = self._held.get(run)
            if held is not None:
                held.append(partial(self._submit, run))
                return
        self._submit(run)

    def forget(self) -> None:
        """Forget the runs that wait for an answer: this service decides no more, and they are cancelled."""
        with self._lock:
            self._held.clear()

    def _answered(self, run: Run, is_claimed: bool) -> None:
        with self._lock:
            held = self._held.pop(run, None)
        if held is None or run.is_cancelled:
            return
        if not is_claimed:
            self._refused(run)
            return
        for effect in held:
            effect()
