"""What JobsManager does with a command before it gives it to `/bin/sh` (pure)."""

from __future__ import annotations

import re

_ENDING = "&> /dev/null"  # which JobsManager takes away, and then discards the output itself
_COMPOUND = re.compile(r"[;&|\n(){}#<>\\'\"`]")


def shell_command(command: str) -> str:
    """Return the text for `/bin/sh` that does what JobsManager does.

    Of a command with several parts the output of all of them is discarded there.
    """
    if not command.endswith(_ENDING):
        return command
    bare = command.removesuffix(_ENDING).strip()
    return f"exec > /dev/null 2>&1; {bare}" if _COMPOUND.search(bare) else f"{bare} > /dev/null 2>&1"
