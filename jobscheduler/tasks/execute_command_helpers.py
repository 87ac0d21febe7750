"""Whether the programs that prepare a command (`nice`, `setpriv`, `env`) got to it, and why not.

They exec one another, and the last of them execs the command. What they print and how they end can be imitated by
the command, and differs from release to release. So it is the kernel that is asked, before the process is reaped:

1. Its name for the process is that of the program that the process became last. Only if that is one of the helpers may
   the command not have begun; their text then says why, in whatever form.
2. A start is tried again only for what the kernel confirms: the user has too many processes (a flag of the process),
   or the program is open for writing at this moment. A run is not repeated on the word of a text.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jobscheduler.tasks.execute_command_child import Plan
from jobscheduler.tasks.processes import Process
from jobscheduler.tasks.users import helper

HELPERS_STATUS = (125, 126, 127)
"""With which a helper ends that could not go on; `setpriv` ends with 1 too, but not for want of the next program."""

_NAMES = ("nice", "setpriv", "env")
_LAST = "env"
_NAME_BYTES = 15  # of a program's name that the kernel keeps
_NPROC_EXCEEDED = 0x1000  # PF_NPROC_EXCEEDED: since the change of user, which the next exec refuses

_NUMBERS: Mapping[str, int] = MappingProxyType({os.strerror(number): number for number in errno.errorcode})
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PREFIX = re.compile(r"(?:[^\s:]*/)?(?:nice|setpriv|env): ")


def given_up_by(ended: Process | None, program: bytes) -> Process | None:
    """Return the process as it ended if it was still a helper then, and not the command, which is `program`."""
    names = {Path(path).name[:_NAME_BYTES] for name in _NAMES if (path := helper(name)) is not None}
    if ended is None or ended.name not in names or Path(os.fsdecode(program)).name[:_NAME_BYTES] in names:
        return None
    return ended


def error_of(ended: Process, output: bytes, program: bytes, directory: str) -> OSError | ValueError | None:
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
    return OSError(number, os.strerror(number), program) if number == errno.EAGAIN else ValueError(_words(said))


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


def _words(said: str) -> str:
    first = said.partition("\n")[0]
    return _PREFIX.sub("", first, count=1) or "a program that prepares the command gave up"


def is_proved(error: Exception, ended: Process, plan: Plan) -> bool:
    """Tell whether the kernel confirms that the command has not begun, for a reason that may pass within moments."""
    if not isinstance(error, OSError):
        return False
    if error.errno == errno.EAGAIN:
        return bool(ended.flags & _NPROC_EXCEEDED)
    return error.errno == errno.ETXTBSY and _is_open_for_writing(_file_of(plan))


def _file_of(plan: Plan) -> Path:
    """The file of the command, as the last helper looked for it. Only one with a slash is known for certain."""
    program = os.fsdecode(plan.program or b"")
    return Path(plan.home, program) if "/" in program else Path(helper(program) or program)


def _is_open_for_writing(path: Path) -> bool:
    """Ask for a lease, which the kernel refuses while a process may write; it is given back at once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # ignored, unlike SIGIO, should one want to write now
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as refused:
        return refused.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False
