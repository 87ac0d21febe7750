"""Find time zones by name: the zone of a job, and that of the service, by default the host's.

The host's zone is found as glibc finds it: `TZ`, else `/etc/localtime`, else UTC. Where glibc would silently fall
back to UTC because something is broken, this module refuses: a schedule that is hours off is worse than an error.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.timetable.timezone_help import current_name, is_prefixed, unknown_zone_help, without_prefix, zone_note
from jobscheduler.timetable.zone_rules import ZONE_RULES, ReloadedRules, UnreadableZone, zone_data
from jobscheduler.util.text import quote

__all__ = ["UnknownTimezone", "get_zone", "reload_rules", "service_zone", "zone_fingerprint", "zone_names", "zone_note"]

_NAME = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_POSIX = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)[+-]?[0-9].*", re.DOTALL)
_MAX_NAME_CHARS = 255
_MAX_FILE_BYTES = 1 << 20
_MAX_LINKS = 40  # the kernel's limit
_CHOOSE_HELP = "use `--timezone NAME`, for example `--timezone Europe/Berlin`"
_REGIONS = ("Etc", "Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


class UnknownTimezone(ProblemError, ValueError):
    """A time zone that is not available: `message` says why, `help` what to do.

    `of_host` means that the name is valid and this host lacks its data. Installing the data fixes this.
    """

    def __init__(self, message: str, help: str, *, of_host: bool = False) -> None:  # noqa: A002 - as in Problem
        super().__init__(Problem(message, help=help))
        self.message = message
        self.help = help
        self.of_host = of_host


def get_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name in its exact spelling, with the rules in force (see `zone_rules`).

    Raises:
        UnknownTimezone: there is no such zone. Nothing else is raised.

    """
    if not name:
        raise UnknownTimezone("the time zone is empty", "write a name such as `Europe/Berlin`")
    if not _may_be_zone(name):
        raise _unknown(name)
    try:
        return ZONE_RULES.zone(name)
    except UnreadableZone:
        raise _unknown(name) from None


@lru_cache(maxsize=128)  # thousands of jobs ask for few zones
def _may_be_zone(name: str) -> bool:
    return (
        len(name) <= _MAX_NAME_CHARS
        and _NAME.fullmatch(name) is not None
        and not is_prefixed(name)
        and name not in ("localtime", "posixrules")
    )


def service_zone(name: str | None, environ: Mapping[str, str], root: Path = Path("/")) -> ZoneInfo:
    """Return the zone of the service: by name, else from `TZ`, else from `etc/localtime` below `root`.

    Raises:
        UnknownTimezone: the setting cannot be read or names no zone. Nothing else is raised.

    """
    if name is not None:
        return get_zone(name)
    setting = environ.get("TZ")
    try:
        return _local_zone(root) if setting is None else _zone_of_setting(setting, root)
    except OSError as error:
        raise UnknownTimezone(f"the host's time zone cannot be read: {error}", _CHOOSE_HELP) from error


def zone_fingerprint(environ: Mapping[str, str], root: Path = Path("/")) -> object:
    """Return a value that changes when the host's zone is set. Cheap, for frequent calls; never raises."""
    setting = environ.get("TZ", "").removeprefix(":")
    localtime = (setting if setting.startswith("/") else "etc/localtime").lstrip("/")
    return tuple(_state_of(os.path.join(root, file)) for file in (localtime, "etc/timezone"))  # noqa: PTH118


def _state_of(file: str) -> object:
    """Return the state of a file. Runs every second, so without `Path`, which costs several times as much."""
    try:
        stat = os.stat(file)  # noqa: PTH116
        return os.path.realpath(file, strict=True), stat.st_dev, stat.st_ino, stat.st_mtime_ns
    except (OSError, ValueError) as error:
        return type(error), error.args


def _zone_of_setting(setting: str, root: Path) -> ZoneInfo:
    """Resolve `TZ`: empty is UTC, a leading colon is ignored, a path or name is looked up (tzset(3))."""
    value = setting.removeprefix(":")
    if not value:
        return get_zone("UTC")
    if value == "localtime" or value.startswith("/"):
        return _zone_of_file(root / (value.lstrip("/") if value != "localtime" else "etc/localtime"), root)
    try:
        return get_zone(without_prefix(value))
    except UnknownTimezone as unknown:
        if _POSIX.fullmatch(value):
            message = f"`TZ` is {quote(value)}, which gives rules and names no zone"
            raise UnknownTimezone(message, _CHOOSE_HELP) from None
        message = f"`TZ` is {quote(value)}: {unknown.message}"
        raise UnknownTimezone(message, _in_tz(unknown.help), of_host=unknown.of_host) from None


