"""The rules of zones as the log keeps them over a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import FullCheckpoint
from jobscheduler.runlog.checkpoint_parts import from_fields, to_fields
from jobscheduler.timetable import timezones
from jobscheduler.timetable.former_rules import offsets_between, zone_of, zone_offsets
from jobscheduler.timetable.zone_rules import ZONE_RULES
from tests.support.zone_tree import HOUR, ZoneTree, zones_of

NOW = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]


@pytest.mark.parametrize("name", ZONES)
def test_a_zone_is_made_again_from_its_offsets(name: str) -> None:
    """With every change in the year after, also by half an hour, and twice for a month of fasting."""
    zone = timezones.get_zone(name)
    offsets = zone_offsets(zone, NOW)
    made = zone_of(name, offsets)
    assert made.key == name
    assert zone_offsets(made, NOW) == offsets
    first = datetime.fromtimestamp(offsets[0][0], UTC)
    for hours in range(0, 400 * 24, 7):
        at = first + timedelta(hours=hours)
        assert at.astimezone(made).replace(tzinfo=None) == at.astimezone(zone).replace(tzinfo=None)


def test_every_change_is_found_at_its_second() -> None:
    """Berlin sets its clock at 01:00 UTC on the last Sundays of March and October."""
    offsets = zone_offsets(timezones.get_zone("Europe/Berlin"), NOW)
    changes = [(f"{datetime.fromtimestamp(at, UTC):%F %T}", offset // HOUR) for at, offset in offsets[1:-1]]
    assert changes == [("2026-03-29 01:00:00", 2), ("2026-10-25 01:00:00", 1), ("2027-03-28 01:00:00", 2)]
    assert offsets[0][0] < NOW - 7 * 86_400 + 1
    assert offsets[-1][0] > NOW + 400 * 86_400


def test_a_checkpoint_has_them_of_many_zones() -> None:
    """In as many lines as they take."""
    zones = {name: zone_offsets(timezones.get_zone(name), NOW) for name in timezones.zone_names()}
    lines = [dict(pairs) for pairs in to_fields(FullCheckpoint(zones=zones))]
    assert len(lines) > 1
    assert from_fields({"since": "1970-01-01T00:00:00Z"}, lines).full().zones == zones


def test_former_rules_are_in_force_until_a_reload(tmp_path: Path) -> None:
    """If they differ, and if they still say something about now; a zone that is gone is left alone."""
    tree = ZoneTree(tmp_path / "zoneinfo", Moved=HOUR, Kept=HOUR, Old=HOUR)
    with zones_of(tree):
        former = {f"Test/{name}": zone_offsets(timezones.get_zone(f"Test/{name}"), NOW) for name in ("Moved", "Kept")}
        former["Test/Gone"] = former["Test/Kept"]
        former["Test/Old"] = offsets_between(timezones.get_zone("Test/Old"), NOW - 1000 * 86_400, NOW - 500 * 86_400)
        ZONE_RULES.clear()
        for name in ("Moved", "Old"):
            tree.write(name, 3 * HOUR)
        assert ZONE_RULES.restore(former, NOW) == ("Test/Moved",)
        at = datetime.fromtimestamp(NOW, UTC)
        assert at.astimezone(timezones.get_zone("Test/Moved")).utcoffset() == timedelta(hours=1)
        assert ZONE_RULES.changed() == {"Test/Moved": True}
        assert ZONE_RULES.reload().applied == ("Test/Moved",)
        assert at.astimezone(timezones.get_zone("Test/Moved")).utcoffset() == timedelta(hours=3)
        assert ZONE_RULES.changed() == {}
