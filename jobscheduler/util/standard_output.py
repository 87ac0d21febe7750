"""Standard output as the log: how settings name it, and whether this process has one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STANDARD_OUTPUT = Path("-")  # as `--log-file`: there is no file, and lines go to standard output alone
DESCRIPTOR = 1


def is_standard_output(log: Path) -> bool:
    """Return whether the log is standard output alone."""
    return log == STANDARD_OUTPUT


def log_name(log: Path) -> str:
    """Return the name of a log as people read it, with the whole path of a file."""
    return "standard output" if is_standard_output(log) else str(log.absolute())


def is_open() -> bool:
    """Return whether this process was started with a standard output.

    Without one its descriptor may belong to any file that was opened since.
    """
    try:
        os.fstat(DESCRIPTOR)
    except OSError:
        return False
    return sys.__stdout__ is not None
