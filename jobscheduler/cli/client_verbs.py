"""Share helpers among the verbs that ask the running service."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from jobscheduler.cli.options import add_options

EXIT_STATUSES = "Exit status: 0 fine, 1 the service refuses, 2 wrong usage, 3 service not reachable."


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every such verb takes."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_options(parser, {"socket"})


def api_path(*parts: str) -> str:
    """Return the path of a request; parts may hold any characters."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def format_local(text: str | None, now: datetime) -> str:
    """Format an instant in the host's time, without the day if it is today; `-` for None."""
    if text is None:
        return "-"
    at, today = datetime.fromisoformat(text).astimezone(), now.astimezone().date()
    return f"{at:%H:%M:%S}" if at.date() == today else f"{at:%Y-%m-%d %H:%M:%S}"


def utc_now() -> datetime:
    """Return the host's time."""
    return datetime.now(UTC)


def format_duration(seconds: float | None) -> str:
    """Format a duration for people; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, seconds_left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{seconds_left:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def plural(count: int, noun: str) -> str:
    """Format a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def join_or_none(parts: Iterable[str]) -> str:
    """Join a list in one line; `none` for an empty one."""
    return ", ".join(parts) or "none"
