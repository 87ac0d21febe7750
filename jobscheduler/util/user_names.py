"""The names of users, for people."""

from __future__ import annotations

import pwd
from functools import lru_cache


@lru_cache(maxsize=256)
def name_of_user(by: str) -> str:
    """Return the name of a user whose id the service knows; the id if it has no name here."""
    try:
        return pwd.getpwuid(int(by)).pw_name
    except (KeyError, ValueError, OverflowError):
        return by
