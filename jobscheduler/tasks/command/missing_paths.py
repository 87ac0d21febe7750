"""Warn of programs and directories that a run would not find, as its user and its `PATH` would look for them.

Of a text for the shell only plain words are understood: the first word of each command in it, and the script that an
interpreter is given. Anything with a variable, a quote or a construct of the shell is left alone.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from jobscheduler.tasks.base import FieldError
from jobscheduler.tasks.command.accounts import PATH, Account, NoSuchAccount, account
from jobscheduler.tasks.command.environment_files import file_paths
from jobscheduler.tasks.hung_paths import GUARD
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.text import quote

_MAX_PATH_CHARS = 200  # shown of a path

_SHELLS = {"sh", "dash", "ash", "bash", "ksh", "zsh"}
_INTERPRETERS = re.compile(r"(?:python|perl|ruby|node|php|lua|(?:da|ba|a|k|z)?sh)[0-9.]*")
_PLAIN = re.compile(r"[\w./+=:,@%^~ \t|&;<>*?\[\]-]*", re.ASCII)  # no quotes, variables, substitutions, groups, lines
_COMMAND = re.compile(r"\|\||&&|\||;|&")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII)
_WORD = re.compile(r"[\w./+-]+", re.ASCII)
_BUILTINS = """. : [ alias bg break case cd command continue coproc declare do done echo elif else esac eval exec exit
export false fc fg fi for function getopts hash if in jobs kill let local printf pwd read readonly return select set
shift shopt source test then time times trap true type typeset ulimit umask unalias unset until wait while"""
_NOT_PROGRAMS = frozenset(_BUILTINS.split())
_REDIRECTION = re.compile(r"[0-9]*(?:&>>?|>&|<&|[<>]+)[ \t]*[\w./+-]*", re.ASCII)


class _Lookup(NamedTuple):
    """How a run looks for its files: as a user, in a directory (None if that is not known), along a `PATH`."""

    user: Account
    groups: frozenset[int]
    directory: str
    path: str | None


def missing_paths(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield what a run would not find on this host: its directory, its shell, its programs, their scripts."""
    try:
        found = list(_findings(fields, _lookup(fields)))
    except (CallHung, NoSuchAccount, OSError, ValueError):
        return  # the account is a problem of its own, and what hangs is none of the file's
    for path, message, help_ in found:
        yield FieldError(path, message, help_, host_dependent=True, is_lint=True)


def _lookup(fields: Mapping[str, Any]) -> _Lookup:
    user = account(fields.get("user"), fields.get("group"))
    groups = frozenset(os.getgrouplist(user.name, user.gid)) if not user.name.isdigit() else frozenset((user.gid,))
    search: str | None = fields.get("env", {}).get("PATH", PATH)
    if "PATH" not in fields.get("env", {}) and ("PATH" in fields.get("pass_env", ()) or file_paths(fields)):
        search = None  # which is not known here
    return _Lookup(user, groups, fields.get("cwd") or user.directory(), search)


_Finding = tuple[tuple[str | int, ...], str, str | None]


def _findings(fields: Mapping[str, Any], lookup: _Lookup) -> Iterator[_Finding]:
    command = fields["command"]
    if "cwd" in fields and (reason := _unusable(fields["cwd"], lookup, is_directory=True)):
        yield ("cwd",), f"the directory {quote(fields['cwd'], _MAX_PATH_CHARS)} {reason}", _make(reason)
        return  # everything else may be relative to it
    shell = fields.get("shell", "/bin/sh")
    if isinstance(command, list):
        yield from _about_words(command, ("command", 0), lookup)
    elif reason := _unusable(shell, lookup):
        yield ("shell",), f"the shell {quote(shell, _MAX_PATH_CHARS)} {reason}", _install(reason)
    elif shell.rpartition("/")[2] in _SHELLS:
        yield from _about_text(command, lookup)


def _about_text(text: str, lookup: _Lookup) -> Iterator[_Finding]:
    """Yield what is missing of a command that is text. After a `cd` relative names are not known."""
    is_plain = _PLAIN.fullmatch(text) is not None
    parts = _COMMAND.split(_REDIRECTION.sub(" ", text))
    parts = parts if is_plain else parts[:1]
    for part in parts:
        words = part.split()
        while words and _ASSIGNMENT.fullmatch(words[0]):
            if words.pop(0).startswith("PATH="):
                return
        if words[:1] == ["cd"]:
            return
        if words and _WORD.fullmatch(words[0]) and words[0] not in _NOT_PROGRAMS:
            yield from _about_words([word for word in words if _WORD.fullmatch(word)], ("command",), lookup)


def _about_words(words: Sequence[str], path: tuple[str | int, ...], lookup: _Lookup) -> Iterator[_Finding]:
    """Yield that a program is missing, or the script that it is given."""
    program = words[0]
    reason = _missing_program(program, lookup)
    if reason:
        yield path, f"the program {quote(program, _MAX_PATH_CHARS)} {reason}", _install(reason)
    elif _INTERPRETERS.fullmatch(program.rpartition("/")[2]) and len(words) > 1 and words[1].startswith("/"):
        script = _unusable(words[1], lookup, is_read=True)
        if script:
            place = path if path == ("command",) else ("command", 1)
            yield place, f"the file {quote(words[1], _MAX_PATH_CHARS)} {script}", _install(script)


def _missing_program(name: str, lookup: _Lookup) -> str | None:
    """Return why a program cannot be run; None if it can, or if that is not known."""
    if "/" in name:
        return _unusable(os.path.join(lookup.directory, name), lookup)  # noqa: PTH118
    if lookup.path is None:
        return None
    reasons = [_unusable(f"{folder}/{name}", lookup) for folder in lookup.path.split(":") if folder.startswith("/")]
    if None in reasons:
        return None
    return next((reason for reason in reasons if reason and reason != _ABSENT), f"is not in `{lookup.path}`")


_ABSENT = "does not exist"


def _unusable(path: str, lookup: _Lookup, *, is_directory: bool = False, is_read: bool = False) -> str | None:
    """Return why the user of a job cannot use a path; None if it can. What this caller may not look at is usable."""
    try:
        return GUARD.call(f"`{path}`", partial(_judge, path, lookup, is_directory, is_read))
    except PermissionError:
        return None


def _judge(path: str, lookup: _Lookup, is_directory: bool, is_read: bool) -> str | None:
    try:
        entry = os.stat(path)  # noqa: PTH116 - a text, as it will be given to the kernel
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT
    if stat.S_ISDIR(entry.st_mode) != is_directory:
        return "is not a directory" if is_directory else "is a directory"
    wanted = stat.S_IROTH if is_read else stat.S_IXOTH
    if not _is_permitted(path, entry, wanted, lookup):
        verb = "enter it" if is_directory else "read it" if is_read else "run it"
        return f"is there, and `{lookup.user.name}` may not {verb}"
    real = os.path.realpath(path)
    for end in range(1, len(real)):
        if real[end] == "/":
            above = real[:end]
            if not _is_permitted(above, os.stat(above), stat.S_IXOTH, lookup):  # noqa: PTH116
                return f"is there, and `{lookup.user.name}` may not enter `{above}`"
    return None


def _is_permitted(path: str, entry: os.stat_result, wanted: int, lookup: _Lookup) -> bool:
    """Return whether the mode of an entry permits something to the user; also where a list may permit more."""
    if lookup.user.uid == 0:
        is_program = wanted == stat.S_IXOTH and not stat.S_ISDIR(entry.st_mode)
        return not is_program or bool(entry.st_mode & 0o111)
    shift = 6 if entry.st_uid == lookup.user.uid else 3 if entry.st_gid in lookup.groups else 0
    return bool(entry.st_mode & (wanted << shift)) or _has_list(path)


def _has_list(path: str) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:  # unknown, so the mode alone does not decide
        return True


def _install(reason: str) -> str | None:
    return "install it, or write its path" if reason == _ABSENT or reason.startswith("is not in") else None


def _make(reason: str) -> str | None:
    return "make it, or write another one" if reason == _ABSENT else None
