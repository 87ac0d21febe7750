"""Recognise a `systemctl` that waits for this very service to stop, as in a job that restarts its own scheduler.

It waits for the service while the service waits for the run, until the drain time is over and the run is stopped.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

DEFAULT_UNIT = "jobscheduler.service"

_PROGRAM = "systemctl"
_PROGRAMS = frozenset({_PROGRAM, "service"})  # `service` calls it
_NO_BLOCK = "--no-block"
_SEPARATORS = re.compile(r"[;&|\n(){}`]+")
_VERBS = frozenset(
    {"restart", "stop", "try-restart", "condrestart", "reload-or-restart", "try-reload-or-restart", "isolate", "kill"}
)
_MAX_BYTES = 4096  # bytes of a command line


def stops_this_service(pid: int, name: str) -> bool:
    """Return whether a process of this name stops the unit of this process. False outside systemd."""
    unit = own_unit() if name == _PROGRAM else None
    if unit is None:
        return False
    try:
        with Path(f"/proc/{pid}/cmdline").open("rb") as file:
            arguments = file.read(_MAX_BYTES).split(b"\0")
    except OSError:
        return False
    return is_stop([argument.decode("utf-8", "replace") for argument in arguments], unit)


def stop_in_command(command: str | Sequence[str], unit: str = DEFAULT_UNIT) -> str | None:
    """Return the part of a command that would wait for a unit to stop, as in a job of that unit; None without one."""
    parts = _SEPARATORS.split(command) if isinstance(command, str) else [" ".join(command)]
    return next((part.strip() for part in parts if _waits_for_stop(part.split(), unit)), None)


def _waits_for_stop(words: list[str], unit: str) -> bool:
    programs = {word.rpartition("/")[2] for word in words}
    returns_at_once = _NO_BLOCK in words or "kill" in words
    return bool(programs & _PROGRAMS) and not returns_at_once and is_stop(words, unit)


def is_stop(words: list[str], unit: str) -> bool:
    """Return whether a command line of `systemctl` stops a unit."""
    return not _VERBS.isdisjoint(words) and not {unit, unit.removesuffix(".service")}.isdisjoint(words)


@functools.cache
def own_unit() -> str | None:
    """Return the unit of this process, by its control group; None if it has none."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((unit for line in lines if (unit := _unit_in(line))), None)


def _unit_in(line: str) -> str | None:
    """Return the unit in a line of /proc/PID/cgroup. The service may be in a subgroup of its unit."""
    parts = line.rpartition(":")[2].split("/")
    return next((part for part in reversed(parts) if part.endswith(".service")), None)
