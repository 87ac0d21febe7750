"""The settings of the service, as one frozen value: of the command line, the environment and the settings file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobscheduler.config.options import OPTIONS, PREFIX, Option, has_password
from jobscheduler.config.own_paths import USER_FLAG, OwnPaths
from jobscheduler.config.settings_file import NO_FILE, SettingsError, SettingsFile
from jobscheduler.model import Problem
from jobscheduler.util.standard_output import is_standard_output
from jobscheduler.util.text import did_you_mean, quote

DEFAULT_CONFIG = Path("/etc/scheduler/scheduler.toml")
CONFIG_VARIABLE = PREFIX + "CONFIG"


@dataclass(frozen=True, slots=True)
class Given:
    """The text of a setting, and where it stands: a flag, a variable, or a line of the settings file."""

    text: str
    origin: str


class BadSetting(SettingsError):
    """Settings on the command line or in the environment that cannot be parsed: wrong usage. The problems name them."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service runs. Durations are seconds, sizes bytes; `timezone` None means the host's zone.

    `output_dir` holds what runs print; None stands for a directory beside the log (see `output_folder`).
    `socket_group` is the group, by name or number, that may use the control socket; None for the service's own.
    `http` is the address of the page, None for no page; `http_token_file` holds the token that its readers must give.
    `on_failure` and `on_recovery` are files with the task to run when the result of a job changes; None for no task.
    `host_id` names the host, None for a hash of its machine-id.
    `database_url` is the database of further jobs, None for no database. `database_url_file` holds the same.
    `keep_log_rows` and `keep_markers` are how long old rows stay in it.
    `cluster_url` is the database that several services share, None for a service on its own; `cluster_url_file` holds
    the same. `node` names the service among them, None for the name of the host. A leader is replaced when it was
    silent for `lease`, and the runs of a service that was silent for `lost_after` are lost. `keep_runs` is how long
    final rows stay there.
    `is_own` is set for a user's own service. `file` is the settings file. `given` are the settings that were given, by
    name; the others have their default.
    """

    jobs_dir: Path = Path("/etc/scheduler/jobs.d")
    log_file: Path = Path("/var/log/scheduler/scheduler.log")
    log_format: str = "text"
    log_max_bytes: int = 50 * 1024 * 1024
    log_backups: int = 7
    output_dir: Path | None = None
    output_max_bytes: int = 1024**3
    output_keep: float = 30 * 86400.0
    timezone: str | None = None
    max_workers: int = 32
    drain_timeout: float = 30.0
    rescan_interval: float = 30.0
    socket: Path = Path("/run/scheduler/control.sock")
    socket_group: str | None = None
    http: tuple[str, int] | None = None
    http_token_file: Path | None = None
    on_failure: Path | None = None
    on_recovery: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    database_url_file: Path | None = None
    reload_interval: float = 10.0
    keep_log_rows: float = 30 * 86400.0
    keep_markers: float = 30 * 86400.0
    host_id: str | None = None
    cluster_url: str | None = field(default=None, repr=False)
    cluster_url_file: Path | None = None
    node: str | None = None
    lease: float = 6.0
    lost_after: float = 60.0
    keep_runs: float = 30 * 86400.0
    is_own: bool = field(default=False, compare=False)
    file: SettingsFile = field(default=NO_FILE, compare=False, repr=False)
    given: Mapping[str, Given] = field(default_factory=dict, compare=False, repr=False)

    @property
    def has_database(self) -> bool:
        """Whether a database is configured."""
        return self.database_url is not None or self.database_url_file is not None

    @property
    def has_cluster(self) -> bool:
        """Whether the service is one of several that share a database."""
        return self.cluster_url is not None or self.cluster_url_file is not None

    @property
    def output_folder(self) -> Path | None:
        """The directory for what runs print: `output` beside the log by default. None if there is none."""
        if self.output_dir is not None or is_standard_output(self.log_file):
            return self.output_dir
        return self.log_file.absolute().parent / "output"

    @property
    def systemctl(self) -> str:
        """The beginning of a command by which systemd starts or stops the service."""
        return "systemctl --user" if self.is_own else "systemctl"


@dataclass(frozen=True, slots=True)
class FoundSettings:
    """Settings as they were found: what is right, and every problem.

    `wrong_usage` are flags and variables whose value cannot be parsed.
    """

    settings: Settings
    wrong_usage: tuple[Problem, ...]
    problems: tuple[Problem, ...]

    def check(self, further: tuple[Problem, ...] = ()) -> Settings:
        """Return the settings if nothing is wrong in them, and there are no further problems.

        Raises:
            BadSetting: a flag or a variable cannot be parsed.
            SettingsError: something else is wrong.

        """
        problems = sorted((*self.wrong_usage, *self.problems, *further), key=_place)
        if problems:
            raise (BadSetting if self.wrong_usage else SettingsError)(tuple(problems))
        return self.settings


def _place(problem: Problem) -> tuple[str, int]:
    """Return what problems are sorted by: those of a file from top to bottom."""
    return problem.file, problem.line or 0


def load_settings(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    file: SettingsFile = NO_FILE,
    own: OwnPaths | None = None,
) -> Settings:
    """Build the settings. A flag wins over its variable, that over the settings file, and that over the default.

    An empty variable is unset. `own` are the default paths of a user's own service.

    Raises:
        BadSetting: a flag or a variable cannot be parsed.
        SettingsError: a variable has an unknown name.

    """
    return find_settings(flags, environ, file, own).check()


def find_settings(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    file: SettingsFile = NO_FILE,
    own: OwnPaths | None = None,
) -> FoundSettings:
    """Build the settings as `load_settings` does, from all that is right, and collect what is wrong."""
    values: dict[str, Any] = {} if own is None else {**own.settings()}
    given = {name: Given(str(path), USER_FLAG) for name, path in values.items()}
    given |= {option.name: Given(text, file.origin(option)) for option, text in file.options}
    values |= {option.name: option.parse(text) for option, text in file.options}
    wrong: list[Problem] = []
    for option, text, origin in _given(flags, environ):
        try:
            values[option.name] = _parse(option, text, origin)
            given[option.name] = Given(text, origin)
        except ValueError as error:
            wrong.append(Problem(str(error)))
    settings = Settings(**values, is_own=own is not None, file=file, given=given)
    return FoundSettings(settings, tuple(wrong), tuple(_unknown_variables(environ)))


def _given(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Iterator[tuple[Option, str, str]]:
    """Yield the options that the command line or the environment gives, each with its text and where that stands."""
    for option in OPTIONS:
        text = flags.get(option.name)
        if text is not None:
            yield option, text, option.flag
        elif variable := environ.get(option.variable):
            yield option, variable, option.variable


def _parse(option: Option, text: str, origin: str) -> Any:
    """Parse a value of the command line or the environment.

    Raises:
        ValueError: it cannot be used. The message names where it stands, and a secret is not repeated.

    """
    if origin == option.flag and option.is_secret and has_password(text):
        help_ = f"put it into a file that only the service's user can read, and use {option.flag}-file FILE"
        raise ValueError(f"{option.flag}: `ps` shows a password there to all users: {help_}")
    try:
        return option.parse(text)
    except ValueError as error:
        is_told = option.is_secret or str(error).startswith(quote(text))
        raise ValueError(f"{origin}: {error}" if is_told else f"{origin}: `{text}`: {error}") from None


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each variable with our prefix that is not ours: a misspelt one would change nothing."""
    known = [option.variable for option in OPTIONS] + [CONFIG_VARIABLE]
    for name in sorted(name for name in environ if name.startswith(PREFIX) and name not in known):
        help_ = did_you_mean(name, known) or "the settings and their variables are listed by `jobscheduler config`"
        yield Problem(f"unknown variable {quote(name)} in the environment", help=help_)


def default_text(option: Option) -> str:
    """Return the default of an option as users write it, for the help text."""
    value = getattr(Settings(), option.name)
    if option.name in {"log_max_bytes", "output_max_bytes"}:
        return f"{value // 1024**3}G" if value >= 1024**3 else f"{value // 1024**2}M"
    if option.name == "output_dir":
        return "`output` beside the log"
    if option.name == "socket_group":
        return "the service's own"
    if value is None:
        return "the host's" if option.name in {"timezone", "host_id", "node"} else "none"
    if isinstance(value, float):
        return f"{value / 86400:g}d" if value >= 86400 else f"{value:g}s"
    return str(value)
