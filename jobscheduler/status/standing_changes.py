"""Change how a job stands: by a record, by a line of the log of a former service, by another boot (pure)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from jobscheduler.model import Status
from jobscheduler.model.standing import LoggedResult, Standing, counts_as_result


def after_record(former: Standing, status: Status, reason: str | None, at: datetime, up: float) -> Standing:
    """Return how a job stands after a record; `up` is the uptime then."""
    if not counts_as_result(status, reason):
        return former
    if status is Status.SUCCESS:
        return _succeeded(former, up)
    if status is Status.FAILURE:
        return replace(former, failures=former.failures + 1, failed_since=former.failed_since or at)
    return replace(former, misses=former.misses + 1, missed_since=former.missed_since or at)


def _succeeded(former: Standing, up: float) -> Standing:
    """Return how a job stands after a success. An alert about it stays until the one about its recovery."""
    return Standing(
        alerted_at=former.alerted_at,
        counted_from=None if former.counted_from is None else up,
        held_at=None if former.held_at is None else up,
    )


def replayed(former: Standing, result: LoggedResult, up: float) -> Standing:
    """Return how a job stood after a line of the log that is not its removal.

    A failure has had its alert only if the log has a line of that: else the next one has it.
    """
    if result.word in set(Status):
        return after_record(former, Status(result.word), result.reason, result.at, up)
    if result.word == "job.overdue":
        return replace(former, overdue_since=result.at, alerted_at=up)
    if result.reason == "recovery":
        return replace(former, alerted_at=None)
    if result.reason == "test":
        return former
    return replace(former, alerted_at=up, is_failing=former.failures + former.misses > 0)


def moved(standing: Standing, seconds: float) -> Standing:
    """Return a standing whose times are later by so many seconds of the clock that is never set."""
    alerted, counted, held = (
        None if value is None else value + seconds
        for value in (standing.alerted_at, standing.counted_from, standing.held_at)
    )
    return replace(standing, alerted_at=alerted, counted_from=counted, held_at=held)
