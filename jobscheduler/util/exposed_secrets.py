"""Find secrets in files that all users of the host may read, by their names and forms.

The same function looks at job files, at the settings file and at the environment file of the unit. No help that it
gives opens a file, and no message shows a value.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jobscheduler.model import Problem
from jobscheduler.util import json_text, text_location
from jobscheduler.util.environment_file import ENVIRONMENT_FILE, assignments
from jobscheduler.util.json_walk import iter_texts
from jobscheduler.util.path_walk import PathWalk, absolute_path, is_public
from jobscheduler.util.redact import SECRET_NAME
from jobscheduler.util.trust import TrustJudge, quoted

_URL = "JOBSCHEDULER_DATABASE_URL"
_MAX_BYTES = 1024 * 1024  # of an environment file

_VALUE = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@|\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}", re.I)

# What any name or value of a secret has in it, in small letters; files without need not be decoded. An escape may hide
# it. Without regard to case, the search would take six times as long.
_TRACE = re.compile(rb"pass|pw|secret|token|key|credential|authorization|cookie|://|bearer|basic|\\u")


def looks_secret(name: str, value: str) -> bool:
    """Return whether a text looks like a secret, by its name or its form."""
    return bool(value and (SECRET_NAME.search(name) or _VALUE.search(value)))


def exposed_in_definition(raw: bytes, file: str) -> tuple[Problem, ...]:
    """Return a problem for each secret in a job file."""
    if not _TRACE.search(raw.lower()):
        return ()
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError:  # the parser refuses the file
        return ()
    return tuple(exposed_in(value, file, lambda path: json_text.locate(text, path)))


def exposed_in_task_file(file: Path) -> tuple[Problem, ...]:
    """Return a problem for each secret in a file with a task, such as an alert."""
    return exposed_in_definition(_public_text(file).encode(), str(file))


def exposed_in(
    value: Any, file: str, locate: Callable[[json_text.Path], text_location.Location | None]
) -> Iterator[Problem]:
    """Yield a problem for each secret in a decoded file. `locate` returns where a value stands.

    The problems have no excerpt: that would show the secret.
    """
    for path in _secrets(value):
        location = locate(path)
        line, column = (None, None) if location is None else (location.line, location.column)
        yield Problem(_message(".".join(map(str, path))), file, line, column, help=_help(file))


def exposed_in_environment_file(file: Path = ENVIRONMENT_FILE) -> tuple[Problem, ...]:
    """Return a problem for each secret in the environment file of the unit."""
    text = _public_text(file)
    return tuple(
        Problem(
            _message(one.name),
            str(file),
            one.line,
            1,
            help=help_of_url(f"{one.name}_FILE") if one.name == _URL else _help(str(file)),
        )
        for one in assignments(text)
        if looks_secret(one.name, one.value)
    )


def _message(name: str) -> str:
    return f"`{name}` looks like a secret, and all users of this host may read the file"


def _help(file: str) -> str:
    return f"`chmod o-r {quoted(file)}`, and change the secret if others could read it"


def help_of_url(setting: str) -> str:
    """Return the help for the URL of the database, for which there is a setting that names a file."""
    return f"put the URL into a file of mode 600, name it with `{setting}`, and change the password"


def _public_text(file: Path) -> str:
    """Return the text of a file, empty if it cannot be read or other users cannot read it."""
    try:
        with PathWalk(TrustJudge()) as walk:
            end = walk.walk(absolute_path(file))
            if not stat.S_ISREG(end.stat.st_mode) or not is_public(walk.steps):
                return ""
            descriptor = os.open(f"/proc/self/fd/{end.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(descriptor, encoding="utf-8", errors="replace") as opened:
                return opened.read(_MAX_BYTES)
    except OSError:  # what cannot be read exposes nothing to this user; the task says why it fails
        return ""


def _secrets(value: Any) -> Iterator[json_text.Path]:
    for path, text in iter_texts(value):
        name = path[-1] if len(path) > 1 and isinstance(path[-1], str) else ""  # no field of a job or setting is one
        if looks_secret(name, text) or ("://" in text and _is_receiver(value, path)):
            yield path


def _is_receiver(value: Any, path: json_text.Path) -> bool:
    """Return whether a text is an address of a notification: who knows one can write to it."""
    above = path[:-2] if path and isinstance(path[-1], int) else path[:-1]
    if len(path) <= len(above) or path[len(above)] != "to":
        return False
    for part in above:
        value = value[part]
    return isinstance(value, dict) and value.get("type") == "notify"
