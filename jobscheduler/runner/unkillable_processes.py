"""Processes that survived KILL: their description in a record, and whether they are still alive."""

from __future__ import annotations

from jobscheduler.model import LogValue
from jobscheduler.tasks import UnkillableProcess
from jobscheduler.tasks.command.processes import read_process

MAX_NAMED = 8  # unkillable processes named in one line


def is_alive(unkillable: UnkillableProcess) -> bool:
    """Return whether this very process is still alive."""
    process = read_process(unkillable.pid)
    return process is not None and process.start == unkillable.start and not process.is_zombie


def describe_unkillable(unkillable: tuple[UnkillableProcess, ...]) -> str:
    """Return the processes as text, each with the reason why it could not be ended."""
    more = f" and {len(unkillable) - MAX_NAMED} more" if len(unkillable) > MAX_NAMED else ""
    return ", ".join(map(str, unkillable[:MAX_NAMED])) + more


def add_unkillable(
    details: tuple[tuple[str, LogValue], ...], unkillable: tuple[UnkillableProcess, ...]
) -> tuple[tuple[str, LogValue], ...]:
    """Return the details of a record with its unkillable processes in `error`, unless `error` names them already."""
    errors = " ".join(str(value) for key, value in details if key == "error")
    unnamed = tuple(process for process in unkillable if str(process.pid) not in errors)
    if not unnamed:
        return details
    error = f"could not be ended: {describe_unkillable(unnamed)}"
    others = tuple(pair for pair in details if pair[0] != "error")
    return (*others, ("error", f"{errors}; {error}" if errors else error))
