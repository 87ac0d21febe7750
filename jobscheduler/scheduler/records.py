"""Builds the records of slots that do not run."""

from __future__ import annotations

from datetime import datetime

from jobscheduler.model import InFlightRun, LogFields, LogValue, Record, Status
from jobscheduler.runner import STOPPED, Run, stopped_fields
from jobscheduler.timetable.decision import PAUSED, MissedSlots

CORRECTS: LogFields = (("corrects", "clock"),)  # marks lines about a slot that a wrong clock had missed before


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
