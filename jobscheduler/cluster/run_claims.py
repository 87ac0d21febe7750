"""The claims of runs and of records, with what corrects a wrong clock (pure)."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobscheduler.cluster.records import claim_of
from jobscheduler.cluster.slots import manual_slot, slot_text
from jobscheduler.cluster.values import Claim, Key
from jobscheduler.model import LogValue, Record
from jobscheduler.runner import Run
from jobscheduler.scheduler import CORRECTS
from jobscheduler.timetable.timetable import timetable_of

_LEAST_STEP = timedelta(seconds=1)  # from a slot to the next one, at least


def key_of_run(run: Run) -> Key:
    """Return the key of a run's row."""
    return run.job.id, manual_slot(run.run_id) if run.scheduled is None else slot_text(run.scheduled)


def claim_of_run(run: Run, queue: str) -> Claim:
    """Return what a run claims: its slot, or a row of its own if it is by hand."""
    extra, (job_id, slot) = dict(run.extra), key_of_run(run)
    corrects = CORRECTS[0] in run.extra
    later = timetable_of(run.job).next(run.scheduled) if corrects and run.scheduled is not None else None
    return Claim(
        job_id,
        slot,
        run.run_id,
        queue,
        corrects=str(CORRECTS[0][1]) if corrects else None,
        next_slot=None if later is None else slot_text(later),
        trigger=_text(extra.get("trigger")),
        by=_text(extra.get("by")),
    )


def claim_of_record(record: Record, run_id: str) -> Claim:
    """Return the claim of a record about what does not run. `run_id` names its row."""
    is_single = record.scheduled is not None and "last" not in dict(record.details)
    corrects = is_single and CORRECTS[0] in record.details
    return claim_of(record, run_id, _after(record.scheduled) if corrects else None)


def _after(slot: datetime | None) -> datetime | None:
    """Return where the rest of a range begins whose first slot is taken: later than that, not later than the next."""
    return None if slot is None else slot + _LEAST_STEP


def _text(value: LogValue | None) -> str | None:
    return None if value is None else str(value)
