"""Slots as Debian's cron has them: recorded cases of its own daemon, and its tables."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.timetable.crontab import parse

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "debian-vectors.json").read_text())


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['cron']} {case['timezone']}")
def test_slots_are_those_of_debians_daemon(case):
    """Every recorded window has exactly the runs that Debian's daemon made in it."""
    crontab, zone = parse(case["cron"]), ZoneInfo(case["timezone"])
    moment, until = datetime.fromisoformat(case["after"]), datetime.fromisoformat(case["until"])
    slots = []
    while (moment := crontab.next(moment, zone)) and moment <= until:
        slots.append(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert slots == case["runs"]
