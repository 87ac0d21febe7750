"""The log: its lines, its file, and what the writer does while the file cannot be written."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.model import Checkpoint, Event, Level, LogEntry, Record, Status
from jobscheduler.runlog import LogFile, LogWriter, backlog, format_json, format_text, parse, recovery, writer_thread
from jobscheduler.runlog.format import MAX_LINE
from jobscheduler.runlog.pending_lines import MAX_PENDING_BYTES
from jobscheduler.util.file_locks import LockFile
from tests.support.service import parse_line, wait_until

AT = datetime(2026, 11, 22, 1, 0, 1, 216000, tzinfo=UTC)
SLOT = datetime(2026, 11, 22, 1, tzinfo=UTC)
SUCCESS = Record(
    AT,
    Status.SUCCESS,
    "report-001",
    "5f3c2a9d",
    SLOT,
    SLOT + timedelta(milliseconds=12),
    1.2041,
    None,
    (("exit_code", 0),),
)
FAILURE = Record(
    AT, Status.FAILURE, "x", "77", SLOT, SLOT, 0.02, "exit", (("exit_code", 1),), "rm: 'x': Permission denied\n"
)


def test_a_record_is_one_line_of_text() -> None:
    """The form of SPEC section 4."""
    assert format_text(SUCCESS) == (
        "2026-11-22T01:00:01.216Z SUCCESS job_id=report-001 run_id=5f3c2a9d scheduled=2026-11-22T01:00:00Z "
        "started=2026-11-22T01:00:00.012Z duration=1.204 exit_code=0"
    )
    assert format_text(FAILURE).endswith(
        """duration=0.020 reason=exit exit_code=1 output="rm: 'x': Permission denied\\n\""""
    )


def test_an_event_is_written_with_its_level_and_name() -> None:
    """Milliseconds stay in the first column even when they are zero; instants of other zones are written in UTC."""
    berlin = SLOT.astimezone(timezone(timedelta(hours=1)))
    event = Event(SLOT, Level.INFO, "job.added", (("next", berlin), ("n", 3), ("ok", True)))

    assert format_text(event) == "2026-11-22T01:00:00.000Z INFO job.added next=2026-11-22T01:00:00Z n=3 ok=true"


def test_json_lines_have_the_same_keys() -> None:
    """One object per line, for machines."""
    assert json.loads(format_json(SUCCESS)) == {
        "time": "2026-11-22T01:00:01.216Z",
        "status": "SUCCESS",
        "job_id": "report-001",
        "run_id": "5f3c2a9d",
        "scheduled": "2026-11-22T01:00:00Z",
        "started": "2026-11-22T01:00:00.012Z",
        "duration": 1.204,
        "exit_code": 0,
    }


def test_no_key_can_forge_a_line() -> None:
    """A text that is not a key becomes one, and no pair replaces the head of the line."""
    record = Record(AT, Status.FAILURE, "x", details=(("a=1\nb", float("inf")), ("status", "SUCCESS")))

    assert format_text(record).endswith("FAILURE job_id=x a_1_b=inf status=SUCCESS")
    assert json.loads(format_json(record), parse_constant=pytest.fail)["status"] == "FAILURE"


class Loud(int):
    """A number of another package whose text would forge a line."""

    def __repr__(self) -> str:
        return "1\n2026-11-22T01:00:00.000Z SUCCESS job_id=forged"

    __str__ = __repr__


def test_a_number_is_written_as_a_number_whatever_its_own_text() -> None:
    """A status of `http`, or worse."""
    event = Event(AT, Level.INFO, "x", (("status", HTTPStatus.OK), ("loud", Loud(7))))
    assert format_text(event).endswith("Z INFO x status=200 loud=7")


