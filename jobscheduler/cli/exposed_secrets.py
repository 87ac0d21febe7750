"""Find secrets in job files that all users of the host may read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jobscheduler.model import Problem
from jobscheduler.util import json_text
from jobscheduler.util.trust import quoted

_NAME = re.compile(
    r"pass(word|wd|phrase)?$|pw$|pwd$|secret|token|(api|access)[-_]?key|credential|authorization|cookie", re.I
)
_VALUE = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@|\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}", re.I)


def exposed_secrets(raw: bytes, file: str) -> Iterator[Problem]:
    """Yield a warning for each text of a definition that looks like a secret by its name or form."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError:
        return
    for path in _secrets(value, ()):
        name = ".".join(map(str, path))
        message = f"`{name}` looks like a secret, and all users of this host may read the file"
        help_ = f"`chmod o-r {quoted(file)}`, and change the secret if others could read it"
        place = json_text.locate(text, path)
        if place is None:
            yield Problem(message, file, help=help_)
        else:
            yield Problem(message, file, place.line, place.column, help=help_)


def _secrets(value: Any, path: json_text.Path) -> Iterator[json_text.Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _secrets(inner, (*path, number))
    elif isinstance(value, str) and value:
        is_named = path and isinstance(path[-1], str) and len(path) > 1 and _NAME.search(path[-1])
        if is_named or _VALUE.search(value):
            yield path
