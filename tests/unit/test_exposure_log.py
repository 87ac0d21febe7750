"""Secrets that all users may read are logged once for each change, when it has settled."""

from __future__ import annotations

import pytest

from jobscheduler.model import Level, LogValue, Problem
from jobscheduler.util.exposure_log import ExposureLog


class World:
    """A log of exposures with a delay of a second, and what it wrote."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, LogValue]]] = []
        self.log = ExposureLog(self.write, 1.0)

    def write(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        """Keep a line."""
        self.lines.append((level.value, name, {key: value for key, value in values.items() if value is not None}))

    def seen(self, *names: str, at: float, age: float = 0.0) -> list[str]:
        """Let the file show these at a time, and return the names of the events that follow."""
        found = tuple(
            Problem(f"`{name}` looks like a secret", "/a", line, 1, help="h") for line, name in enumerate(names)
        )
        self.log.observe("a", found, at, age=age)
        return self.reported(at)

    def gone(self, at: float) -> list[str]:
        """Let the file be missing at a time."""
        self.log.observe("a", None, at)
        return self.reported(at)

    def reported(self, at: float) -> list[str]:
        """Report at a time."""
        before = len(self.lines)
        self.log.report(at)
        return [name for _, name, _ in self.lines[before:]]


@pytest.fixture
def world() -> World:
    return World()


def test_a_secret_is_logged_when_it_has_been_shown_for_a_second(world: World) -> None:
    """A file that is made and closed at once is nothing to warn of."""
    assert world.seen("p", at=10) == []
    assert world.log.next_settle_at() == 11
    assert world.reported(10.9) == []
    assert world.reported(11) == ["secret.exposed"]
    assert world.lines == [
        (
            "WARNING",
            "secret.exposed",
            {"file": "a", "line": 0, "column": 1, "problem": "`p` looks like a secret", "help": "h"},
        )
    ]
    assert world.log.next_settle_at() is None
    assert world.seen("p", at=20) == []
    assert world.seen(at=20.5) == []
    assert world.seen("p", at=21) == []
    assert world.reported(30) == []


def test_an_old_file_is_logged_at_once(world: World) -> None:
    """At a start it has been so for long."""
    assert world.seen("p", at=10, age=100) == ["secret.exposed"]


def test_a_change_is_logged_and_its_end_too(world: World) -> None:
    """All secrets of a file are one line. Other words of the same file are no change."""
    world.seen("p", at=0, age=9)
    assert world.seen("p", "q", at=10, age=9) == ["secret.exposed"]
    assert world.lines[-1][2]["also"] == "`q` looks like a secret"
    assert world.seen("q", "p", at=20, age=9) == []
    assert world.seen(at=30, age=9) == ["secret.closed"]
    assert world.lines[-1] == ("INFO", "secret.closed", {"file": "a"})
    assert world.seen(at=40, age=9) == []


def test_a_file_that_is_gone_is_forgotten_without_a_line(world: World) -> None:
    """Unless it is back within a second, as one that is replaced."""
    world.seen("p", at=0, age=9)
    assert world.gone(at=10) == []
    assert world.seen("p", at=10.5) == []
    assert world.reported(12) == []
    assert world.gone(at=20) == []
    assert world.reported(21) == []
    assert world.seen("p", at=30, age=9) == ["secret.exposed"]


def test_files_that_show_nothing_take_no_memory(world: World) -> None:
    """There are thousands of them, and each is looked at in many a sync."""
    world.seen(at=0)
    world.gone(at=1)
    assert (world.log._logged, world.log._changed) == ({}, {})
