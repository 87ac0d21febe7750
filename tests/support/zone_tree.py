"""Zone data of a test's own: a few small files, so that no test depends on the rules of the host's zones."""

from __future__ import annotations

import os
import struct
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobscheduler.timetable import timezones
from jobscheduler.timetable.zone_rules import ZONE_RULES

HOUR = 3600


def zone_file(offset: int, footer: str | None = None) -> bytes:
    """Return the data of a zone (RFC 9636) with one offset in seconds, or with the rule of a POSIX `TZ` as footer."""
    name = b"LMT\0"
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, len(name))
    body = struct.pack(">lbb", offset, 0, 0) + name
    hours = -offset // HOUR
    rule = footer or f"<{'+' if offset >= 0 else '-'}{abs(offset) // HOUR:02}>{hours}"
    return b"TZif2" + bytes(15) + counts + body + b"TZif2" + bytes(15) + counts + body + f"\n{rule}\n".encode()


class ZoneTree:
    """A directory of zones, for `PYTHONTZPATH`."""

    def __init__(self, path: Path, **zones: int) -> None:
        """`zones` are offsets in seconds by name, all below `Test/`; UTC is always there."""
        self.path = path
        (path / "Test").mkdir(parents=True)
        (path / "UTC").write_bytes(zone_file(0, "UTC0"))
        for name, offset in zones.items():
            self.write(name, offset)

    def write(self, name: str, offset: int, footer: str | None = None) -> None:
        """Put a zone in place of the former one at once, as package managers do."""
        new = self.path / "Test" / f".{name}.dpkg-new"
        new.write_bytes(zone_file(offset, footer))
        os.rename(new, self.path / "Test" / name)


def look_in(*directories: str | Path) -> None:
    """Have zones of this process read from these directories alone."""
    zoneinfo.reset_tzpath([str(directory) for directory in directories])
    ZONE_RULES.clear()
    timezones.reload_rules()


@contextmanager
def zones_of(tree: ZoneTree) -> Iterator[None]:
    """Have zones of this process read from a tree, and afterwards from where they were read before."""
    before = zoneinfo.TZPATH
    look_in(tree.path)
    try:
        yield
    finally:
        look_in(*before)
