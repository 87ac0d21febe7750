"""The control groups of this host, version 2: which one this process is in, and whether it may be divided."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

GROUPS = Path("/sys/fs/cgroup")  # where systemd mounts version 2

LIMIT_CONTROLLERS: Mapping[str, str] = MappingProxyType({"memory": "memory", "cpu": "cpu", "processes": "pids"})
"""The controller of each limit that a job can have."""

_DELEGATED = ("user.delegate", "trusted.delegate")  # systemd marks a delegated group with one of them, or both


def own_group(groups: Path = GROUPS) -> Path | None:
    """Return the group of this process; None for the root of a hierarchy, or without version 2.

    Raises:
        OSError: /proc cannot be read.

    """
    lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    path = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    return groups / path if path else None


def is_delegated(group: Path) -> bool:
    """Return whether systemd has left a group to its unit, which may then make further groups below it."""
    for name in _DELEGATED:
        with suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def controllers(group: Path = GROUPS) -> frozenset[str]:
    """Return the controllers that a group has; none if it does not exist or is not of version 2."""
    try:
        return frozenset((group / "cgroup.controllers").read_text("ascii").split())
    except (OSError, ValueError):
        return frozenset()
