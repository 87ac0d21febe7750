"""What a new leader finds in the account: the same value that a start recovers from the log, and what is not final.

1. The last checkpoint says up to which instant the former leader had every slot decided: it was written when those had
   their rows. Without one the lease says it. Rows of later slots are decided as well.
2. A run that is queued for its first attempt is a pending slot: whether it still runs is decided as after an outage.
3. A run at work elsewhere is decided. It is not interrupted: its worker may live, and is judged by its beats.
4. A run by hand that has not begun is missed, as after a crash of one host: its person has had no answer from it.
5. What the account has is complete, so no slot is unknown because of a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, or_, select

from jobscheduler.cluster import lease_rows, verdicts
from jobscheduler.cluster.job_state import JobState
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.slots import slot_instant, slot_text
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import JOBS, MANUAL, RUNS
from jobscheduler.cluster.values import AccountRow, State
from jobscheduler.model import EPOCH, Checkpoint, InFlightRun, PendingSlot, RecoveredState, Status
from jobscheduler.model.standing import LoggedResult

DecidedSpan = tuple[str, datetime, datetime]  # a job id, the first and the last slot, both inclusive


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a new leader takes over. `unfinished` are all rows that are not final; `decided` spans after `settled`."""

    settled: datetime
    unfinished: tuple[AccountRow, ...]
    decided: tuple[DecidedSpan, ...]


def read_takeover(last: Checkpoint | None = None) -> Steps[Takeover | None]:
    """Read what a new leader takes over; None if no leader has ever decided a slot. `last` is the last checkpoint.

    Call it with the lease held: then no row of a former leader is added afterwards.
    """
    settled = (yield from _settled_by_lease()) if last is None else last.settled
    if last is not None and settled is not None:
        settled = min([settled, *(cursor for _, cursor in last.lagging)])
    if settled is None:
        return None
    unfinished = yield from verdicts.unfinished()
    decided = yield from _decided_since(settled)
    return Takeover(settled, tuple(unfinished), tuple(decided))


def last_decided(job_id: str, after: datetime) -> Steps[datetime | None]:
    """Return the latest decided slot of a job that is later than an instant, None if there is none."""
    last = func.max(func.coalesce(RUNS.c.last_slot, RUNS.c.slot))
    ((kept,),) = yield select(last).where(RUNS.c.job_id == job_id, RUNS.c.slot < MANUAL)
    gone = yield select(JOBS.c.last_slot).where(JOBS.c.job_id == job_id)
    slots = [slot_instant(text) for text in (kept, *(mark for (mark,) in gone)) if text is not None]
    return max((slot for slot in slots if slot is not None and slot > after), default=None)


def results_since(
    at: datetime | None, changes: Iterable[tuple[datetime, LoggedResult]] = ()
) -> Steps[list[LoggedResult]]:
    """Return the results that are final since an instant of the database, in their order: none if that is None.

    `changes` are events of the same time, such as alerts, each with when it was written. Its record was final before.
    """
    if at is None:
        return []
    columns = (RUNS.c.job_id, RUNS.c.status, RUNS.c.ended_at, RUNS.c.reason, RUNS.c.recorded_at)
    is_later = RUNS.c.recorded_at >= at
    rows = yield select(*columns).where(is_later, RUNS.c.status != Status.SKIPPED.value).order_by(RUNS.c.recorded_at)
    results = [(final, LoggedResult(job_id, word, ended or at, reason)) for job_id, word, ended, reason, final in rows]
    return [result for _, result in sorted([*results, *changes], key=lambda one: one[0])]


