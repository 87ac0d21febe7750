"""The log survives what is done to it: runs go on, nothing ends, and what could not be written is there afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Event, Level, Record, Status
from jobscheduler.runlog import LogFile, LogWriter
from tests.service.test_cli import run
from tests.support.accounting import Account, lines_of
from tests.support.job_files import unavailable
from tests.support.marked_service import EACH_SECOND, MarkedService, each_second, with_log_directory
from tests.support.service import Service, job, parse_line, wait_until

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def service(service: Service) -> Service:
    """A service that looks for its log, and tries again, after less time than those of users."""
    service.constants = {
        "runlog.writer_thread.REOPEN_CHECK_S": 0.5,
        "runlog.backlog.RETRY_S": 0.3,
    }
    return service


@contextmanager
def mounted(at: Path, *options: str) -> Iterator[Path]:
    """Mount something there for as long as the block lasts, whatever happens in it."""
    if os.geteuid() != 0:
        unavailable("only root can mount")
    at.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, at], check=False, capture_output=True, text=True)
    if done.returncode:
        unavailable(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def test_a_full_disk_stops_no_run_and_what_was_not_written_is_there_afterwards(service: Service) -> None:
    """A small file system, filled to the last byte while the service runs, and emptied again."""
    with mounted(service.jobs.parent / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as disk:
        world = MarkedService(service, disk)
        service.start()
        service.wait_for("SUCCESS", job_id="tick")
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as opened, pytest.raises(OSError, match="No space left"):
            while True:
                opened.write(b"x" * 4096)
        with service.log.open("ab", buffering=0) as opened:  # also the rest of the log's own last page
            opened.write(b"#" * (-service.log.stat().st_size % 4096 - 1) + b"\n")
        world.wait_for_echo("log.lost")
        world.wait_for_runs()
        assert "log.restored" not in service.log.read_text("ascii")
        filler.unlink()
        wait_until(lambda: "log.restored" in service.log.read_text("ascii"))
        assert service.stop() == 0

        text = "\n".join(line for line in service.log.read_text("ascii").splitlines() if not line.startswith("#"))
        lines = [parse_line(line) for line in text.splitlines()]
        Account(lines, each_second("tick"), world.marks).check()
        assert [line["word"] for line in lines if line["word"].startswith("log.")] == [
            *("log.passing", "log.lost", "log.restored")
        ]
        assert service.stderr().count("log.lost") == 1


def test_a_stop_while_the_disk_is_full_lets_nothing_run_twice(service: Service) -> None:
    """What has run meanwhile is counted, and the last mark is there: the next start knows of it. Exit status 1."""
    with mounted(service.jobs.parent / "disk", "-t", "tmpfs", "-o", "size=200k", "tmpfs") as disk:
        world = MarkedService(service, disk)
        service.start()
        service.wait_for("SUCCESS", job_id="tick")
        with (disk / "filler").open("wb", buffering=0) as opened, pytest.raises(OSError, match="No space left"):
            while True:
                opened.write(b"x" * 4096)
        line = b"2026-01-01T00:00:00.000Z INFO padding\n"  # in the rest of the log's own last page
        padding = -service.log.stat().st_size % 4096 // len(line)
        with service.log.open("ab", buffering=0) as opened:
            opened.write(line * padding)
        world.wait_for_echo("log.lost")
        world.wait_for_runs()
        assert service.stop() == 1
        (disk / "filler").unlink()
        before = world.runs()
        reply = [parse_line(line) for line in service.stderr().splitlines()]
        kept = [line for line in service.lines() if "lines" not in line]
        assert int(reply[-1]["lines"]) == len(reply) - 1 + padding - len(kept)
        assert service.words("log.lost")[-1]["lines"] == reply[-1]["lines"]
        service.start()
        world.wait_for_runs(1)
        assert service.stop() == 0

    slots = [line.split()[1] for line in world.marks.read_text("ascii").splitlines()]
    assert len(slots) == len(set(slots)) > before


def test_a_stop_without_the_log_says_how_many_lines_are_lost(service: Service) -> None:
    """Its directory is gone: they are on standard error only, and so is their number. Exit status 1."""
    marked = with_log_directory(service)
    marked.start()
    marked.take_logs_away()

    assert service.stop() == 1
    last = parse_line(service.stderr().splitlines()[-1])
    assert last["word"] == "log.lost"
    assert int(last["lines"]) > 5
    assert "may run once more" in last["help"]


def test_a_directory_made_unwritable_and_writable_again_costs_no_line(service: Service) -> None:
    """The file cannot be rotated, grows instead, and is rotated when it can be; both is said."""
    service.options = ("--log-max-bytes", "64K", "--log-backups", "99")
    world = with_log_directory(service)
    where = world.logs
    service.write("noisy.json", job("noisy", EACH_SECOND, "head -c 2000 /dev/zero | tr '\\0' x; exit 1"))
    service.start()
    service.wait_for("SUCCESS", job_id="tick")
    with mounted(where.with_name("read-only"), "--bind", str(where)) as read_only:
        subprocess.run(["mount", "-o", "remount,bind,ro", read_only], check=True)
        with service.log.open("ab", buffering=0) as opened, mounted(where, "--bind", str(read_only)):
            opened.write(b"2026-01-01T00:00:00.000Z INFO padding\n" * 1750)
            world.wait_for_echo("cannot rotate: read-only file system")
            world.wait_for_runs(2)
    wait_until(lambda: service.log.with_name("scheduler.log.1").exists())
    service.wait_for("log.restored")
    assert service.stop() == 0
    Account(lines_of(service.log), each_second("tick", "noisy")).check()


def test_a_directory_that_is_taken_away_and_put_back_costs_no_line(service: Service) -> None:
    """The lines are kept and follow; standard error had them at once."""
    marked = with_log_directory(service)
    marked.start()
    marked.take_logs_away()
    marked.put_logs_back()
    marked.check()


def test_a_log_that_is_renamed_or_emptied_by_others_gets_its_mark_at_once(service: Service) -> None:
    """Logrotate's two ways, and after each a crash: the next start finds its mark in what is left."""
    MarkedService(service, service.jobs.parent)
    saved = [service.jobs.parent / name for name in ("renamed", "copied")]
    service.start()
    for way in (
        service.log.rename,
        lambda to: (shutil.copy(service.log, to), os.truncate(service.log, 0)),
    ):
        service.wait_for("SUCCESS", job_id="tick")
        way(saved[0] if not saved[0].exists() else saved[1])
        service._read = (0, 0, [])
        wait_until(lambda: service.log.exists() and any("settled" in line for line in service.words("service.alive")))
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        service.start()
        assert "nothing is known" not in service.words("service.started")[-1]["settled"]
    service.wait_for("SUCCESS", job_id="tick")
    service.log.unlink()
    service.wait_for("service.alive")
    service.wait_for("SUCCESS", 1, job_id="tick")
    removed = [line["scheduled"] for line in service.words("run.started")]
    assert service.stop() == 0

    lines = [line for path in (*saved, service.log) for line in map(parse_line, path.read_text("ascii").splitlines())]
    account = Account(lines, each_second("tick"), None)
    started = [line["scheduled"] for line in lines if line["word"] == "run.started"]
    assert len(started) == len(set(started))
    assert removed
    assert not account.wrong


