"""The statements by which attempts begin, live and end. Each changes a row only from the state that it expects.

A row goes from `queued` to `running` to `ended`, and by the leader's decision back to `queued` or on to `final`. So of
several services that try the same change one succeeds, and no attempt begins twice. A worker needs no lease for it: its
right is the number of its request in `begun_by`. A row that was taken from it no longer has that number.

A service that makes all attempts of a run itself keeps the row `running` in between, and only counts `attempt` up. One
that was allowed to begin a run and did not gives the row back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, and_, case, exists, or_, select, update

from jobscheduler.cluster.database_time import from_now, seconds_since
from jobscheduler.cluster.json_rows import Kind, UnfoldedRows
from jobscheduler.cluster.row_states import is_in
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import LEASE, RUNS
from jobscheduler.cluster.values import Attempt, Beat, Identity, Key, Outcome, Pulse, State

_NUL = "\0"  # PostgreSQL has no text with it
_REPLACED = "\N{REPLACEMENT CHARACTER}"

_ATTEMPT = {"job_id": Kind.WORD, "slot": Kind.WORD, "attempt": Kind.NUMBER, "begun_by": Kind.WORD}
_BEGIN = _ATTEMPT | {"run_id": Kind.WORD, "former": Kind.WORD}
_OUTCOME = {
    "status": Kind.WORD,
    "reason": Kind.WORD,
    "exit_code": Kind.NUMBER,
    "duration_us": Kind.NUMBER,
    "cpu_us": Kind.NUMBER,
    "max_rss": Kind.NUMBER,
    "details": Kind.TEXT,
    "output": Kind.TEXT,
}


def begin(dialect: str, identity: Identity, attempts: Sequence[Attempt]) -> Steps[frozenset[Key]]:
    """Begin attempts that are queued and whose time has come; return the keys of those that may be started now."""
    yield _begin(dialect, identity, attempts)
    rows = _attempts(dialect, attempts)
    found = yield select(RUNS.c.job_id, RUNS.c.slot).join_from(rows.table, RUNS, _is_own(rows))
    return frozenset((job_id, slot) for job_id, slot in found)


def beat(identity: Identity, *, has_own: bool = True) -> Steps[Pulse]:
    """Say that this instance is alive; return its runs. A run that it has and that is not there is lost to it.

    An instance without runs (`has_own`) has nothing to say, and only looks.
    """
    if has_own:
        is_own = and_(RUNS.c.state == State.RUNNING.value, RUNS.c.instance == identity.instance)
        yield update(RUNS).where(is_own).values(beat_at=from_now())
    columns = (RUNS.c.job_id, RUNS.c.slot, RUNS.c.attempt, RUNS.c.stop, RUNS.c.stop_by)
    standing = (RUNS.c.state == State.RUNNING.value, RUNS.c.instance, seconds_since(RUNS.c.beat_at))
    rows = yield select(*columns, *standing).where(RUNS.c.state.in_((State.RUNNING.value, State.ENDED.value)))
    own = {(row[0], row[1]): Beat(*row[2:5]) for row in rows if row[5] and row[6] == identity.instance}
    silence = max((float(row[7] or 0.0) for row in rows if row[5]), default=0.0)
    return Pulse(own, len(own) < len(rows), silence)


def finish(dialect: str, ended: Mapping[Attempt, Outcome]) -> Steps[frozenset[Key]]:
    """Write how attempts have ended; return the keys of those that count. Others were taken away meanwhile."""
    rows = UnfoldedRows(
        dialect, _ATTEMPT | _OUTCOME, ([*_values(one), *_outcome(outcome)] for one, outcome in ended.items())
    )
    columns = {name: rows[name] for name in _OUTCOME if not name.endswith("_us")}
    times = {"duration": rows["duration_us"] / 1e6, "cpu": rows["cpu_us"] / 1e6}
    final = {"state": State.ENDED.value, "ended_at": from_now()}
    yield update(RUNS).where(_is_own(rows)).values(columns | times | final)
    rows = _attempts(dialect, list(ended))
    has_ended = and_(_is_same_request(rows), is_in(State.ENDED, State.FINAL))
    found = yield select(RUNS.c.job_id, RUNS.c.slot).join_from(rows.table, RUNS, has_ended)
    return frozenset((job_id, slot) for job_id, slot in found)


def close_former(identity: Identity, reason: str) -> Steps[None]:
    """End the runs that a former instance of this identity has left: it is gone, or this one would not be here."""
    is_former = and_(
        RUNS.c.state == State.RUNNING.value,
        RUNS.c.node == identity.node,
        RUNS.c.queue == identity.queue,
        RUNS.c.instance != identity.instance,
    )
    yield update(RUNS).where(is_former).values(lost_values(reason))


def give_back(dialect: str, given: Sequence[Attempt]) -> Steps[None]:
    """Queue runs again that were allowed to begin and did not, within the term of their claims.

    When another leader has taken over since, it took them for begun: then their slots are missed.
    """
    rows = _attempts(dialect, given)
    is_same_term = exists(select(LEASE.c.term).where(LEASE.c.term == RUNS.c.term).with_for_update(read=True))
    queued = {"state": State.QUEUED.value, "begun_by": None, "node": None, "instance": None}
    yield update(RUNS).where(_is_own(rows), is_same_term).values(queued | {"started_at": None, "beat_at": None})
    rows = _attempts(dialect, given)
    missed = {"status": "MISSED", "reason": "down", "attempt": 0, "definition": None, "begun_by": None}
    final = {"state": State.FINAL.value, "ended_at": from_now(), "recorded_at": from_now()}
    yield update(RUNS).where(_is_own(rows)).values(missed | final)


def lost_values(reason: str) -> dict[str, Any]:
    """Return the columns of an attempt that ends without its worker, which cannot end it again."""
    return {
        "state": State.ENDED.value,
        "status": "FAILURE",
        "reason": reason,
        "ended_at": from_now(),
        "begun_by": None,
    }


def _begin(dialect: str, identity: Identity, attempts: Sequence[Attempt]) -> Executable:
    rows = UnfoldedRows(dialect, _BEGIN, ([*_values(one), one.run_id, one.former] for one in attempts))
    may_begin = and_(
        RUNS.c.attempt == rows["attempt"],
        is_in(State.QUEUED),
        RUNS.c.stop.is_(None),
        or_(RUNS.c.not_before.is_(None), RUNS.c.not_before <= from_now()),
        or_(rows["run_id"].is_(None), RUNS.c.run_id == rows["run_id"]),
    )
    may_go_on = and_(
        RUNS.c.attempt == rows["attempt"] - 1,
        is_in(State.RUNNING),
        RUNS.c.begun_by == rows["former"],
    )
    is_slot = and_(RUNS.c.job_id == rows["job_id"], RUNS.c.slot == rows["slot"])
    values = {
        "state": State.RUNNING.value,
        "attempt": rows["attempt"],
        "begun_by": rows["begun_by"],
        "node": identity.node,
        "instance": identity.instance,
        "started_at": case((rows["former"].is_(None), from_now()), else_=RUNS.c.started_at),
        "beat_at": from_now(),
    }
    return update(RUNS).where(is_slot, or_(may_begin, may_go_on)).values(values)


def _attempts(dialect: str, attempts: Sequence[Attempt]) -> UnfoldedRows:
    return UnfoldedRows(dialect, _ATTEMPT, (_values(one) for one in attempts))


def _values(attempt: Attempt) -> list[Any]:
    return [attempt.job_id, attempt.slot, attempt.attempt, attempt.begun_by]


def _outcome(outcome: Outcome) -> list[Any]:
    return [
        outcome.status,
        outcome.reason,
        outcome.exit_code,
        _microseconds(outcome.duration),
        _microseconds(outcome.cpu),
        outcome.max_rss,
        _storable(outcome.details),
        _storable(outcome.output),
    ]


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e6)


def _storable(text: str | None) -> str | None:
    return None if text is None else text.replace(_NUL, _REPLACED)


def _is_same_request(rows: UnfoldedRows) -> Any:
    return and_(
        RUNS.c.job_id == rows["job_id"],
        RUNS.c.slot == rows["slot"],
        RUNS.c.attempt == rows["attempt"],
        RUNS.c.begun_by == rows["begun_by"],
    )


def _is_own(rows: UnfoldedRows) -> Any:
    """Return whether a row is running by the request of the batch."""
    return and_(_is_same_request(rows), is_in(State.RUNNING))
