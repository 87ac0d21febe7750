"""The statements by which a run takes the place of the record that only a wrong clock had missed its slot.

That record may be a row of its own, or the first slot of a range. Of a range the rest becomes a row first, then the
former row becomes that of the run. After a crash between the two both say the same of the rest, and the next try
completes it. A slot amid a range needs none of this: the range lets it in.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select, update

from jobscheduler.cluster.claims import claim, insert_rows
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.lease_rows import leads
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import CLOCK, Claim, ClaimResult, State, Term

MISSED = "MISSED"  # the status of a slot that did not run


def correct(dialect: str, term: Term, claim_: Claim) -> Steps[ClaimResult]:
    """Claim a slot that a wrong clock may have missed; return what became of it.

    Raises:
        Fenced: the lease is no longer of this term.

    """
    missed = yield select(RUNS.c.run_id, RUNS.c.last_slot, RUNS.c.slots).where(*_is_missed(claim_))
    if missed:
        run_id, last_slot, slots = missed[0]
        if last_slot is not None and claim_.next_slot is not None and claim_.next_slot <= last_slot:
            yield insert_rows(dialect, term, [_rest(claim_, last_slot, slots)], within=run_id)
        yield _take_the_row(term, claim_)
    (won,) = yield from claim(dialect, term, [claim_])
    return won


def _is_missed(claim_: Claim) -> tuple[Any, ...]:
    is_clock = and_(RUNS.c.state == State.FINAL.value, RUNS.c.status == MISSED, RUNS.c.reason == CLOCK)
    return RUNS.c.job_id == claim_.job_id, RUNS.c.slot == claim_.slot, is_clock


def _rest(claim_: Claim, last_slot: str, slots: int) -> Claim:
    """Return the range without its first slot. Its run id is derived: a second try writes the same row."""
    assert claim_.next_slot is not None  # noqa: S101 - asked by the caller
    last = last_slot if claim_.next_slot < last_slot else None
    return Claim(
        claim_.job_id,
        claim_.next_slot,
        f"{claim_.run_id}r",
        status=MISSED,
        reason=CLOCK,
        last_slot=last,
        slots=slots - 1,
    )


def _take_the_row(term: Term, claim_: Claim) -> Any:
    """Return the statement that makes the row of the missed slot that of the claim."""
    is_final = claim_.status is not None
    final_at = from_now() if is_final else None
    values = {
        "run_id": claim_.run_id,
        "state": (State.FINAL if is_final else State.QUEUED).value,
        "status": claim_.status,
        "reason": claim_.reason,
        "last_slot": None,
        "range_of": None,
        "slots": 1,
        "corrects": CLOCK,
        "attempt": 0 if is_final else 1,
        "term": term.number,
        "queue": claim_.queue,
        "definition": claim_.definition or None,
        "trigger": claim_.trigger,
        "by": claim_.by,
        "details": claim_.details,
        "queued_at": from_now(),
        "ended_at": final_at,
        "recorded_at": final_at,
    }
    return update(RUNS).where(*_is_missed(claim_), leads(term)).values(values)