@pytest.mark.parametrize("way", ["renamed", "emptied"])
def test_a_log_that_is_taken_away_in_a_quiet_time_keeps_the_account(service: Service, way: str) -> None:
    """One long run goes on and no line is written; then a crash: the run is ended, and has its record."""
    soon = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    service.write("long.json", job("long", soon, "sleep 1000"))
    service.start()
    (started,) = service.wait_for("run.started", job_id="long")
    if way == "renamed":
        service.log.rename(service.log.with_name("dated"))
    else:
        os.truncate(service.log, 0)
    wait_until(lambda: service.log.exists() and started["run_id"] in service.log.read_text("ascii"))
    wait_until(lambda: service.words("service.alive") and "settled" in service.words("service.alive")[-1])
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    service.start()

    assert "nothing is known" not in service.words("service.started")[-1]["settled"]
    (record,) = service.wait_for("FAILURE", job_id="long")
    assert (record["reason"], record["run_id"]) == ("interrupted", started["run_id"])
    assert service.stop() == 0


@pytest.mark.parametrize("shared", ["directory", "log"])
def test_a_second_service_on_the_same_directory_or_log_names_the_first(tmp_path: Path, shared: str) -> None:
    """It refuses to start, with the process id and what to do; the first one does not notice."""
    (tmp_path / "second").mkdir()
    first, second = Service(tmp_path), Service(tmp_path / "second")
    if shared == "directory":
        second.jobs = first.jobs
    else:
        second.log = first.log
    try:
        first.write("a.json", job("a"))
        first.start()
        second.start(wait=False)
        assert second.process.wait(20) == 1
        what = f"the jobs directory `{first.jobs}`" if shared == "directory" else f"the log `{first.log}`"
        assert f"error: {what} is in use by process {first.process.pid}\n" in second.stderr()
        assert "help: stop that service first" in second.stderr()
        first.wait_for("SUCCESS", 2, job_id="a")
        assert first.stop() == 0
    finally:
        first.close()
        second.close()


# --- the writer, by itself --------------------------------------------------------------------------------


