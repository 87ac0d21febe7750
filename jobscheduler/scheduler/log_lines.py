"""Builds the log lines that a start reads back besides records: pending and decided slots, pauses, manual runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from jobscheduler.model import Event, Level, LogFields, LogValue, Pause
from jobscheduler.runner import Run
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.pauses import Resumed
from jobscheduler.util.time_spans import spans_text

_MAX_SPANS_PER_LINE = 24  # spans in one value of a `job.decided` line


def requested_event(run: Run, now: datetime) -> Event:
    """Return the line about a manual run, which may wait for its turn when the service crashes."""
    return Event(now, Level.INFO, "run.requested", (("job_id", run.job.id), ("run_id", run.run_id), *run.extra))


def pending_event(
    job_id: str, slot: datetime, now: datetime, starts: datetime | None = None, extra: LogFields = ()
) -> Event:
    """Return the line about a slot that is due and has not begun; `starts` is given while it is not decided yet."""
    later = () if starts is None else (("starts", starts),)
    return Event(now, Level.INFO, "slot.waits", (("job_id", job_id), ("scheduled", slot), *later, *extra))


def decided_events(job_id: str, ahead: ClockSetbackState, now: datetime) -> Iterator[Event]:
    """Return lines about a job's future slots: `decided` ones, and `reopened` ones that only a wrong clock missed.

    The spans are spread over several lines, because the length of a line is limited. Each line but the first has a
    `part` number.
    """
    for start in range(0, max(len(ahead.decided), len(ahead.reopened)), _MAX_SPANS_PER_LINE):
        fields = {
            "decided": spans_text(ahead.decided[start : start + _MAX_SPANS_PER_LINE]),
            "reopened": spans_text(ahead.reopened[start : start + _MAX_SPANS_PER_LINE]),
            "part": start // _MAX_SPANS_PER_LINE + 1 if start else None,
        }
        values = ((key, value) for key, value in fields.items() if value)
        yield Event(now, Level.INFO, "job.decided", (("job_id", job_id), *values))


def paused_event(pause: Pause, now: datetime, *, again: bool = False) -> Event:
    """Return the line about a pause that begins, or that the clock was set back into (`again`)."""
    values = {"until": pause.until, "reason": pause.reason or None, "by": pause.by or None}
    cause = "clock" if again else None
    return Event.of(now, Level.INFO, "job.paused", **_whose(pause), **values, cause=cause)


def resumed_event(change: Resumed, now: datetime) -> Event:
    """Return the line about a pause that ends, or about jobs that are exempt from one.

    Those jobs are in `except`; with `until` its time was over.
    """
    pause, exempt = change.pause, change.exempt
    values: dict[str, LogValue | None] = {**_whose(pause)}
    if exempt is not None:
        values = {"job_id": exempt.job_id, **values, "except": exempt.text}
    end = pause.until if change.by is None else None
    return Event.of(now, Level.INFO, "job.resumed", **values, until=end, by=change.by or None)


def _whose(pause: Pause) -> dict[str, LogValue]:
    """Return the pairs that tell which jobs a pause is of: `job_id` for one job by its id, else `jobs`."""
    key = "jobs" if pause.selector.job_id is None else "job_id"
    return {key: pause.selector.text, "pause": pause.id}
