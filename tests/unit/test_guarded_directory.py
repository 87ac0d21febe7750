"""A jobs directory that is read on threads that can be given up: slow files and listings, and files that hang."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.guarded_directory import GuardedSource
from jobscheduler.jobs.open_directory import OpenDirectory
from jobscheduler.jobs.sources import ReadResult
from jobscheduler.util.hang_guard import HangGuard
from tests.support.service import wait_until

NAMES = [f"{letter}.json" for letter in "abcdef"]
PATIENCE_S = 0.3


@pytest.fixture
def source(tmp_path: Path) -> GuardedSource:
    """A directory of six files."""
    for name in NAMES:
        (tmp_path / name).write_text("{}")
    return GuardedSource(DirectorySource(tmp_path), HangGuard(patience=PATIENCE_S))


class Hang:
    """A point at which the first call hangs until it is released. It notes the calls of each thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.released = threading.Event()
        self.left = threading.Event()

    def pass_by(self, name: str, hanging: str) -> None:
        """Hang at the first call with the name `hanging`."""
        is_first = all(former != hanging for former, _ in self.calls)
        self.calls.append((name, threading.get_ident()))
        if name == hanging and is_first:
            self.released.wait(20)
            self.left.set()

    def names_after_release(self, hanging: str) -> list[str]:
        """Return the names with which the thread that hung was called after it."""
        thread = next(thread for name, thread in self.calls if name == hanging)
        own = [name for name, caller in self.calls if caller == thread]
        return own[own.index(hanging) + 1 :]


@pytest.fixture
def hang() -> Iterator[Hang]:
    hang = Hang()
    yield hang
    hang.released.set()


def delaying(function: Callable[..., object], seconds: float) -> Callable[..., object]:
    """Return the function, slower, and without the use of processor time."""

    def slow(*args: object, **named: object) -> object:
        time.sleep(seconds)
        return function(*args, **named)

    return slow


def test_a_slow_listing_that_makes_progress_is_complete(source: GuardedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer in all than a file may hang. The file that it has come to shows that it goes on."""
    with source.open() as view:
        monkeypatch.setattr("jobscheduler.jobs.open_directory.os.stat", delaying(os.stat, 0.15))
        listed = view.list_items()
    assert sorted(listed) == NAMES
    assert None not in listed.values()
    assert source.hung_items == {}


def test_files_that_are_read_slowly_are_all_read(source: GuardedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker returns after a tenth of a second, and goes on with the next file."""
    monkeypatch.setattr(OpenDirectory, "read", delaying(OpenDirectory.read, 0.15))
    with source.open() as view:
        results = list(view.read_all(NAMES))
    assert [(result.name, result.raw) for result in results] == [(name, b"{}") for name in NAMES]


def test_a_thread_that_was_given_up_at_a_file_reads_no_further_file(
    source: GuardedSource, monkeypatch: pytest.MonkeyPatch, hang: Hang
) -> None:
    """Another thread has read them. The file that hung is read when it answers."""
    read = OpenDirectory.read

    def read_or_hang(view: OpenDirectory, name: str) -> ReadResult:
        hang.pass_by(name, "c.json")
        return read(view, name)

    monkeypatch.setattr(OpenDirectory, "read", read_or_hang)
    with source.open() as view:
        results = {result.name: result for result in view.read_all(NAMES)}
    assert [name for name, result in results.items() if result.raw == b"{}"] == [*NAMES[:2], *NAMES[3:]]
    problem = results["c.json"].problem
    assert problem is not None
    assert problem.message == "the file does not answer"
    hang.released.set()
    wait_until(lambda: source.hung_count == 0)
    assert hang.names_after_release("c.json") == []
    assert source.hung_items == {}
    with source.open() as view:
        assert view.read("c.json").raw == b"{}"


def test_a_thread_that_was_given_up_in_a_listing_asks_for_no_further_file(
    source: GuardedSource, monkeypatch: pytest.MonkeyPatch, hang: Hang
) -> None:
    """The listing of another thread counts, in which the file that hangs is known as that."""
    stat = os.stat

    def stat_or_hang(name: str, **named: int) -> os.stat_result:
        if named.get("follow_symlinks", True):  # the state of the link itself is asked for when a file was given up
            hang.pass_by(name, "c.json")
        return stat(name, **named)

    with source.open() as view:
        monkeypatch.setattr("jobscheduler.jobs.open_directory.os.stat", stat_or_hang)
        listed = view.list_items()
        monkeypatch.undo()
        assert sorted(listed) == NAMES
        assert list(source.hung_items) == ["c.json"]
    hang.released.set()
    wait_until(lambda: source.hung_count == 0)
    assert hang.names_after_release("c.json") == []
    with source.open() as view:
        assert view.list_items() != listed


def test_a_file_that_answers_while_it_is_noted_as_hung_is_not_skipped(
    source: GuardedSource, monkeypatch: pytest.MonkeyPatch, hang: Hang
) -> None:
    """Its thread has come back already, so no later event would end the note."""
    read, target = OpenDirectory.read, OpenDirectory.target

    def read_or_hang(view: OpenDirectory, name: str) -> ReadResult:
        hang.pass_by(name, "c.json")
        return read(view, name)

    def answer_meanwhile(view: OpenDirectory, name: str) -> str | None:
        hang.released.set()
        wait_until(lambda: source.hung_count == 0)
        return target(view, name)

    monkeypatch.setattr(OpenDirectory, "read", read_or_hang)
    monkeypatch.setattr(OpenDirectory, "target", answer_meanwhile)
    with source.open() as view:
        assert [result.raw for result in view.read_all(NAMES)] == [b"{}"] * len(NAMES)
    assert source.hung_items == {}
