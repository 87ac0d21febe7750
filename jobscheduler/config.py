"""The settings of the service: one table of options, each a flag and a variable, parsed to one frozen value."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jobscheduler.util import durations

PREFIX = "JOBSCHEDULER_"  # of every environment variable


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service runs. Durations are seconds, sizes bytes; `timezone` None means the host's zone.

    `http` is the address of the page, None for no page; `http_token_file` holds the token that its readers must give.
    `on_failure` and `on_recovery` are files with the task to run when the result of a job changes; None for no task.
    `host_id` names the host, None for a hash of its machine-id.
    `database_url` is the database of further jobs, None for no database. `database_url_file` holds the same.
    `keep_log_rows` and `keep_markers` are how long old rows stay in it.
    `explicit` are the settings that were given, even if with their default.
    """

    jobs_dir: Path = Path("/etc/scheduler/jobs.d")
    log_file: Path = Path("/var/log/scheduler/scheduler.log")
    log_format: str = "text"
    log_max_bytes: int = 50 * 1024 * 1024
    log_backups: int = 7
    timezone: str | None = None
    max_workers: int = 32
    drain_timeout: float = 30.0
    rescan_interval: float = 30.0
    socket: Path = Path("/run/scheduler/control.sock")
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
    explicit: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def has_database(self) -> bool:
        """Whether a database is configured."""
        return self.database_url is not None or self.database_url_file is not None


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as users write it: `--log-file` and `JOBSCHEDULER_LOG_FILE`. A secret one is never repeated."""

    name: str
    parse: Callable[[str], Any]
    metavar: str
    help: str
    is_secret: bool = False

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()


class BadSetting(ValueError):
    """A setting that cannot be parsed. The message names it and says what is expected."""


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a path is expected")
    return Path(text)


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not minimum <= int(text) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum} is expected")
        return int(text)

    return parse


_SIZE = re.compile(r"(\d{1,15})(?:([KMG])i?B?)?", re.ASCII | re.IGNORECASE)


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * 1024 ** " KMG".index((match[2] or " ").upper()) if match else 0
    if size < 64 * 1024:
        raise ValueError("a size of at least 64K is expected, such as `50M`")
    return size


def _seconds(minimum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        is_number = re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII)
        seconds = durations.parse_duration(float(text) if is_number else text)
        if seconds < minimum:
            raise ValueError(f"at least {minimum:g} seconds are expected")
        return seconds

    return parse


def _format(text: str) -> str:
    if text not in {"text", "json"}:
        raise ValueError("`text` or `json` is expected")
    return text


def _address(text: str) -> tuple[str, int]:
    """Parse an address and a port (0: any free port). An IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host
    is_ipv6 = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.IPv6Address(host[1:-1]) if is_ipv6 else ipaddress.IPv4Address(host)
        return str(address), _integer(0, 65535)(port)
    except ValueError:
        raise ValueError("an address and a port are expected, such as `127.0.0.1:9080` or `[::1]:9080`") from None


def _url(text: str) -> str:
    if "://" not in text or not text.isprintable():
        raise ValueError("the URL of a database is expected, such as `mysql://user@host/database`")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise ValueError("up to 64 letters, digits, dots, hyphens and underscores are expected")
    return text


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_userinfo = not url.startswith("sqlite") and re.search("://[^@]*:[^@]*@", url) is not None  # a bare `/`, too
        return (
            has_userinfo or parts.password is not None or any("pass" in name.lower() for name in parse_qs(parts.query))
        )
    except ValueError:
        return True


OPTIONS = (  # every option of `serve`
    Option("jobs_dir", _path, "DIR", "the directory of job files"),
    Option("log_file", _path, "FILE", "the log file; rotated copies stand beside it"),
    Option("log_format", _format, "FORMAT", "`text`, or `json` for one object per line"),
    Option("log_max_bytes", _size, "SIZE", "rotate the log before it grows beyond this, such as `50M`"),
    Option("log_backups", _integer(1, 1000), "N", "how many rotated log files to keep"),
    Option("timezone", str, "ZONE", "the zone of jobs that name none, such as `Europe/Berlin`; the host's by default"),
    Option("max_workers", _integer(1, 1000), "N", "how many runs may be active at once"),
    Option("drain_timeout", _seconds(0), "DURATION", "how long running jobs may go on when the service stops"),
    Option("rescan_interval", _seconds(0.1), "DURATION", "how often all job files are checked again"),
    Option("socket", _path, "FILE", "the control socket, by which the other verbs reach the service"),
    Option("http", _address, "ADDRESS:PORT", "serve the page, metrics and health there, such as `127.0.0.1:9080`"),
    Option("http_token_file", _path, "FILE", "the file with the token that readers of `--http` have to give"),
    Option("on_failure", _path, "FILE", "a JSON file: the task to run when a job without `on_failure` begins to fail"),
    Option("on_recovery", _path, "FILE", "a JSON file: the task to run when a job without `on_recovery` works again"),
    Option("database_url", _url, "URL", "the database with further jobs, such as `sqlite:////srv/jobs.db`", True),
    Option("database_url_file", _path, "FILE", "the file that holds the URL of the database, password and all"),
    Option("reload_interval", _seconds(0.1), "DURATION", "how often the database is checked for changed jobs"),
    Option("keep_log_rows", _seconds(60), "DURATION", "how long lines of the log stay in the database"),
    Option("keep_markers", _seconds(60), "DURATION", "how long requests for a reload stay there after they are done"),
    Option(
        "host_id",
        _name,
        "NAME",
        "the name of this host in the log; by default a hash of its machine-id (a container without one has no name)",
    ),
)


def load_settings(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    """Build the settings. A flag wins over its variable, and that over the default; an empty variable is unset.

    Raises:
        BadSetting: a value cannot be parsed.

    """
    explicit: dict[str, Any] = {}
    for option in OPTIONS:
        text = flags.get(option.name)
        name = option.flag
        if text is None:
            text, name = environ.get(option.variable) or None, option.variable
        if text is None:
            continue
        try:
            explicit[option.name] = option.parse(text)
        except ValueError as error:
            raise BadSetting(f"{name}: {error}" if option.is_secret else f"{name}: `{text}`: {error}") from None
        if option.is_secret and name == option.flag and _has_password(text):
            help_ = f"put it into a file that only the service's user can read, and use {option.flag}-file FILE"
            raise BadSetting(f"{name}: `ps` shows a password there to all users: {help_}")
    return Settings(**explicit, explicit=frozenset(explicit))


def default_text(option: Option) -> str:
    """Return the default of an option as users write it, for the help text."""
    value = getattr(Settings(), option.name)
    if option.name == "log_max_bytes":
        return f"{value // 1024**2}M"
    if value is None:
        return "the host's" if option.name in {"timezone", "host_id"} else "none"
    if isinstance(value, float):
        return f"{value / 86400:g}d" if value >= 86400 else f"{value:g}s"
    return str(value)
