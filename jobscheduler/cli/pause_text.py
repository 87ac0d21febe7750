"""Describe pauses for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.model.selection import ALL
from jobscheduler.util.instants import format_moment
from jobscheduler.util.user_names import name_of_user


def describe_pause(pause: Mapping[str, Any], now: datetime, zone: tzinfo | None = None) -> str:
    """Return a pause of an answer as a phrase: `billing-*` until 06:00 by anna: database migration."""
    return f"{selector_text(pause['jobs'])}{describe_without(pause)} {describe_end(pause, now, zone)}"


def describe_end(pause: Mapping[str, Any], now: datetime, zone: tzinfo | None = None) -> str:
    """Return until when a pause lasts, whose it is and why: until 06:00 by anna: database migration."""
    until = pause["until"]
    end = f"until {format_moment(datetime.fromisoformat(until), now, zone)}" if until else "until it is resumed"
    by = f" by {name_of_user(pause['by'])}" if pause["by"] else ""
    return f"{end}{by}{': ' + pause['reason'] if pause['reason'] else ''}"


def print_note(answer: Mapping[str, Any]) -> None:
    """Print on standard error what is odd about an answer."""
    if answer.get("note"):
        print_wrapped(f"note: {answer['note']}", sys.stderr)


def selector_text(text: str) -> str:
    """Return what selects jobs as a phrase: `billing-*` in backticks, or all jobs."""
    return "all jobs" if text == ALL else f"`{text}`"


def describe_without(pause: Mapping[str, Any]) -> str:
    """Return what a pause no longer covers; empty if that is nothing."""
    exempt = pause["except"]
    if not exempt:
        return ""
    more = f" and {len(exempt) - 3} more" if len(exempt) > 3 else ""
    return f" except {', '.join(f'`{text}`' for text in exempt[:3])}{more}"
