"""Standard output as the log: its lines, its errors, and the records that memory keeps."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.config.options import OPTIONS
from jobscheduler.model import Event, Level, Record, Status
from jobscheduler.runlog import LogStream, LogWriter, recover
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.runlog.format import encode_line, format_json, format_text
from jobscheduler.runlog.query import iter_newest_first, iter_oldest_first
from jobscheduler.runlog.recent_lines import RecentLines
from jobscheduler.util.standard_output import STANDARD_OUTPUT

SLOT = datetime(2026, 11, 22, 1, tzinfo=UTC)


def record(number: int, job_id: str = "a") -> Record:
    """Return the record of a slot so many seconds later."""
    at = SLOT + timedelta(seconds=number)
    return Record(at, Status.SUCCESS, job_id, f"{number:04}", at, at, 0.1, None, ())


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A small pipe: the end to read and the end to write."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_stream_that_does_not_wait_gets_every_byte(pipe: tuple[int, int]) -> None:
    """Another process with the same descriptor may have switched waiting off."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    data, taken = b"x" * 99 + b"\n", bytearray()

    def read() -> None:
        while len(taken) < 100_000:
            taken.extend(os.read(reading, 1000))

    reader = threading.Thread(target=read)
    reader.start()
    assert LogStream(writing).append(data * 1000) == 100_000
    reader.join(10)
    assert bytes(taken) == data * 1000


def test_a_reader_that_leaves_in_the_middle_leaves_the_rest(pipe: tuple[int, int], monkeypatch) -> None:
    """What it took is not written again; the next call fails."""
    reading, writing = pipe
    stream, write = LogStream(writing), os.write

    def write_part(descriptor: int, data: bytes) -> int:
        count = write(descriptor, data[:100])
        os.close(reading)
        return count

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_part)
        assert stream.append(b"x" * 300 + b"\n") in {100, 200}
    with pytest.raises(BrokenPipeError):
        stream.append(b"x\n")


def test_lines_have_priorities_where_standard_output_is_the_journal(pipe: tuple[int, int]) -> None:
    """So that failures are errors there; nothing goes to standard error."""
    reading, writing = pipe
    errors, copy = os.pipe()
    log = LogWriter(LogStream(writing), echo=copy, own_priorities=True, copies_all=False)
    with log:
        log.write(record(1), Event(SLOT, Level.ERROR, "thing.happened", ()))
    os.close(copy)
    first, second = os.read(reading, 4096).splitlines()
    assert first.startswith(b"<6>2026-11-22T01:00:01.000Z SUCCESS job_id=a")
    assert second.startswith(b"<3>2026-11-22T01:00:00.000Z ERROR thing.happened")
    assert os.read(errors, 4096) == b""
    os.close(errors)


def test_no_reader_of_the_log_reads_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file named `-` is an ordinary file, and not the log."""
    monkeypatch.chdir(tmp_path)
    for name in ("-", "-.1"):
        Path(name).write_bytes(encode_line(record(1), format_text))
    assert recover(STANDARD_OUTPUT, 3) is None
    assert [*iter_newest_first(STANDARD_OUTPUT, 3), *iter_oldest_first(STANDARD_OUTPUT, 3)] == []


def test_a_dash_is_standard_output_and_a_path_to_a_dash_is_a_file() -> None:
    """As for other programs."""
    (option,) = (option for option in OPTIONS if option.name == "log_file")
    assert option.parse("-") == STANDARD_OUTPUT
    assert option.parse("./-") == Path.cwd() / "-"
    assert option.parse("s.log") == Path("s.log")


@pytest.mark.parametrize("form", [format_text, format_json])
def test_memory_keeps_the_last_records_and_knows_since_when(form) -> None:
    """In bounded memory; events are not kept."""
    line = len(encode_line(record(0), form))
    kept = RecentLines(3 * line + 1)
    for number in range(5):
        kept.observe(record(number, "ab"[number % 2]), encode_line(record(number, "ab"[number % 2]), form))
        event = Event(SLOT, Level.INFO, "thing.happened", ())
        kept.observe(event, encode_line(event, form))
    answer = kept.newest(LogFilter(), 10)
    assert [found.pairs["run_id"] for found in answer.lines] == ["0004", "0003", "0002"]
    assert answer.read_since == SLOT + timedelta(seconds=1)
    assert [found.pairs["run_id"] for found in kept.newest(LogFilter("a"), 1).lines] == ["0004"]
    assert [found.pairs["run_id"] for found in kept.newest(LogFilter(until=SLOT + timedelta(seconds=2)), 9).lines] == [
        "0002"
    ]
