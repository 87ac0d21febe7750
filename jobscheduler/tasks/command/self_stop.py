"""Whether a process is a `systemctl` that waits for this very service to stop: a job that restarts its own scheduler.

It waits for the service, which waits for the run, until the time to drain is over and the run is stopped.
"""

from __future__ import annotations

import functools
from pathlib import Path

_PROGRAM = "systemctl"
_VERBS = frozenset(
    {"restart", "stop", "try-restart", "condrestart", "reload-or-restart", "try-reload-or-restart", "isolate", "kill"}
)
_MAX_BYTES = 4096  # bytes of a command line


def stops_this_service(pid: int, name: str) -> bool:
    """Tell whether a process of this name stops the unit that this process belongs to; False outside systemd."""
    unit = own_unit() if name == _PROGRAM else None
    if unit is None:
        return False
    try:
        with Path(f"/proc/{pid}/cmdline").open("rb") as file:
            words = file.read(_MAX_BYTES).split(b"\0")
    except OSError:
        return False
    return is_stop([word.decode("utf-8", "replace") for word in words], unit)


def is_stop(words: list[str], unit: str) -> bool:
    """Tell whether the words of a command line of `systemctl` stop a unit."""
    return not _VERBS.isdisjoint(words) and not {unit, unit.removesuffix(".service")}.isdisjoint(words)


@functools.cache
def own_unit() -> str | None:
    """The unit that this process belongs to, by its control group; None if there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((unit for line in lines if (unit := _unit_in(line))), None)


def _unit_in(line: str) -> str | None:
    """The unit in a line of /proc/PID/cgroup; the service may have groups of its own below that of its unit."""
    parts = line.rpartition(":")[2].split("/")
    return next((part for part in reversed(parts) if part.endswith(".service")), None)
