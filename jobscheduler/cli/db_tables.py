"""`db init` and `db upgrade`: make the tables of every database that is named, or carry on those that are there."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from jobscheduler.cli.options import settings_from_arguments
from jobscheduler.config import BadSetting
from jobscheduler.database import load_url
from jobscheduler.model import Problem

CLUSTER_URL = "--cluster-url"

Change = Callable[[], str]  # makes or upgrades the tables of one database, and returns what to tell


def make(arguments: argparse.Namespace) -> int:
    """Make the tables of every database that is named, and complete those that are there."""
    return _change(arguments, is_upgrade=False)


def upgrade(arguments: argparse.Namespace) -> int:
    """Carry on the tables of every database that is named to the present version; make none."""
    return _change(arguments, is_upgrade=True)


def _change(arguments: argparse.Namespace, *, is_upgrade: bool) -> int:
    """Change every database in turn. One that cannot be used ends that, and those before it stay changed.

    Raises:
        DatabaseConfigError: a URL cannot be used, or the extra is missing.
        Unavailable: a database cannot be used.
        BadSetting: none is named, or a password stands on the command line.

    """
    changes = [*_of_jobs(arguments, is_upgrade=is_upgrade), *_of_cluster(arguments, is_upgrade=is_upgrade)]
    if not changes:
        help_ = "name it with `--database-url-file FILE` or `--cluster-url-file FILE`, or with the URL itself"
        raise BadSetting((Problem("no database is named", help=help_),))
    for change in changes:
        print(change())
    return 0


def _of_jobs(arguments: argparse.Namespace, *, is_upgrade: bool) -> Iterator[Change]:
    """Yield what changes the tables of jobs."""
    settings = settings_from_arguments(arguments)
    url = load_url(settings.database_url, settings.database_url_file)
    if url is None:
        return
    from jobscheduler.database import JobTable  # noqa: PLC0415 - an extra

    jobs = JobTable(url)
    place = f"in `{jobs.database}`"

    def change() -> str:
        is_changed = jobs.upgrade() if is_upgrade else jobs.init()
        return _told(place, "upgraded" if is_upgrade else "created", is_changed=is_changed)

    yield change


def _of_cluster(arguments: argparse.Namespace, *, is_upgrade: bool) -> Iterator[Change]:
    """Yield what changes the tables of a cluster."""
    settings = settings_from_arguments(arguments)
    url = load_url(settings.cluster_url, settings.cluster_url_file, CLUSTER_URL, "cluster")
    if url is None:
        return
    from jobscheduler.cluster import schema  # noqa: PLC0415 - an extra
    from jobscheduler.database.engine import Database  # noqa: PLC0415

    database = Database(url)

    def change() -> str:
        made = schema.upgrade_tables(database) if is_upgrade else schema.make_tables(database)
        return _told(f"of the cluster in `{database}`", made.value, is_changed=made is not schema.Made.UNCHANGED)

    yield change


def _told(place: str, done: str, *, is_changed: bool) -> str:
    return f"{done} the tables {place}" if is_changed else f"the tables {place} exist already"
