"""`import`: make job files from the tables of other schedulers."""

from __future__ import annotations

import argparse

from jobscheduler.cli import import_crontab
from jobscheduler.cli.usage import SubverbParser

EXAMPLES = """examples:
  jobscheduler import crontab /etc/crontab /etc/cron.d --to /etc/scheduler/jobs.d --from 22:00
  crontab -l | jobscheduler import crontab - --owner anna

`jobscheduler import crontab --help` tells more.
Exit status: 0 fine, 1 a line or a file was refused, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below this one: where jobs come from."""
    verbs = parser.add_subparsers(dest="below", metavar="SOURCE", required=True, parser_class=SubverbParser)
    crontab = verbs.add_parser(
        "crontab",
        help="job files from crontabs",
        description="Make job files from crontabs, and say of each line what became of it.",
        epilog=import_crontab.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    crontab.set_defaults(run_below=import_crontab.run)
    import_crontab.add_arguments(crontab)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb below."""
    return int(arguments.run_below(arguments))
