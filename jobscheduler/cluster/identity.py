"""Takes the identity of a node at a start, and refuses to when another instance has it and lives.

Two services of one name would each close the runs of the other. After a crash the name is free at once on the same
host, because the former process is known to be gone; elsewhere it is after the time in which a silent node is lost.
"""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.cluster.nodes import NodeRow, Process
from jobscheduler.cluster.values import Identity
from jobscheduler.database.lock_holder import LockHolder, current_holder
from jobscheduler.util.instants import utc_now


class IdentityInUse(Exception):
    """Another instance has the identity, and lives. `help` says what to do."""

    def __init__(self, row: NodeRow) -> None:
        node, where = row.identity.node, f"process {row.process.pid} on host `{row.process.host}`"
        super().__init__(f"another service is node `{node}` of the cluster: {where}, {row.silent:.0f} s ago")
        self.row = row
        self.help = "stop that service first, or give this one a name of its own with `--node NAME`"


def this_process() -> Process:
    """Return which process this is."""
    holder = current_holder()
    return Process(holder.host, holder.boot, holder.pid)


def take_identity(
    identity: Identity,
    process: Process,
    register: Callable[[str | None], NodeRow],
    is_gone: Callable[[Process, Process], bool],
) -> None:
    """Take the identity. `register` tries it, given an instance that is known to be gone; `is_gone` knows that.

    Raises:
        IdentityInUse: another instance has it.

    """
    row = register(None)
    if row.identity.instance != identity.instance and is_gone(row.process, process):
        row = register(row.identity.instance)
    if row.identity.instance != identity.instance:
        raise IdentityInUse(row)


def is_process_gone(other: Process, this: Process) -> bool:
    """Return whether a process has certainly ended; False if it is of another host, or of another boot."""
    known, here = (LockHolder(one.host, one.pid, one.boot, str(one), utc_now()) for one in (other, this))
    return known.is_gone(here) and other != this
