"""Names the version of the time zone data that this host has: nodes with other data may decide other slots."""

from __future__ import annotations

import re
import zoneinfo
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_VERSION = re.compile(r"#\s*version\s+(\S{1,24})", re.ASCII)

_HEAD_CHARS = 200  # of the file with all rules, which names the version in its first line


def zone_data_version() -> str:
    """Return the version of the host's zone data, else of the package of Python; empty if neither says it."""
    for directory in zoneinfo.TZPATH:
        with suppress(OSError, ValueError), (Path(directory) / "tzdata.zi").open(encoding="utf-8") as file:
            found = _VERSION.match(file.read(_HEAD_CHARS))
            if found is not None:
                return found[1]
    try:
        return version("tzdata")[:24]
    except PackageNotFoundError:
        return ""