class Slow(LogFile):
    """A file on a disk that takes nothing until it may."""

    may = threading.Event()

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Wait, then write."""
        assert self.may.wait(30)
        return super().append(data, is_checkpoint=is_checkpoint)


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_a_log_in_memory_is_logged_at_the_start_shown_by_status_and_not_a_failure(service: Service, kind: str) -> None:
    """A boot loses it, and with it what has run; a log on a disk is not spoken of."""
    service.start()
    assert service.stop() == 0
    assert service.words("log.passing") == []
    with mounted(service.jobs.parent / "memory", "-t", kind, kind) as memory:
        service.log = memory / "scheduler.log"
        service.start()
        (reply,) = service.wait_for("log.passing")
        answer = run("status", "--socket", str(service.socket))
        assert service.stop() == 0

    assert reply["level"] == "WARNING"
    assert reply["file"] == str(memory / "scheduler.log")
    assert f"in memory ({kind}), which does not survive a boot" in reply["problem"]
    assert answer.returncode == 0, answer.stdout
    (note,) = [line for line in answer.stdout.splitlines() if line.startswith("note ")]
    assert f"the log is on a file system in memory ({kind})" in note


def test_a_slow_disk_is_waited_for_a_moment_and_logged_once(tmp_path: Path) -> None:
    """However many runs wait for their line, and how often; when the disk is back the next issue is logged again."""
    log = tmp_path / "log"
    file = Slow(log, 10**6, 1)
    file.may.clear()
    with LogWriter(file, echo=None) as runlog:
        for round_ in (1, 2):
            file.may.clear()
            threads = [
                threading.Thread(target=runlog.write_and_wait, args=(Event(AT, Level.INFO, "x"), 0.3)) for _ in range(6)
            ]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert 0.3 <= time.monotonic() - began < 1.5
            assert not runlog.write_and_wait(Event(AT, Level.INFO, "x"), 0.1)
            file.may.set()
            wait_until(lambda expected=round_: log.exists() and log.read_text().count("log.behind") == expected)
            assert runlog.write_and_wait(Event(AT, Level.INFO, "x"), 5)
            wait_until(lambda: not runlog._thread.is_behind)

    words = [parse_line(line)["word"] for line in log.read_text().splitlines()]
    assert (words.count("x"), words.count("log.behind")) == (16, 2)


def test_a_file_always_ends_in_a_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only half fitted on the disk is taken back, and follows as a whole."""
    log = tmp_path / "log"
    file = LogFile(log, 10**6, 1)
    file.append(b"first\n")
    write = os.write
    room = [9]

    def short(descriptor: int, data: bytes) -> int:
        room[0], size = 0, min(room[0], len(data))
        if not size:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:size])

    monkeypatch.setattr(os, "write", short)
    assert file.append(b"second\nthird\n") == len(b"second\n")
    assert log.read_bytes() == b"first\nsecond\n"
    room[0] = 3
    with pytest.raises(OSError, match="No space left"):
        file.append(b"third\n")
    assert log.read_bytes() == b"first\nsecond\n"


def test_rotations_that_fail_push_no_old_file_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current file cannot be renamed (it is append-only, say), the others can."""
    log = tmp_path / "log"
    for number in (1, 2, 3):
        (tmp_path / f"log.{number}").write_text(f"old {number}\n")
    file = LogFile(log, 20, 4)
    replace: Callable[[Path, Path], Path] = Path.replace

    def refuse(path: Path, to: Path) -> Path:
        if path == log:
            raise PermissionError(1, "Operation not permitted")
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", refuse)
    for _ in range(10):
        file.append(b"fifteen bytes..\n")
    assert file.rotation_error is not None
    monkeypatch.undo()
    file.append(b"fifteen bytes..\n")

    assert [(tmp_path / f"log.{n}").read_text() for n in (2, 3, 4)] == ["old 1\n", "old 2\n", "old 3\n"]
    assert (tmp_path / "log.1").read_text() == "fifteen bytes..\n" * 10


def test_a_value_that_cannot_be_written_costs_that_value_and_no_record(tmp_path: Path) -> None:
    """A number with ten thousand digits, from some task: the writer goes on, and the slot has its record."""
    log = tmp_path / "log"
    with LogWriter(LogFile(log, 10**6, 1), echo=None) as runlog:
        runlog.write(Record(AT, Status.SUCCESS, "x", "r", AT, details=(("n", 10**10_000),)))
        assert runlog.write_and_wait(Event(AT, Level.INFO, "after"), 5)

    record, after = map(parse_line, log.read_text().splitlines())
    assert (record["word"], record["scheduled"], after["word"]) == ("SUCCESS", "2026-11-22T12:00:00Z", "after")
    assert record["unwritable"].startswith("ValueError")


def test_a_disk_that_does_not_sync_is_logged(tmp_path: Path) -> None:
    """The sync fails although the write did not, as on a file system in the network; once, and so is its end."""
    log = tmp_path / "log"

    class Failing(LogFile):
        broken = True

        def sync(self) -> None:
            if self.broken:
                raise OSError(5, "Input/output error")

    file = Failing(log, 10**6, 1)
    with LogWriter(file, echo=None) as runlog:
        runlog.event(Level.INFO, "x")
        wait_until(lambda: log.exists() and "cannot sync: input/output error" in log.read_text())
        file.broken = False
        runlog.event(Level.INFO, "x")
        wait_until(lambda: "log.restored" in log.read_text())

    words = [parse_line(line)["word"] for line in log.read_text().splitlines()]
    assert (words.count("log.lost"), words.count("log.restored")) == (1, 1)
