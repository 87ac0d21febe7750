"""The way of a run to its start: submitted, announced in the log, ready."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from jobscheduler.model import Record
from jobscheduler.runner.run import Attempt, Run
from jobscheduler.runner.run_reporter import LOG_WAIT_S, RunReporter


class _Batch:
    """Attempts announced together. At `due` (monotonic seconds) they begin even if the log is late."""

    __slots__ = ("attempts", "due", "may_begin")

    def __init__(self, attempts: list[Attempt], due: float) -> None:
        self.attempts = attempts
        self.due = due
        self.may_begin = False


class StartQueue:
    """Keeps runs until the log has the lines of their attempts.

    `call_soon` calls a function on the thread that owns the loop. `on_end` gets a run that had ended before its start.

    Thread: `submit` and `take_back` may be called from any thread, all else by the owner of the loop.
    Invariant: a submitted run is in `_submitted`, in a batch or in `_ready` until the owner starts it or reports it.
    """

    def __init__(
        self,
        log: RunReporter,
        call_soon: Callable[[Callable[[], None]], None],
        on_end: Callable[[Run, Record | None], object],
    ) -> None:
        self._log = log
        self._call_soon = call_soon
        self._on_end = on_end
        self._submitted: deque[Run] = deque()
        self._awaiting_log: deque[_Batch] = deque()
        self._ready: deque[Attempt] = deque()

    def submit(self, run: Run) -> None:
        """Add a run whose next attempt is to be made."""
        self._submitted.append(run)

    def take_back(self, run: Run) -> None:
        """Remove a submitted run. Raises: `ValueError` if the owner has taken it."""
        self._submitted.remove(run)

    def has_work(self) -> bool:
        """Return whether there is work to do without waiting."""
        return bool(self._submitted or self._ready)

    def is_idle(self) -> bool:
        """Return whether no attempt is on its way."""
        waits = any(not batch.may_begin for batch in self._awaiting_log)
        return not (waits or self._submitted or self._ready)

    def pop_ready(self) -> Attempt | None:
        """Return the next attempt that may begin."""
        return self._ready.popleft() if self._ready else None

    def resume(self, attempt: Attempt) -> None:
        """Let an attempt start that had to be prepared first."""
        self._ready.append(attempt)

    def announce_submitted(self) -> None:
        """Make and announce the attempts of submitted runs. A run that has ended meanwhile is reported at once."""
        attempts = []
        while self._submitted:
            run = self._submitted.popleft()
            attempt = run.next_attempt()
            if attempt is None:
                self._on_end(run, run.record)
            else:
                attempts.append(attempt)
        if attempts:
            batch = _Batch(attempts, time.monotonic() + LOG_WAIT_S)
            self._awaiting_log.append(batch)
            events = [attempt.event() for attempt in attempts]
            self._log.log_then(events, partial(self._call_soon, partial(self._allow_start, batch)))

    def _allow_start(self, batch: _Batch) -> None:
        if not batch.may_begin:
            batch.may_begin = True
            self._ready += batch.attempts

    def next_due(self) -> float | None:
        """Return when attempts begin even if the log is late (monotonic seconds); None if none waits for the log."""
        while self._awaiting_log and self._awaiting_log[0].may_begin:
            self._awaiting_log.popleft()
        return self._awaiting_log[0].due if self._awaiting_log else None

    def begin_late(self, now: float) -> None:
        """Let the attempts begin that have waited long enough for the log."""
        while self._awaiting_log and (self._awaiting_log[0].may_begin or self._awaiting_log[0].due <= now):
            batch = self._awaiting_log.popleft()
            if not batch.may_begin:
                self._log.warn_behind()
                self._allow_start(batch)