@pytest.mark.parametrize("form", [format_text, format_json])
def test_a_key_stands_in_a_line_once(form: Callable[[LogEntry], str]) -> None:
    """The first one counts: no detail replaces the job or the slot of a record."""
    forged = (("job_id", "victim"), ("Scheduled", "2030-01-01T00:00:00Z"), ("s3_key", 1), ("s3_key", "x job_id=y"))
    line = form(replace(SUCCESS, details=forged))

    assert (line.count("job_id"), line.count("scheduled"), line.count("s3_key")) == (1, 1, 1)
    told = parse.parse_line(line.encode())
    assert told is not None
    assert (told["job_id"], told["scheduled"], told["s3_key"]) == ("report-001", "2026-11-22T01:00:00Z", "1")


@given(st.text(max_size=300))
def test_no_value_can_forge_a_line(text: str) -> None:
    """Every output and every name is read back unchanged, from one line of printable characters."""
    line = format_text(Event(AT, Level.INFO, "x", (("value", text), ("after", "end"))))

    assert line.isprintable()
    assert parse_line(line) | {"value": text, "after": "end"} == parse_line(line)


@pytest.mark.parametrize("form", [format_text, format_json])
def test_a_line_is_never_longer_than_sixteen_kibibytes(form: object, tmp_path: Path) -> None:
    """Long values lose their beginnings, however much escaping makes of them."""
    log = tmp_path / "log"
    with LogWriter(LogFile(log, 10**9, 1), form="json" if form is format_json else "text", echo=None) as runlog:
        runlog.write(Event(AT, Level.INFO, "x", tuple((f"k{n}", "\x01" * 100_000) for n in range(20))))
        runlog.write(Record(AT, Status.FAILURE, "x", output="\U0001f600" * 5000))

    lines = log.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    assert all(len(line) <= MAX_LINE for line in lines)


def test_lines_of_many_threads_are_complete_and_in_order(tmp_path: Path) -> None:
    """No line is lost, doubled or mixed, also over rotations, and the order of each thread is kept."""
    file = LogFile(tmp_path / "log", 64 * 1024, 50)
    with LogWriter(file, echo=None) as runlog:

        def work(thread: int) -> None:
            for number in range(500):
                runlog.event(Level.INFO, "x", thread=thread, number=number, padding="p" * 50)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    rotated = sorted(tmp_path.glob("log.*"), key=lambda path: -int(path.suffix[1:]))
    lines = [parse_line(line) for path in [*rotated, tmp_path / "log"] for line in path.read_text().splitlines()]
    assert len(rotated) > 3
    assert all(path.stat().st_size <= 64 * 1024 for path in rotated)
    for thread in range(8):
        assert [int(line["number"]) for line in lines if line["thread"] == str(thread)] == list(range(500))


def test_the_oldest_backup_is_deleted(tmp_path: Path) -> None:
    """Beyond the number of backups."""
    file = LogFile(tmp_path / "log", 100, 3)
    for number in range(10):
        file.append(f"{number:099d}\n".encode())
    file.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3"]
    assert [int((tmp_path / name).read_text()) for name in ("log.3", "log.2", "log.1", "log")] == [6, 7, 8, 9]


def test_the_log_is_readable_by_its_group_and_not_by_others(tmp_path: Path) -> None:
    """Mode 0640."""
    former = os.umask(0)
    try:
        LogFile(tmp_path / "log", 1000, 1).append(b"x\n")
    finally:
        os.umask(former)

    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_renamed_or_removed_is_replaced(tmp_path: Path) -> None:
    """Logrotate and rm are harmless."""
    log = tmp_path / "log"
    file = LogFile(log, 1000, 1)
    file.append(b"one\n")
    log.rename(tmp_path / "moved")
    file.append(b"two\n")
    log.unlink()
    file.append(b"three\n")

    assert (tmp_path / "moved").read_bytes() == b"one\n"
    assert log.read_bytes() == b"three\n"


def test_a_line_that_a_crash_cut_short_is_not_continued(tmp_path: Path) -> None:
    """The next line begins on its own."""
    log = tmp_path / "log"
    log.write_bytes(b"whole\ncut sho")
    LogFile(log, 1000, 1).append(b"next\n")

    assert log.read_bytes() == b"whole\ncut sho [cut short]\nnext\n"


