"""Queries of the history: the wanted lines, from either end, through files that are rotated meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from jobscheduler.control.logged_runs import LoggedRuns
from jobscheduler.model import Event, Level, LogEntry, Record, Status
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog import LogFile, LogWriter, blocks, format_json, format_text, query
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.runlog.query import iter_lines_newest_first, iter_newest_first, iter_oldest_first

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def record(number: int, job_id: str = "x", status: Status = Status.SUCCESS) -> Record:
    """Return a record; each is one second later."""
    return Record(at(number), status, job_id, f"r{number}", at(number), at(number), 0.5)


def write(path: Path, *entries: LogEntry) -> None:
    """Write a file of these entries, in the formats alternately."""
    forms = (format_text, format_json)
    path.write_text("".join(forms[number % 2](entry) + "\n" for number, entry in enumerate(entries)), "utf-8")


def runs(path: Path, wanted: LogFilter = query.EVERYTHING, backups: int = 3) -> list[str]:
    """Return the runs of the wanted lines, newest first; check that reading forwards finds the same."""
    found = [line["run_id"] for line in iter_lines_newest_first(path, backups, wanted)]
    assert [one.pairs["run_id"] for one in iter_oldest_first(path, backups, wanted)] == found[::-1]
    return found


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in blocks of a few lines each."""
    monkeypatch.setattr(blocks, "BLOCK", 500)


@pytest.mark.usefixtures("small_blocks")
def test_lines_come_newest_first_through_all_files_and_both_formats(tmp_path: Path) -> None:
    """Also with both formats in one file, and without one number, as after a failed rotation."""
    log = tmp_path / "log"
    write(log, *map(record, range(20, 30)))
    write(tmp_path / "log.1", *map(record, range(10, 20)))
    write(tmp_path / "log.3", *map(record, range(10)))

    assert runs(log) == [f"r{number}" for number in range(29, -1, -1)]
    assert runs(log, backups=1) == [f"r{number}" for number in range(29, 9, -1)]


def test_a_log_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    """So is one without lines."""
    assert runs(tmp_path / "log") == []
    assert not query.exists(tmp_path / "log", 3)
    (tmp_path / "log").touch()
    assert runs(tmp_path / "log") == []
    assert query.oldest_time(tmp_path / "log", 3) is None


def test_the_last_failure_is_none_that_was_ended_on_purpose(tmp_path: Path) -> None:
    """Of a job or of all, in both formats; the last run may be one."""
    ended = [
        Record(at(number), Status.FAILURE, "x", f"r{number}", at(number), at(number), 0.5, reason)
        for number, reason in enumerate(("exit", "stopped", "stopped", "replaced", "shutdown"))
    ]
    write(tmp_path / "log", *ended)
    logged = LoggedRuns(tmp_path / "log", 0)
    for job_id in ("x", None):
        failure, last = logged.last_run(job_id, failed=True), logged.last_run(job_id)
        assert failure is not None
        assert last is not None
        assert (failure.pairs["run_id"], last.pairs["run_id"]) == ("r0", "r4")


@pytest.mark.usefixtures("small_blocks")
def test_only_the_lines_of_the_job_are_found(tmp_path: Path) -> None:
    """Not those of a job whose name begins alike, nor those that only mention it."""
    talk = Record(at(3), Status.FAILURE, "y", "r3", output='job_id=x "job_id": "x" SUCCESS')
    write(tmp_path / "log", record(0), record(1, "x1"), talk, talk, record(4), record(5, "y"))

    assert runs(tmp_path / "log", LogFilter("x")) == ["r4", "r0"]
    assert runs(tmp_path / "log", LogFilter("x1")) == ["r1"]


