"""`import jobsmanager`: make jobs of those in a database of JobsManager, and say of each what is different."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobscheduler.cli.import_target import read_target, write_or_explain
from jobscheduler.cli.jobsmanager_report import print_verdicts, verdict_json
from jobscheduler.cli.jobsmanager_verdicts import JobVerdict, RowJudge
from jobscheduler.cli.options import add_options, settings_from_arguments, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.usage import refuse_both
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config.job_context import job_context
from jobscheduler.config.options import has_password
from jobscheduler.database import INSTALL, DatabaseConfigError, is_installed, load_url
from jobscheduler.imports.pickle_values import MAX_PICKLE_BYTES
from jobscheduler.model import Problem
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import plural

if TYPE_CHECKING:
    from jobscheduler.cli.jobsmanager_database import Written
    from jobscheduler.database import JobTable
    from jobscheduler.database.jobsmanager_tables import StoredRow

EXAMPLES = """examples:
  jobscheduler import jobsmanager --url-file /root/jobsmanager-url
  jobscheduler import jobsmanager --url-file /root/jobsmanager-url --to /etc/scheduler/jobs.d
  jobscheduler import jobsmanager --url-file /root/jobsmanager-url --to-database

Without `--to` and `--to-database` the job files are printed, and nothing is written. Stop JobsManager before the
service has the jobs, or each slot runs twice. Its rows are read as data: nothing in them is executed.
`--to-database` writes into the table of `--database-url`, or, if that is not set, into the database of JobsManager:
there its tables of the same names are renamed (jm_jobs_of_jobsmanager), and keep their rows.
Each job gets a verdict: written, unchanged, kept (a job differs: `--force`), or refused with the reason and a way out.
A second import gives the same ids, and does nothing twice.
Exit status: 0 fine, 1 a job was refused or kept, or the database cannot be used, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the database and the options."""
    url = "the database of JobsManager: mysql://user@host/database, sqlite:////srv/copy.db"
    parser.add_argument("url", nargs="?", metavar="URL", help=url)
    parser.add_argument("--url-file", type=Path, metavar="FILE", help="the file that holds this URL, password and all")
    parser.add_argument("--table", default="jm_jobs", metavar="NAME", help="its table of jobs (default: jm_jobs)")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write job files there; without it they are printed")
    parser.add_argument("--to-database", action="store_true", help="write into the table of jobs of a database")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, and print the job files")
    parser.add_argument("--force", action="store_true", help="overwrite jobs that differ")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each job")
    add_options(parser, {"database_url", "database_url_file", "timezone", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Import the jobs; print the verdicts."""
    if arguments.to is not None and arguments.to_database:
        refuse_both("--to", "--to-database")
    try:
        url = _url(arguments)
    except DatabaseConfigError as cannot:
        print_problem(cannot.problem, sys.stderr)
        return 1
    from jobscheduler.database import JobTableError, Unavailable  # noqa: PLC0415 - an extra

    try:
        rows = _rows(url, arguments.table)
        return _to_database(arguments, url, rows) if arguments.to_database else _to_directory(arguments, rows)
    except Unavailable as reason:
        print_problem(Problem(str(reason), help=reason.help), sys.stderr)
    except (DatabaseConfigError, JobTableError) as wrong:
        for problem in wrong.problems:
            print_problem(problem, sys.stderr)
    return 1


def _url(arguments: argparse.Namespace) -> str:
    """Return the URL of JobsManager's database.

    Raises:
        ArgumentProblem: it is not said once, or holds a password where all users see it.
        DatabaseConfigError: the extra is missing, or the file cannot be used.

    """
    url: str | None = arguments.url
    file: Path | None = arguments.url_file
    if url is not None and file is not None:
        refuse_both("URL", "--url-file")
    if url is not None and has_password(url):
        help_ = "write the URL into a file of mode 600, and name that with `--url-file`"
        raise ArgumentProblem(Problem("`ps` shows a password in the URL to all users", help=help_))
    if not is_installed():
        raise DatabaseConfigError(Problem("`import jobsmanager` needs the extra `database`", help=INSTALL))
    found = load_url(url, file)
    if found is None:
        help_ = "name it: `jobscheduler import jobsmanager --url-file FILE`"
        raise ArgumentProblem(Problem("no database of JobsManager is named", help=help_))
    return found


