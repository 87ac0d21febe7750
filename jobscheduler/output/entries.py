r"""The outputs of attempts as they stand in files: a line about the attempt, then what it printed.

    === 2026-11-30T01:00:00.012Z run=5f3c2a9d0b1e attempt=1 took=1.204 bytes=5 ===
    done

An entry is found by its number of bytes, so an output that looks like such a line forges nothing. An output that does
not end with a line break gets one. Without `bytes=` the output goes to the end of the file: the attempt was running.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from jobscheduler.model import AttemptOutput, StoredAttempt
from jobscheduler.model.output import split_text
from jobscheduler.util.instants import format_instant_ms

_HEADER = re.compile(
    rb"=== (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) run=([0-9a-z]{1,64}) attempt=(\d{1,9})"
    rb"(?: took=(\d{1,12}\.\d{3}))?"
    rb"(?: bytes=(\d{1,12})(?: left_out=(\d{1,18}) head=(\d{1,9}))?)? ===\n"
)


def encode(output: AttemptOutput) -> bytes:
    """Return the entry of an output."""
    text, missing = output.kept.text, output.kept.missing
    cut = f" left_out={missing} head={len(output.kept.head)}" if missing else ""
    took = "" if output.ended is None else f" took={max(0.0, (output.ended - output.began).total_seconds()):.3f}"
    header = f"{_beginning(output)}{took} bytes={len(text)}{cut} ===\n"
    return header.encode() + text + (b"" if text.endswith(b"\n") else b"\n")


def encode_open(output: AttemptOutput) -> bytes:
    """Return the entry of a whole output to which more may be appended: the last of its file."""
    return f"{_beginning(output)} ===\n".encode() + output.kept.text


def _beginning(output: AttemptOutput) -> str:
    return f"=== {format_instant_ms(output.began)} run={output.run_id} attempt={output.attempt}"


def decode(data: bytes) -> Iterator[StoredAttempt]:
    """Yield the attempts of a file; end where it does not go on as an entry."""
    for match, start, end, _ in _frames(data):
        text = data[start:end]
        missing, head = int(match[6] or 0), int(match[7] or 0)
        kept = split_text(text, missing, head)
        if kept is not None:
            began = datetime.fromisoformat(match[1].decode()).astimezone(UTC)
            ended = None if match[4] is None else _later(began, float(match[4]))
            yield StoredAttempt(match[2].decode(), int(match[3]), began, ended, kept)


def whole_size(data: bytes) -> int:
    """Return how many bytes of a file are whole entries: a crash may have cut the last one."""
    return max((stop for *_, stop in _frames(data) if stop <= len(data)), default=0)


def _frames(data: bytes) -> Iterator[tuple[re.Match[bytes], int, int, int]]:
    """Yield the line of each entry, where its text starts and ends, and where the next entry would start."""
    stop = 0
    while (match := _HEADER.match(data, stop)) is not None:
        start = match.end()
        end = len(data) if match[5] is None else start + int(match[5])
        if end > len(data):
            return
        stop = end if end > start and data[end - 1 : end] == b"\n" else end + 1
        yield match, start, end, stop


def _later(at: datetime, seconds: float) -> datetime | None:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:  # beyond the year 9999
        return None