@pytest.mark.usefixtures("small_blocks")
def test_only_the_wanted_kinds_are_found(tmp_path: Path) -> None:
    """Statuses and events alike."""
    begun = Event(at(1), Level.INFO, "run.started", (("job_id", "x"), ("run_id", "SUCCESS")))
    write(tmp_path / "log", record(0), begun, begun, record(2, status=Status.FAILURE))

    assert runs(tmp_path / "log", LogFilter(kinds=RECORD_KINDS)) == ["r2", "r0"]
    assert runs(tmp_path / "log", LogFilter(kinds=frozenset({"FAILURE"}))) == ["r2"]
    assert runs(tmp_path / "log", LogFilter(kinds=frozenset({"run.started"}))) == ["SUCCESS", "SUCCESS"]


@pytest.mark.usefixtures("small_blocks")
def test_bounds_of_time_are_inclusive(tmp_path: Path) -> None:
    """To the millisecond, also where a bound is finer than a line."""
    write(tmp_path / "log", *map(record, range(10)))

    assert runs(tmp_path / "log", LogFilter(since=at(7))) == ["r9", "r8", "r7"]
    assert runs(tmp_path / "log", LogFilter(since=at(7.00001), until=at(8))) == ["r8"]
    assert runs(tmp_path / "log", LogFilter(until=at(1.5))) == ["r1", "r0"]


@pytest.mark.usefixtures("small_blocks")
def test_a_clock_that_was_set_back_hides_no_line(tmp_path: Path) -> None:
    """Lines before that are later than the ones after it."""
    hour = 3600
    write(tmp_path / "log.1", *(record(number) for number in range(hour, hour + 20)))
    write(tmp_path / "log", *(record(number) for number in (*range(20), hour + 30)))

    assert len(runs(tmp_path / "log", LogFilter(since=at(hour)))) == 21
    assert len(runs(tmp_path / "log", LogFilter(until=at(hour - 1)))) == 20
    write(tmp_path / "log.1", record(hour), record(1), record(hour + 1))
    assert len(runs(tmp_path / "log", LogFilter(until=at(hour - 1)))) == 21


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the bytes that are read."""
    read = [0]
    pread = os.pread

    def counting(descriptor: int, size: int, position: int) -> bytes:
        data = pread(descriptor, size, position)
        read[0] += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    return lambda: read[0]


def big(path: Path, hours: range) -> int:
    """A file with a line for each ten seconds of these hours; return its size."""
    seconds = range(hours[0] * 3600, hours[-1] * 3600, 10)
    path.write_text("".join(format_text(record(second)) + "\n" for second in seconds))
    return path.stat().st_size


def test_the_last_lines_are_found_without_reading_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks are enough for fifty."""
    size = big(tmp_path / "log", range(120))
    read = counted(monkeypatch)

    assert len(query.last_entries(tmp_path / "log", 7, query.EVERYTHING, 50)) == 50
    assert read() <= 2 * blocks.BLOCK < size / 10


