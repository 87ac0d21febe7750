"""The reaper: a scan for orphans that hangs or fails stops neither the reading of left pipes nor the next scan."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from jobscheduler.tasks.command import background_pipes, reaper_thread
from jobscheduler.tasks.command.process_search_issues import search_issues
from jobscheduler.tasks.command.reaper_thread import SCANNED, ReaperThread
from jobscheduler.util.hang_guard import HangGuard
from tests.support.tasks import eventually

MORE_THAN_A_PIPE_HOLDS = 1 << 17  # bytes


class Orphans:
    """Orphans of which the test decides what a scan does."""

    def __init__(self) -> None:
        self.scans = 0
        self.scan: Callable[[], bool] = lambda: False

    def may_exist(self) -> bool:
        """Say that there are some."""
        return True

    def reap(self) -> bool:
        """Scan as the test says."""
        self.scans += 1
        return self.scan()


@pytest.fixture
def orphans() -> Orphans:
    return Orphans()


@pytest.fixture
def reaper(orphans: Orphans, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReaperThread]:
    monkeypatch.setattr(reaper_thread, "SCAN_INTERVAL_S", 0.05)
    made = ReaperThread(HangGuard(patience=0.1))
    monkeypatch.setattr(made, "orphans", orphans)
    yield made
    eventually(lambda: made._thread is None)


def test_a_scan_that_hangs_is_named_and_output_is_read_all_the_same(reaper: ReaperThread, orphans: Orphans) -> None:
    """There is one such scan at a time, and the next one is made when it has returned."""
    answer = threading.Event()
    orphans.scan = answer.wait
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    try:
        reaper.take_over(read_end, "a")
        eventually(lambda: reaper._guard.is_hung(SCANNED))
        with open(write_end, "wb", closefd=False) as file:
            file.write(b"x" * MORE_THAN_A_PIPE_HOLDS)
        assert orphans.scans == 1
    finally:
        orphans.scan = lambda: False
        answer.set()
        os.close(write_end)
    eventually(lambda: orphans.scans > 1)
    assert not reaper._guard.hung()


def test_a_pipe_that_hangs_is_an_issue_and_holds_up_no_other_thread(
    reaper: ReaperThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs in its write makes each call of its pipe wait, also the close."""
    monkeypatch.setattr(reaper_thread, "HUNG_S", 0.05)
    answer, is_closing = threading.Event(), threading.Event()
    read_end, write_end = os.pipe()

    def close(descriptor: int, real: Callable[[int], None] = os.close) -> None:
        if descriptor == read_end:
            is_closing.set()
            answer.wait()
        real(descriptor)

    monkeypatch.setattr(background_pipes.os, "close", close)
    reaper.take_over(read_end, "a")
    os.close(write_end)
    try:
        assert is_closing.wait(10)
        eventually(lambda: search_issues(reaper=reaper))
        assert "does not answer" in search_issues(reaper=reaper)[0]
        assert reaper.pipes.count_by_job() == {}
        other_read_end, other_write_end = os.pipe()
        reaper.take_over(other_read_end, "b")
        os.close(other_write_end)
        assert reaper.pipes.count_by_job() == {"b": 1}
    finally:
        answer.set()
    eventually(lambda: not search_issues(reaper=reaper) and not reaper.pipes.count_by_job())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_is_replaced_by_the_next_run_that_leaves_something(
    reaper: ReaperThread, orphans: Orphans
) -> None:
    """Else no orphan would be reaped any more."""

    def fail() -> bool:
        orphans.scan = lambda: False
        raise ValueError("a fault of ours")

    orphans.scan = fail
    reaper.take_over(None)
    eventually(lambda: orphans.scans == 1 and reaper._thread is None)
    reaper.take_over(None)
    eventually(lambda: orphans.scans >= 2)


def test_a_scan_waits_for_a_thread_on_a_host_that_has_none(
    reaper: ReaperThread, orphans: Orphans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again a second later."""
    refusals = iter([True, True])

    def call(thing: str, scan: Callable[[], bool]) -> bool:
        if next(refusals, False):
            raise RuntimeError("can't start new thread")
        return scan()

    monkeypatch.setattr(reaper._guard, "call", call)
    reaper.take_over(None)
    eventually(lambda: orphans.scans == 1)
