"""Find out whether the helpers of a command (`nice`, `setpriv`, `env`) reached it, and if not, why.

They exec one another, and the last one execs the command. A command can imitate every trace of them: the text, the
exit status, the name of the process, and the flag of a user with too many processes. So it can never be proved that the
command has not begun. The result here only selects the message of a failure:

1. The kernel names a process after its latest program, unless the process has set another name. Only if that name is
   a helper may the command not have begun. The output of the helper then gives the reason.
2. A start is never retried once the helpers have begun. Otherwise a command could run many times for one slot.
3. uutils before 0.1 starts the command as a child of `env` and waits for it. Its process is always named `env`. So if
   it has reaped a child, only a message that begins with the name of a helper is that of a helper.
4. No file of the user of the job is read, because its path may lead to a device or to a hung file system.
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

# Exit statuses of a helper that failed. `setpriv` also uses 1, but not when the next program is missing.
HELPERS_STATUS = (125, 126, 127)

_NAMES = ("nice", "setpriv", "env")
_LAST = "env"
_NAME_BYTES = 15  # bytes of a program name that the kernel keeps

_NUMBERS: Mapping[str, int] = MappingProxyType({os.strerror(number): number for number in errno.errorcode})
_OS_ERROR = re.compile(r"\(os error (\d+)\)|: unknown error: Os \{ code: (\d+),")  # uutils; the second before 0.1
_PREFIX = re.compile(r"(?:[^\s:]*/)?(?:nice|setpriv|env): ")
_UNNAMED = re.compile(r"(?:[^\s:]*/)?env: unknown error: Os \{ [^\n]* \}")  # of uutils before 0.1


def failed_helper(ended: Process | None, program: bytes) -> Process | None:
    """Return the ended process if it was a helper, None if it had become the command, `program`."""
    names = {Path(path).name[:_NAME_BYTES] for name in _NAMES if (path := find_helper(name)) is not None}
    if ended is None or ended.name not in names or Path(os.fsdecode(program)).name[:_NAME_BYTES] in names:
        return None
    return ended


def helper_error(ended: Process, output: bytes, program: bytes, directory: str) -> OSError | ValueError | None:
    """Return the error of a helper, from its output. Return None if the output is not that of a helper.

    An `OSError` is the error that the scheduler would have got without helpers. The last helper names the command or
    its directory, while a command that itself became `env` names something else.
    """
    message = output.decode("utf-8", "backslashreplace").strip()
    if ended.has_reaped and not _PREFIX.match(message):
        return None
    number = _number(message)
    if number is not None and _is_about(message, program.decode("utf-8", "backslashreplace")):
        return OSError(number, os.strerror(number), program)
    if ended.name == _LAST and not (directory and directory in message):
        return None
    if number == errno.EAGAIN:
        return OSError(number, os.strerror(number), program)
    return ValueError(_error_message(message))


def _is_about(message: str, program: str) -> bool:
    """Return whether a message is about the program. Helpers differ in how they print a quote in a name."""
    if _UNNAMED.fullmatch(message):
        return True
    part = max(program.split("'"), key=len)
    return re.search(rf"(?<![\w/]){re.escape(part)}(?![\w/])", message) is not None


def _number(message: str) -> int | None:
    """Return the number of the error in a message. Some helpers print the number, others its description."""
    match = _OS_ERROR.search(message)
    if match:
        return int(match[1] or match[2])
    ends = (line.rpartition(": ")[2] for line in message.splitlines())
    return next((_NUMBERS[end] for end in ends if end in _NUMBERS), None)


def _error_message(message: str) -> str:
    first = message.partition("\n")[0]
    return _PREFIX.sub("", first, count=1) or "a program that prepares the command gave up"
