"""The rules of a zone are read once, and again at a reload: one zone has one set of rules in the whole service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable import timezones
from jobscheduler.timetable.timetable import timetable_of
from jobscheduler.timetable.timezones import get_zone
from jobscheduler.timetable.zone_rules import ZONE_RULES, ReloadedRules
from tests.support.zone_tree import HOUR, ZoneTree, look_in, zones_of

WINTER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ZoneTree]:
    """Zones of this test alone, in place of the host's."""
    made = ZoneTree(tmp_path / "zoneinfo", Here=-6 * HOUR, There=HOUR)
    with zones_of(made):
        yield made


def hours(name: str) -> float:
    """Return the offset of a zone as the service computes with it."""
    offset = WINTER.astimezone(get_zone(name)).utcoffset()
    assert offset is not None
    return offset.total_seconds() / HOUR


def replace_directory(tree: ZoneTree, offset: int) -> None:
    """Put another directory in place of the whole tree."""
    os.rename(tree.path, tree.path.with_suffix(".old"))
    ZoneTree(tree.path, Here=offset, There=HOUR)


def shadow(tree: ZoneTree, offset: int) -> None:
    """Put a directory in front on the path; before, it was missing."""
    ZoneTree(tree.path.with_name("first"), Here=offset)


@pytest.mark.parametrize("how", ["file", "in place", "directory", "earlier directory"])
def test_changed_rules_are_noticed_and_apply_at_a_reload(tree: ZoneTree, how: str) -> None:
    """However the file was replaced; until then every use of the zone has the former rules."""
    look_in(tree.path.with_name("first"), tree.path)
    before = get_zone("Test/Here")
    assert (hours("Test/Here"), hours("Test/There"), ZONE_RULES.changed()) == (-6, 1, {})
    if how == "file":
        tree.write("Here", 9 * HOUR)
    elif how == "in place":
        other = ZoneTree(tree.path.with_name("other"), Here=9 * HOUR)
        shutil.copyfile(other.path / "Test/Here", tree.path / "Test/Here")
    else:
        (replace_directory if how == "directory" else shadow)(tree, 9 * HOUR)

    assert ZONE_RULES.changed() == {"Test/Here": True}
    assert get_zone("Test/Here") is before

    unchanged = get_zone("Test/There")
    assert timezones.reload_rules() == ReloadedRules(("Test/Here",))
    assert (hours("Test/Here"), ZONE_RULES.changed()) == (9, {})
    assert get_zone("Test/Here") is ZoneInfo("Test/Here")
    assert get_zone("Test/There") is unchanged


def test_a_new_file_with_the_same_rules_is_no_change(tree: ZoneTree) -> None:
    """A package upgrade replaces every file, and few of them differ."""
    zone = get_zone("Test/Here")
    tree.write("Here", -6 * HOUR)
    assert ZONE_RULES.changed() == {}
    assert timezones.reload_rules() == ReloadedRules()
    assert get_zone("Test/Here") is zone


@pytest.mark.parametrize("content", [None, b"TZif2 cut off"])
def test_rules_that_cannot_be_read_stay_in_force(tree: ZoneTree, content: bytes | None) -> None:
    """A package that is gone, or is just being unpacked, must not take its jobs away."""
    zone, file = get_zone("Test/Here"), tree.path / "Test/Here"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert ZONE_RULES.changed() == {"Test/Here": content is not None}
    assert timezones.reload_rules() == ReloadedRules(kept=("Test/Here",))
    assert get_zone("Test/Here") is zone

    tree.write("Here", 9 * HOUR)
    assert timezones.reload_rules() == ReloadedRules(("Test/Here",))
    assert hours("Test/Here") == 9


def test_the_slots_of_an_unchanged_job_follow_the_rules_in_force(tree: ZoneTree) -> None:
    """No cache mixes the former rules with the new ones."""
    job = Job("noon", Cron("30 12 * * *", "Test/Here"), TaskSpec("execute_command", '{"command":"true"}'))
    former = timetable_of(job)
    assert former.next(WINTER) == datetime(2026, 12, 1, 18, 30, tzinfo=UTC)
    tree.write("Here", 9 * HOUR)
    assert timetable_of(job) == former
    timezones.reload_rules()
    assert timetable_of(job).next(WINTER) == datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
    assert former.next(WINTER) == datetime(2026, 12, 1, 18, 30, tzinfo=UTC)


def test_the_names_to_suggest_are_read_again_at_a_reload(tree: ZoneTree) -> None:
    """A zone that a package brings is suggested."""
    assert "Test/New" not in timezones.zone_names()
    tree.write("New", 0)
    timezones.reload_rules()
    assert "Test/New" in timezones.zone_names()
