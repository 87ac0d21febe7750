"""`config`: show every setting, its value, and where it comes from."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from jobscheduler.cli.options import add_options, current_report
from jobscheduler.cli.table import Column, table, terminal_width, use_colour
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config.report import DEFAULT
from jobscheduler.util.standard_output import is_standard_output

EXAMPLES = """examples:
  jobscheduler config
  jobscheduler config --given
  jobscheduler config --json

The settings are those of the running service. If none answers they are those that a service would start with; a line
says so. The first that says one counts: command line, environment, settings file, default.
Exit status: 0 fine, 1 the settings cannot be used, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the filter, the format and the options."""
    parser.add_argument("--given", action="store_true", help="only settings that have not their default")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    report, is_of_service = current_report(arguments)
    if not is_of_service:
        print_wrapped("note: no service was asked; a service would start with these settings", sys.stderr)
    if arguments.json:
        print(json.dumps(report))
        return 0
    rows = [
        (key, _shown(key, entry["value"]), entry["origin"])
        for key, entry in report["settings"].items()
        if entry["origin"] != DEFAULT or not arguments.given
    ]
    columns = (Column("SETTING", keep_whole=True), Column("VALUE"), Column("FROM"))
    for line in table(columns, rows, width=terminal_width(), colour=use_colour(sys.stdout)) if rows else ():
        print(line)
    if not rows:
        print("every setting has its default")
    for name, value in report["defaults"].items():
        print(f"default {name} = {json.dumps(value)}")
    return 0


def _shown(key: str, value: str | None) -> str:
    """Return a value for people: a bare `-` means that there is none, and no log on standard output."""
    if key == "log-file" and value is not None and is_standard_output(Path(value)):
        return f"{value} (standard output)"
    return value or "-"
