"""The records of all nodes, page by page: what `history` shows on a node of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from jobscheduler.control.routes import BadRequest
from jobscheduler.model import Problem
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.status.snapshot import NotFound

MAX_LINES = 200  # records of one answer


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some records as lines of the log in JSON, the newest first; `next` names where the page after it begins."""

    lines: tuple[str, ...]
    next: str | None = None


ReadPage = Callable[[LogFilter, int, str | None], HistoryPage]
"""Raises: ValueError, the place is none; Conflict, the database does not answer."""


def history_answer(query: str, read: ReadPage | None) -> Mapping[str, Any]:
    """Return a page of the records that a query wants: `job`, `status`, `since`, `until`, and `before` a page's end.

    Raises:
        NotFound: this service is alone, so its log has all records.
        BadRequest: the query cannot be read.
        Conflict: the database does not answer.

    """
    if read is None:
        raise NotFound(
            Problem("this service is alone: its log has all records", help="`jobscheduler history` reads it")
        )
    fields = parse_qs(query)
    try:
        wanted = LogFilter(
            _last(fields, "job"),
            frozenset(fields.get("status", ())),
            _instant(_last(fields, "since")),
            _instant(_last(fields, "until")),
        )
        page = read(wanted, MAX_LINES, _last(fields, "before"))
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, Problem("the query of the records cannot be read")) from None
    return {"lines": list(page.lines), "next": page.next}


def _last(fields: Mapping[str, list[str]], name: str) -> str | None:
    return fields.get(name, [None])[-1]


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at
