"""The records of the log as rows of the account, and back: what a scheduler writes, and what `history` shows.

A record of slots that do not run is a claim with a status. One of a run is the outcome of its last attempt. `details`
keeps all further pairs of the line in their order; the columns beside it are for queries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, literal, select

from jobscheduler.cluster.slots import manual_slot, slot_instant, slot_text
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import Claim, Outcome, State
from jobscheduler.model import EPOCH, LogFields, LogValue, Record, Status
from jobscheduler.util.instants import format_instant

MAX_OUTPUT_CHARS = 64 * 1024  # characters of output in a row


def claim_of(record: Record, run_id: str, next_slot: datetime | None = None) -> Claim:
    """Return the claim of a record about slots, or a run by hand, that do not run.

    `run_id` names the row; `next_slot` is the slot after a single one that corrects a wrong clock.
    """
    details = dict(record.details)
    last, count = details.get("last"), details.get("count", 1)
    return Claim(
        record.job_id,
        manual_slot(run_id) if record.scheduled is None else slot_text(record.scheduled),
        run_id,
        status=record.status.value,
        reason=record.reason,
        last_slot=slot_text(last) if isinstance(last, datetime) else None,
        slots=int(str(count)),
        corrects=_text(details.get("corrects")),
        next_slot=None if next_slot is None else slot_text(next_slot),
        trigger=_text(details.get("trigger")),
        by=_text(details.get("by")),
        details=_json(record.details),
    )


def outcome_of(record: Record) -> Outcome:
    """Return the outcome of an attempt from the record that its run has if it was the last one."""
    code = dict(record.details).get("exit_code")
    return Outcome(
        record.status.value,
        record.reason,
        code if isinstance(code, int) else None,
        record.duration,
        record.cpu,
        record.max_rss,
        _json(record.details),
        None if record.output is None else record.output[-MAX_OUTPUT_CHARS:],
    )


def with_origin(record: Record, node: str | None, queue: str | None, term: int | None) -> Record:
    """Return a record whose line says which node has run it, for which queue and in which term, as far as is known."""
    origin = (("node", node), ("queue", queue), ("term", term))
    known = tuple((key, value) for key, value in origin if value not in {None, ""})
    return replace(record, details=(*record.details, *known))


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A row with the record that it stands for: still to be logged if it has `ended`, and logged if it is final."""

    record: Record
    state: State
    node: str | None
    queue: str | None
    attempt: int
    term: int

    @property
    def line(self) -> Record:
        """The record as the log of the cluster has it: with where it ran."""
        return with_origin(self.record, self.node, self.queue, self.term)


def ended_records() -> Steps[list[RecordedRow]]:
    """Return the records of runs that have ended and are not final, in the order of their ends: a leader logs them."""
    rows = yield _SELECT.where(RUNS.c.state == State.ENDED.value).order_by(RUNS.c.ended_at)
    return [recorded_row(row) for row in rows]


class OpenRow(NamedTuple):
    """A run that has begun and is not final."""

    job_id: str
    slot: str
    run_id: str
    state: State
    instance: str


def open_rows() -> Steps[list[OpenRow]]:
    """Return the runs that are at work, and those that have ended and are still to be logged."""
    columns = (RUNS.c.job_id, RUNS.c.slot, RUNS.c.run_id, RUNS.c.state, RUNS.c.instance)
    rows = yield select(*columns).where(RUNS.c.state.in_((State.RUNNING.value, State.ENDED.value)))
    return [
        OpenRow(job_id, slot, run_id, State(state), instance or "") for job_id, slot, run_id, state, instance in rows
    ]


def record_columns(output: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of which `recorded_row` makes a record; `output` is what it gets of the output."""
    return (
        RUNS.c.job_id,
        RUNS.c.slot,
        RUNS.c.run_id,
        RUNS.c.state,
        RUNS.c.status,
        RUNS.c.reason,
        RUNS.c.attempt,
        RUNS.c.term,
        RUNS.c.node,
        RUNS.c.queue,
        RUNS.c.started_at,
        RUNS.c.ended_at,
        RUNS.c.duration,
        RUNS.c.cpu,
        RUNS.c.max_rss,
        RUNS.c.details,
        output,
    )


def output_end(dialect: str, chars: int) -> ColumnElement[Any]:
    """Return the last characters of the output, at most so many."""
    output = RUNS.c.output
    return func.substr(output, literal(-chars)) if dialect == "sqlite" else func.right(output, chars)


_SELECT: Select[Any] = select(*record_columns(RUNS.c.output))


def recorded_row(row: Sequence[Any]) -> RecordedRow:
    """Return a row of `record_columns` with its record."""
    job_id, slot, run_id, state, status, reason, attempt, term, node, queue = row[:10]
    started, ended, duration, cpu, max_rss, details, output = row[10:]
    record = Record(
        ended or EPOCH,
        Status(status),
        job_id,
        run_id if attempt else None,
        slot_instant(slot),
        started if attempt else None,
        duration,
        reason,
        _fields(details),
        output,
        cpu,
        max_rss,
    )
    return RecordedRow(record, State(state), node, queue, attempt, term)


def _json(details: LogFields) -> str | None:
    """Return pairs as JSON, with instants as the log writes them; None if there is none."""
    pairs = [[key, format_instant(value) if isinstance(value, datetime) else value] for key, value in details]
    return json.dumps(pairs, ensure_ascii=False) if pairs else None


def _fields(text: str | None) -> LogFields:
    return tuple((key, _value(key, value)) for key, value in json.loads(text or "[]"))


def _value(key: str, value: LogValue) -> LogValue:
    """Return a value of a line; `last` is the one instant that a reader compares."""
    return datetime.fromisoformat(str(value)).astimezone(UTC) if key == "last" else value


def _text(value: LogValue | None) -> str | None:
    return None if value is None else str(value)