def _in_tz(help_: str) -> str:
    """Prefix the help with the settings to change. No example of another zone, which would compete with it."""
    return f"mend `TZ` or give `--timezone`: {help_}"


def _local_zone(root: Path) -> ZoneInfo:
    file = root / "etc/localtime"
    if not file.is_symlink() and not file.exists():
        return get_zone("UTC")
    return _zone_of_file(file, root)


def _zone_of_file(file: Path, root: Path) -> ZoneInfo:
    """Follow links until one names a zone; identify a regular file by its content."""
    path = file
    for _ in range(_MAX_LINKS):
        if name := _name_in(path):
            return get_zone(name)
        if not path.is_symlink():
            return _zone_of_content(path, root)
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else Path(_resolved_name(path.parent / target))
    raise UnknownTimezone(f"{quote(str(file))} is a symbolic link that leads to itself", _CHOOSE_HELP)


def _resolved_name(path: Path) -> str:
    """Resolve `.` and `..` of a path as text: the directories need not exist to name a zone."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == "..":
            parts = parts[:-1] or parts
        elif part != ".":
            parts.append(part)
    return str(PurePosixPath(*parts))


def _name_in(path: Path) -> str | None:
    """Return the zone that a path into the zone data names; the data's own `localtime` link names none."""
    _, separator, name = str(path).rpartition("/zoneinfo/")
    name = without_prefix(name)
    return name if separator and name not in ("localtime", "posixrules") and _NAME.fullmatch(name) else None


def _zone_of_content(file: Path, root: Path) -> ZoneInfo:
    if not file.exists():
        raise UnknownTimezone(f"{quote(str(file))} does not exist", _CHOOSE_HELP)
    if not file.is_file():
        raise UnknownTimezone(f"{quote(str(file))} is not a file", _CHOOSE_HELP)
    with file.open("rb") as opened:
        content = opened.read(_MAX_FILE_BYTES)
    if not content.startswith(b"TZif"):
        raise UnknownTimezone(f"{quote(str(file))} holds no time zone data", _CHOOSE_HELP)
    return get_zone(_name_of_content(content, root, file))


def _name_of_content(content: bytes, root: Path, file: Path) -> str:
    """Identify a zone by its data: the name in `etc/timezone` if it fits, else the likeliest fitting name.

    A copy may be older than the zone data. The name in `etc/timezone` is then accepted if the current rule is the same.
    That rule is the last line of the data (RFC 9636, 3.3).
    """
    name_on_host = _etc_timezone(root)
    expected = zone_data(name_on_host) if name_on_host else None
    if expected is not None and (expected == content or expected.split(b"\n")[-2:] == content.split(b"\n")[-2:]):
        return name_on_host
    fitting = [name for name in zone_names() if zone_data(name) == content]
    if not fitting:
        raise UnknownTimezone(
            f"{quote(str(file))} is a copy of time zone data that has no name on this host", _CHOOSE_HELP
        )
    return min(fitting, key=_likelihood)


def _etc_timezone(root: Path) -> str:
    try:
        text = (root / "etc/timezone").read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # most hosts have none
        return ""
    return text if _NAME.fullmatch(text) else ""


def _likelihood(name: str) -> tuple[bool, bool, str]:
    region, _, place = name.partition("/")
    return name != "Etc/UTC", not place or region not in _REGIONS, name


def reload_rules() -> ReloadedRules:
    """Read the rules of the zones again whose files have changed, and the list of zones with the next error."""
    _listed.cache_clear()
    return ZONE_RULES.reload()


def zone_names() -> tuple[str, ...]:
    """Return the sorted names of all zones in the host's data; empty without data."""
    names = _listed() or _listed.__wrapped__()  # an empty result is not cached, so new data is found
    return tuple(name for name in names if name not in ("localtime", "posixrules"))


@lru_cache(maxsize=1)
def _listed() -> tuple[str, ...]:
    return tuple(sorted(zoneinfo.available_timezones()))


def _unknown(name: str) -> UnknownTimezone:
    names = zone_names()
    if not names:
        return UnknownTimezone("this host has no time zone data", "install the package `tzdata`", of_host=True)
    if below := next((known_name for known_name in names if known_name.startswith(f"{name}/")), None):
        return UnknownTimezone(f"{quote(name)} is a region, not a time zone", f"write a zone of it such as `{below}`")
    if help_ := current_name(without_prefix(name[:_MAX_NAME_CHARS]), names):
        return UnknownTimezone(f"this host has no time zone {quote(name)}", help_, of_host=True)
    return UnknownTimezone(f"unknown time zone {quote(name)}", unknown_zone_help(name[:_MAX_NAME_CHARS], names))
