"""Processes that survived KILL: their description in a record, and whether they are still alive."""

from __future__ import annotations

from jobscheduler.model import LogValue
from jobscheduler.tasks import Survivor
from jobscheduler.tasks.command.processes import read_process

MAX_NAMED = 8  # survivors named in one line


def is_alive(survivor: Survivor) -> bool:
    """Return whether this very process is still alive."""
    process = read_process(survivor.pid)
    return process is not None and process.start == survivor.start and not process.is_zombie


def describe_survivors(survivors: tuple[Survivor, ...]) -> str:
    """Return the processes as text, each with the reason why it could not be ended."""
    more = f" and {len(survivors) - MAX_NAMED} more" if len(survivors) > MAX_NAMED else ""
    return ", ".join(map(str, survivors[:MAX_NAMED])) + more


def add_survivors(
    details: tuple[tuple[str, LogValue], ...], survivors: tuple[Survivor, ...]
) -> tuple[tuple[str, LogValue], ...]:
    """Return the details of a record with the survivors in `error`, unless `error` names them already."""
    errors = " ".join(str(value) for key, value in details if key == "error")
    unnamed = tuple(survivor for survivor in survivors if str(survivor.pid) not in errors)
    if not unnamed:
        return details
    error = f"could not be ended: {describe_survivors(unnamed)}"
    others = tuple(pair for pair in details if pair[0] != "error")
    return (*others, ("error", f"{errors}; {error}" if errors else error))
