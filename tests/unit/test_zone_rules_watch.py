"""What the log says of rules that change: each zone once, and again only after a reload or another change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from jobscheduler.model import Level
from jobscheduler.service import zone_rules_watch
from jobscheduler.service.zone_rules_watch import ZoneRulesWatch
from jobscheduler.timetable.timezones import get_zone
from jobscheduler.util.hang_guard import HangGuard
from tests.support.zone_tree import HOUR, ZoneTree, zones_of


class FakeLog:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | None]] = []

    def event(self, level: Level, name: str, /, **values: Any) -> None:
        """Keep an event with the zones that it names."""
        self.events.append((name, values.get("zones")))

    def take(self) -> list[tuple[str, str | None]]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ZoneTree]:
    """Three zones, all in use."""
    made = ZoneTree(tmp_path / "zoneinfo", A=0, B=0, C=0)
    with zones_of(made):
        for name in "ABC":
            get_zone(f"Test/{name}")
        yield made


def test_each_zone_is_said_once_however_many_files_follow(tree: ZoneTree) -> None:
    """A package upgrade replaces one file after the other."""
    log = FakeLog()
    watch = ZoneRulesWatch(cast("Any", log), HangGuard())
    watch.check()
    assert (log.take(), watch.waiting()) == ([], ())
    tree.write("A", HOUR)
    tree.write("B", HOUR)
    for _ in range(2):
        watch.check()
    assert log.take() == [("zone.rules_changed", "Test/A Test/B")]
    tree.write("C", HOUR)
    tree.write("A", 2 * HOUR)
    watch.check()
    assert log.take() == [("zone.rules_changed", "Test/C")]
    assert watch.waiting() == ("Test/A", "Test/B", "Test/C")

    assert watch.reload() == ("Test/A", "Test/B", "Test/C")
    assert (log.take(), watch.waiting()) == ([("zone.rules_applied", "Test/A Test/B Test/C")], ())
    watch.check()
    assert watch.reload() == ()
    assert log.take() == []
    tree.write("A", 3 * HOUR)
    watch.check()
    assert log.take() == [("zone.rules_changed", "Test/A")]


def test_rules_that_are_put_back_wait_no_longer(tree: ZoneTree) -> None:
    """A downgrade of the package is no change of what is in force."""
    log = FakeLog()
    watch = ZoneRulesWatch(cast("Any", log), HangGuard())
    tree.write("A", HOUR)
    watch.check()
    tree.write("A", 0)
    watch.check()
    assert (watch.waiting(), watch.reload()) == ((), ())
    assert log.take() == [("zone.rules_changed", "Test/A")]


def test_zone_data_that_do_not_answer_hang_nothing(tree: ZoneTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules in force stay, and a reload says so."""
    log, guard, release = FakeLog(), HangGuard(patience=0.1), threading.Event()
    watch = ZoneRulesWatch(cast("Any", log), guard)

    class Hanging:
        """Rules on a file system that does not answer."""

        changed = staticmethod(release.wait)

    monkeypatch.setattr(zone_rules_watch, "ZONE_RULES", Hanging)
    try:
        watch.check()
        assert log.take() == []
        assert watch.reload() == ()
        assert log.take() == [("zone.rules_kept", None)]
    finally:
        release.set()
