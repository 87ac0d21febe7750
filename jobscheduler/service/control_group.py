"""Put the service into a leaf of the control group that systemd has delegated to it (`Delegate=yes`).

The kernel allows no processes in a group whose children have limits (control groups version 2). So the service makes a
group for itself, and the group of the unit stays free for those of runs with limits (`tasks/command/run_groups.py`).
`DelegateSubgroup=` of systemd would do the same, and is not known before 254.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from jobscheduler.tasks.command.run_groups import LEAF
from jobscheduler.util.control_groups import GROUPS, is_delegated, own_group


def enter_leaf(groups: Path = GROUPS) -> None:
    """Move this process into a leaf of its delegated group. Without delegation, or in version 1, do nothing."""
    with suppress(OSError):
        group = own_group(groups)
        if group is not None and is_delegated(group):
            leaf = group / LEAF
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
