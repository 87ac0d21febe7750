"""Parse `limits`: what all processes of a run may have together."""

from __future__ import annotations

from typing import Any

from jobscheduler.jobs.parser.problem_list import ProblemList
from jobscheduler.model import Limits, TaskSpec
from jobscheduler.util import sizes
from jobscheduler.util.text import quote

COMMAND_TYPE = "execute_command"  # the task type whose runs may have limits

MIN_MEMORY = 1 << 20  # bytes; a program needs about as much to begin
MAX_MEMORY = 1 << 50  # bytes

_MEMORY = ("limits", "memory")


def limits(value: dict[str, Any], task: TaskSpec | None, problems: ProblemList) -> Limits | None:
    """Return the limits of a job with this task; None if something is wrong in the file."""
    if task is not None and task.type != COMMAND_TYPE:
        message = f"`limits` are for the processes of a command, and {quote(task.type)} has none"
        problems.add(message, ("limits",), key=True, help="leave it out")
    memory = _memory(value["memory"], problems) if "memory" in value and problems.is_sound(*_MEMORY) else None
    if problems:
        return None
    cpu = value.get("cpu")
    return Limits(memory, None if cpu is None else float(cpu.removesuffix("%")) / 100, value.get("processes"))


def _memory(value: int | str, problems: ProblemList) -> int | None:
    try:
        size = sizes.parse_size(value)
    except ValueError as error:
        problems.add(str(error), _MEMORY, help=sizes.HELP)
        return None
    if not MIN_MEMORY <= size <= MAX_MEMORY:
        problems.add("a limit of memory lies between 1M and 1024T", _MEMORY, help=sizes.HELP)
    return size
