"""What tells this host from another, and this boot of it from another."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_SINCE_PREFIX = "since:"
_TOLERANCE_S = 60  # seconds by which the clock may be set between two looks in one boot


def host_id(given: str | None, machine_id: Path = MACHINE_ID) -> str:
    """Return what names this host: what was given, else a hash of its machine-id; empty if it has none.

    systemd asks programs not to tell the machine-id itself to others.
    """
    if given:
        return given
    machine = first_line(machine_id)
    usable = machine and machine != "uninitialized"
    return hashlib.sha256(f"jobscheduler {machine}".encode()).hexdigest()[:16] if usable else ""


def boot_id(boot: Path = BOOT_ID) -> str:
    """Return what names this boot; where the kernel's own name is hidden, when it was, as far as the clock tells."""
    return first_line(boot) or f"{_SINCE_PREFIX}{round(time.time() - uptime())}"


def is_estimated(boot: str) -> bool:
    """Tell whether the name of a boot was made of the clock, so that setting that may make another boot of it."""
    return boot.startswith(_SINCE_PREFIX)


def is_same_boot(one: str, other: str) -> bool:
    """Tell whether two names are of one boot. What has no name is not known to be the same."""
    if is_estimated(one) and is_estimated(other):
        with suppress(ValueError):
            return abs(int(one.removeprefix(_SINCE_PREFIX)) - int(other.removeprefix(_SINCE_PREFIX))) <= _TOLERANCE_S
    return bool(one) and one == other


def uptime() -> float:
    """Return for how many seconds the host has been up, sleep included: a clock that is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def first_line(path: Path) -> str:
    """Return what a small file says; nothing if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
