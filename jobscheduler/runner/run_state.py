"""The states of a run, and the decisions about its end (pure)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from jobscheduler.model import LogFields, Retry
from jobscheduler.runner.attempt_result import AttemptResult


class Phase(Enum):
    """How far a run is."""

    WAITING = "waiting"  # for its first attempt
    RUNNING = "running"  # an attempt was announced and has not ended
    RETRYING = "retrying"  # the last attempt failed, and the next one is due later
    ENDED = "ended"  # it has its record
    CANCELLED = "cancelled"  # it never began, and gets no record


_OVER = (Phase.ENDED, Phase.CANCELLED)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """A failed attempt: attempt number `attempt` is due in `delay` seconds unless the run is stopped."""

    delay: float
    attempt: int


class RunState:
    """Decides about the attempts and the end of one run. It knows no clock, no thread and no log.

    A method that may end the run returns the result for its record, or None while there is no record to make.
    `attempts` counts the attempts announced, so it is also the number of the present attempt.

    Lock: held by the caller for every method that changes the state.
    """

    __slots__ = ("_is_last_attempt", "_retry", "_stopped_for", "attempts", "last_failure", "phase")

    def __init__(self, retry: Retry | None) -> None:
        self.phase = Phase.WAITING
        self.attempts = 0
        self.last_failure: AttemptResult | None = None
        self._retry = retry
        self._stopped_for: str | None = None
        self._is_last_attempt = False

    def begin_attempt(self) -> bool:
        """Begin the next attempt. Return False if the run has ended or was cancelled."""
        if self.phase in _OVER:
            return False
        self.phase = Phase.RUNNING
        self.attempts += 1
        return True

    def cancel(self) -> bool:
        """Cancel a run that has not begun. Return False if it has begun or has its record."""
        if self.phase in (Phase.WAITING, Phase.CANCELLED):
            self.phase = Phase.CANCELLED
            return True
        return False

    def stop(self, reason: str) -> AttemptResult | None:
        """End a run that waits, for this reason. A run with an attempt ends with that attempt."""
        if self.phase in _OVER:
            return None
        self._stopped_for = self._stopped_for or reason
        return None if self.phase is Phase.RUNNING else self._end(AttemptResult(reason))

    def end_attempts(self) -> AttemptResult | None:
        """Allow no further attempt. A run that waits for one ends with the result of its last attempt."""
        self._is_last_attempt = True
        if self.phase is not Phase.RETRYING or self.last_failure is None:
            return None
        return self._end(self._add_attempts_left(self.last_failure))

    def attempt_ended(
        self, attempt: int, result: AttemptResult, reason: str | None
    ) -> RetryAfter | AttemptResult | None:
        """Take the result of an attempt that was to stop for `reason`, if that is given.

        Return when to retry, or the result for the record. An attempt that was abandoned changes nothing.
        """
        if not self._is_present(attempt):
            return None
        reason = reason or (result.reason and (self._stopped_for or result.reason))
        if reason is None:
            return self._end(result)
        if reason != result.reason:
            result = replace(result, reason=reason)
        delay = self._delay()
        if delay is None:
            return self._end(self._add_attempts_left(result))
        self.phase = Phase.RETRYING
        self.last_failure = result
        return RetryAfter(delay, self.attempts + 1)

    def abandon(self, attempt: int, result: AttemptResult) -> AttemptResult | None:
        """End the run with this result instead of waiting for an attempt, unless that has ended."""
        return self._end(result) if self._is_present(attempt) else None

    def _is_present(self, attempt: int) -> bool:
        return self.phase is Phase.RUNNING and self.attempts == attempt

    def _delay(self) -> float | None:
        """Return the seconds until the attempt after a failed one, None if there is none."""
        if self._retry is None or self._stopped_for or self._is_last_attempt:
            return None
        return self._retry.delay_after(self.attempts)

    def _add_attempts_left(self, result: AttemptResult) -> AttemptResult:
        """Add the number of attempts that the definition allows but `end_attempts` took away."""
        allowed = self._retry.attempts if self._retry is not None else 0
        if not self._is_last_attempt or allowed <= self.attempts:
            return result
        left: LogFields = (("attempts_left", allowed - self.attempts),)
        return replace(result, details=(*left, *result.details))

    def _end(self, result: AttemptResult) -> AttemptResult:
        self.phase = Phase.ENDED
        return result
