"""`import`: make jobs from the tables of other schedulers."""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import Any

from jobscheduler.cli import import_crontab, import_jobsmanager
from jobscheduler.cli.usage import SubverbParser

EXAMPLES = """examples:
  jobscheduler import crontab /etc/crontab /etc/cron.d --to /etc/scheduler/jobs.d --from 22:00
  crontab -l | jobscheduler import crontab - --owner anna
  jobscheduler import jobsmanager --url-file /root/jobsmanager-url --to /etc/scheduler/jobs.d

`jobscheduler import crontab --help` and `jobscheduler import jobsmanager --help` tell more.
Exit status: 0 fine, 1 a line, a job or a file was refused, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below this one: where jobs come from."""
    verbs = parser.add_subparsers(dest="below", metavar="SOURCE", required=True, parser_class=SubverbParser)
    _verb(verbs, "crontab", import_crontab, "job files from crontabs", "of each line what became of it")
    _verb(
        verbs, "jobsmanager", import_jobsmanager, "jobs from a database of JobsManager", "of each job what is different"
    )


def _verb(verbs: Any, name: str, module: ModuleType, what: str, says: str) -> None:
    parser = verbs.add_parser(
        name,
        help=what,
        description=f"Make {what}, and say {says}.",
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run_below=module.run)
    module.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb below."""
    return int(arguments.run_below(arguments))
