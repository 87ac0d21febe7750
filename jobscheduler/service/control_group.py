"""Put the service into a leaf of the control group that systemd has delegated to it (`Delegate=yes`).

The kernel allows no processes in a group whose children have limits (control groups version 2). So the service makes a
group for itself, and the group of the unit stays free for further ones. `DelegateSubgroup=` of systemd would do the
same, and is not known before 254.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
LEAF = "service"

_DELEGATED = ("user.delegate", "trusted.delegate")  # systemd marks a delegated group with one of them, or both


def enter_leaf(groups: Path = GROUPS) -> None:
    """Move this process into a leaf of its delegated group. Without delegation, or in version 1, do nothing."""
    with suppress(OSError):
        group = _own_group(groups)
        if group is not None and _is_delegated(group):
            leaf = group / LEAF
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text(str(os.getpid()))


def _own_group(groups: Path) -> Path | None:
    """Return the group of this process; None for the root of a hierarchy, or without version 2."""
    lines = Path("/proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    path = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    return groups / path if path else None


def _is_delegated(group: Path) -> bool:
    for name in _DELEGATED:
        with suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False