def test_a_rotation_that_fails_loses_nothing_and_is_logged_once(tmp_path: Path) -> None:
    """The file grows until a rotation succeeds, which is logged too."""
    log = tmp_path / "log"
    blocked = tmp_path / "log.1"
    blocked.mkdir()
    with LogWriter(LogFile(log, 300, 1), echo=None) as runlog:
        for number in range(10):
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x", (("number", number),)), 5)
        wait_until(lambda: "log.lost" in log.read_text())
        blocked.rmdir()
        for number in range(10, 12):
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x", (("number", number),)), 5)

    lines = [
        parse_line(line)
        for path in (tmp_path / "log.1", log)
        if path.exists()
        for line in path.read_text().splitlines()
    ]
    assert [int(line["number"]) for line in lines if line["word"] == "x"] == list(range(12))
    assert [line["word"] for line in lines if line["word"] != "x"] == ["log.lost", "log.restored"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer tries again, and looks for its file, after less time than that of users: 1 s and 5 s."""
    for module in (backlog, writer_thread):
        monkeypatch.setattr(module, "RETRY_S", 0.1)
    monkeypatch.setattr(writer_thread, "REOPEN_CHECK_S", 0.2)


class Unwritable(LogFile):
    """A file that cannot be written while `full` is set."""

    full = True

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Fail like a full disk, or write one byte less than asked first."""
        if self.full:
            raise OSError(28, "No space left on device")
        return super().append(data, is_checkpoint=is_checkpoint)


@pytest.mark.usefixtures("impatient")
def test_lines_wait_for_a_full_disk_and_follow(tmp_path: Path) -> None:
    """The full disk is reported once on standard error; when it has room, every line is written, in order."""
    read, write = os.pipe()
    file = Unwritable(tmp_path / "log", 10**6, 1)
    with LogWriter(file, echo=write) as runlog:
        for number in range(5):
            runlog.write_and_wait(Event(AT, Level.INFO, "x", (("number", number),)), 5)
        file.full = False
        wait_until(lambda: (tmp_path / "log").exists() and "log.restored" in (tmp_path / "log").read_text())
    os.close(write)

    words = [parse_line(line)["word"] for line in (tmp_path / "log").read_text().splitlines()]
    assert words == ["x", "log.lost", "x", "x", "x", "x", "log.restored"]
    with os.fdopen(read) as echoed:
        assert echoed.read().count("log.lost") == 1


@pytest.mark.usefixtures("impatient")
def test_lines_beyond_the_backlog_are_counted_and_logged(tmp_path: Path) -> None:
    """Memory is bounded: the number of further lines is in the log afterwards."""
    file = Unwritable(tmp_path / "log", 10**9, 1)
    count = MAX_PENDING_BYTES // 2000 + 1000
    with LogWriter(file, echo=None) as runlog:
        for number in range(count):
            runlog.write_and_wait(Event(AT, Level.INFO, "x", (("p", "p" * 2000), ("number", number))), 5)
        file.full = False
        wait_until(lambda: "log.restored" in (tmp_path / "log").read_text() if (tmp_path / "log").exists() else False)

    lines = [parse_line(line) for line in (tmp_path / "log").read_text().splitlines()]
    kept = sum(line["word"] == "x" for line in lines)
    lost = int(next(line for line in lines if line["word"] == "log.restored")["lines_not_kept"])
    assert lost > 0
    assert kept + lost == count


def test_the_stderr_copy_has_priorities_for_the_journal(tmp_path: Path) -> None:
    """Each line of the copy begins with its syslog priority; the file has none."""
    read, write = os.pipe()
    with LogWriter(LogFile(tmp_path / "log", 10**6, 1), echo=write, priorities=True) as runlog:
        for entry in (SUCCESS, FAILURE, Event(AT, Level.WARNING, "w"), Event(AT, Level.ERROR, "e")):
            runlog.write(entry)
    os.close(write)

    with os.fdopen(read) as echoed:
        assert [line[:3] for line in echoed] == ["<6>", "<3>", "<4>", "<3>"]
    assert (tmp_path / "log").read_text().startswith("2026")


def test_a_stderr_copy_without_a_reader_does_not_delay_the_log(tmp_path: Path) -> None:
    """Standard error is a pipe whose reader sleeps: the file gets every line, and leaving the log ends."""
    read, write = os.pipe()
    with LogWriter(LogFile(tmp_path / "log", 10**9, 1), echo=write) as runlog:
        for number in range(3000):
            runlog.write(Event(AT, Level.INFO, "x", (("number", number), ("p", "p" * 2000))))
        assert runlog.write_and_wait(SUCCESS, 10)

    assert len((tmp_path / "log").read_text().splitlines()) == 3001
    os.close(read)
    os.close(write)


def test_a_closed_standard_error_does_no_harm(tmp_path: Path) -> None:
    """The file gets every line."""
    read, write = os.pipe()
    os.close(read)
    with LogWriter(LogFile(tmp_path / "log", 10**6, 1), echo=write) as runlog:
        assert runlog.write_and_wait(SUCCESS, 5)
    os.close(write)

    assert len((tmp_path / "log").read_text().splitlines()) == 1


def wide(count: int) -> Checkpoint:
    """Return a checkpoint with so many pending slots; each takes some forty bytes."""
    return Checkpoint(SLOT, "boot", pending=tuple((f"job{number}", SLOT) for number in range(count)))


@pytest.mark.parametrize("count", [0, 100])
def test_the_last_checkpoint_is_never_rotated_away(tmp_path: Path, count: int) -> None:
    """However late the next one comes, and even if it is larger than all files may be together."""
    log = tmp_path / "log"
    asked: list[int] = []
    with LogWriter(LogFile(log, 1000, 1, lambda: asked.append(1)), echo=None) as runlog:
        runlog.checkpoint(wide(count))
        for number in range(300):
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x", (("number", number),)), 5)
            found = recovery.recover(log, 1)
            assert found is not None
            assert len(found.pending) == count
            if asked and number % 50 == 0:
                asked.clear()
                runlog.checkpoint(wide(count))

    assert (tmp_path / "log.1").exists()
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 5000 + 2 * 60 * count


def test_a_checkpoint_larger_than_a_file_is_not_followed_by_the_next_at_once(tmp_path: Path) -> None:
    """The file may grow by as much again: else each further line would cause a large checkpoint."""
    log = tmp_path / "log"
    asked: list[int] = []
    with LogWriter(LogFile(log, 1000, 9, lambda: asked.append(1)), echo=None) as runlog:
        runlog.checkpoint(wide(100))
        for _ in range(20):
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x"), 5)

    assert asked == []


def test_checkpoints_do_not_let_files_grow(tmp_path: Path) -> None:
    """Wherever they stand in a file, the first line beyond the limit begins another file."""
    with LogWriter(LogFile(tmp_path / "log", 1000, 50, lambda: None), echo=None) as runlog:
        for _ in range(60):
            runlog.checkpoint(wide(0))
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x"), 5)

    assert len(list(tmp_path.iterdir())) > 5
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


@pytest.mark.usefixtures("impatient")
def test_a_checkpoint_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that was written is removed again; the checkpoint follows after the lines before it."""
    log = tmp_path / "log"
    write, room = os.write, [2000]

    def short(descriptor: int, data: bytes) -> int:
        taken = min(room[0], len(data))
        if not taken:
            raise OSError(28, "No space left on device")
        room[0] -= taken
        return write(descriptor, data[:taken])

    with LogWriter(LogFile(log, 10**6, 1, lambda: None), echo=None) as runlog:
        monkeypatch.setattr(os, "write", short)
        runlog.write(Event(AT, Level.INFO, "before"))
        runlog.checkpoint(wide(100))
        wait_until(runlog.is_failing)
        assert b"service.alive" not in log.read_bytes()
        room[0] = 10**6
        wait_until(lambda: b"log.restored" in log.read_bytes())

    words = [parse_line(line)["word"] for line in log.read_text().splitlines()]
    assert words == ["before", *["service.alive"] * 14, "log.lost", "log.restored"]
    assert recovery.recover(log, 1) is not None


@pytest.mark.parametrize("room", range(8192 - 400, 8192, 37))
def test_at_a_stop_on_a_full_disk_the_last_checkpoint_replaces_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Runs since the checkpoint before must not run again. Lost lines are counted in the file and on standard error."""
    log = tmp_path / "log"
    write, disk = os.write, [10**6]

    def full(descriptor: int, data: bytes) -> int:
        taken = min(disk[0] - os.fstat(descriptor).st_size, len(data))
        if taken <= 0:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:taken])

    with LogWriter(LogFile(log, 10**6, 1, lambda: None), echo=None) as runlog:
        monkeypatch.setattr(os, "write", full)
        runlog.checkpoint(wide(0))
        assert runlog.write_and_wait(Event(AT, Level.INFO, "x", (("p", "p" * 1000),) * 1), 5)
        while log.stat().st_size < room:
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x"), 5)
        disk[0] = 8192
        for _ in range(30):
            runlog.write(SUCCESS)
        runlog.checkpoint(wide(3))
        runlog.event(Level.INFO, "service.stopped")
        written = log.read_text().count(" x")

    found = recovery.recover(log, 1)
    assert found is not None
    assert (len(found.pending), found.clean_stop) == (3, True)
    lines = [parse_line(line) for line in log.read_text().splitlines()]
    kept = sum(line["word"] in {"x", "SUCCESS"} for line in lines)
    assert [int(line["lines"]) for line in lines if "lines" in line] == [runlog.lines_lost]
    assert runlog.lines_lost - (written + 30 - kept) in {0, 1}  # the first word about the trouble may be among them
    assert log.stat().st_size <= 8192


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", ["renamed", "removed", "emptied"])
def test_a_file_that_is_taken_away_while_nothing_is_written_is_noticed(tmp_path: Path, way: str) -> None:
    """A checkpoint is requested within seconds, not with the next line, which may be hours later."""
    log = tmp_path / "log"
    asked = threading.Event()
    with LogWriter(LogFile(log, 10**6, 1, asked.set), echo=None) as runlog:
        runlog.checkpoint(wide(1))
        assert runlog.write_and_wait(SUCCESS, 5)
        asked.clear()
        {
            "renamed": lambda: log.rename(tmp_path / "dated"),
            "removed": log.unlink,
            "emptied": lambda: log.write_bytes(b""),
        }[way]()
        assert asked.wait(10)
        runlog.checkpoint(wide(2))

    found = recovery.recover(log, 1)
    assert found is not None
    assert len(found.pending) == 2


