"""Read the settings file: TOML, with the options of the service as keys, and fields for all jobs in `[defaults]`.

The file decides what the service does, so it is judged as job files are: each directory on the way, and the file.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobscheduler.config.options import OPTIONS, Option
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.text import did_you_mean, quote

if TYPE_CHECKING:
    from jobscheduler.util import toml_text
    from jobscheduler.util.text_location import Location

DEFAULTS = "defaults"  # the table with fields for all jobs

_BY_KEY = {option.key: option for option in OPTIONS}


class SettingsError(ProblemError):
    """Settings cannot be used. The problems say why, all of them at once.

    `usable` is what is right in the settings file: enough for a verb to find the service.
    """

    def __init__(self, problems: tuple[Problem, ...], usable: SettingsFile | None = None) -> None:
        super().__init__(problems[0])
        self._problems = problems
        self.usable = usable

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems of the settings."""
        return self._problems


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file says: its options as text, and `[defaults]` as it stands there.

    `path` is None without a file. `is_exposed` is set if any user of the host may read it.
    """

    path: Path | None = None
    options: tuple[tuple[Option, str], ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    is_exposed: bool = False

    def origin(self, option: Option) -> str:
        """Return where an option stands, as `FILE:LINE`."""
        location = self.locate((option.key,))
        return f"{self.path}:{location.line}" if location else str(self.path)

    def locate(self, path: tuple[str | int, ...]) -> Location | None:
        """Return the location of a key; of a value in a list, that of the key of the list."""
        from jobscheduler.util import toml_text  # noqa: PLC0415 - most verbs read no settings file

        keys = tuple(itertools.takewhile(lambda part: isinstance(part, str), path))
        return toml_text.locate(self.text, keys)  # type: ignore[arg-type]

    def problem(self, path: toml_text.Path, message: str, help_: str | None = None, **more: Any) -> Problem:
        """Return a problem at a key, or at the nearest table above it that the file has."""
        from jobscheduler.util.text_location import located  # noqa: PLC0415 - most verbs read no settings file

        location = self.locate(path)
        while location is None and path:
            path = path[:-1]
            location = self.locate(path)
        return located(Problem(message, file=str(self.path), help=help_, **more), location)


NO_FILE = SettingsFile()


def read_settings_file(path: Path) -> SettingsFile:
    """Read, judge and parse a settings file.

    Raises:
        FileNotFoundError: there is none.
        PermissionError: this user may not read it.
        SettingsError: it cannot be read or trusted, or something in it is wrong.

    """
    try:
        raw, is_exposed = _read(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except PermissionError:
        raise
    except OSError as error:
        raise SettingsError((Problem(f"it cannot be read: {error.strerror}", file=str(path)),)) from None
    return replace(parse_settings(raw, path), is_exposed=is_exposed)


def parse_settings(raw: bytes, path: Path) -> SettingsFile:
    """Parse the text of a settings file. `[defaults]` is not judged here: that takes the schema of job files.

    Raises:
        SettingsError: something in it is wrong.

    """
    from jobscheduler.util import toml_text  # noqa: PLC0415 - most verbs read no settings file
    from jobscheduler.util.text_location import located  # noqa: PLC0415 - most verbs read no settings file

    try:
        value, text = toml_text.decode(raw)
    except toml_text.TomlError as error:
        problem = Problem(str(error), file=str(path), help='the file is TOML: `key = "value"` lines')
        raise SettingsError((located(problem, error.location),), _usable_before(raw, error.location, path)) from None
    file = SettingsFile(path, text=text)
    found = {key: _problem(file, key, given) for key, given in value.items()}
    problems = {key: problem for key, problem in found.items() if problem is not None}
    right = {key: given for key, given in value.items() if key not in problems}
    defaults = right.pop(DEFAULTS, {})
    file = replace(
        file, options=tuple((_BY_KEY[key], _as_text(given)) for key, given in right.items()), defaults=defaults
    )
    if problems:
        raise SettingsError(tuple(problems.values()), usable=file)
    return file


def _usable_before(raw: bytes, location: Location | None, path: Path) -> SettingsFile | None:
    """Return what is right in the lines before a mistake that ends the reading of the file."""
    lines = raw.split(b"\n")[: location.line - 1] if location is not None else []
    if not lines:
        return None
    try:
        return parse_settings(b"\n".join(lines), path)
    except SettingsError as error:
        return error.usable


def _problem(file: SettingsFile, key: str, given: Any) -> Problem | None:
    """Return what is wrong with a key of the file, or with its value."""
    if key == DEFAULTS:
        help_ = "write `[defaults]`, and the fields below it"
        return None if isinstance(given, dict) else file.problem((key,), "`defaults` must be a table", help_)
    option = _BY_KEY.get(key)
    if option is None:
        return _unknown(file, key, given)
    try:
        option.parse(_as_text(given))
    except ValueError as error:
        is_plain = isinstance(given, str | int | float) and not isinstance(given, bool)
        shown = f" {quote(str(given))}:" if is_plain and not option.is_secret else ""
        return file.problem((key,), f"`{key}`:{shown} {error}")
    return None


def _unknown(file: SettingsFile, key: str, given: Any) -> Problem:
    kind = "table" if isinstance(given, dict) else "setting"
    known = [DEFAULTS] if isinstance(given, dict) else [*_BY_KEY]
    help_ = did_you_mean(key, known) or "`jobscheduler config` lists the settings"
    return file.problem((key,), f"unknown {kind} {quote(key)}", help_)


def _as_text(value: Any) -> str:
    """Return a value as a user would write it on the command line."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("text or a number is expected")
    return str(value)


def _read(path: Path) -> tuple[bytes, bool]:
    """Return the content of the file, and whether all users may read it. What was judged is what is read."""
    path.stat()  # a file that is missing costs no further import
    from jobscheduler.util.path_walk import PathWalk, absolute_path, is_public  # noqa: PLC0415 - most verbs read no settings file
    from jobscheduler.util.toml_text import MAX_BYTES  # noqa: PLC0415 - most verbs read no settings file
    from jobscheduler.util.trust import TrustJudge  # noqa: PLC0415 - most verbs read no settings file

    judge = TrustJudge()
    with PathWalk(judge) as walk:
        end = walk.walk(absolute_path(path))
        if not stat.S_ISREG(end.stat.st_mode):
            raise SettingsError((Problem("it is not a regular file", file=str(path)),))
        descriptor = os.open(f"/proc/self/fd/{end.descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            untrusted = walk.problem or judge.check(descriptor, end.stat, end.path)
            if untrusted is not None:
                problem = Problem(
                    f"it cannot be trusted: {untrusted.message}",
                    file=str(path),
                    help=untrusted.help,
                    host_dependent=True,
                )
                raise SettingsError((problem,))
            return opened.read(MAX_BYTES + 1), is_public(walk.steps)