def recovered_state(
    takeover: Takeover,
    jobs: JobState,
    last_decided_slot: Callable[[str, datetime], datetime | None],
    results: Sequence[LoggedResult] = (),
    *,
    knows_boot: bool = True,
) -> RecoveredState:
    """Return what the log of one host would say of the same past. `jobs` is how the jobs stand that were active.

    `results` are those since the last checkpoint. `knows_boot`: `@reboot` was decided for this boot of the host.
    """
    unfinished, last = takeover.unfinished, jobs.last
    pending = tuple(_pending(unfinished))
    waiting = set(pending)
    decided = [span for span in takeover.decided if span[:2] not in waiting]
    return RecoveredState(
        _checkpoint(takeover, jobs, pending, decided),
        takeover.settled if last is None else max(takeover.settled, last.last_line_at),
        clean_stop=True,
        in_flight=tuple(_run(row) for row in unfinished if row.state is State.QUEUED and _is_manual(row)),
        pending=pending,
        recorded=_by_job(decided),
        last_decided_slot=last_decided_slot,
        full=jobs.full,
        checkpoint_written_at=None if last is None else last.checkpoint_written_at,
        results=tuple(results),
        at_work=tuple(_run(row) for row in unfinished if row.state is State.RUNNING),
        is_shared=True,
        knows_boot=knows_boot,
    )


def _checkpoint(
    takeover: Takeover, jobs: JobState, pending: tuple[PendingSlot, ...], decided: Sequence[DecidedSpan]
) -> Checkpoint:
    """Return the checkpoint that the former leader would have written at its end."""
    last = Checkpoint(takeover.settled) if jobs.last is None else jobs.last.checkpoint
    return Checkpoint(
        takeover.settled,
        last.boot,
        pending=pending,
        lagging=last.lagging,
        corrects=tuple(slot for row in takeover.unfinished if row.corrects and (slot := _slot(row))),
        clock_ahead=max([takeover.settled, *(end for _, _, end in decided)]),
        uptime=last.uptime,
        full=jobs.full,
    )


def _by_job(spans: Iterable[DecidedSpan]) -> dict[str, tuple[tuple[datetime, datetime], ...]]:
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for job_id, first, last in spans:
        found.setdefault(job_id, []).append((first, last))
    return {job_id: tuple(of_job) for job_id, of_job in found.items()}


def _is_manual(row: AccountRow) -> bool:
    return row.slot.startswith(MANUAL)


def _run(row: AccountRow) -> InFlightRun:
    started = (row.started_at or EPOCH) if row.state is State.RUNNING else None
    trigger = row.by or "", row.trigger or "manual"
    return InFlightRun(row.job_id, row.run_id, slot_instant(row.slot), started, *trigger)


def _pending(rows: Sequence[AccountRow]) -> list[PendingSlot]:
    """Return the slots that are decided and have not begun. A run by hand, or a further attempt, is none of them."""
    queued = (row for row in rows if row.state is State.QUEUED and row.attempt == 1)
    return [slot for row in queued if (slot := _slot(row)) is not None]


def _slot(row: AccountRow) -> PendingSlot | None:
    at = slot_instant(row.slot)
    return None if at is None else (row.job_id, at)


def _settled_by_lease() -> Steps[datetime | None]:
    lease: LeaseRow = yield from lease_rows.look()
    return slot_instant(lease.settled) if lease.settled else (yield from _latest_slot())


def _latest_slot() -> Steps[datetime | None]:
    """Return the latest slot that has a row: a leader that ended before its first renewal has left it."""
    ((text,),) = yield select(func.max(RUNS.c.slot)).where(RUNS.c.slot < MANUAL)
    return None if text is None else slot_instant(text)


def _decided_since(settled: datetime) -> Steps[list[DecidedSpan]]:
    """Return the spans of all rows with slots after an instant. Within a second texts do not sort as instants do."""
    last = func.coalesce(RUNS.c.last_slot, RUNS.c.slot)
    floor = slot_text(settled.astimezone(UTC).replace(microsecond=0) - timedelta(seconds=1))
    is_later = or_(RUNS.c.slot > floor, RUNS.c.last_slot > floor)
    rows = yield select(RUNS.c.job_id, RUNS.c.slot, last).where(is_later, RUNS.c.slot < MANUAL)
    spans = [(job_id, slot_instant(first), slot_instant(end)) for job_id, first, end in rows]
    return [(job_id, first, end) for job_id, first, end in spans if first and end and end > settled]
