"""Names of this host and of its present boot."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_SINCE_PREFIX = "since:"
_TOLERANCE_S = 60  # by which the clock may be set within one boot


def host_id(configured: str | None, machine_id: Path = MACHINE_ID) -> str:
    """Return the configured name of this host, else a hash of its machine-id; empty if it has none.

    machine-id(5) asks programs not to show the machine-id itself to others.
    """
    if configured:
        return configured
    machine = first_line(machine_id)
    usable = machine and machine != "uninitialized"
    return hashlib.sha256(f"jobscheduler {machine}".encode()).hexdigest()[:16] if usable else ""


def boot_id(boot: Path = BOOT_ID) -> str:
    """Return the kernel's name of this boot; where that is hidden, the time of the boot by the clock."""
    return first_line(boot) or f"{_SINCE_PREFIX}{round(time.time() - uptime())}"


def is_estimated(boot: str) -> bool:
    """Tell whether the name of a boot comes from the clock: setting the clock may then look like another boot."""
    return boot.startswith(_SINCE_PREFIX)


def is_same_boot(boot: str, other: str) -> bool:
    """Tell whether two names mean the same boot. Empty names do not."""
    if is_estimated(boot) and is_estimated(other):
        with suppress(ValueError):
            return abs(int(boot.removeprefix(_SINCE_PREFIX)) - int(other.removeprefix(_SINCE_PREFIX))) <= _TOLERANCE_S
    return bool(boot) and boot == other


def uptime() -> float:
    """Return for how many seconds the host has been up, sleep included. This clock is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def first_line(path: Path) -> str:
    """Return the text of a small file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
