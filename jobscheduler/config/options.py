"""The table of options: each a flag, a variable and a key of the settings file, with the function that parses it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jobscheduler.util import durations
from jobscheduler.util.sizes import parse_size
from jobscheduler.util.standard_output import is_standard_output

PREFIX = "JOBSCHEDULER_"  # of every environment variable

_FORMATS = ("text", "json")

MAX_GROUP_ID = 2**32 - 2  # the next number means "no change" to the kernel


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as users write it: `--log-file`, `JOBSCHEDULER_LOG_FILE`, and `log-file` in the settings file.

    A secret one is never repeated in a message. `words` are all values that it takes, if they are few.
    """

    name: str
    parse: Callable[[str], Any]
    metavar: str
    help: str
    is_secret: bool = False
    words: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key in the settings file."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.key

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a path is expected")
    return Path(text)


def _log_file(text: str) -> Path:
    """Parse the log file: `-` is standard output, and `./-` a file of that name."""
    path = _path(text)
    return path.absolute() if text != "-" and is_standard_output(path) else path


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not minimum <= int(text) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum} is expected")
        return int(text)

    return parse


def _size(text: str) -> int:
    with suppress(ValueError):
        if (size := parse_size(text)) >= 64 * 1024:
            return size
    raise ValueError("a size of at least 64K is expected, such as `50M`")


def _seconds(minimum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        is_number = re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII)
        seconds = durations.parse_duration(float(text) if is_number else text)
        if seconds < minimum:
            raise ValueError(f"at least {minimum:g} seconds are expected")
        return seconds

    return parse


def _format(text: str) -> str:
    if text not in _FORMATS:
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


def _group(text: str) -> str:
    """Check the form of a group's name or number; the service finds out whether there is such a group."""
    is_number = re.fullmatch(r"\d+", text, re.ASCII)
    if not text.isprintable() or set(text) & set(":,/") or text != text.strip() or not text:
        raise ValueError("the name or the number of a group is expected")
    if is_number and int(text) > MAX_GROUP_ID:
        raise ValueError(f"the number of a group is at most {MAX_GROUP_ID}")
    return text


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, as far as can be seen."""
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
    Option("log_file", _log_file, "FILE", "the log file; rotated copies stand beside it; `-`: standard output alone"),
    Option("log_format", _format, "FORMAT", "`text`, or `json` for one object per line", words=_FORMATS),
    Option("log_max_bytes", _size, "SIZE", "rotate the log before it grows beyond this, such as `50M`"),
    Option("log_backups", _integer(1, 1000), "N", "how many rotated log files to keep"),
    Option("output_dir", _path, "DIR", "the directory for what runs print; `output` beside the log by default"),
    Option("output_max_bytes", _size, "SIZE", "how much disk it may take, such as `1G`; old output goes first"),
    Option("output_keep", _seconds(60), "DURATION", "how long output is kept there"),
    Option("timezone", str, "ZONE", "the zone of jobs that name none, such as `Europe/Berlin`; the host's by default"),
    Option("max_workers", _integer(1, 1000), "N", "how many runs may be active at once"),
    Option("drain_timeout", _seconds(0), "DURATION", "how long running jobs may go on when the service stops"),
    Option("rescan_interval", _seconds(0.1), "DURATION", "how often all job files are checked again"),
    Option("socket", _path, "FILE", "the control socket, by which the other verbs reach the service"),
    Option("socket_group", _group, "GROUP", "the group of operators that may use the control socket, too"),
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
        "the name of this host in the log; by default a hash of its machine-id, or of the folder of the log",
    ),
    Option("cluster_url", _url, "URL", "the database that services share: one leads, the others stand by", True),
    Option("cluster_url_file", _path, "FILE", "the file that holds the URL of that database, password and all"),
    Option("node", _name, "NAME", "the name of this service among them; the host's by default"),
    Option("lease", _seconds(1), "DURATION", "how long the leader may be silent before another service leads"),
    Option("lost_after", _seconds(2), "DURATION", "how long a service may be silent before its runs count as lost"),
    Option("keep_runs", _seconds(60), "DURATION", "how long runs that are over stay in that database"),
)
