"""`db`: manage jobs in a database. Every change asks the service for a reload."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobscheduler.cli import db_tables
from jobscheduler.cli.client_helpers import format_local_or_dash
from jobscheduler.cli.db_files import ExportConflict, read_directory, read_files, write_directory
from jobscheduler.cli.db_wait import wait_for_reload
from jobscheduler.cli.options import add_options, settings_from_arguments
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.table import Column, table, terminal_width, use_colour
from jobscheduler.cli.usage import SubverbParser
from jobscheduler.config import BadSetting
from jobscheduler.config.job_context import job_context
from jobscheduler.database import DatabaseConfigError, is_installed, load_url
from jobscheduler.model import Problem
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import plural

if TYPE_CHECKING:
    from jobscheduler.database import JobTable, Row

EXAMPLES = """examples:
  jobscheduler db init --database-url sqlite:////srv/jobs.db
  jobscheduler db import /etc/scheduler/jobs.d --database-url-file /etc/scheduler/database-url
  JOBSCHEDULER_DATABASE_URL_FILE=/etc/scheduler/database-url jobscheduler db add report.json --wait

Every change requests a reload of the service, and takes effect with it. Definitions are checked before they are
written, as by `validate`. Keep a URL with a password in a file or in a variable: `ps` shows arguments.
Exit status: 0 fine, 1 problems found or the database cannot be used, 2 wrong usage."""

_FILE = "--database-url-file /etc/scheduler/database-url"

_EXAMPLES = {  # the arguments in the example of each verb's help
    "init": "--database-url sqlite:////srv/jobs.db",
    "upgrade": _FILE,
    "import": f"/etc/scheduler/jobs.d --delete --wait {_FILE}",
    "export": f"/srv/jobs.d {_FILE}",
    "add": f"report.json backup.json {_FILE}",
    "update": f"report.json --wait {_FILE}",
    "put": f"report.json backup.json --wait {_FILE}",
    "remove": f"report-001 report-002 {_FILE}",
    "list": f"--json {_FILE} | jq -r '.jobs[].job_id'",
    "reload": f"--wait {_FILE}",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below this one."""
    verbs = parser.add_subparsers(dest="below", metavar="VERB", required=True, parser_class=SubverbParser)
    _verb(verbs, "init", db_tables.make, "create the tables of each database named", "cluster")
    _verb(verbs, "upgrade", db_tables.upgrade, "carry on tables of an older version", "cluster")
    _import = _verb(verbs, "import", _import_, "make the table hold exactly the jobs of a directory", "wait")
    _import.add_argument("directory", metavar="DIR", help="the directory of job files")
    _import.add_argument("--delete", action="store_true", help="remove jobs from the table that are not in DIR")
    export = _verb(verbs, "export", _export, "make a directory hold exactly the jobs of the table")
    export.add_argument("directory", metavar="DIR", help="the directory of job files, created if necessary")
    export.add_argument("--delete", action="store_true", help="remove job files from DIR that are not in the table")
    changing = (("add", _add, "add jobs"), ("update", _update, "change existing jobs"))
    for name, run_, text in (*changing, ("put", _put, "add jobs, or change existing ones")):
        verb = _verb(verbs, name, run_, text, "wait")
        verb.add_argument("files", nargs="+", metavar="FILE", help="a job file")
    remove = _verb(verbs, "remove", _remove, "remove jobs", "wait")
    remove.add_argument("jobs", nargs="+", metavar="ID", help="the id of a job")
    _verb(verbs, "list", _list, "show the jobs of the table", "json")
    _verb(verbs, "reload", _reload, "ask for a reload, after changes made by other means", "wait")


