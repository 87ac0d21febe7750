"""Describe why a command could not be started, and decide whether a retry may help."""

from __future__ import annotations

import errno
import os
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


def is_transient(error: Exception) -> bool:
    """Return whether the same start may succeed a moment later."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT


def describe_error(error: Exception, directory: str = "", command: Sequence[bytes] = ()) -> str:
    """Return the message for an error of a start in `directory`."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    name = _text(error.filename)
    if error.errno in _WORDS:
        return _WORDS[error.errno]
    if directory and name == directory:
        return _about_directory(error.errno, name)
    return _about_program(error.errno, name or _text(command[0] if command else ""), directory)


def in_words_of_helper(error: Exception) -> str:
    """Return the message for an error of a helper. Checks no file, because that may hang."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    name = _text(error.filename)
    if error.errno == errno.ENOENT and "/" in name:
        return f"no such command: `{name}` (or the interpreter named in its first line does not exist)"
    return _WORDS.get(error.errno) or _about_error(error.errno, name)


def _about_directory(number: int, name: str) -> str:
    if number == errno.ENOENT:
        return f"no such directory: `{name}`"
    return f"cannot enter the directory `{name}`: {os.strerror(number).lower()}"


def _about_program(number: int, name: str, directory: str) -> str:
    if number == errno.ENOENT and "/" in name and Path(directory, name).exists():
        return f"the interpreter named in the first line of `{name}` does not exist"
    return _about_error(number, name)


def _about_error(number: int, name: str) -> str:
    if number == errno.ENOENT:
        return f"no such command: `{name}`"
    if number == errno.EACCES:
        return f"no permission to execute `{name}`"
    if number == errno.ENOEXEC:
        return f"`{name}` is not a program (a script needs a first line such as `#!/bin/sh`)"
    return f"cannot execute `{name}`: {os.strerror(number).lower()}"


def _text(name: object) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name or "")
