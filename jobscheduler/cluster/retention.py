"""Remove what is older than it is kept, in small batches, without a slot ever running twice.

1. Only final rows go whose slot has passed long ago. A row of a slot to come stays, however old it is: its clock was
   ahead when it ran.
2. The highest slot that goes is noted in `js_job` first. Claims up to it are refused from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Executable, and_, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from jobscheduler.cluster.claims import check_leader
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.json_rows import Kind, UnfoldedRows
from jobscheduler.cluster.lease_rows import is_leader, leads
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import JOBS, LEASE, MANUAL, REQUESTS, RUNS
from jobscheduler.cluster.values import Key, State, Term

BATCH_SIZE = 500  # rows that one request removes

_MARK = {"job_id": Kind.WORD, "last_slot": Kind.WORD}
_KEY = {"job_id": Kind.WORD, "slot": Kind.WORD}


def remove_old_runs(dialect: str, term: Term, seconds: float, passed: str) -> Steps[int]:
    """Remove some rows that were final `seconds` ago; return their number, 0 if none is left.

    `passed` is the slot before which all are old enough.
    """
    is_final = and_(RUNS.c.state == State.FINAL.value, RUNS.c.recorded_at < from_now(-seconds))
    last = func.coalesce(RUNS.c.last_slot, RUNS.c.slot)
    is_over = or_(last < passed, RUNS.c.slot >= MANUAL)
    columns = select(RUNS.c.job_id, RUNS.c.slot, last).where(is_final, is_over)
    rows = yield columns.order_by(RUNS.c.recorded_at).limit(BATCH_SIZE)
    marks: dict[str, str] = {}
    for job_id, slot, last_slot in rows:
        if slot < MANUAL:
            marks[job_id] = max(marks.get(job_id, ""), last_slot)
    if marks:
        yield _insert_jobs(dialect, term, marks)
        yield _raise_marks(dialect, term, marks)
    if rows:
        yield _delete(dialect, term, [(job_id, slot) for job_id, slot, _ in rows])
        yield from check_leader(term)
    return len(rows)


def remove_old_requests(term: Term, seconds: float) -> Steps[None]:
    """Remove requests that were made `seconds` ago: no service waits for their answers."""
    yield delete(REQUESTS).where(REQUESTS.c.asked_at < from_now(-seconds), leads(term))


def _insert_jobs(dialect: str, term: Term, marks: dict[str, str]) -> Executable:
    """Return the statement that gives jobs without a row one."""
    rows = UnfoldedRows(dialect, _MARK, marks.items())
    source = select(rows["job_id"], rows["last_slot"]).join_from(LEASE, rows.table, literal(1) == literal(1))
    source = source.where(is_leader(term))
    names = ["job_id", "last_slot"]
    match dialect:
        case "mysql":
            return mysql.insert(JOBS).from_select(names, source).on_duplicate_key_update(job_id=JOBS.c.job_id)
        case "sqlite":
            return sqlite.insert(JOBS).from_select(names, source).on_conflict_do_nothing()
    return postgresql.insert(JOBS).from_select(names, source).on_conflict_do_nothing()


def _raise_marks(dialect: str, term: Term, marks: dict[str, str]) -> Executable:
    rows = UnfoldedRows(dialect, _MARK, marks.items())
    is_higher = JOBS.c.last_slot < rows["last_slot"]
    is_job = and_(JOBS.c.job_id == rows["job_id"], is_higher)
    return update(JOBS).where(is_job, leads(term)).values(last_slot=rows["last_slot"])


def _delete(dialect: str, term: Term, keys: Sequence[Key]) -> Executable:
    rows = UnfoldedRows(dialect, _KEY, keys)
    if dialect == "sqlite":  # it has no deletion with a second table
        is_row: ColumnElement[bool] = tuple_(RUNS.c.job_id, RUNS.c.slot).in_(select(rows["job_id"], rows["slot"]))
    else:
        is_row = and_(RUNS.c.job_id == rows["job_id"], RUNS.c.slot == rows["slot"])
    return delete(RUNS).where(RUNS.c.state == State.FINAL.value, is_row, leads(term))
