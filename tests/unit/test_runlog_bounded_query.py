"""Queries of the log within a bound of bytes, and lines that are found by their instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog.bounded_query import ReadLimit, newest_records, records_at
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.runlog.query import iter_newest_first

START = datetime(2026, 11, 22, tzinfo=UTC)
FORMS = (
    "{time} SUCCESS job_id={job} number={number}\n",
    '{{"time": "{time}", "status": "SUCCESS", "job_id": "{job}"}}\n',
)


def at(number: int) -> datetime:
    """Return the instant of a line: one each 10 ms."""
    return START + timedelta(milliseconds=10 * number)


def line(number: int, job: str, form: str = FORMS[0]) -> str:
    """Return the line of a record."""
    time = at(number).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return form.format(time=time, job=job, number=number)


def written(path: Path, lines: list[str], files: int = 3) -> Path:
    """Make a log of several files, the newest without a number."""
    each = -(-len(lines) // files)
    for number in range(files):
        name = path if number == files - 1 else path.with_name(f"{path.name}.{files - 1 - number}")
        name.write_text("".join(lines[number * each : (number + 1) * each]))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_lines_are_found_by_their_time_wherever_they_are(tmp_path: Path, form: str) -> None:
    """In every file, the first and last ones too, and a little out of order."""
    lines = [line(number, f"job-{number % 1000}", form) for number in range(60_000)]
    lines[30_000], lines[30_040] = lines[30_040], lines[30_000]
    path = written(tmp_path / "log", lines)
    numbers = [59_000, 40_000, 39_000, 30_000, 20_000, 1000, 0]

    found = records_at(path, 2, LogFilter("job-0", RECORD_KINDS), [at(number) for number in numbers])

    assert [one.pairs["time"] for one in found] == [line(number, "").split(" ")[0] for number in numbers]


def test_an_instant_without_a_line_finds_none(tmp_path: Path) -> None:
    """Before the log, after it, in the middle; nor is a line of another job found."""
    path = written(tmp_path / "log", [line(number, f"job-{number % 10}") for number in range(3000)])
    times = [at(9000), at(1000) + timedelta(milliseconds=5), at(1001), at(-5)]

    assert records_at(path, 2, LogFilter("job-0", RECORD_KINDS), times) == []
    assert records_at(tmp_path / "none", 2, LogFilter("job-0", RECORD_KINDS), times) == []


def test_a_query_ends_at_its_bound_and_returns_how_far_it_came(tmp_path: Path) -> None:
    """So one request reads a bounded amount, whatever the log holds."""
    path = written(tmp_path / "log", [line(number, "busy") for number in range(60_000)])

    part = newest_records(path, 2, LogFilter("other", RECORD_KINDS), 50, ReadLimit(500_000))
    assert part.lines == []
    assert part.read_since is not None
    assert at(55_000) > part.read_since > at(40_000)
    few = newest_records(path, 2, LogFilter("busy", RECORD_KINDS), 50, ReadLimit(500_000))
    assert (len(few.lines), few.read_since) == (50, at(59_950))
    whole = newest_records(path, 2, LogFilter("busy", RECORD_KINDS), 10**6, ReadLimit(10**9))
    assert (len(whole.lines), whole.read_since) == (60_000, None)


def test_a_query_ends_when_its_caller_cancels(tmp_path: Path) -> None:
    """Before the next block."""
    path = written(tmp_path / "log", [line(number, "busy") for number in range(60_000)])

    class Left(Exception):
        pass

    def check() -> None:
        raise Left

    with pytest.raises(Left):
        newest_records(path, 2, LogFilter("other", RECORD_KINDS), 50, ReadLimit(10**9, check))


def test_a_line_of_a_similar_id_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searching for `job-1` among `job-10` to `job-19`, or for an unknown id, once took a minute in a large log."""
    path = written(tmp_path / "log", [line(number, f"job-1{number % 10}") for number in range(3000)], files=1)
    with path.open("a") as log:
        log.write("2026-11-23T00:00:00.000Z INFO job.noted job_id=job-1\n" + line(9_000_000, "job-1"))
    parsed: list[bytes] = []
    monkeypatch.setattr("jobscheduler.runlog.filter.parse_line", parsed.append)

    for job_id in ("job-", "", "job-1"):
        assert list(iter_newest_first(path, 0, LogFilter(job_id))) == []
    assert len(parsed) == 2
