"""Who may have written what is run: owners and modes of the jobs directory, its files, and what links lead through.

Run as root, only root may be able to write them; run as another user, only that user and root (a group may be trusted
then). A directory that others may write counts as safe if it is sticky and what it holds belongs to someone trusted, or
if its file system is mounted read-only. The rule is that of Debian's cron for /etc/cron.d, extended to links.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_LINKS = 40
"""How many links in a row are followed; the kernel stops there, too."""


@dataclass(frozen=True, slots=True)
class Distrust:
    """Why something is not trusted, and the command that mends it."""

    message: str
    help: str


def distrusted(found: os.stat_result, path: str, *, read_only: bool = False) -> Distrust | None:
    """Judge a file or directory by its stat result; a sticky directory is judged by what it holds (`of_entry`)."""
    uid = os.geteuid()
    if found.st_uid not in {0, uid}:
        owner = "root" if uid == 0 else f"`{_name(uid)}` or root"
        help_ = f"`chown {_name(uid)}: {shlex.quote(path)}`, if its content is what it should be"
        return Distrust(f"`{path}` belongs to `{_name(found.st_uid)}`, not to {owner}", help_)
    writers = stat.S_IWOTH | (stat.S_IWGRP if uid == 0 else 0)
    if not found.st_mode & writers or read_only or _is_sticky(found):
        return None
    who = "its group" if not found.st_mode & stat.S_IWOTH else "everybody"
    mode = "go-w" if uid == 0 else "o-w"
    message = f"`{path}` may be written by {who} (mode {stat.S_IMODE(found.st_mode):04o})"
    return Distrust(message, f"`chmod {mode} {shlex.quote(path)}`")


def of_links(directory: str, name: str) -> Distrust | None:
    """Judge every directory on the way that a link leads, and the links in sticky ones.

    To be called after what the link means was opened: whoever could have exchanged something on the way could only
    have done so in a directory that is judged here, and nobody can give a directory of theirs to root.
    """
    for holder, entry in passed(directory, name):
        try:
            verdict = _of_holder(holder, entry)
        except OSError as error:
            return Distrust(f"`{holder}` cannot be looked at: {error.strerror}", "is a directory on the way missing?")
        if verdict is not None:
            return verdict
    return None


def of_entry(holder: os.stat_result, entry: os.stat_result, path: str) -> Distrust | None:
    """Judge an entry of a directory: in a sticky one that others may write, it must belong to someone trusted."""
    if _is_sticky(holder) and entry.st_uid not in {0, os.geteuid()}:
        message = f"`{path}` belongs to `{_name(entry.st_uid)}` and stands in a directory that everybody may write"
        help_ = f"`chown -h {_name(os.geteuid())}: {shlex.quote(path)}`, if it is what it should be"
        return Distrust(message, help_)
    return None


def barred(path: str, mode: str) -> Distrust:
    """Say why this process was denied a path that leads through a link; `mode` is what the end of it needs.

    Also root is: Linux does not follow a stranger's link in a sticky directory (fs.protected_symlinks).
    """
    try:
        for parent in reversed(Path(os.path.realpath(path)).parents):
            if not os.access(parent, os.X_OK, effective_ids=True):
                return Distrust(f"`{parent}` may not be searched", f"`chmod a+x {shlex.quote(str(parent))}`")
        directory, name = os.path.split(path)
        verdict = of_links(os.path.realpath(directory or "."), name)
    except OSError:  # it is being exchanged just now
        verdict = None
    return verdict or Distrust(f"`{path}` may not be read", f"`chmod {mode} {shlex.quote(path)}`")


def passed(directory: str, name: str) -> Iterator[tuple[str, str]]:
    """Walk along a path: yield (directory, entry) for every link on the way, and for what stands at its end."""
    here, rest, links = directory, [name], 0
    while rest:
        part = rest.pop(0)
        if part in {"", "."}:
            continue
        if part == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - `here` has no links in it
            continue
        whole = os.path.join(here, part)  # noqa: PTH118 - names may hold half surrogates; nothing is to be normalised
        try:
            target = os.readlink(whole)  # noqa: PTH115
        except OSError:  # no link
            if not rest:
                yield here, part
            here = whole
            continue
        yield here, part
        links += 1
        if links > MOST_LINKS:
            return
        rest[:0] = target.split("/")
        here = "/" if target.startswith("/") else here


def _of_holder(holder: str, entry: str) -> Distrust | None:
    descriptor = os.open(holder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        read_only = is_read_only(descriptor)
        inside = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
    finally:
        os.close(descriptor)
    whole = os.path.join(holder, entry)  # noqa: PTH118
    return distrusted(found, holder, read_only=read_only) or (None if read_only else of_entry(found, inside, whole))


def is_read_only(descriptor: int) -> bool:
    """Tell whether an open file lies on a file system that is mounted read-only."""
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)


def _is_sticky(found: os.stat_result) -> bool:
    writable = stat.S_IWOTH | (stat.S_IWGRP if os.geteuid() == 0 else 0)
    return bool(stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and found.st_mode & writable)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
