"""Carry the settings of an environment file over to a settings file, as texts.

1. Each variable that is one of our options becomes a line of the settings file, below the comment with its default.
2. Its lines in the environment file become comments, with a pointer. All other lines stay, and go on working.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobscheduler.config.options import OPTIONS, PREFIX, Option, has_password
from jobscheduler.config.settings import CONFIG_VARIABLE
from jobscheduler.config.settings_file import SettingsError, parse_settings
from jobscheduler.util.environment_file import Assignment, assignments, parse_environment_file

_BY_VARIABLE = {option.variable: option for option in OPTIONS}
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """Both files as they are to be. `keys` have moved; `left` are the variables that stay, each with its reason."""

    environment: str
    settings: str
    keys: tuple[str, ...]
    left: tuple[tuple[str, str], ...]


def carry_over(environment: str, settings: str, name: str) -> CarriedOver:
    """Move what can be moved from the text of an environment file into that of a settings file called `name`."""
    found = {variable: value for variable, value in parse_environment_file(environment).items() if value}
    ours = {variable: value for variable, value in found.items() if variable.startswith(PREFIX)}
    if CONFIG_VARIABLE in ours:
        return CarriedOver(environment, settings, (), ((CONFIG_VARIABLE, "it names another settings file"),))
    reasons = {variable: _reason(variable, value) for variable, value in ours.items()}
    moved = {_BY_VARIABLE[variable]: ours[variable] for variable, reason in reasons.items() if reason is None}
    for option, value in moved.items():
        settings = _with_line(settings, option, f"{option.key} = {_toml(value)}")
    variables = {option.variable for option in moved}
    lines = [one for one in assignments(environment) if one.name in variables]
    left = tuple((variable, reason) for variable, reason in reasons.items() if reason is not None)
    return CarriedOver(_commented(environment, lines, name), settings, tuple(option.key for option in moved), left)


def _reason(variable: str, value: str) -> str | None:
    """Return why a variable cannot be carried over, if so."""
    option = _BY_VARIABLE.get(variable)
    if option is None:
        return "there is no such setting"
    if option.is_secret and has_password(value):
        return f"it holds a password: put it into a file of mode 600, and name that with `{option.key}-file`"
    try:
        parse_settings(f"{option.key} = {_toml(value)}".encode(), Path())
    except SettingsError as error:
        return error.problems[0].message
    except UnicodeEncodeError:
        return "its value is not UTF-8"
    return None


def _toml(value: str) -> str:
    """Return a value as TOML: a number, or a basic string, which differs from JSON's in one character."""
    return value if _NUMBER.fullmatch(value) else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _with_line(settings: str, option: Option, line: str) -> str:
    """Insert a line below the comment with the option's default, or below the comment at the head of the file."""
    lines = settings.split("\n")
    heads = [number for number, text in enumerate(lines) if text.startswith(f"#{option.key} =")]
    ends = [number for number, text in enumerate(lines) if not text.startswith("#")]
    at = heads[0] + 1 if heads else ends[0]
    return "\n".join([*lines[:at], line, *lines[at:]])


def _commented(environment: str, moved: Sequence[Assignment], name: str) -> str:
    """Turn the lines of assignments into comments, each below a pointer to the settings file."""
    first = {one.line for one in moved}
    every = {line for one in moved for line in range(one.line, one.last_line + 1)}
    lines = []
    for number, text in enumerate(environment.split("\n"), 1):
        lines += [f"# Carried over to {name}:"] if number in first else []
        lines.append(f"#{text}" if number in every else text)
    return "\n".join(lines)
