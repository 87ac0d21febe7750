"""Builds the records of slots that do not run, and the log lines about pending and decided slots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from jobscheduler.model import Event, InFlightRun, Level, LogFields, LogValue, Pause, Record, Status
from jobscheduler.runner import STOPPED, Run, stopped_fields
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.pauses import Resumed
from jobscheduler.timetable.decision import PAUSED, MissedSlots
from jobscheduler.util.time_spans import spans_text

CORRECTS: LogFields = (("corrects", "clock"),)  # marks lines about a slot that a wrong clock had missed before
_MAX_SPANS_PER_LINE = 24  # spans in one value of a `job.decided` line


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


def missed_record(job_id: str, missed: MissedSlots, now: datetime) -> Record:
    """Return the one record of slots that will not run; those of a pause are skipped."""
    details: list[tuple[str, LogValue]] = []
    if missed.count > 1:
        details = [("last", missed.last), ("count", missed.count)]
    if missed.more:
        details.append(("more", True))
    if missed.corrects:
        details += CORRECTS
    status = Status.SKIPPED if missed.reason == PAUSED else Status.MISSED
    return Record(now, status, job_id, scheduled=missed.first, reason=missed.reason, details=tuple(details))


def skipped_record(job_id: str, slot: datetime | None, reason: str, now: datetime, extra: LogFields = ()) -> Record:
    """Return the record of a slot, or of a manual run, that is skipped."""
    return Record(now, Status.SKIPPED, job_id, scheduled=slot, reason=reason, details=extra)


def interrupted_record(run: InFlightRun, now: datetime, extra: LogFields = ()) -> Record:
    """Return the record of a run that a crash of the service interrupted, or prevented from beginning."""
    details: list[tuple[str, LogValue]] = [] if run.scheduled is not None else [("trigger", run.trigger)]
    details += [*([("by", run.trigger_note)] if run.trigger_note else []), *extra]
    status, reason = (Status.MISSED, "down") if run.started is None else (Status.FAILURE, "interrupted")
    return Record(
        now, status, run.job_id, run.run_id, run.scheduled, run.started, reason=reason, details=tuple(details)
    )


def stopped_record(run: Run, by: str, now: datetime) -> Record:
    """Return the record of a pending slot, or of a queued manual run, that a person has stopped."""
    run_id = run.run_id if run.scheduled is None else None
    details = stopped_fields(run.extra, by)
    return Record(now, Status.SKIPPED, run.job.id, run_id, run.scheduled, reason=STOPPED, details=details)


def cancelled_record(run: Run, reason: str, now: datetime) -> Record:
    """Return the record of a pending slot, or of a queued manual run, that will not run."""
    run_id = run.run_id if run.scheduled is None else None
    return Record(now, Status.MISSED, run.job.id, run_id, scheduled=run.scheduled, reason=reason, details=run.extra)