def _verb(verbs: Any, name: str, run_: Callable[..., int], text: str, *options: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  jobscheduler db {name} {_EXAMPLES[name]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run_below=run_)
    if "wait" in options:
        parser.add_argument("--wait", action="store_true", help="wait until the service has reloaded")
    if "json" in options:
        parser.add_argument("--json", action="store_true", help="print JSON")
    of_cluster = {"cluster_url", "cluster_url_file"} if "cluster" in options else set()
    add_options(parser, {"database_url", "database_url_file", "timezone"} | of_cluster)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run one of the verbs of `db`; print the problems of the database or of the definitions."""
    try:
        return _run(arguments)
    except DatabaseConfigError as cannot:
        print_problem(cannot.problem, sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    makes_tables = arguments.run_below in {db_tables.make, db_tables.upgrade}
    given = (arguments,) if makes_tables else (arguments, _open(arguments))
    if not is_installed():
        return int(arguments.run_below(*given))  # it says which extra is missing
    from jobscheduler.database import JobTableError, Unavailable  # noqa: PLC0415 - an extra

    try:
        return int(arguments.run_below(*given))
    except Unavailable as reason:
        print_problem(Problem(str(reason), help=reason.help), sys.stderr)
    except (JobTableError, ExportConflict) as wrong:
        for problem in wrong.problems:
            print_problem(problem, sys.stderr)
    return 1


def _open(arguments: argparse.Namespace) -> JobTable:
    settings = settings_from_arguments(arguments)
    url = load_url(settings.database_url, settings.database_url_file)
    if url is None:
        help_ = "name the database with `--database-url URL` or `--database-url-file FILE`"
        raise BadSetting((Problem("no database is named", help=help_),))
    from jobscheduler.database import JobTable  # noqa: PLC0415 - an extra

    return JobTable(url, rules=job_context(settings))


# --- the verbs -------------------------------------------------------------------------------------------


def _import_(arguments: argparse.Namespace, jobs: JobTable) -> int:
    definitions = read_directory(Path(arguments.directory), jobs.rules)
    changes = jobs.replace_all(definitions, may_remove=arguments.delete)
    counts = (len(changes.added), len(changes.updated), len(changes.removed))
    same = len(definitions) - counts[0] - counts[1]
    print("{} added, {} updated, {} removed, {} unchanged".format(*counts, same))
    return 0 if changes.marker is None else wait_for_reload(jobs, changes.marker, wait=arguments.wait)


def _export(arguments: argparse.Namespace, jobs: JobTable) -> int:
    rows = jobs.list()
    cut = [Problem("the row is larger than 1 MiB", file=f"jm_jobs/{row.job_id}") for row in rows if row.is_cut]
    if cut:
        raise ExportConflict(*cut)
    definitions = {row.job_id: row.definition for row in rows}
    written, removed = write_directory(Path(arguments.directory), definitions, may_remove=arguments.delete)
    print(f"{written} written, {removed} removed, {len(definitions) - written} unchanged")
    return 0


def _add(arguments: argparse.Namespace, jobs: JobTable) -> int:
    definitions = read_files(arguments.files, jobs.rules)
    marker = jobs.add(*definitions)
    print(f"{plural(len(definitions), 'job')} added")
    return wait_for_reload(jobs, marker, wait=arguments.wait)


def _update(arguments: argparse.Namespace, jobs: JobTable) -> int:
    definitions = read_files(arguments.files, jobs.rules)
    marker = jobs.update(*definitions)
    print(f"{plural(len(definitions), 'job')} updated")
    return wait_for_reload(jobs, marker, wait=arguments.wait)


def _put(arguments: argparse.Namespace, jobs: JobTable) -> int:
    definitions = read_files(arguments.files, jobs.rules)
    changes = jobs.put(*definitions)
    added, updated = len(changes.added), len(changes.updated)
    print(f"{added} added, {updated} updated, {len(definitions) - added - updated} unchanged")
    return 0 if changes.marker is None else wait_for_reload(jobs, changes.marker, wait=arguments.wait)


def _remove(arguments: argparse.Namespace, jobs: JobTable) -> int:
    marker = jobs.remove(*arguments.jobs)
    print(f"{plural(len(set(arguments.jobs)), 'job')} removed")
    return wait_for_reload(jobs, marker, wait=arguments.wait)


def _reload(arguments: argparse.Namespace, jobs: JobTable) -> int:
    marker = jobs.reload()
    if not arguments.wait:
        print("requested a reload")
    return wait_for_reload(jobs, marker, wait=arguments.wait)


def _list(arguments: argparse.Namespace, jobs: JobTable) -> int:
    rows = jobs.list()
    if arguments.json:
        print(json.dumps({"jobs": [_as_object(row) for row in rows]}))
        return 0
    columns = (Column("JOB"), Column("SCHEDULE"), Column("UPDATED", keep_whole=True), Column("DESCRIPTION"))
    for line in table(columns, _lines(rows), width=terminal_width(), colour=use_colour(sys.stdout)):
        print(line)
    return 0


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    now = utc_now()
    for row in rows:
        value = _value(row)
        at = format_local_or_dash(row.updated_at.isoformat() if row.updated_at else None, now)
        definition = value if isinstance(value, dict) else {}
        yield row.job_id, str(definition.get("schedule", "-")), at, str(definition.get("description", ""))


def _as_object(row: Row) -> dict[str, Any]:
    return {
        "job_id": row.job_id,
        "definition": _value(row),
        "created_at": row.created_at.isoformat() if row.created_at else None,
        "updated_at": row.updated_at.isoformat() if row.updated_at else None,
    }


def _value(row: Row) -> Any:
    """Decode a definition; return an invalid one as text."""
    with suppress(ValueError, RecursionError):
        return json.loads(row.definition)
    return row.definition
