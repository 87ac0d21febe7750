"""Tell which process has a lock: the refusal of a lock that another has, and what the kernel knows of its holder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class LockHeld(Exception):
    """Another process has the lock. `pid` is 0 if unknown."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid}" if pid else "another process")
        self.pid = pid


def lock_holder(file: Path) -> int | None:
    """Return the pid of the process that has locked a lock file; None if none has."""
    try:
        file_stat = file.lstat()
    except OSError:
        return None
    return next(iter(lock_holders(file_stat)), None)


def lock_holders(file_stat: os.stat_result) -> list[int]:
    """Return the processes that have locked the file with this stat result, as far as this process may see them."""
    device = f"{os.major(file_stat.st_dev):02x}:{os.minor(file_stat.st_dev):02x}"
    holders: dict[bool, list[int]] = {True: [], False: []}
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            columns = line.split()
            if (
                {"FLOCK", "POSIX"} & {*columns}
                and "->" not in columns
                and columns[5].rpartition(":")[2] == str(file_stat.st_ino)
            ):
                holders[columns[5].startswith(f"{device}:")].append(int(columns[4]))
    return holders[True] or holders[False]  # btrfs shows another device there


def is_trusted(pid: int) -> bool:
    """Return whether a process exists and each of its user ids is root's or this user's.

    The process that took a lock may have ended, and another process may hold its open file. That is not a service.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return False
    uids = next((line for line in status.splitlines() if line.startswith("Uid:")), "Uid: -1")
    return {int(uid) for uid in uids.split()[1:]} <= {0, os.geteuid()}
