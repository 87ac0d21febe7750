"""The records of all nodes as lines of the log, newest first: what `history` and the page show on every node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from jobscheduler.cluster.questions import Questions
from jobscheduler.cluster.records import output_end, record_columns, recorded_row
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import State
from jobscheduler.database.errors import Unavailable
from jobscheduler.runlog import encode_line, format_json
from jobscheduler.runlog.bounded_query import Newest
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.runlog.parse import parse_line
from jobscheduler.util.instants import utc_now

MAX_AT_ONCE = 500  # records of one statement

MAX_LINES = 5000  # records of one answer for the page

_OUTPUT_CHARS = 2048  # of the end of an output, as much as a line of the log has

_QUESTION_S = 5.0  # seconds that a statement waits for the database


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of records ends: when the last one was recorded, and its run id."""

    recorded: datetime
    run_id: str

    def __str__(self) -> str:
        return f"{self.recorded.isoformat()},{self.run_id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read the text of a place. Raises: ValueError."""
        recorded, separator, run_id = text.partition(",")
        if not separator:
            raise ValueError(text)
        return cls(datetime.fromisoformat(recorded).astimezone(UTC), run_id)


class AccountLines:
    """Reads records as lines. Thread: any; it waits on the thread of its caller."""

    def __init__(self, questions: Questions, dialect: str) -> None:
        self._questions = questions
        self._dialect = dialect

    def newest(self, wanted: LogFilter, most: int) -> Newest:
        """Return the newest wanted records, at most `most`, newest first; none while the database does not answer."""
        lines: list[LogLine] = []
        place: Place | None = None
        try:
            while len(lines) < min(most, MAX_LINES):
                found, place = self.page(wanted, min(most - len(lines), MAX_AT_ONCE), place)
                lines += found
                if place is None:
                    return Newest(lines, None)
        except Unavailable:
            return Newest(lines, _time(lines[-1]) if lines else utc_now())
        return Newest(lines, _time(lines[-1]) if lines else None)

    def page_of_text(self, wanted: LogFilter, most: int, before: str | None) -> tuple[list[str], str | None]:
        """Return a page as `page` does, with lines and places as text.

        Raises:
            Unavailable: the database does not answer.
            ValueError: the text is no place.

        """
        lines, place = self.page(wanted, most, None if before is None else Place.parse(before))
        return [line.raw.decode("utf-8", "backslashreplace") for line in lines], None if place is None else str(place)

    def page(self, wanted: LogFilter, most: int, before: Place | None) -> tuple[list[LogLine], Place | None]:
        """Return at most `most` wanted records, the newest first, of those before a place; and where they end.

        The place is None if there are no more.

        Raises:
            Unavailable: the database does not answer.

        """
        question = _page(self._dialect, wanted, most, before)
        rows = self._questions.ask(lambda: question, _QUESTION_S)
        lines = [_line(row[:-1]) for row in rows]
        end = Place(rows[-1][-1], rows[-1][2]) if len(rows) == most else None
        return lines, end


def _page(dialect: str, wanted: LogFilter, most: int, before: Place | None) -> Steps[Sequence[Sequence[Any]]]:
    columns = (*record_columns(output_end(dialect, _OUTPUT_CHARS)), RUNS.c.recorded_at)
    conditions = [RUNS.c.state == State.FINAL.value, *_conditions(wanted)]
    if before is not None:
        is_same = and_(RUNS.c.recorded_at == before.recorded, RUNS.c.run_id < before.run_id)
        conditions.append(or_(RUNS.c.recorded_at < before.recorded, is_same))
    order = (RUNS.c.recorded_at.desc(), RUNS.c.run_id.desc())
    return (yield select(*columns).where(*conditions).order_by(*order).limit(most))


def _conditions(wanted: LogFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter; a record is of the time at which its run ended, as in the log."""
    found: list[ColumnElement[bool]] = []
    if wanted.job_id is not None:
        found.append(RUNS.c.job_id == wanted.job_id)
    if wanted.run_id is not None:
        found.append(RUNS.c.run_id == wanted.run_id)
    if wanted.kinds:
        found.append(RUNS.c.status.in_(sorted(wanted.kinds)))
    if wanted.since is not None:
        found += [RUNS.c.recorded_at >= wanted.since, RUNS.c.ended_at >= wanted.since]
    if wanted.until is not None:
        found.append(RUNS.c.ended_at <= wanted.until)
    if wanted.unwanted_reasons:
        is_wanted = RUNS.c.reason.not_in(sorted(wanted.unwanted_reasons))
        found.append(or_(RUNS.c.reason.is_(None), is_wanted))
    return found


def _line(row: Sequence[Any]) -> LogLine:
    raw = encode_line(recorded_row(row).line, format_json).removesuffix(b"\n")
    return LogLine(parse_line(raw) or {}, raw)


def _time(line: LogLine) -> datetime:
    return datetime.fromisoformat(line.pairs["time"])
