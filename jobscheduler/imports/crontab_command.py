"""Part a line's command from its standard input at the first `%`, as `do_command` of Debian's cron does."""

from __future__ import annotations

import re
from typing import NamedTuple

_ESCAPE_OR_PERCENT = re.compile(r"\\(.)|%", re.DOTALL)
_IN_INPUT = re.compile(r"\\(?P<escaped>%)|%")


class Command(NamedTuple):
    """A command as the shell gets it, and what it can read; None for nothing."""

    text: str
    stdin: str | None


def parse_command(text: str) -> Command:
    r"""Part a command from its input.

    1. In the command `\%` is a percent sign and `\\` one backslash; another backslash stays.
    2. The first `%` that is not escaped ends the command.
    3. In the input `\%` is a percent sign, and each other `%` ends a line. The last line gets its end, too.
    """
    end = next((match.start() for match in _ESCAPE_OR_PERCENT.finditer(text) if match[0] == "%"), None)
    command = _ESCAPE_OR_PERCENT.sub(_unescaped, text if end is None else text[:end])
    return Command(command, None if end is None else _input(text[end + 1 :]))


def _unescaped(match: re.Match[str]) -> str:
    return match[1] if match[1] in ("%", "\\") else match[0]


def _input(text: str) -> str | None:
    if not text:
        return None
    lines = _IN_INPUT.sub(lambda match: "%" if match["escaped"] else "\n", text)
    return lines if lines.endswith("\n") else f"{lines}\n"