def _rows(url: str, table: str) -> Sequence[StoredRow]:
    from jobscheduler.database.engine import Database  # noqa: PLC0415 - an extra
    from jobscheduler.database.jobsmanager_tables import read_rows  # noqa: PLC0415

    return read_rows(Database(url), table, MAX_PICKLE_BYTES)


# --- into a directory --------------------------------------------------------------------------------------


def _to_directory(arguments: argparse.Namespace, rows: Sequence[StoredRow]) -> int:
    is_dry = arguments.dry_run or arguments.to is None
    rules = job_context(settings_of_service(arguments, ()))
    judge = RowJudge(rules, read_target(arguments.to).files, utc_now())
    verdicts = list(judge.verdicts(rows, may_replace=arguments.force))
    if not is_dry:
        write_or_explain(arguments.to, [one.file for one in verdicts if one.file is not None and one.is_new])
    place = "" if arguments.to is None else f"{str(arguments.to).rstrip('/')}/"
    _print(arguments, verdicts, place, is_dry=is_dry)
    return _status(verdicts)


# --- into a database ---------------------------------------------------------------------------------------


def _to_database(arguments: argparse.Namespace, url: str, rows: Sequence[StoredRow]) -> int:
    from jobscheduler.cli.jobsmanager_database import present_jobs, write_jobs  # noqa: PLC0415 - an extra

    table = _target(arguments, url)
    judge = RowJudge(table.rules, present_jobs(table), utc_now())
    verdicts = list(judge.verdicts(rows, may_replace=arguments.force))
    done = None if arguments.dry_run else write_jobs(table, verdicts)
    _print(arguments, verdicts, "jm_jobs/", is_dry=done is None)
    if not arguments.json:
        _print_steps(table, done)
    return _status(verdicts)


def _target(arguments: argparse.Namespace, url: str) -> JobTable:
    """Return our table: of the database that is set, else in the one of JobsManager."""
    from jobscheduler.database import JobTable  # noqa: PLC0415 - an extra

    settings = settings_from_arguments(arguments)
    return JobTable(load_url(settings.database_url, settings.database_url_file) or url, rules=job_context(settings))


def _print_steps(table: JobTable, done: Written | None) -> None:
    """Print what happens, or would happen, to the tables."""
    from jobscheduler.database.jobsmanager_tables import names_in_the_way  # noqa: PLC0415 - an extra

    renamed = names_in_the_way(table.database) if done is None else done.renamed
    for old, new in renamed.items():
        print(f"table `{old}` of JobsManager {'would be renamed' if done is None else 'is renamed'} to `{new}`")
    if done is not None and done.is_created:
        print(f"created the tables in `{table.database}`")
    if done is not None and done.marker is not None:
        print("requested a reload")


# --- both --------------------------------------------------------------------------------------------------


def _print(arguments: argparse.Namespace, verdicts: Sequence[JobVerdict], place: str, *, is_dry: bool) -> None:
    if arguments.json:
        for verdict in verdicts:
            print(json.dumps(verdict_json(verdict, is_dry=is_dry), ensure_ascii=False))
        return
    print_verdicts(verdicts, place, is_dry=is_dry)
    count = sum(verdict.file is not None for verdict in verdicts)
    if count and not is_dry:
        text = f"JobsManager has {plural(count, 'job')} of these as well: stop it before the service runs them"
        print_wrapped(f"{text}, or each slot runs twice")


def _status(verdicts: Sequence[JobVerdict]) -> int:
    return 1 if any(verdict.is_bad for verdict in verdicts) else 0
