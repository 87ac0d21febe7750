"""Which jobs are active, their pauses, and how they stand: what a full checkpoint of the log says, in the database.

The leader writes the same lines as into its log: a full checkpoint as a whole, then the lines that change one. A new
leader reads them back with the code that reads the log. Both are of one form, so neither can know what the other does
not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Executable, delete, func, insert, literal, select

from jobscheduler.cluster.claims import check_leader
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.lease_rows import is_leader, leads
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import LEASE, STATE
from jobscheduler.cluster.values import Term
from jobscheduler.model import Checkpoint, FullCheckpoint, LogEntry, RecoveredState
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.model.standing import LoggedResult
from jobscheduler.runlog import encode_line, format_text, full_checkpoint, last_checkpoint, parse_line, to_events
from jobscheduler.runlog.state_lines import RESULTS

STANDING_EVENTS = RESULTS - RECORD_KINDS  # events that change how a job stands: the rows of runs do not tell them

_FULL, _MARK, _CHANGE = "full", "mark", "change"  # a full checkpoint, another one, and further lines


def write_checkpoint(dialect: str, term: Term, checkpoint: Checkpoint, at: datetime) -> Steps[None]:
    """Write a checkpoint of this moment. A full one takes the place of all that was written before.

    Raises:
        Fenced: the lease is no longer of this term, and nothing was written.

    """
    kind = _MARK if checkpoint.full is None else _FULL
    yield _insertion(dialect, term, kind, _text(to_events(checkpoint, at)))
    yield from check_leader(term)
    if kind == _FULL:
        ((newest,),) = yield select(func.max(STATE.c.id)).where(STATE.c.kind == _FULL, STATE.c.term == term.number)
        if newest is not None:  # else the next leader has written its own by now
            yield delete(STATE).where(STATE.c.id < newest, leads(term))


def write_changes(dialect: str, term: Term, entries: Iterable[LogEntry]) -> Steps[None]:
    """Write entries of the log that change what the last full checkpoint says.

    Raises:
        Fenced: the lease is no longer of this term, and nothing was written.

    """
    yield _insertion(dialect, term, _CHANGE, _text(entries))
    yield from check_leader(term)


def read_state() -> Steps[FullCheckpoint]:
    """Return the last full checkpoint with all that has changed since; an empty one if none was ever written."""
    return (yield from read_job_state()).full


@dataclass(frozen=True, slots=True)
class JobState:
    """How the jobs stand: the last full checkpoint with what has changed since, and the last checkpoint of any kind.

    `written_at` is when that was written, by the database's clock. Without any checkpoint both are None.
    `changes` are the events since then that change how a job stands, each with when it was written by that clock.
    """

    full: FullCheckpoint
    last: RecoveredState | None = None
    written_at: datetime | None = None
    changes: tuple[tuple[datetime, LoggedResult], ...] = ()


def read_job_state() -> Steps[JobState]:
    """Read what was written since the last full checkpoint."""
    last = select(func.max(STATE.c.id)).where(STATE.c.kind == _FULL).scalar_subquery()
    rows = yield select(STATE.c.kind, STATE.c.lines, STATE.c.written_at).where(STATE.c.id >= last).order_by(STATE.c.id)
    lines = [line.encode("utf-8") for _, text, _ in rows for line in text.split("\n")]
    parsed = [line for raw in reversed(lines) if (line := parse_line(raw)) is not None]
    written_at = max((at for kind, _, at in rows if kind != _CHANGE), default=None)
    last_mark = max((number for number, (kind, _, _) in enumerate(rows) if kind != _CHANGE), default=-1)
    changes = tuple(one for _, text, at in rows[last_mark + 1 :] for one in _changes(text, at))
    return JobState(full_checkpoint(parsed) or FullCheckpoint(), last_checkpoint(parsed), written_at, changes)


def _changes(text: str, at: datetime) -> Iterator[tuple[datetime, LoggedResult]]:
    for raw in text.split("\n"):
        line = parse_line(raw.encode("utf-8"))
        if line is not None and line["word"] in STANDING_EVENTS and "job_id" in line:
            reason = line.get("on", line.get("reason"))
            yield at, LoggedResult(line["job_id"], line["word"], datetime.fromisoformat(line["time"]), reason)


def _insertion(dialect: str, term: Term, kind: str, text: str) -> Executable:
    """Return the insertion of lines, which inserts nothing for a term that is over."""
    source = select(literal(kind), LEASE.c.term, literal(text), from_now()).where(is_leader(term))
    locked = (
        source.with_for_update(read=True, of=LEASE) if dialect == "postgresql" else source.with_for_update(read=True)
    )
    return insert(STATE).from_select(["kind", "term", "lines", "written_at"], locked)


def _text(entries: Iterable[LogEntry]) -> str:
    return b"".join(encode_line(entry, format_text) for entry in entries).decode("utf-8")
