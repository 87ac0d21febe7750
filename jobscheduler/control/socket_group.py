"""Open the control socket to a group of operators, and to no other user.

1. The group is found by its name, else by its number.
2. The way to the socket is walked. Only trusted users may be able to replace a directory or the socket: others could
   have the service give away a file of root, or answer in its place.
3. The group must be able to search each directory on the way.
4. The socket is given to the group through the descriptor that the walk has opened.
"""

from __future__ import annotations

import errno
import grp
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util import acl
from jobscheduler.util.path_walk import PathStep, PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, quoted, user_name

_OTHER_GROUP = "name another with `--socket-group GROUP`"
_OTHER_SOCKET = "name a socket in another directory with `--socket FILE`"


class GroupRefused(ProblemError):
    """The socket is not given to the group; the problem says why and what to do."""


def give_to_group(path: Path, identity: tuple[int, int], group: str) -> None:
    """Give the socket file of this identity (device and inode) to a group. It keeps its mode.

    Raises:
        GroupRefused: there is no such group, or it must not or cannot have the socket.

    """
    number = _find_group(group)
    try:
        with PathWalk(TrustJudge()) as walk:
            end = walk.walk(absolute_path(path))
            if walk.problem is not None:
                message = f"another user could replace the control socket `{path}`: {walk.problem.message}"
                raise GroupRefused(Problem(message, help=f"{walk.problem.help}; or {_OTHER_SOCKET}"))
            _check_directories(walk.steps[:-1], number, group)
            if stat.S_ISSOCK(end.stat.st_mode) and (end.stat.st_dev, end.stat.st_ino) == identity:
                os.chown(f"/proc/self/fd/{end.descriptor}", -1, number)
    except OSError as error:
        raise GroupRefused(_explained(path, group, error)) from None


def _find_group(name: str) -> int:
    """Return the number of a group.

    Raises:
        GroupRefused: the host knows no group of this name.

    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isascii() and name.isdigit():
            return int(name)
    help_ = f"`groupadd --system {quoted(name)}` makes it, or {_OTHER_GROUP}"
    raise GroupRefused(Problem(f"this host knows no group `{name}`", help=help_))


def _check_directories(steps: Sequence[PathStep], number: int, group: str) -> None:
    """Check that a group can reach the end of these directories, and can replace nothing on the way.

    Raises:
        GroupRefused: it cannot, or it could.

    """
    for step in steps:
        mode, is_its = step.stat.st_mode, step.stat.st_gid == number
        may_write = (is_its and mode & stat.S_IWGRP) or acl.allows_group(step.descriptor, number, acl.WRITE)
        if may_write and not mode & stat.S_ISVTX:
            message = f"the group could replace the control socket: it may write the directory `{step.path}`"
            raise GroupRefused(Problem(message, help=f"`chmod g-w {quoted(step.path)}`, or {_OTHER_SOCKET}"))
        is_open = mode & (stat.S_IXGRP if is_its else stat.S_IXOTH)
        if not is_open and not acl.allows_group(step.descriptor, number, acl.SEARCH):
            command = f"setfacl -m g:{quoted(group)}:x {quoted(step.path)}"
            help_ = f"`{command}` lets it through, or {_OTHER_SOCKET}"
            raise GroupRefused(Problem(f"the directory `{step.path}` is closed to the group `{group}`", help=help_))


def _explained(path: Path, group: str, error: OSError) -> Problem:
    if error.errno != errno.EPERM:
        why = os.strerror(error.errno or 0).lower()
        return Problem(f"the control socket `{path}` cannot be given to the group `{group}`: {why}", help=_OTHER_GROUP)
    user = user_name(os.geteuid())
    if os.geteuid() == 0:
        help_ = f"let it change owners (`CAP_CHOWN`), or {_OTHER_GROUP}"
        return Problem(f"the service may not give the control socket to the group `{group}`", help=help_)
    message = f"the service may not give the control socket to the group `{group}`: its user `{user}` is not a member"
    help_ = f"as root: `usermod -aG {quoted(group)} {quoted(user)}`, and log in anew; or {_OTHER_GROUP}"
    return Problem(message, help=help_)
