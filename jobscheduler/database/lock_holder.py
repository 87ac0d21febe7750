"""The service that uses a database: one at a time, known by its host, its process and the time since."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A service that holds the lock of a database.

    `boot` tells one boot of its host, and one space of process ids there, from another; `instance` is this process's
    alone.
    """

    host: str
    pid: int
    boot: str
    instance: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.pid} on host `{self.host}`, since {self.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def is_gone(self, me: LockHolder) -> bool:
        """Tell whether it has ended, as far as that is certain: of another host or another boot it is not."""
        is_here = bool(me.boot) and (self.host, self.boot) == (me.host, me.boot)
        return self.instance == me.instance or (is_here and not Path(f"/proc/{self.pid}").exists())

    def may_be_gone(self, me: LockHolder) -> bool:
        """Tell whether it was there before this host booted, unless another host has the same name."""
        return self.host == me.host and self.boot.partition("/")[0] != me.boot.partition("/")[0]

    def text(self) -> str:
        """Write it for `read_holder`."""
        since = self.since.astimezone(UTC).isoformat()
        told = {"host": self.host, "pid": self.pid, "boot": self.boot, "instance": self.instance, "since": since}
        return json.dumps(told)


def current_holder() -> LockHolder:
    """Return the holder that this process is."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        boot += "/" + str(Path("/proc/self/ns/pid").readlink())
    except (OSError, ValueError):
        boot = ""
    return LockHolder(os.uname().nodename[:255], os.getpid(), boot, secrets.token_hex(8), datetime.now(UTC))


def parse_holder(text: str) -> LockHolder | None:
    """Read what `Holder.text` wrote, None if that is not what it is."""
    try:
        value: Any = json.loads(text)
        since = datetime.fromisoformat(value["since"])
        return LockHolder(str(value["host"]), int(value["pid"]), str(value["boot"]), str(value["instance"]), since)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class DatabaseInUse(Exception):
    """Another service uses the database; `holder` says which, None if that cannot be told."""

    def __init__(self, holder: LockHolder | None) -> None:
        who = str(holder) if holder else "one that does not say which"
        super().__init__(f"another service uses this database: {who}")
        self.holder = holder
        self.help = "stop that service first, or give this one a database of its own: both would run every job"
