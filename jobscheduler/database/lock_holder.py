"""The service that holds a database's lock, identified by its host, process and start."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobscheduler.util.instants import format_instant_s, utc_now


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A service that holds the lock of a database.

    `boot` identifies one boot of its host and one namespace of process ids there; `instance` identifies this process.
    """

    host: str
    pid: int
    boot: str
    instance: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.pid} on host `{self.host}`, since {format_instant_s(self.since)}"

    def is_gone(self, this_service: LockHolder) -> bool:
        """Return whether it has certainly ended; False if it is of another host or another boot."""
        is_here = bool(this_service.boot) and (self.host, self.boot) == (this_service.host, this_service.boot)
        return self.instance == this_service.instance or (is_here and not Path(f"/proc/{self.pid}").exists())

    def may_be_gone(self, this_service: LockHolder) -> bool:
        """Return whether it ran before this host booted, unless another host has the same name."""
        return self.host == this_service.host and self.boot.partition("/")[0] != this_service.boot.partition("/")[0]

    def text(self) -> str:
        """Format it for `parse_holder`."""
        since = self.since.astimezone(UTC).isoformat()
        fields = {"host": self.host, "pid": self.pid, "boot": self.boot, "instance": self.instance, "since": since}
        return json.dumps(fields)


def current_holder() -> LockHolder:
    """Return the holder for this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        boot += "/" + str(Path("/proc/self/ns/pid").readlink())
    except (OSError, ValueError):
        boot = ""
    return LockHolder(os.uname().nodename[:255], os.getpid(), boot, secrets.token_hex(8), utc_now())


def parse_holder(text: str) -> LockHolder | None:
    """Parse the text of `LockHolder.text`, None if it is anything else."""
    try:
        value: Any = json.loads(text)
        since = datetime.fromisoformat(value["since"])
        return LockHolder(str(value["host"]), int(value["pid"]), str(value["boot"]), str(value["instance"]), since)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class DatabaseInUse(Exception):
    """Another service uses the database; `holder` is that service, None if unknown."""

    def __init__(self, holder: LockHolder | None) -> None:
        holder_text = str(holder) if holder else "one that does not say which"
        super().__init__(f"another service uses this database: {holder_text}")
        self.holder = holder
        self.help = "stop that service first, or give this one a database of its own: both would run every job"
