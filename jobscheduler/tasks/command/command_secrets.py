"""Find the secrets in a command line: values of options and variables whose names say so, and those in addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jobscheduler.util.redact import SECRET_NAME, USER_AND_PASSWORD

_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s\"';|&<>()]+)"
_NAMED = re.compile(rf"(?<![\w.-])(?:--?)?([A-Za-z_][\w.-]{{0,60}})={_VALUE}")  # `--password=x`, `PGPASSWORD=x psql`
_OPTION = re.compile(rf"(?<![\w.-])--([A-Za-z][\w.-]{{0,60}})\s+{_VALUE}")  # `--password x`
_IN_ADDRESS = re.compile(r"://[^\s/@:]{0,200}:([^\s/@]{1,200})@")
_IN_HEADER = re.compile(r"\b(?:Bearer|Basic) +([A-Za-z0-9._~+/=-]{8,})")
_NOT_ONE = ("$", "`", "-")  # begins what the shell fills in, and a further option


def command_secrets(command: str | Sequence[str]) -> Iterator[str]:
    """Yield what in a command must not be shown. What comes from a variable or a file is not in it."""
    if isinstance(command, str):
        yield from _in_text(command)
        return
    yield from _of_users(" ".join(command))
    for word, following in zip(command, [*command[1:], ""], strict=True):
        yield from _in_text(word)
        name = word.removeprefix("--")
        if name != word and SECRET_NAME.search(name) and "=" not in name and not following.startswith(_NOT_ONE):
            yield following


def _in_text(text: str) -> Iterator[str]:
    for pattern in (_NAMED, _OPTION):
        for name, value in pattern.findall(text):
            secret = value.strip("\"'")
            if SECRET_NAME.search(name) and not secret.startswith(_NOT_ONE):
                yield secret
    yield from _of_users(text)
    yield from _IN_ADDRESS.findall(text)
    yield from _IN_HEADER.findall(text)


def _of_users(text: str) -> Iterator[str]:
    return (match[2] for match in USER_AND_PASSWORD.finditer(text) if not match[2].startswith(_NOT_ONE))
