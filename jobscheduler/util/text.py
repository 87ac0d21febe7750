"""Text of a user in a message: quoted, cut, without anything that does not print, and the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_QUOTED_CHARS = 60  # more of a user's text than this is not repeated in a message
_MAX_NAME_CHARS = 128  # no longer name is compared with the known ones: that takes time by its square


def truncate(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Return the first `limit` characters for a message; what does not print is replaced, `…` stands for the rest."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
    return shown + ("…" if len(text) > limit else "")


def quote(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Return the text in backticks, truncated."""
    return f"`{truncate(text, limit)}`"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, None if none is alike. Case does not count."""
    by_lower = {known_name.lower(): known_name for known_name in known}
    matches = difflib.get_close_matches(name[:_MAX_NAME_CHARS].lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the help for an unknown name, None if no known name is alike."""
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else None


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun: `1 run`, `2,000 runs`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def format_error(error: BaseException) -> str:
    """Return an error on one line, with its kind."""
    return f"{type(error).__name__}: {error}"
