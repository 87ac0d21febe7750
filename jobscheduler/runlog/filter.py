"""Which lines of the log are wanted, and how to tell that from their bytes before they are parsed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jobscheduler.runlog.blocks import blocks_reversed, lines_of, lines_with
from jobscheduler.runlog.parse import parse_line, to_json_object
from jobscheduler.runlog.reader import File
from jobscheduler.util.instants import format_instant_ms

CLOCK_SLACK = timedelta(hours=3)  # how much earlier a line may be than the lines before it

_TIME = re.compile(rb'(?:\{"time": ?")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)')

_DELIMITERS = frozenset((b" ", b"\n", b",", b"}", b'"'))  # the bytes that follow a value or a word, in either format


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines are wanted: of one job or run, of these kinds (statuses or events), of a period (both inclusive).

    None or empty excludes nothing. `kinds` are exact; those of records are in `RECORD_KINDS`. Lines with one of the
    `unwanted_reasons` are left out.
    """

    job_id: str | None = None
    kinds: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    run_id: str | None = None
    unwanted_reasons: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: its keys and values as text (`time`, `word` and its pairs), and its bytes."""

    pairs: dict[str, str]
    raw: bytes = field(repr=False)

    @property
    def object(self) -> dict[str, Any]:
        """The line as an object of the JSON format, with typed values."""
        return to_json_object(self.raw)


class LineMatcher:
    """Match lines with a filter, by their bytes as far as possible."""

    def __init__(self, wanted: LogFilter) -> None:
        self._wanted = wanted
        self._needles = [
            *([_byte_patterns("run_id", wanted.run_id)] if wanted.run_id is not None else []),
            *([_byte_patterns("job_id", wanted.job_id)] if wanted.job_id is not None else []),
            *([tuple(word.encode() for word in sorted(wanted.kinds))] if wanted.kinds else []),
        ]
        self._since = _bytes(wanted.since)
        self._until = _bytes(wanted.until)
        self._long_before = _bytes(wanted.since, -CLOCK_SLACK)
        self._long_after = _bytes(wanted.until, CLOCK_SLACK)

    def lines(self, block: bytes) -> list[bytes]:
        """Return the lines of a block that may be wanted, as far as that is quickly known."""
        if not self._needles:
            return lines_of(block)
        if not all(any(needle in block for needle in needles) for needles in self._needles):
            return []
        first, *others = self._needles
        lines = lines_with(first, block, _DELIMITERS)
        for needles in others:
            lines = [line for line in lines if any(needle in line for needle in needles)]
        return lines

    def of(self, lines: Iterable[bytes]) -> Iterator[LogLine]:
        """Yield those of these lines that are wanted."""
        for raw in lines:
            if self._is_in_time(raw):
                pairs = parse_line(raw)
                if pairs is not None and self._is_wanted(pairs):
                    yield LogLine(pairs, raw)

    def block_is_before(self, block: bytes) -> bool:
        """Return whether everything before the first line of a block is earlier than wanted."""
        first = time_of(block)
        return first is not None and self._long_before is not None and first < self._long_before

    def file_starts_before(self, file: File) -> bool:
        """Return whether everything before a file is earlier than wanted."""
        return self.block_is_before(head_of(file))

    def file_is_after(self, file: File) -> bool:
        """Return whether a file begins and ends later than wanted."""
        if self._long_after is None:
            return False
        last = next((lines_of(block)[-1] for block in blocks_reversed(*file)), b"")
        ends = [time_of(head_of(file)), time_of(last)]
        return all(end is not None and end > self._long_after for end in ends)

    def _is_in_time(self, raw: bytes) -> bool:
        if self._since is None and self._until is None:
            return True
        if (time := time_of(raw)) is None:
            return True
        return (self._since is None or self._since <= time) and (self._until is None or time <= self._until)

    def _is_wanted(self, pairs: dict[str, str]) -> bool:
        wanted = self._wanted
        if wanted.job_id is not None and pairs.get("job_id") != wanted.job_id:
            return False
        if wanted.run_id is not None and pairs.get("run_id") != wanted.run_id:
            return False
        if (wanted.kinds and pairs["word"] not in wanted.kinds) or pairs.get("reason") in wanted.unwanted_reasons:
            return False
        at = datetime.fromisoformat(pairs["time"])
        return (wanted.since is None or wanted.since <= at) and (wanted.until is None or at <= wanted.until)


def _byte_patterns(key: str, value: str) -> tuple[bytes, ...]:
    """Return the bytes of a pair in either format; the value is an id, which needs no quotes."""
    return tuple(text.encode("utf-8", "replace") for text in (f"{key}={value}", f'"{key}": "{value}"'))


def time_prefix(at: datetime) -> bytes:
    """Format an instant as at the beginning of a line."""
    return format_instant_ms(at).encode()


def _bytes(at: datetime | None, later: timedelta = timedelta(0)) -> bytes | None:
    """Format an instant as at the beginning of a line; such texts sort by time.

    Lines have milliseconds only; finer limits are checked after parsing.
    """
    if at is None:
        return None
    try:
        return time_prefix(at.astimezone(UTC) + later)
    except OverflowError:  # beyond the years 1 to 9999: no bound
        return None


def time_of(line: bytes) -> bytes | None:
    """Return the time at the beginning of a line; None if there is none."""
    match = _TIME.match(line)
    return match[1] if match else None


def head_of(file: File) -> bytes:
    """Read enough of the first line to know its time."""
    return os.pread(file[0], 64, 0)
