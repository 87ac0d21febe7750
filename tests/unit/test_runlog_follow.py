"""Following a log as it is written and rotated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.runlog.follow import LogFollower


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with a line, and the beginning of another."""
    path = tmp_path / "s.log"
    path.write_bytes(b"old\nbegin")
    return path


@pytest.fixture
def follower(log: Path) -> Iterator[LogFollower]:
    """What follows it."""
    made = LogFollower(log, 3)
    yield made
    made.close()


def add(path: Path, text: bytes) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(text)


def rotate(log: Path) -> None:
    """Rename the files as the service does."""
    for number in (2, 1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{number + 1}"))
    log.rename(log.with_name(f"{log.name}.1"))


def test_only_what_comes_after_the_last_complete_line_is_new(log: Path, follower: LogFollower) -> None:
    """A line counts when its end is there."""
    assert list(follower.lines()) == []
    add(log, b"ning\nnext\nhal")
    assert list(follower.lines()) == [b"beginning", b"next"]
    add(log, b"f\n")
    assert list(follower.lines()) == [b"half"]


def test_no_line_is_lost_when_the_log_is_rotated(log: Path, follower: LogFollower) -> None:
    """Neither those at the end of the old file nor those of a file that was rotated in between."""
    add(log, b"ning\n1\n")
    rotate(log)
    log.write_bytes(b"2\n")
    rotate(log)
    add(log.with_name("s.log.2"), b"late\n")
    log.write_bytes(b"3\n")
    assert list(follower.lines()) == [b"beginning", b"1", b"late", b"2", b"3"]
    add(log, b"4\n")
    assert list(follower.lines()) == [b"4"]


def test_a_log_that_is_gone_for_a_moment_is_waited_for(log: Path, follower: LogFollower) -> None:
    """As between the two steps of a rotation, or before the first start."""
    rotate(log)
    assert list(follower.lines()) == []
    log.write_bytes(b"new\n")
    assert list(follower.lines()) == [b"new"]


def test_a_file_that_was_cut_is_read_from_its_beginning(log: Path, follower: LogFollower) -> None:
    """As after `copytruncate`."""
    os.truncate(log, 0)
    add(log, b"a\n")
    assert list(follower.lines()) == [b"a"]


def test_a_log_that_does_not_exist_yet_is_followed(tmp_path: Path) -> None:
    """From its first line."""
    made = LogFollower(tmp_path / "s.log", 3)
    assert list(made.lines()) == []
    (tmp_path / "s.log").write_bytes(b"first\n")
    assert list(made.lines()) == [b"first"]
    made.close()
