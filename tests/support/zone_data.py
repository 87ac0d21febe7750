"""Pin the time zone data of the tests, because hosts differ in the release of theirs and in the former names.

The rules of a zone change with a few weeks' notice, and Debian keeps former names in a package of their own since
release 13. So all tests, and the processes that they start, use the data of the Python package `tzdata`.
"""

from __future__ import annotations

import os
import sys
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import tzdata

from jobscheduler.timetable import timezones
from jobscheduler.timetable.zone_rules import ZONE_RULES

ZONE_DATA = Path(tzdata.__file__).parent / "zoneinfo"


def pin_zone_data() -> None:
    """Let this process and those that it starts use the data of `tzdata` and none of the host."""
    os.environ["PYTHONTZPATH"] = str(ZONE_DATA)
    zoneinfo.reset_tzpath()


@contextmanager
def only_zone_data_of(*directories: Path) -> Iterator[None]:
    """Use the zone data of these directories, as on a host that has no other."""
    before = zoneinfo.TZPATH
    packages = (name for name in (*sys.modules, "tzdata") if name.partition(".")[0] == "tzdata")
    with mock.patch.dict(sys.modules, dict.fromkeys(packages)):
        use_directories(directories)
        yield
    use_directories(before)


def use_directories(directories: Sequence[str | Path]) -> None:
    """Look for zones in these directories, and forget those that were found in others."""
    zoneinfo.reset_tzpath([str(directory) for directory in directories])
    ZONE_RULES.clear()
    timezones.reload_rules()
