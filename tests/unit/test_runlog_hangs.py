"""A log file that hangs: another writer takes over, and every line is written once when the file answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobscheduler.model import Event, Level
from jobscheduler.runlog import LogFile, LogWriter, backlog, file_calls, writer_thread
from jobscheduler.runlog.file_calls import CALL_TIMEOUT_S, FileCalls, Superseded
from tests.support.service import wait_until

AT = datetime(2026, 11, 22, 1, 0, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer tries again after less time than that of users, which is a second."""
    for module in (backlog, writer_thread):
        monkeypatch.setattr(module, "RETRY_S", 0.05)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends the calls that hang; set at the end."""
    made = threading.Event()
    yield made
    made.set()


def test_a_call_of_the_file_is_given_up_at_the_second_check() -> None:
    """Either its end or that check comes first; its result is taken once, when it has returned."""
    calls, inside, go_on = FileCalls(), threading.Event(), threading.Event()
    relieved = threading.Event()

    def write() -> int:
        inside.set()
        go_on.wait()
        return 7

    def writer() -> None:
        try:
            calls.call(write)
        except Superseded:
            relieved.set()

    threading.Thread(target=writer, daemon=True).start()
    assert inside.wait(5)
    assert [calls.check(now) for now in (0.0, CALL_TIMEOUT_S / 2, CALL_TIMEOUT_S, 2 * CALL_TIMEOUT_S)] == [
        False,
        False,
        True,
        False,
    ]
    assert calls.is_silent()
    assert calls.take_over() is None
    go_on.set()
    assert relieved.wait(5)
    assert calls.take_over() == 7
    assert calls.take_over() == 0
    assert not calls.is_silent()


def test_calls_that_follow_each_other_are_never_given_up() -> None:
    """A check counts only for the very call that the check before has seen."""
    calls = FileCalls()
    looks: list[bool] = []
    for now in range(5):
        assert calls.call(lambda now=now: looks.append(calls.check(float(now))) or 1) == 1  # type: ignore[misc, func-returns-value]
    assert looks == [False] * 5


class SilentFile(LogFile):
    """A log file whose n-th outside call hangs until it is released."""

    def __init__(self, path: Path, nth: int, release: threading.Event) -> None:
        super().__init__(path, 4096, 3, on_beginning=lambda: None)
        self.left = nth
        self.release = release
        self.is_hanging = threading.Event()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.is_hanging.set()
            self.release.wait()

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Append, and hang before or after it if this is the n-th call."""
        self._count()
        written = super().append(data, is_checkpoint=is_checkpoint)
        self._count()
        return written

    def reopen_if_replaced(self) -> None:
        """Check the name, and hang if this is the n-th call."""
        self._count()
        super().reopen_if_replaced()


@pytest.mark.parametrize("nth", range(1, 31, 2))
def test_a_log_whose_nth_call_hangs_gets_every_line_once_when_it_returns(
    tmp_path: Path, nth: int, release: threading.Event
) -> None:
    """No line is doubled, torn or out of order; callers that wait for their line are released meanwhile."""
    file = SilentFile(tmp_path / "s.log", nth, release)
    with LogWriter(file, echo=None) as log:
        for number in range(12):
            log.event(Level.INFO, "before", number=number)
            log.flush(0.05)
        hangs = file.is_hanging.wait(0.2)
        if hangs:
            now = time.monotonic()
            log.check_file(now)
            log.check_file(now + 1)
            assert log.flush(5)
            assert log.is_silent()
            log.check_file(now + 2)
            log.check_file(now + 3)
        log.event(Level.INFO, "after")
        assert log.flush(5)
        release.set()
        wait_until(lambda: not log.is_silent(), why="it is written again")
    lines = [line for path in sorted(tmp_path.glob("s.log*"), reverse=True) for line in path.read_text().splitlines()]
    words = [line.split()[2] for line in lines]
    assert sorted(words) == sorted(["before"] * 12 + ["after"] + ["log.lost", "log.restored"] * hangs)
    numbers = [line.rpartition("number=")[2] for line in lines if "number=" in line]
    assert numbers == [str(number) for number in range(12)]


