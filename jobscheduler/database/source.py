"""The jobs of a database as a source. It holds in memory what was read last, so reading the source never waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import blake2b

from jobscheduler.database.queries import Row
from jobscheduler.jobs.parser.locations import located_at
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Fingerprint, Problem
from jobscheduler.util import json_text

PREFIX = "jm_jobs/"  # the name of an item is the table, then the id of the row


@dataclass(frozen=True, slots=True)
class _Item:
    """One row. Of a definition that is too long nothing is kept (`raw` is None)."""

    raw: bytes | None
    signature: Fingerprint
    written: float
    job_id: str


class DatabaseSource:
    """The rows of the table of jobs when it was last read.

    The source is unavailable until the first reading, and while the database cannot be reached.

    Thread: `update`, `set_unavailable` and `set_available` are called by the thread that reads the database.
    """

    kind = "database"
    noun = "row"
    prefix = PREFIX
    is_atomic = True

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now` returns seconds since the epoch, for rows without a time of writing."""
        self._now = now
        self._items: Mapping[str, _Item] | None = None
        self._listed: Mapping[str, _Item] | None = None
        self._read_at = 0.0
        self._problem = SourceUnavailable("the database has not been read yet")
        self._is_lost = True

    @property
    def is_read(self) -> bool:
        """Whether the table has been read since the start."""
        return self._items is not None

    def update(self, rows: Iterable[Row], ahead: timedelta = timedelta(0)) -> int:
        """Store the rows that the table has now; return how many are new, changed or deleted.

        `ahead` is how far the clock that wrote the rows is ahead of this host's.
        """
        before = self._items or {}
        now = self._now()
        items = dict(self._item(row, before, now, ahead.total_seconds()) for row in rows)
        self._items, self._is_lost, self._read_at = items, False, now
        return sum(before.get(name) is not item for name, item in items.items()) + len(before.keys() - items.keys())

    def _item(self, row: Row, before: Mapping[str, _Item], now: float, ahead: float) -> tuple[str, _Item]:
        name, raw = PREFIX + row.job_id, row.definition.encode("utf-8", "surrogatepass")
        known = before.get(name)
        if known is not None and known.raw == raw:
            return name, known
        signature = (int.from_bytes(blake2b(raw, digest_size=16).digest()),)
        if row.is_cut:
            return name, known if known and known.signature == signature else _Item(None, signature, now, row.job_id)
        return name, _Item(raw, signature, self._written(row, now, ahead), row.job_id)

    def _written(self, row: Row, now: float, ahead: float) -> float:
        """Return when a row was written, by this host's clock: between the last reading that did not find it, and now.

        Whatever clock wrote `updated_at`: no slot is hidden after the row was there, and no slot comes from before it.
        """
        written = now if row.updated_at is None else row.updated_at.timestamp() - ahead
        return min(now, max(written, self._read_at))

    def set_unavailable(self, problem: str, help: str | None = None) -> None:  # noqa: A002 - the name that is shown
        """Store that the database cannot be read now, and why."""
        self._problem, self._is_lost = SourceUnavailable(problem, help), True

    def set_available(self) -> None:
        """Store that the database can be read again, without a request for a reload."""
        self._is_lost = self._items is None

    def note_listed(self, items: Mapping[str, _Item]) -> None:
        """Store which reading was listed last."""
        self._listed = items

    def is_listed(self, items: Mapping[str, _Item]) -> bool:
        """Return whether this reading is the one that was listed last."""
        return items is self._listed

    @contextmanager
    def open(self) -> Iterator[_Snapshot]:
        """Open what was read last.

        Raises:
            SourceUnavailable: the database cannot be read, or was not read yet.

        """
        items = self._items
        if self._is_lost or items is None:
            raise SourceUnavailable(str(self._problem), self._problem.help)
        yield _Snapshot(self, items)


class _Snapshot:
    """One reading of the source (a `View`)."""

    def __init__(self, source: DatabaseSource, items: Mapping[str, _Item]) -> None:
        self._source = source
        self._items = items

    def is_same_place(self) -> bool:
        return self._source.is_listed(self._items)

    def list_items(self) -> dict[str, Fingerprint]:
        self._source.note_listed(self._items)
        return {name: item.signature for name, item in self._items.items()}

    def read(self, name: str) -> ReadResult:
        item = self._items.get(name)
        if item is None:
            return ReadResult(name)
        problem = _TOO_LONG if item.raw is None else _id_mismatch(item.raw, item.job_id, name)
        if problem is not None:
            return ReadResult(name, item.signature, problem=replace(problem, file=name), modified_at=item.written)
        return ReadResult(name, item.signature, item.raw, modified_at=item.written)

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        return map(self.read, names)


_TOO_LONG = Problem(
    "the row is larger than 1 MiB", help="`definition` holds one definition of a job; put data elsewhere"
)


def _id_mismatch(raw: bytes, job_id: str, name: str) -> Problem | None:
    """Return a problem if a definition has another `job_id` than its row; None if it is unreadable."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError:
        return None
    defined_id = value.get("job_id") if isinstance(value, dict) else None
    if not isinstance(defined_id, str) or defined_id == job_id:
        return None
    message = f"the row `{job_id}` holds the definition of `{defined_id}`"
    help_ = f"write `{job_id}` there, or put it into a row of its own"
    return located_at(Problem(message, file=name, help=help_), text, ("job_id",))
