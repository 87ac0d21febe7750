"""Processes that outlived KILL: how they are named in a record, and whether they live on."""

from __future__ import annotations

from jobscheduler.model import LogValue
from jobscheduler.tasks import Survivor
from jobscheduler.tasks.command.processes import read_process

MAX_NAMED = 8
"""So many processes that outlived KILL are named in one line."""


def is_alive(survivor: Survivor) -> bool:
    """Tell whether this very process still runs."""
    process = read_process(survivor.pid)
    return process is not None and process.start == survivor.start and not process.is_zombie


def describe_survivors(survivors: tuple[Survivor, ...]) -> str:
    """Name processes, each with the reason why it could not be ended."""
    more = f" and {len(survivors) - MAX_NAMED} more" if len(survivors) > MAX_NAMED else ""
    return ", ".join(map(str, survivors[:MAX_NAMED])) + more


def add_survivors(
    details: tuple[tuple[str, LogValue], ...], survivors: tuple[Survivor, ...]
) -> tuple[tuple[str, LogValue], ...]:
    """Return the details of a record, with the processes that live on in `error` if no error names them already."""
    told = " ".join(str(value) for key, value in details if key == "error")
    unnamed = tuple(one for one in survivors if str(one.pid) not in told)
    if not unnamed:
        return details
    error = f"could not be ended: {describe_survivors(unnamed)}"
    others = tuple(pair for pair in details if pair[0] != "error")
    return (*others, ("error", f"{told}; {error}" if told else error))
