"""Help the verbs that ask the running service: their options, paths of requests, values in answers."""

from __future__ import annotations

import argparse
from datetime import datetime
from urllib.parse import quote

from jobscheduler.cli.options import add_options
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_local_short

EXIT_STATUSES = "Exit status: 0 fine, 1 the service refuses, 2 wrong usage, 3 service not reachable."


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every such verb takes."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_options(parser, {"socket"})


def api_path(*parts: str) -> str:
    """Return the path of a request; parts may hold any characters."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def format_local_or_dash(text: str | None, now: datetime) -> str:
    """Format an instant of an answer in the host's time, without the day if it is today; `-` for None."""
    return "-" if text is None else format_local_short(datetime.fromisoformat(text), now)


def format_duration_or_dash(seconds: float | None) -> str:
    """Format a duration of an answer for a column; `-` for None."""
    return "-" if seconds is None else format_compact_duration(seconds)
