"""The statements by which a leader writes slots into the account: each slot gets one row, however often it is tried.

1. One statement inserts a batch. It reads the lease, and so inserts nothing for a term that is over. It locks the row
   of the lease while it lasts: a new leader begins after it, and sees its rows.
2. The primary key lets the first row of a slot stand. A slot in a range of missed slots is refused, and one that is
   older than what is kept. What corrects a wrong clock may stand in a range that the clock missed.
3. What was won is read back by key and run id, never taken from a count: drivers count a row that was not inserted.
4. A slot that a former leader has claimed and that has not begun is queued. A new claim adopts its row, with the run
   and the term of its own: the former run no longer begins. A final status takes the row of this term, too, because
   this leader has cancelled its run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, Select, and_, case, func, literal, not_, null, or_, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.json_rows import Kind, UnfoldedRows
from jobscheduler.cluster.lease_rows import is_leader, leads
from jobscheduler.cluster.row_states import is_in
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import JOBS, LEASE, RUNS
from jobscheduler.cluster.values import CLOCK, Claim, ClaimResult, Fenced, Key, State, Term

MAX_ROWS = 1000  # claims in one statement

MAX_CHARS = 2_000_000  # of definitions in one statement; servers take 16 MB by default

_BATCH = {  # the columns of a batch, in the order of `_values`
    "job_id": Kind.WORD,
    "slot": Kind.WORD,
    "run_id": Kind.WORD,
    "queue": Kind.WORD,
    "definition": Kind.TEXT,
    "status": Kind.WORD,
    "reason": Kind.WORD,
    "last_slot": Kind.WORD,
    "slots": Kind.NUMBER,
    "corrects": Kind.WORD,
    "trigger": Kind.WORD,
    "by": Kind.TEXT,
    "details": Kind.TEXT,
    "wait_ms": Kind.NUMBER,
    "within": Kind.WORD,  # the run id of a range that does not count
}
_ADOPTED = {name: kind for name, kind in _BATCH.items() if name not in {"wait_ms", "within"}}
_KEY = {"job_id": Kind.WORD, "slot": Kind.WORD}
_RUN_ID = {"run_id": Kind.WORD}


class FoundRow(NamedTuple):
    """What the row of a claimed slot says when it is read back."""

    run_id: str
    state: str
    term: int

    def is_of(self, claim_: Claim) -> bool:
        """Return whether it is the row that a claim wanted."""
        is_done = claim_.status is None or self.state == State.FINAL.value
        return self.run_id == claim_.run_id and is_done

    def is_open_to(self, claim_: Claim, term: Term) -> bool:
        """Return whether a claim of this term may adopt it."""
        is_former = self.term < term.number or (claim_.status is not None and self.term == term.number)
        return self.state == State.QUEUED.value and is_former


def claim(dialect: str, term: Term, claims: Sequence[Claim]) -> Steps[list[ClaimResult]]:
    """Write a batch of slots; return what became of each, in their order.

    Raises:
        Fenced: the lease is no longer of this term, and a row that is not there was not written.

    """
    yield insert_rows(dialect, term, claims)
    found = yield from read_back(dialect, claims)
    open_ = [one for one in claims if one.key in found and found[one.key].is_open_to(one, term)]
    if open_:
        yield _adopt(dialect, term, open_)
        found |= yield from read_back(dialect, open_)
        if not all(found[one.key].is_of(one) for one in open_):
            yield from check_leader(term)
    lost = [claim_ for claim_ in claims if claim_.key not in found]
    clashing: frozenset[str] = frozenset()
    if lost:
        yield from check_leader(term)
        rows = UnfoldedRows(dialect, _RUN_ID, ([claim_.run_id] for claim_ in lost))
        same = yield select(RUNS.c.run_id).join_from(rows.table, RUNS, RUNS.c.run_id == rows["run_id"])
        clashing = frozenset(run_id for (run_id,) in same)
    return [_fate(claim_, found.get(claim_.key), clashing) for claim_ in claims]


def check_leader(term: Term) -> Steps[None]:
    """Check that the lease is of this term.

    Raises:
        Fenced: it is not.

    """
    leading = yield select(LEASE.c.term).where(is_leader(term))
    if not leading:
        raise Fenced(term)


def read_back(dialect: str, claims: Sequence[Claim]) -> Steps[dict[Key, FoundRow]]:
    """Return each row that these claims could have written."""
    rows = UnfoldedRows(dialect, _KEY, (claim_.key for claim_ in claims))
    is_same = and_(RUNS.c.job_id == rows["job_id"], RUNS.c.slot == rows["slot"])
    columns = (RUNS.c.job_id, RUNS.c.slot, RUNS.c.run_id, RUNS.c.state, RUNS.c.term)
    found = yield select(*columns).join_from(rows.table, RUNS, is_same)
    return {(job_id, slot): FoundRow(*rest) for job_id, slot, *rest in found}


def batches(claims: Sequence[Claim]) -> list[list[Claim]]:
    """Split claims into batches that a server takes."""
    made: list[list[Claim]] = []
    size = 0
    for claim_ in claims:
        size += len(claim_.definition)
        if not made or len(made[-1]) >= MAX_ROWS or size > MAX_CHARS:
            made.append([])
            size = len(claim_.definition)
        made[-1].append(claim_)
    return made


def insert_rows(dialect: str, term: Term, claims: Sequence[Claim], within: str | None = None) -> Executable:
    """Return the statement that inserts what may be inserted. `within` is the run id of a range that does not count."""
    rows = UnfoldedRows(dialect, _BATCH, (_values(claim_, within) for claim_ in claims))
    columns = _columns(rows)
    source = select(*columns.values()).join_from(LEASE, rows.table, literal(1) == literal(1))
    source = source.where(is_leader(term), not_(_is_covered(rows)), not_(_is_too_old(rows)))
    if dialect == "postgresql":
        source = source.with_for_update(read=True, of=LEASE)
    else:  # MariaDB cannot say which table; nothing else is locked here
        source = source.with_for_update(read=True)
    return _insertion(dialect, list(columns), source)


def _insertion(dialect: str, names: list[str], source: Select[Any]) -> Executable:
    """Return the insertion that leaves existing rows alone; `INSERT IGNORE` would hide every other fault, too."""
    match dialect:
        case "mysql":
            insertion = mysql.insert(RUNS).from_select(names, source)
            return insertion.on_duplicate_key_update(job_id=RUNS.c.job_id)
        case "sqlite":
            return sqlite.insert(RUNS).from_select(names, source).on_conflict_do_nothing()
    return postgresql.insert(RUNS).from_select(names, source).on_conflict_do_nothing()


def _adopt(dialect: str, term: Term, claims: Sequence[Claim]) -> Executable:
    """Return the statement that makes queued rows those of these claims."""
    values = ([*_values(claim_, None)[: len(_ADOPTED)]] for claim_ in claims)
    rows = UnfoldedRows(dialect, _ADOPTED, values)
    is_final = rows["status"].is_not(None)
    is_former = or_(RUNS.c.term < term.number, and_(is_final, RUNS.c.term == term.number))
    is_slot = and_(RUNS.c.job_id == rows["job_id"], RUNS.c.slot == rows["slot"])
    is_open = and_(is_slot, is_in(State.QUEUED), RUNS.c.attempt == 1, is_former)
    taken = {name: rows[name] for name in ("run_id", "queue", "status", "reason", "last_slot", "slots", "details")}
    kept = {name: func.coalesce(rows[name], RUNS.c[name]) for name in ("trigger", "by", "corrects")}
    definition = case((is_final, null()), else_=rows["definition"])
    anew = {"term": literal(term.number), "definition": definition, "not_before": None, **_state_columns(rows)}
    return update(RUNS).where(is_open, leads(term)).values(taken | kept | anew)


def _columns(rows: UnfoldedRows) -> dict[str, ColumnElement[Any]]:
    """Return the columns of a new row."""
    plain = {name: rows[name] for name in _BATCH if name not in {"wait_ms", "within"}}
    new = {"term": LEASE.c.term, "not_before": from_now(rows["wait_ms"] / 1000.0)}
    return plain | new | _state_columns(rows)


def _state_columns(rows: UnfoldedRows) -> dict[str, ColumnElement[Any]]:
    """Return the columns that say whether a row is queued from now on or final, and whether it is a range."""
    is_final = rows["status"].is_not(None)
    final_at = case((is_final, from_now()), else_=null())
    return {
        "range_of": case((rows["last_slot"].is_not(None), rows["job_id"]), else_=null()),
        "state": case((is_final, literal(State.FINAL.value)), else_=literal(State.QUEUED.value)),
        "attempt": case((is_final, literal(0)), else_=literal(1)),
        "queued_at": from_now(),
        "ended_at": final_at,
        "recorded_at": final_at,
    }


def _values(claim_: Claim, within: str | None) -> list[Any]:
    wait_ms = None if claim_.wait is None else round(claim_.wait * 1000)
    plain = {name: getattr(claim_, name) for name in _BATCH if name not in {"wait_ms", "within"}}
    plain["definition"] = claim_.definition or None
    return [*plain.values(), wait_ms, within]


def _is_covered(rows: UnfoldedRows) -> ColumnElement[bool]:
    """Return whether a range of missed slots has the slot, or one of the slots, of a row of the batch."""
    ranges = RUNS.alias("ranges")
    last = func.coalesce(rows["last_slot"], rows["slot"])
    overlaps = and_(ranges.c.range_of == rows["job_id"], ranges.c.last_slot >= rows["slot"], ranges.c.slot <= last)
    counts = or_(rows["corrects"].is_(None), ranges.c.reason != CLOCK)
    is_other = or_(rows["within"].is_(None), ranges.c.run_id != rows["within"])
    covering = select(literal(1)).where(overlaps, counts, is_other)
    return covering.with_hint(ranges, "FORCE INDEX (js_run_range)", "mysql").exists()


def _is_too_old(rows: UnfoldedRows) -> ColumnElement[bool]:
    """Return whether the slot may have had a row that is no longer kept."""
    return select(literal(1)).where(JOBS.c.job_id == rows["job_id"], JOBS.c.last_slot >= rows["slot"]).exists()


def _fate(claim_: Claim, row: FoundRow | None, clashing: frozenset[str]) -> ClaimResult:
    if row is None:
        return ClaimResult.CLASH if claim_.run_id in clashing else ClaimResult.COVERED
    return ClaimResult.WON if row.is_of(claim_) else ClaimResult.TAKEN
