"""The names of the files of a log: the newest under its own name, the rotated ones beside it.

The name may be a symbolic link, for instance to a larger disk. The link stays, and rotated files stand beside its
target: beside the link they would fill the disk that the link avoids.
"""

from __future__ import annotations

import os
from pathlib import Path

from jobscheduler.util.standard_output import is_standard_output


def real_file(path: Path) -> Path:
    """Return the file that a log's name stands for, with all links followed."""
    return Path(os.path.realpath(path))


def rotated_file(path: Path, number: int) -> Path:
    """Return the rotated file of this number; 1 is the newest."""
    real = real_file(path) if path.is_symlink() else path
    return real.with_name(f"{real.name}.{number}")


def log_files(path: Path, backups: int) -> list[Path]:
    """Return the files that a log may have, the newest first: none if it is standard output.

    `backups` is how many rotated ones there may be.
    """
    if is_standard_output(path):
        return []
    real = real_file(path) if path.is_symlink() else path
    return [path, *(real.with_name(f"{real.name}.{number}") for number in range(1, backups + 1))]


def is_dangling(path: Path) -> bool:
    """Return whether the name is a link whose target does not exist."""
    return path.is_symlink() and not path.exists()