class HungDisk(LogFile):
    """A log file whose syncs hang until they are released, and whose writes do from `hang_writes` on."""

    def __init__(self, path: Path, release: threading.Event) -> None:
        super().__init__(path, 4096, 3, on_beginning=lambda: None)
        self.release = release
        self.in_sync, self.in_write, self.hang_writes = threading.Event(), threading.Event(), threading.Event()

    def sync(self) -> None:
        """Hang until the disk answers."""
        self.in_sync.set()
        self.release.wait()
        super().sync()

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Append; hang until the disk answers if writes hang."""
        if self.hang_writes.is_set():
            self.in_write.set()
            self.release.wait()
        return super().append(data, is_checkpoint=is_checkpoint)


def test_a_disk_that_hangs_at_a_sync_and_then_at_a_write_is_logged_once(
    tmp_path: Path, release: threading.Event
) -> None:
    """A sync may be in progress when the disk begins to hang, with the next write to come."""
    events: list[str] = []
    file = HungDisk(tmp_path / "s.log", release)
    with LogWriter(file, echo=None) as log:
        log.subscribe(lines=[lambda entry, _: events.append(entry.name)])
        log.event(Level.INFO, "before")
        assert file.in_sync.wait(5)
        now = time.monotonic()
        for seconds in (0, 1):
            log.check_file(now + seconds)
        assert log.flush(5)
        assert events == ["before", "log.lost"]
        file.hang_writes.set()
        log.event(Level.INFO, "meanwhile")
        assert file.in_write.wait(5)
        for seconds in (2, 3):
            log.check_file(now + seconds)
        assert log.flush(5)
        release.set()
        wait_until(lambda: "log.restored" in events)
    assert events == ["before", "log.lost", "meanwhile", "log.restored"]


def test_a_log_that_hangs_keeps_a_bounded_number_of_bytes(tmp_path: Path, release: threading.Event) -> None:
    """Further lines are counted, and their number is logged when the file answers."""
    file = SilentFile(tmp_path / "s.log", 2, release)
    with LogWriter(file, echo=None) as log:
        log.event(Level.INFO, "first")
        assert file.is_hanging.wait(5)
        now = time.monotonic()
        log.check_file(now)
        log.check_file(now + 1)
        for _ in range(40):
            log.write(*(Event.of(AT, Level.INFO, "line", text="x" * 1000) for _ in range(500)))
        assert log.flush(30)
        assert log._thread.pending_bytes() <= 16 * 1024 * 1024
        release.set()
        wait_until(lambda: not log.is_silent() and not log.is_failing(), why="it is written again")
    assert "lines_not_kept=" in (tmp_path / "s.log").read_text() or list(tmp_path.glob("s.log.*"))


SLOW_S = 0.4
"""How long a slow call takes: longer than a call may take before it is given up, which is 0.05 s in these tests."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_calls, "CALL_TIMEOUT_S", 0.05)


@pytest.fixture
def stderr() -> Iterator[tuple[int, int]]:
    """A pipe to read what goes to standard error, and its end to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def lock_files(folder: Path) -> list[str]:
    """Return the lock files beside a log."""
    return [path.name for path in folder.iterdir() if "lock" in path.name]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_slow_nth_call_at_the_end_loses_no_line_and_the_file_is_closed(
    tmp_path: Path, nth: int, release: threading.Event
) -> None:
    """As on a disk that is busy with other files; the same process can then write the log anew."""
    file = SilentFile(tmp_path / "s.log", nth, release)
    threading.Timer(SLOW_S, release.set).start()
    with LogWriter(file, echo=None) as log:
        for number in range(3):
            log.event(Level.INFO, "line", number=number)
    assert log.lines_lost == 0
    assert lock_files(tmp_path) == []
    with LogWriter(LogFile(tmp_path / "s.log", 4096, 3), echo=None) as again:
        again.event(Level.INFO, "line", number=3)
    numbers = [line.rpartition("number=")[2] for line in (tmp_path / "s.log").read_text().splitlines()]
    assert numbers == ["0", "1", "2", "3"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_call_that_was_given_up_before_the_end_is_waited_for(
    tmp_path: Path, nth: int, release: threading.Event
) -> None:
    """The lines behind it are written when it has returned, each once."""
    file = SilentFile(tmp_path / "s.log", nth, release)
    with LogWriter(file, echo=None) as log:
        log.event(Level.INFO, "first")
        assert file.is_hanging.wait(5)
        log.check_file(1.0)
        log.check_file(2.0)
        log.event(Level.INFO, "second")
        threading.Timer(SLOW_S, release.set).start()
    assert log.lines_lost == 0
    assert lock_files(tmp_path) == []
    words = [line.split()[2] for line in (tmp_path / "s.log").read_text().splitlines()]
    assert words == ["first", "log.lost", "second", "log.restored"]


@pytest.mark.parametrize("was_given_up", [False, True])
def test_a_file_that_hangs_at_the_end_loses_lines_and_their_number_is_told(
    tmp_path: Path,
    release: threading.Event,
    stderr: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    was_given_up: bool,
) -> None:
    """On standard error, which has the lines themselves, too."""
    monkeypatch.setattr(backlog, "CLOSE_TIMEOUT_S", 0.2)
    file = SilentFile(tmp_path / "s.log", 1, release)
    with LogWriter(file, echo=stderr[1]) as log:
        log.event(Level.INFO, "first")
        assert file.is_hanging.wait(5)
        for now in (1.0, 2.0) if was_given_up else ():
            log.check_file(now)
        log.event(Level.INFO, "second")
    told = os.read(stderr[0], 65536).decode().splitlines()
    assert log.lines_lost == 3  # with the line that it does not answer
    assert f"lines={log.lines_lost}" in told[-1]
    assert {"first", "second"} < {line.split()[2] for line in told}


def test_a_close_that_hangs_is_told_and_loses_nothing(
    tmp_path: Path, release: threading.Event, stderr: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is locked until the process has ended."""
    monkeypatch.setattr(backlog, "CLOSE_TIMEOUT_S", 0.1)
    file = LogFile(tmp_path / "s.log", 4096, 3)
    close = file.close
    monkeypatch.setattr(file, "close", lambda: (release.wait(), close()))
    with LogWriter(file, echo=stderr[1]) as log:
        log.event(Level.INFO, "first")
    assert log.lines_lost == 0
    assert (tmp_path / "s.log").read_text().split()[2] == "first"
    assert "WARNING log.unclosed" in os.read(stderr[0], 65536).decode().splitlines()[-1]
    release.set()
    wait_until(lambda: not lock_files(tmp_path), why="it is closed and unlocked")
