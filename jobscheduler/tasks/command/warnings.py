"""Warn about commands that are legal and odd: operators of bash in another shell, a restart of the own scheduler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobscheduler.tasks.base import FieldError
from jobscheduler.tasks.command.self_stop import stop_in_command
from jobscheduler.util.text import quote

_SHELLS = {"sh", "dash", "ash"}
_QUOTED = r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|(?<!\S)\#[^\n]*"""
_OPERATORS = r"""(?<![&>])&>>?|(?<![>|])\|&(?!&)|(?<!>)>&(?![ \t]*+(?:-|["']?[$`]|\d++(?![\w./-])))"""
_TOKEN = re.compile(rf"{_QUOTED}|\|\||(?P<bash>{_OPERATORS})|.", re.DOTALL)


def command_warnings(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield warnings about fields that passed `check_fields`."""
    command, shell = fields["command"], str(fields.get("shell", "/bin/sh"))
    warning = bash_only(command, shell) if isinstance(command, str) else None
    if warning is not None:
        message, instead = warning
        yield FieldError(("command",), message, f'{instead}, or add `"shell": "/bin/bash"`')
    stop = stop_in_command(command)
    if stop is not None:
        message = f"{quote(stop)} waits for the scheduler, which waits for this run until its drain time is over"
        yield FieldError(("command",), message, "add `--no-block`, as the last command of the job")


def bash_only(command: str, shell: str = "/bin/sh") -> tuple[str, str] | None:
    """Return a message about the first operator that only bash has, and a suggestion. Else return None."""
    if shell.rpartition("/")[2] not in _SHELLS:
        return None
    operator = next((match["bash"] for match in _TOKEN.finditer(command) if match["bash"]), None)
    if operator is None:
        return None
    if operator == "|&":
        return f"`|&` is bash's: `{shell}` cannot read it, so the command fails", "write `2>&1 |`"
    if operator == ">&":
        message = f"`>&` with a file is bash's: `{shell}` wants the number of a descriptor there, so the command fails"
        return message, "write `> FILE 2>&1`"
    effect = "so the command goes on in the background and its result is lost"
    message = f"`{operator}` is bash's: `{shell}` takes it for `&` and `{operator[1:]}`, {effect}"
    return message, f"write `{operator[1:]} FILE 2>&1`"
