"""A log file that hangs: another writer takes over, and every line is written once when the file answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobscheduler.model import Event, Level
from jobscheduler.runlog import LogFile, LogWriter, backlog, writer_thread
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
