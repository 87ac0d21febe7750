"""What a shell takes without a word and does not do as it was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobscheduler.tasks.base import FieldError

_SHELLS = {"sh", "dash", "ash"}
_QUOTED = r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|(?<!\S)\#[^\n]*"""
_OPERATORS = r"""(?<![&>])&>>?|(?<![>|])\|&(?!&)|(?<!>)>&(?![ \t]*+(?:-|["']?[$`]|\d++(?![\w./-])))"""
_TOKEN = re.compile(rf"{_QUOTED}|\|\||(?P<bash>{_OPERATORS})|.", re.DOTALL)


def shell_warnings(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield what is odd about fields that passed `check_fields`."""
    command, shell = fields["command"], str(fields.get("shell", "/bin/sh"))
    found = bash_only(command, shell) if isinstance(command, str) else None
    if found is not None:
        message, instead = found
        yield FieldError(("command",), message, f'{instead}, or add `"shell": "/bin/bash"`')


def bash_only(command: str, shell: str = "/bin/sh") -> tuple[str, str] | None:
    """Name the first operator in a command that bash has and `shell` has not, and what to write instead; else None."""
    if shell.rpartition("/")[2] not in _SHELLS:
        return None
    found = next((match["bash"] for match in _TOKEN.finditer(command) if match["bash"]), None)
    if found is None:
        return None
    if found == "|&":
        return f"`|&` is bash's: `{shell}` cannot read it, so the command fails", "write `2>&1 |`"
    if found == ">&":
        reads = f"`>&` with a file is bash's: `{shell}` wants the number of a descriptor there, so the command fails"
        return reads, "write `> FILE 2>&1`"
    rest = "so the command goes on in the background and its result is lost"
    reads = f"`{found}` is bash's: `{shell}` takes it for `&` and `{found[1:]}`, {rest}"
    return reads, f"write `{found[1:]} FILE 2>&1`"
