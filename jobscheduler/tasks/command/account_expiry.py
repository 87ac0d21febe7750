"""When accounts expire: what `chage -E` has set, read from `/etc/shadow`.

Commands do not go through PAM, which would refuse an expired account; cron does. So it is looked up here. Nothing else
of an account is judged: its shell may be `nologin`, and its password may be locked or too old, as those of service
accounts are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

SHADOW_FILE = Path("/etc/shadow")
"""The file that says it; only root can read it."""

_EXPIRES = 7  # the field of a line, in days since 1970
_MAX_DAYS = 1_000_000  # more is no date that a calendar has


def expired_on(name: str, today: date, shadow: Path = SHADOW_FILE) -> date | None:
    """Return the day since which an account is expired, None if it is not, or if the file cannot be read."""
    try:
        seen = os.stat(shadow)  # noqa: PTH116 - runs often
        day = _days(shadow, (seen.st_ino, seen.st_mtime_ns, seen.st_size)).get(name)
    except OSError:
        return None
    return day if day is not None and day <= today else None


@functools.lru_cache(maxsize=4)
def _days(shadow: Path, version: tuple[int, int, int]) -> Mapping[str, date]:
    """The days of all accounts that expire one day. Raises `OSError`."""
    del version
    days = {}
    for line in shadow.read_text("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) > _EXPIRES and fields[_EXPIRES].isascii() and fields[_EXPIRES].isdigit():
            days[fields[0]] = date(1970, 1, 1) + timedelta(days=min(int(fields[_EXPIRES]), _MAX_DAYS))
    return days