def test_reading_stops_some_hours_before_the_wanted_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From either end; files that are later are not read, either."""
    monkeypatch.setattr(blocks, "BLOCK", 20_000)
    for number, hours in enumerate((range(36, 49), range(24, 37), range(12, 25), range(13))):
        size = big(tmp_path / f"log.{number}" if number else tmp_path / "log", hours)
    wanted = LogFilter(since=at(30 * 3600), until=at(32 * 3600))
    for read_from_one_end in (iter_newest_first, iter_oldest_first):
        with monkeypatch.context() as patch:
            read = counted(patch)
            assert len(list(read_from_one_end(tmp_path / "log", 3, wanted))) == 721
        assert read() < 1.5 * size


def test_files_that_are_rotated_while_they_are_read_lose_and_double_nothing(tmp_path: Path) -> None:
    """All of them are held open from the beginning."""
    log = tmp_path / "log"
    for number in range(4):
        write(log.with_name(f"log.{number}") if number else log, *(record(9 - number) for _ in range(2)))
    found = iter_newest_first(log, 3)
    first = next(found)
    for number in (2, 1):
        log.with_name(f"log.{number}").replace(log.with_name(f"log.{number + 1}"))
    log.replace(log.with_name("log.1"))
    write(log, record(10))

    assert [one.pairs["run_id"] for one in (first, *found)] == ["r9", "r9", "r8", "r8", "r7", "r7", "r6", "r6"]


@pytest.mark.parametrize("when", range(5))
def test_files_that_are_rotated_while_they_are_opened_lose_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """Whichever file is the next one to be opened."""
    log = tmp_path / "log"
    file = LogFile(log, 200, 4)
    for number in range(4):
        file.append((format_text(record(number)) + "\n").encode())
    opened, calls = os.open, []

    def rotating(path: object, *arguments: int) -> int:
        calls.append(path)
        if len(calls) == when + 1:
            monkeypatch.setattr(os, "open", opened)
            file.append((format_text(record(4)) + "\n").encode())
            monkeypatch.setattr(os, "open", rotating)
        return opened(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", rotating)
    found = [one.pairs["run_id"] for one in iter_newest_first(log, 4)]
    assert found == ["r4", "r3", "r2", "r1", "r0"]
    file.close()


def test_a_file_with_two_names_is_read_once(tmp_path: Path) -> None:
    """As when a rotation happens at each try to open the files."""
    write(tmp_path / "log", record(1))
    (tmp_path / "log.1").hardlink_to(tmp_path / "log")

    assert runs(tmp_path / "log") == ["r1"]


def test_a_file_that_is_emptied_while_it_is_read_ends_the_reading_of_it(tmp_path: Path) -> None:
    """As by logrotate's copytruncate."""
    log = tmp_path / "log"
    big(log, range(30))
    found = iter_newest_first(log, 3)
    next(found)
    write(log, record(0, "new"))

    assert all(one.pairs["job_id"] == "x" for one in found)


@pytest.mark.parametrize("garbage", [b"\0" * 3000, b"x" * 3000 + b"\n", b"{}\n[1]\n{\n", b"\xff" * 700 + b"\n" * 9])
@pytest.mark.usefixtures("small_blocks")
def test_garbage_is_skipped(tmp_path: Path, garbage: bytes) -> None:
    """However long; and a line without its end is not a line yet."""
    line = (format_text(record(1)) + "\n").encode()
    (tmp_path / "log").write_bytes(line + garbage + b"\n" + line + line[:-1])

    assert runs(tmp_path / "log") == ["r1", "r1"]


def test_progress_is_reported_in_bytes(tmp_path: Path) -> None:
    """Bytes read, of all that there are."""
    size = big(tmp_path / "log", range(30))
    told: list[tuple[int, int]] = []
    list(islice(iter_newest_first(tmp_path / "log", 3, LogFilter("none"), lambda *both: told.append(both)), 1))

    assert told[0] == (0, size)
    assert size - blocks.BLOCK <= told[-1][0] < size
    assert {whole for _, whole in told} == {size}


def test_ids_of_jobs_are_collected_from_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From either format, within a bound of bytes."""
    write(tmp_path / "log", record(0, "a"), record(1, "b.c-d"))
    write(tmp_path / "log.1", record(0, "old"))
    assert query.recent_job_ids(tmp_path / "log", 3) == {"a", "b.c-d", "old"}
    monkeypatch.setattr(query, "RECENT_IDS", 10)
    assert query.recent_job_ids(tmp_path / "log", 3) == {"a", "b.c-d"}


def test_a_line_of_the_writer_is_read_back_unchanged(tmp_path: Path) -> None:
    """In both formats; the object is the one of the JSON format."""
    entry = Record(at(1), Status.FAILURE, "x", "12", at(0), at(0), 1.0, "exit", (("exit_code", 3),), output="Grüße\n")
    for form in ("text", "json"):
        with LogWriter(LogFile(tmp_path / "log", 10**6, 3), form=form, echo=None) as log:
            log.write(entry)

    for found in iter_newest_first(tmp_path / "log", 3):
        assert found.object == json.loads(format_json(entry))
    assert query.oldest_time(tmp_path / "log", 3) == at(1)