@pytest.mark.usefixtures("impatient")
def test_a_log_that_another_service_has_is_not_written(tmp_path: Path) -> None:
    """Lines wait, which is logged once, and follow when the log is free."""
    log = tmp_path / "log"
    log.write_text("not ours\n")
    other = LockFile(tmp_path, ".log.lock")
    other.acquire()
    with LogWriter(LogFile(log, 10**6, 1), echo=None) as runlog:
        wait_until(runlog.is_failing)
        for number in range(3):
            runlog.event(Level.INFO, "x", number=number)
        assert runlog.write_and_wait(FAILURE, 5)
        assert log.read_text() == "not ours\n"
        other.release()
        wait_until(lambda: "log.restored" in log.read_text())

    lines = [parse_line(line) for line in log.read_text().splitlines()[1:]]
    assert [line["word"] for line in lines] == ["log.lost", "x", "x", "x", "FAILURE", "log.restored"]
    assert lines[0]["error"] == f"the file is in use by process {os.getpid()}"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_lock_held_by_a_reader_of_the_log_stops_nothing(tmp_path: Path) -> None:
    """The group of the log may read it, and a process that can open a file can lock it."""
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        file = LogFile(log, 10**6, 1)
        assert file.claim() is None
        file.append(b"after\n")
        file.close()

    assert log.read_text() == "before\nafter\n"
