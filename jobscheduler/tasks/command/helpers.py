"""Whether the programs that prepare a command (`nice`, `setpriv`, `env`) got to it, and why not.

They exec one another, and the last of them execs the command. A command that wants to can imitate all that they leave:
the text, the exit status, the name of the process, and the flag of a user with too many processes. So there is no
proof that the command has not begun. What is found here decides in which words a failure is told, and nothing else:

1. The kernel's name for the process is that of the program that the process became last, unless the process has set
   another one. Only if that is one of the helpers may the command not have begun; their text then says why.
2. A start is never repeated once the helpers have begun, or a command could have itself run many times for one slot.
3. No file of the job's user is looked at: its path may lead to a device, or to a file system that does not answer.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jobscheduler.tasks.command.accounts import find_helper
from jobscheduler.tasks.command.processes import Process

HELPERS_STATUS = (125, 126, 127)
"""With which a helper ends that could not go on; `setpriv` ends with 1 too, but not for want of the next program."""

_NAMES = ("nice", "setpriv", "env")
_LAST = "env"
_NAME_BYTES = 15  # of a program's name that the kernel keeps

_NUMBERS: Mapping[str, int] = MappingProxyType({os.strerror(number): number for number in errno.errorcode})
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PREFIX = re.compile(r"(?:[^\s:]*/)?(?:nice|setpriv|env): ")


def failed_helper(ended: Process | None, program: bytes) -> Process | None:
    """Return the process as it ended if it was still a helper then, and not the command, which is `program`."""
    names = {Path(path).name[:_NAME_BYTES] for name in _NAMES if (path := find_helper(name)) is not None}
    if ended is None or ended.name not in names or Path(os.fsdecode(program)).name[:_NAME_BYTES] in names:
        return None
    return ended


def helper_error(ended: Process, output: bytes, program: bytes, directory: str) -> OSError | ValueError | None:
    """Say why a helper could not go on, by what it printed; None if that was another program of the same name.

    `OSError` stands for what the scheduler itself would have met without helpers. The last helper speaks of the
    command or of its directory; a command that becomes `env` itself speaks of something else.
    """
    said = output.decode("utf-8", "backslashreplace").strip()
    number = _number(said)
    if number is not None and _is_about(said, program.decode("utf-8", "backslashreplace")):
        return OSError(number, os.strerror(number), program)
    if ended.name == _LAST and not (directory and directory in said):
        return None
    return OSError(number, os.strerror(number), program) if number == errno.EAGAIN else ValueError(_error_message(said))


def _is_about(said: str, program: str) -> bool:
    """Whether a message names the program. A quote in a name may be written in some other way."""
    part = max(program.split("'"), key=len)
    return re.search(rf"(?<![\w/]){re.escape(part)}(?![\w/])", said) is not None


def _number(said: str) -> int | None:
    """The number of the error in a message: some write it, others the words that belong to it."""
    found = _OS_ERROR.search(said)
    if found:
        return int(found[1])
    ends = (line.rpartition(": ")[2] for line in said.splitlines())
    return next((_NUMBERS[end] for end in ends if end in _NUMBERS), None)


def _error_message(said: str) -> str:
    first = said.partition("\n")[0]
    return _PREFIX.sub("", first, count=1) or "a program that prepares the command gave up"
