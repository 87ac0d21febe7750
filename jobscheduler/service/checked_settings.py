"""Judge the settings before anything is started: paths, zone, database, alerts and the token of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jobscheduler.alerts import DefaultAlerts
from jobscheduler.config import Settings, SettingsError
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.guarded_directory import GuardedSource
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.sources import Source
from jobscheduler.model import Problem
from jobscheduler.service.alert_defaults import read_alert_defaults
from jobscheduler.service.cluster_node import read_cluster_url
from jobscheduler.service.database_jobs import DatabaseJobs, NoDatabase, UnusableDatabase, open_database
from jobscheduler.service.errors import StartupError
from jobscheduler.service.guarded_calls import call_at_startup
from jobscheduler.service.optional_parts import ALERTS, DATABASE, DEFAULTS, PAGE, OptionalParts
from jobscheduler.service.own_service import make_directories
from jobscheduler.service.path_checks import problems_of_paths
from jobscheduler.service.zone_watch import parse_context
from jobscheduler.util.hang_guard import CallHung, HangGuard
from jobscheduler.util.path_walk import is_missing
from jobscheduler.util.standard_output import is_standard_output


@dataclass(frozen=True, slots=True)
class CheckedSettings:
    """The settings as judged, with what they name: sources, alerts, token.

    `read_settings` reads the settings again, for a reload. `optional` are the parts that the service can do without.
    `guard` makes every call that may hang, each under a name; `jobs_name` and `log_name` are the names for the jobs
    directory and the log file. `hung_alerts` is set when a file with an alert does not answer: the service starts
    without the alert until the file does. `cluster_url` is the database that several services share, if they do.
    """

    settings: Settings
    read_settings: Callable[[], Settings]
    optional: OptionalParts
    guard: HangGuard
    jobs_name: str
    log_name: str
    database: DatabaseJobs | NoDatabase | UnusableDatabase
    directory: GuardedSource | None
    context: ParseContext
    default_alerts: DefaultAlerts
    hung_alerts: CallHung | None
    has_page: bool
    web_token: str | None
    cluster_url: str | None

    @property
    def sources(self) -> list[Source]:
        """The sources of jobs. The directory is first: of a file and a row with one id, the file has it at a start."""
        return [*([] if self.directory is None else [self.directory]), *self.database.sources]


def check_settings(settings: Settings, read_settings: Callable[[], Settings], guard: HangGuard) -> CheckedSettings:
    """Judge the settings and read what they name. A problem of an optional part is only noted.

    Raises:
        StartupError: the jobs directory, the log or the socket does not answer, or the cluster cannot be used.
        SettingsError: one of them or the zone cannot be used, or something in `[defaults]` is wrong. It has all
            problems.

    """
    optional, call = OptionalParts(), partial(call_at_startup, guard)
    jobs_name, log_name = f"the jobs directory `{settings.jobs_dir}`", _log_name(settings)
    call("a path of the service", partial(make_directories, settings))
    database = _database(settings, optional, guard)
    source = call(jobs_name, partial(_directory_source, settings))
    directory = None if source is None else GuardedSource(source, guard)
    for name, path in ((jobs_name, settings.jobs_dir), (log_name, settings.log_file)):
        call(name, path.exists)
    problems = call("a path of the service", partial(problems_of_paths, settings, directory))
    context = _context(settings, problems, guard)
    optional.note(DEFAULTS, context.defaults.problems)
    default_alerts, hung_alerts = _default_alerts(settings, context, optional, guard)
    has_page, web_token = _page(settings, optional, guard)
    return CheckedSettings(
        settings=settings,
        read_settings=read_settings,
        optional=optional,
        guard=guard,
        jobs_name=jobs_name,
        log_name=log_name,
        database=database,
        directory=directory,
        context=context,
        default_alerts=default_alerts,
        hung_alerts=hung_alerts,
        has_page=has_page,
        web_token=web_token,
        cluster_url=read_cluster_url(settings, guard),
    )


def _context(settings: Settings, problems: tuple[Problem, ...], guard: HangGuard) -> ParseContext:
    """Return the context of jobs. `problems` are those of the paths.

    Raises:
        SettingsError: there are problems, or the zone or the defaults have some. It has all of them.

    """
    try:
        context = parse_context(settings, guard)
    except SettingsError as error:
        problems = (*problems, *error.problems)
    if problems:
        raise SettingsError(problems)
    return context


def _log_name(settings: Settings) -> str:
    """Return the guard's name for the log."""
    return "standard output" if is_standard_output(settings.log_file) else f"the log file `{settings.log_file}`"


def _database(
    settings: Settings, optional: OptionalParts, guard: HangGuard
) -> DatabaseJobs | NoDatabase | UnusableDatabase:
    try:
        return call_at_startup(guard, "the file with the URL of the database", partial(open_database, settings))
    except StartupError as error:
        optional.note(DATABASE, [error.problem])
        return UnusableDatabase()


def _default_alerts(
    settings: Settings, context: ParseContext, optional: OptionalParts, guard: HangGuard
) -> tuple[DefaultAlerts, CallHung | None]:
    try:
        return read_alert_defaults(settings, context, guard), None
    except CallHung as hung:
        return DefaultAlerts(), hung
    except StartupError as error:
        optional.note(ALERTS, [error.problem])
        return DefaultAlerts(), None


def _page(settings: Settings, optional: OptionalParts, guard: HangGuard) -> tuple[bool, str | None]:
    """Return whether the page is to be served, and the token that its readers need, if any."""
    try:
        return settings.http is not None, read_web_token(settings, guard)
    except StartupError as error:
        optional.note(PAGE, [error.problem])
        return False, None


def _directory_source(settings: Settings) -> DirectorySource | None:
    """Return the jobs directory; None for a service with a database whose user named none and has none."""
    if settings.has_database and "jobs_dir" not in settings.given and is_missing(settings.jobs_dir):
        return None
    return DirectorySource(settings.jobs_dir)


def read_web_token(settings: Settings, guard: HangGuard) -> str | None:
    """Return the token that readers of the page need; None if there is no page or no token.

    Raises:
        StartupError: the page cannot be served as the settings ask.

    """
    if settings.http is None:
        return None
    from jobscheduler.web import WebConfigError, load_token  # noqa: PLC0415 - few services have a page

    read = partial(load_token, settings.http, settings.http_token_file)
    try:
        return guard.call(f"the token file `{settings.http_token_file}`", read)
    except WebConfigError as error:
        raise StartupError(error.problem) from None
    except CallHung as hung:
        raise StartupError(Problem(str(hung), help="put it on a file system that is there at the start")) from None
