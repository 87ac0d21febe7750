"""Why the jobs directory or a name in it cannot be used, in words for its user."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path

from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.util import trust


def directory_unavailable(path: Path, error: OSError, uid: int) -> SourceUnavailable:
    """Return why the directory cannot be read by the user `uid`, which runs the jobs."""
    match error.errno:
        case errno.ENOENT:
            return SourceUnavailable(
                f"the jobs directory `{path}` does not exist", f"make it: `mkdir -p {shlex.quote(str(path))}`"
            )
        case errno.ENOTDIR:
            return SourceUnavailable(f"`{path}` is not a directory", "name the directory that holds the job files")
        case errno.EACCES | errno.EPERM:
            help_ = trust.unreadable(str(path), uid).help
            return SourceUnavailable(f"the jobs directory `{path}` may not be read by uid {os.geteuid()}", help_)
        case _:
            reason = os.strerror(error.errno or 0).lower()
            return SourceUnavailable(f"the jobs directory `{path}` cannot be read: {reason}")


def describe_file_type(mode: int) -> str:
    """Return what a file that is not a regular one is called."""
    for is_type, name in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if is_type(mode):
            return name
    return "something else"
