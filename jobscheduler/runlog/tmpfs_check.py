"""Check that the log is not on a file system in memory (tmpfs, ramfs), which a boot of the host empties."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from jobscheduler.model import Problem

_IN_MEMORY_TYPES = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}  # f_type of statfs(2), as in linux/magic.h
_STATFS_BYTES = 256  # more than struct statfs has on any machine; its first field is the type


def check_log_on_tmpfs(log: Path) -> Problem | None:
    """Return a problem if the log would be lost with the next boot; None if not, or if that is unknown.

    A log file that does not exist yet is judged by its directory. The call may hang where the file system does.
    """
    kind = _in_memory(log) or (None if log.exists() else _in_memory(log.parent))
    if kind is None:
        return None
    return Problem(
        f"the log is on a file system in memory ({kind}), which does not survive a boot of the host",
        file=str(log),
        help="after a boot nothing is known of the time before: slots may run twice or be lost; put it on a disk",
    )


def _in_memory(path: Path) -> str | None:
    """Return the name of a path's file system if it keeps its files in memory."""
    statfs = ctypes.create_string_buffer(_STATFS_BYTES)
    if _library().statfs(os.fsencode(path), statfs):
        return None
    return _IN_MEMORY_TYPES.get(ctypes.c_ulong.from_buffer(statfs).value & 0xFFFFFFFF)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
