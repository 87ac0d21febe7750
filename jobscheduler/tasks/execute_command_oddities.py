"""What a shell takes without a word and does not do as it was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobscheduler.tasks.base import Complaint

_SHELLS = {"sh", "dash", "ash"}
_TOKEN = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|(?<!\S)\#[^\n]*|(?<![&>])(?P<both>&>>?)|.""", re.DOTALL)


def oddities(fields: Mapping[str, Any]) -> Iterator[Complaint]:
    """Yield what is odd about fields that passed `complaints`."""
    command, shell = fields["command"], str(fields.get("shell", "/bin/sh"))
    if not isinstance(command, str) or shell.rpartition("/")[2] not in _SHELLS:
        return
    found = next((match["both"] for match in _TOKEN.finditer(command) if match["both"]), None)
    if found is not None:
        yield Complaint(
            ("command",),
            f"`{found}` is bash's: `{shell}` takes it for `&` and `{found[1:]}`, so the command goes on in the "
            "background and its result is lost",
            f'write `{found[1:]} FILE 2>&1`, or add `"shell": "/bin/bash"`',
        )
