"""Why a command could not be started, in words, and whether another try may help."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

_TRANSIENT = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETXTBSY})

_WORDS: Mapping[int, str] = MappingProxyType(
    {
        errno.E2BIG: "the command and its environment are too long for this host (one word may have 128 KiB)",
        errno.EAGAIN: "this host or this user has no process left (see `ulimit -u`, and TasksMax= of the unit)",
        errno.EMFILE: "the scheduler has no file descriptor left (see LimitNOFILE= of the unit)",
        errno.ENFILE: "this host has no file descriptor left",
        errno.ENOMEM: "this host has not enough memory left to start a process",
        errno.ETXTBSY: "the program file is still being written",
    }
)

# `env` and `nice` call themselves by the whole path under which the scheduler starts them, unlike those of a shell.
_HELPER = re.compile(rb"(?:setpriv|/[^\n: ]*/(env|nice)): ([^\n]+)\n?(?:/[^\n: ]*/env: use -[^\n]*\n)?")
_NUMBERS: Mapping[str, int] = MappingProxyType({os.strerror(number): number for number in errno.errorcode})
_HELPERS_STATUS = (125, 126, 127)


def is_transient(error: Exception) -> bool:
    """Whether the same start may succeed a moment later."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT


def in_words(error: Exception, directory: str = "", command: Sequence[bytes] = ()) -> str:
    """What to tell people about an error of a start in `directory`."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    name = _text(error.filename)
    if error.errno in _WORDS:
        return _WORDS[error.errno]
    if directory and name == directory:
        return _about_directory(error.errno, name)
    return _about_program(error.errno, name or _text(command[0] if command else ""), directory)


def _about_directory(number: int, name: str) -> str:
    if number == errno.ENOENT:
        return f"no such directory: `{name}`"
    return f"cannot enter the directory `{name}`: {os.strerror(number).lower()}"


def _about_program(number: int, name: str, directory: str) -> str:
    if number == errno.ENOENT and "/" in name and Path(directory, name).exists():
        return f"the interpreter named in the first line of `{name}` does not exist"
    if number == errno.ENOENT:
        return f"no such command: `{name}`"
    if number == errno.EACCES:
        return f"no permission to execute `{name}`"
    if number == errno.ENOEXEC:
        return f"`{name}` is not a program (a script needs a first line such as `#!/bin/sh`)"
    return f"cannot execute `{name}`: {os.strerror(number).lower()}"


def of_a_helper(status: int, output: bytes, program: bytes) -> OSError | ValueError | None:
    """Why a program that prepares the command could not go on to `program`; None if none of them gave up.

    They end with 125 to 127 after one line that starts with their own name. To be asked only where there are any: a
    command may print the like itself. `OSError` stands for what the scheduler itself would have met without them.
    """
    said = _HELPER.fullmatch(output)
    if status not in _HELPERS_STATUS or said is None:
        return None
    words = _text(said[2])
    number = _NUMBERS.get(words.rpartition(": ")[2])
    if number in _TRANSIENT or (number and _is_about(program, said[1], words)):
        return OSError(number, os.strerror(number), program)
    return ValueError(words)


def _is_about(program: bytes, by: bytes | None, words: str) -> bool:
    """Whether `by` (None for setpriv) says that it could not execute `program`, and not another helper.

    `env` is the last before the program, and puts nothing in front of its name, which it may quote in its own way.
    """
    return words.startswith("'") if by == b"env" else words.startswith(f"failed to execute {_text(program)}: ")


def _text(name: object) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name or "")
