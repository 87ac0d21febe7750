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


def host_id(configured: str | None, log_folder: Path, machine_id: Path = MACHINE_ID) -> str:
    """Return the configured name of this host, else a hash of what it is known by.

    machine-id(5) asks programs not to show the machine-id itself to others.
    """
    return configured or hashlib.sha256(f"jobscheduler {_known_by(log_folder, machine_id)}".encode()).hexdigest()[:16]


def host_seed(configured: str | None, log_folder: Path, machine_id: Path = MACHINE_ID) -> str:
    """Return the text by which `jitter` differs between hosts and stays the same on one."""
    return configured or _known_by(log_folder, machine_id)


def _known_by(log_folder: Path, machine_id: Path) -> str:
    """Return the machine-id; without one the path of the log's folder.

    A container has no machine-id, and a new name at each start. Its volume with the log stays.
    """
    machine = first_line(machine_id)
    return machine if machine and machine != "uninitialized" else str(log_folder.absolute())


def boot_id(boot: Path = BOOT_ID) -> str:
    """Return the kernel's name of this boot; where that is hidden, the time of the boot by the clock."""
    return first_line(boot) or f"{_SINCE_PREFIX}{round(time.time() - uptime())}"


def is_estimated(boot: str) -> bool:
    """Return whether the name of a boot comes from the clock: setting the clock may then look like another boot."""
    return boot.startswith(_SINCE_PREFIX)


def is_same_boot(boot: str, other: str) -> bool:
    """Return whether two names mean the same boot. Empty names do not."""
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
