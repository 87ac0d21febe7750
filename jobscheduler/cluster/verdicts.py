"""The statements by which the leader decides what becomes of a row. Each of them checks the lease.

Two leaders may decide about the same row in the moment of a change. The state of the row lets the first one stand.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, select, update

from jobscheduler.cluster.attempts import lost_values
from jobscheduler.cluster.claims import check_leader
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.json_rows import Kind, UnfoldedRows
from jobscheduler.cluster.lease_rows import leads
from jobscheduler.cluster.row_states import is_in
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import WORKER_LOST, AccountRow, Key, State, Term, Verdict

_KEY = {"job_id": Kind.WORD, "slot": Kind.WORD, "attempt": Kind.NUMBER}
_VERDICT = {**_KEY, "status": Kind.WORD, "reason": Kind.WORD, "by": Kind.TEXT}
_AGAIN = {**_KEY, "wait_ms": Kind.NUMBER}
_STOP = {**_KEY, "why": Kind.WORD, "by": Kind.TEXT}

_UNFINISHED = [state.value for state in State if state is not State.FINAL]

_COLUMNS = (
    RUNS.c.job_id,
    RUNS.c.slot,
    RUNS.c.run_id,
    RUNS.c.state,
    RUNS.c.attempt,
    RUNS.c.term,
    RUNS.c.status,
    RUNS.c.reason,
    RUNS.c.last_slot,
    RUNS.c.slots,
    RUNS.c.corrects,
    RUNS.c.queue,
    RUNS.c.node,
    RUNS.c.instance,
    RUNS.c.begun_by,
    RUNS.c.trigger,
    RUNS.c.by,
    RUNS.c.stop,
    RUNS.c.definition,
    RUNS.c.started_at,
)


def judge(term: Term, silent: float) -> Steps[None]:
    """End the attempts whose worker has been silent for so many seconds."""
    is_silent = and_(RUNS.c.state == State.RUNNING.value, RUNS.c.beat_at < from_now(-silent))
    yield update(RUNS).where(is_silent, leads(term)).values(lost_values(WORKER_LOST))


def again(dialect: str, term: Term, rows: Sequence[tuple[AccountRow, float]]) -> Steps[frozenset[Key]]:
    """Queue a further attempt of runs whose last one has ended, each after a wait in seconds; return those keys.

    A run that is to be stopped has no further attempt.
    """
    unfolded = UnfoldedRows(
        dialect, _AGAIN, ([row.job_id, row.slot, row.attempt, round(wait * 1000)] for row, wait in rows)
    )
    cleared = dict.fromkeys(("status", "reason", "exit_code", "duration", "details", "output", "begun_by", "instance"))
    values = {"state": State.QUEUED.value, "attempt": RUNS.c.attempt + 1, "ended_at": None, "beat_at": None}
    values |= {"not_before": from_now(unfolded["wait_ms"] / 1000.0)}
    is_ended = and_(_is_attempt(unfolded), is_in(State.ENDED), RUNS.c.stop.is_(None))
    yield update(RUNS).where(is_ended, leads(term)).values(values | cleared)
    keys = UnfoldedRows(dialect, _KEY, ([row.job_id, row.slot, row.attempt + 1] for row, _ in rows))
    found = yield select(RUNS.c.job_id, RUNS.c.slot).join_from(keys.table, RUNS, _is_attempt(keys))
    return frozenset((job_id, slot) for job_id, slot in found)


def record(dialect: str, term: Term, rows: Sequence[AccountRow]) -> Steps[frozenset[Key]]:
    """Make the outcome of runs that have ended final, and empty their definitions; return the keys that are final."""
    keys = UnfoldedRows(dialect, _KEY, ([row.job_id, row.slot, row.attempt] for row in rows))
    is_ended = and_(_is_attempt(keys), is_in(State.ENDED))
    values = {"state": State.FINAL.value, "recorded_at": from_now(), "definition": None}
    yield update(RUNS).where(is_ended, leads(term)).values(values)
    return (yield from _final(dialect, term, rows))


def withdraw(dialect: str, term: Term, verdicts: Sequence[tuple[AccountRow, Verdict]]) -> Steps[frozenset[Key]]:
    """Give runs that have not begun a final status; return the keys that are final. Others have begun meanwhile."""
    unfolded = UnfoldedRows(
        dialect, _VERDICT, ([*_key(row), verdict.status, verdict.reason, verdict.by] for row, verdict in verdicts)
    )
    columns = {
        "status": unfolded["status"],
        "reason": unfolded["reason"],
        "by": func.coalesce(unfolded["by"], RUNS.c.by),
    }
    values = {"state": State.FINAL.value, "ended_at": from_now(), "recorded_at": from_now(), "definition": None}
    is_queued = and_(_is_attempt(unfolded), is_in(State.QUEUED))
    yield update(RUNS).where(is_queued, leads(term)).values(columns | values)
    return (yield from _final(dialect, term, [row for row, _ in verdicts]))


def stop(dialect: str, term: Term, rows: Sequence[AccountRow], why: str, by: str) -> Steps[None]:
    """Ask the workers of runs to end them; each learns it with its next beat. The first reason stands."""
    unfolded = UnfoldedRows(dialect, _STOP, ([*_key(row), why, by] for row in rows))
    may_stop = and_(_is_attempt(unfolded), is_in(State.RUNNING), RUNS.c.stop.is_(None))
    yield update(RUNS).where(may_stop, leads(term)).values(stop=unfolded["why"], stop_by=unfolded["by"])


def stop_run(term: Term, job_id: str, run_id: str, why: str, by: str) -> Steps[None]:
    """Ask the worker of one run to end it, as `stop` does."""
    is_run = and_(RUNS.c.job_id == job_id, RUNS.c.run_id == run_id, RUNS.c.state == State.RUNNING.value)
    yield update(RUNS).where(is_run, RUNS.c.stop.is_(None), leads(term)).values(stop=why, stop_by=by)


def unfinished() -> Steps[list[AccountRow]]:
    """Return all rows that are not final, with their definitions: what a new leader takes over."""
    rows = yield select(*_COLUMNS).where(RUNS.c.state.in_(_UNFINISHED))
    return [_row(*row) for row in rows]


def rows_of(job_id: str) -> Steps[list[AccountRow]]:
    """Return all rows of a job in the order of their slots."""
    rows = yield select(*_COLUMNS).where(RUNS.c.job_id == job_id).order_by(RUNS.c.slot)
    return [_row(*row) for row in rows]


def _row(job_id: str, slot: str, run_id: str, state: str, *rest: object) -> AccountRow:
    return AccountRow(job_id, slot, run_id, State(state), *rest)  # type: ignore[arg-type]


def _key(row: AccountRow) -> tuple[str, str, int]:
    return row.job_id, row.slot, row.attempt


def _is_attempt(rows: UnfoldedRows) -> ColumnElement[bool]:
    is_slot = and_(RUNS.c.job_id == rows["job_id"], RUNS.c.slot == rows["slot"])
    return and_(is_slot, RUNS.c.attempt == rows["attempt"])


def _final(dialect: str, term: Term, rows: Sequence[AccountRow]) -> Steps[frozenset[Key]]:
    """Return which of these rows are final.

    Raises:
        Fenced: some are not, and the lease is no longer of this term.

    """
    keys = UnfoldedRows(dialect, _KEY, (_key(row) for row in rows))
    is_final = and_(_is_attempt(keys), is_in(State.FINAL))
    found = yield select(RUNS.c.job_id, RUNS.c.slot).join_from(keys.table, RUNS, is_final)
    if len(found) < len(rows):
        yield from check_leader(term)
    return frozenset((job_id, slot) for job_id, slot in found)
