"""Read the records of all nodes of a cluster through the service: what the log of one host does not have."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.runlog.parse import parse_line
from jobscheduler.util.instants import format_instant_ms

POLL_S = 1.0  # seconds between two looks for new records

_REMEMBERED = 10_000  # records shown, among which new ones are not looked for again

Page = Mapping[str, Any]


class AccountRecords:
    """The records of a cluster that a filter wants. Making it asks for the first page.

    Raises:
        ServiceUnreachable: no service answers.
        ApiError: its database does not answer, or it is alone.

    """

    def __init__(self, socket: Path, wanted: LogFilter) -> None:
        self._socket = socket
        self._wanted = wanted
        self._first = self._page(None)

    def newest_first(self) -> Iterator[LogLine]:
        """Yield all records."""
        page = self._first
        yield from _lines(page)
        while page["next"] is not None:
            page = self._page(page["next"])
            yield from _lines(page)

    def new(self, shown: frozenset[bytes], wait: Callable[[float], object] = time.sleep) -> Iterator[LogLine]:
        """Yield the records that come after those that are `shown`, without an end; wait when there are no more."""
        known = dict.fromkeys(shown)
        known.update(dict.fromkeys(line.raw for line in _lines(self._first)))
        while True:
            sys.stdout.flush()
            wait(POLL_S)
            lines = [line for line in _lines(self._page(None)) if line.raw not in known]
            known.update(dict.fromkeys(line.raw for line in lines))
            for raw in [*known][:-_REMEMBERED]:
                del known[raw]
            yield from reversed(lines)

    def _page(self, before: str | None) -> Page:
        fields = [("job", self._wanted.job_id), ("before", before)]
        fields += [(key, at and format_instant_ms(at)) for key, at in self._period()]
        fields += [("status", kind) for kind in sorted(self._wanted.kinds)]
        query = urlencode([(key, value) for key, value in fields if value is not None])
        return request(self._socket, "GET", f"/v1/records{query and '?'}{query}")

    def _period(self) -> tuple[tuple[str, Any], ...]:
        return ("since", self._wanted.since), ("until", self._wanted.until)


def is_of_node(socket: Path) -> bool:
    """Return whether a service answers on this socket that is a node of a cluster."""
    try:
        return request(socket, "GET", "/v1/cluster")["cluster"] is not None
    except (ServiceUnreachable, ApiError):
        return False


def account_records(socket: Path, wanted: LogFilter) -> AccountRecords | None:
    """Return the records of a cluster; None if they cannot be asked for, which standard error then says."""
    try:
        return AccountRecords(socket, wanted)
    except (ServiceUnreachable, ApiError) as reason:
        why = f"the records of the cluster cannot be read: {reason.problem.message}"
        print_wrapped(f"note: {why}; what follows is the log of this host alone", sys.stderr)
        return None


def _lines(page: Page) -> Iterator[LogLine]:
    for text in page["lines"]:
        raw = str(text).encode("utf-8", "surrogateescape")
        pairs = parse_line(raw)
        if pairs is not None:
            yield LogLine(pairs, raw)
