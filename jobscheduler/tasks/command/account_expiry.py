"""Read from `/etc/shadow` when accounts expire, as set by `chage -E`.

Cron goes through PAM, which refuses an expired account. Commands here do not, so this module checks the expiry. It
checks nothing else: service accounts often have the shell `nologin`, or a locked or outdated password.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

SHADOW_FILE = Path("/etc/shadow")  # readable only by root

_EXPIRES = 7  # index of the field in a line; days since 1970
_MAX_DAYS = 1_000_000  # a later day is not a valid date


def expired_on(name: str, today: date, shadow: Path = SHADOW_FILE) -> date | None:
    """Return the day on which an account expired; None if it has not, or if the file cannot be read."""
    try:
        status = os.stat(shadow)  # noqa: PTH116 - runs often
        day = _days(shadow, (status.st_ino, status.st_mtime_ns, status.st_size)).get(name)
    except OSError:
        return None
    return day if day is not None and day <= today else None


@functools.lru_cache(maxsize=4)
def _days(shadow: Path, version: tuple[int, int, int]) -> Mapping[str, date]:
    """Return the expiry days of all accounts that have one. Raises: `OSError`."""
    del version
    days = {}
    for line in shadow.read_text("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) > _EXPIRES and fields[_EXPIRES].isascii() and fields[_EXPIRES].isdigit():
            days[fields[0]] = date(1970, 1, 1) + timedelta(days=min(int(fields[_EXPIRES]), _MAX_DAYS))
    return days
