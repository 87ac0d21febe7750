"""Judge the settings before anything is started: paths, zone, database, alerts and the token of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from jobscheduler.alerts import DefaultAlerts
from jobscheduler.config import Settings
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.guarded_directory import GuardedSource
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.sources import Source
from jobscheduler.model import Problem
from jobscheduler.service.alert_defaults import read_alert_defaults
from jobscheduler.service.database_jobs import DatabaseJobs, NoDatabase, open_database
from jobscheduler.service.guarded_calls import call_at_startup
from jobscheduler.service.startup import StartupError, check_paths
from jobscheduler.service.zone_watch import parse_context
from jobscheduler.util.hang_guard import CallHung, HangGuard
from jobscheduler.util.path_walk import is_missing
from jobscheduler.web import WebConfigError, load_token

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Startup:
    """The settings as judged, with what they name: sources, alerts, token.

    `guard` makes every call that may hang, each under a name; `jobs_name` and `log_name` are the names for the jobs
    directory and the log file. `hung_alerts` is set when a file with an alert does not answer: the service starts
    without the alert until the file does.
    """

    settings: Settings
    guard: HangGuard
    jobs_name: str
    log_name: str
    database: DatabaseJobs | NoDatabase
    directory: GuardedSource | None
    context: ParseContext
    default_alerts: DefaultAlerts
    hung_alerts: CallHung | None
    web_token: str | None

    @property
    def sources(self) -> list[Source]:
        """The sources of jobs. The directory is first: of a file and a row with one id, the file has it at a start."""
        return [*([] if self.directory is None else [self.directory]), *self.database.sources]


def check_startup(settings: Settings, guard: HangGuard) -> Startup:
    """Judge the settings and read what they name.

    Raises:
        StartupError: a part is missing, cannot be used, or does not answer.

    """

    def call(name: str, function: Callable[[], T]) -> T:
        return call_at_startup(guard, name, function)

    jobs_name, log_name = f"the jobs directory `{settings.jobs_dir}`", f"the log file `{settings.log_file}`"
    database = call("the file with the URL of the database", partial(open_database, settings))
    source = call(jobs_name, partial(_directory_source, settings))
    directory = None if source is None else GuardedSource(source, guard)
    for name, path in ((jobs_name, settings.jobs_dir), (log_name, settings.log_file)):
        call(name, path.exists)
    call("a path of the service", partial(check_paths, settings, directory))
    context = parse_context(settings, guard)
    try:
        default_alerts, hung_alerts = read_alert_defaults(settings, context, guard), None
    except CallHung as hung:
        default_alerts, hung_alerts = DefaultAlerts(), hung
    token = read_web_token(settings, guard)
    return Startup(
        settings, guard, jobs_name, log_name, database, directory, context, default_alerts, hung_alerts, token
    )


def _directory_source(settings: Settings) -> DirectorySource | None:
    """Return the jobs directory; None for a service with a database whose user named none and has none."""
    if settings.has_database and "jobs_dir" not in settings.explicit and is_missing(settings.jobs_dir):
        return None
    return DirectorySource(settings.jobs_dir)


def read_web_token(settings: Settings, guard: HangGuard) -> str | None:
    """Return the token that readers of the page need; None if there is no page or no token.

    Raises:
        StartupError: the page cannot be served as the settings ask.

    """
    if settings.http is None:
        return None
    read = partial(load_token, settings.http, settings.http_token_file)
    try:
        return guard.call(f"the token file `{settings.http_token_file}`", read)
    except WebConfigError as error:
        raise StartupError(error.problem) from None
    except CallHung as hung:
        raise StartupError(Problem(str(hung), help="put it on a file system that is there at a start")) from None
