"""Who may have written what is run: owners and modes of the jobs directory, its files, and all that leads there.

Run as root, only root may be able to write them; run as another user, only that user and root (a group may be trusted
then). A directory that others may write counts as safe if it is sticky and what it holds belongs to a trusted user, or
if its file system is read-only as a whole. The rule is that of Debian's cron for /etc/cron.d, extended to the way.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from jobscheduler.sources import acl
from jobscheduler.sources.mounts import FileSystem, file_system_of, is_fuse


@dataclass(frozen=True, slots=True)
class Distrust:
    """Why something is not trusted, and the command that mends it."""

    message: str
    help: str


class Judge:
    """Judges what was opened. One judge serves one look: what it learns of a file system it does not ask again."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._fuse: dict[int, FileSystem | None] = {}
        self._whole: dict[int, bool] = {}

    def judge(self, descriptor: int, found: os.stat_result, path: str, *, is_strict: bool = False) -> Distrust | None:
        """Judge an open file or directory; a sticky directory is judged by what it holds (`entry`).

        Unless `is_strict`: then others may not even put something of their own into the directory.
        """
        return (
            self._made_up(descriptor, found, path)
            or _owned(found, path)
            or self._writable(descriptor, found, path, is_strict=is_strict)
        )

    def way(
        self, descriptor: int, found: os.stat_result, path: str, *, may_group: bool = False, is_strict: bool = False
    ) -> Distrust | None:
        """Judge a directory that a path leads through; with `may_group` its group may write it, but others may not.

        Its owner may need it for something else, so the help does not only offer to take it away from them.
        """
        distrust = self._made_up(descriptor, found, path)
        if distrust is None and found.st_uid not in trusted():
            return Distrust(_foreign(found, path), _move(found, path))
        if distrust is None and not (may_group and not found.st_mode & stat.S_IWOTH):
            distrust = self._writable(descriptor, found, path, is_strict=is_strict)
        return distrust

    def entry(self, holder: os.stat_result, entry: os.stat_result, descriptor: int, path: str) -> Distrust | None:
        """Judge what a directory holds: where others may write, it must belong to a trusted user."""
        if entry.st_uid in trusted() or not holder.st_mode & _writers() or self.is_read_only(descriptor, holder):
            return None
        who = "everybody" if holder.st_mode & stat.S_IWOTH else "its group"
        message = f"`{path}` belongs to `{name_of(entry.st_uid)}` and stands in a directory that {who} may write"
        help_ = f"`chown -h {name_of(os.geteuid())}: {quoted(path)}`, if it is what it should be"
        return Distrust(message, help_)

    def is_read_only(self, descriptor: int, found: os.stat_result) -> bool:
        """Tell whether no process can write the file system of an open file, through whichever mount."""
        known = self._whole.get(found.st_dev)
        if known is None:
            file_system = file_system_of(descriptor)
            known = self._whole[found.st_dev] = file_system is not None and file_system.is_read_only
        return known

    def _made_up(self, descriptor: int, found: os.stat_result, path: str) -> Distrust | None:
        """Refuse files of a FUSE file system whose server is a stranger's: owner and mode are what that says."""
        if found.st_dev not in self._fuse:
            self._fuse[found.st_dev] = (file_system_of(descriptor) or FileSystem()) if is_fuse(descriptor) else None
        file_system = self._fuse[found.st_dev]
        if file_system is None or file_system.mounted_by in trusted():
            return None
        user = "another user" if file_system.mounted_by is None else f"`{name_of(file_system.mounted_by)}`"
        message = f"`{path}` lies on a file system that {user} mounted and can make up (FUSE)"
        return Distrust(message, f"keep it where only {name_of(os.geteuid())} may write")

    def _writable(
        self, descriptor: int, found: os.stat_result, path: str, *, is_strict: bool = False
    ) -> Distrust | None:
        if not found.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
            return None
        if not found.st_mode & _writers():
            return self._listed(descriptor, found, path)
        if (_is_sticky(found) and not is_strict) or self.is_read_only(descriptor, found):
            return None
        who = "everybody" if found.st_mode & stat.S_IWOTH else "its group"
        message = f"`{path}` may be written by {who} (mode {stat.S_IMODE(found.st_mode):04o})"
        return Distrust(message, _close(descriptor, found, path))

    def _listed(self, descriptor: int, found: os.stat_result, path: str) -> Distrust | None:
        """Judge the access control list; without one the group's bits are the group's, else they are its mask."""
        groups = {0, os.getegid(), *os.getgroups(), found.st_gid}
        for kind, number in acl.writers(descriptor):
            if number in (trusted() if kind == "u" else groups) or self.is_read_only(descriptor, found):
                continue
            name = name_of(number) if kind == "u" else _group_of(number)
            message = f"`{path}` may be written by `{name}` (access control list)"
            drop = f"setfacl -x {kind}:{number} {quoted(path)}"
            if stat.S_ISREG(found.st_mode):
                drop = f"setfacl -b {quoted(path)} && {copied(path, stat.S_IMODE(found.st_mode) & ~0o022)}"
            return Distrust(message, f"`{drop}`")
        return None


def trusted() -> set[int]:
    """Return the users whose files are run: root and the one that runs this."""
    return {0, os.geteuid()}


def copied(path: str, mode: int) -> str:
    """Return the command that puts a copy in the place of a file: a stranger may still have the old one open."""
    account = name_of(os.geteuid())
    owner = f"-o {account} -g {_group_of(_gid())}"
    new = quoted(f"{path}.new")
    return f"install -T {owner} -m {mode & 0o777:o} {quoted(path)} {new} && mv -T {new} {quoted(path)}"


def quoted(path: str) -> str:
    """Quote a path for the shell, so that no command takes it for an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def unreadable(path: str) -> Distrust:
    """Say why this process was denied a path, and how it alone may be let in.

    What is closed may hold a password, so that the help never opens it to all.
    """
    try:
        for parent in reversed(Path(os.path.realpath(path)).parents):
            if not os.access(parent, os.X_OK, effective_ids=True):
                return Distrust(f"`{parent}` may not be searched", _let_in(str(parent), "x"))
        is_directory = os.path.isdir(path)  # noqa: PTH112 - raises nothing
    except OSError:  # it is being exchanged just now
        is_directory = False
    return Distrust(f"`{path}` may not be read", _let_in(os.path.realpath(path), "rx" if is_directory else "r"))


def name_of(uid: int) -> str:
    """Return the name of a user, or the number if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owned(found: os.stat_result, path: str) -> Distrust | None:
    if found.st_uid in trusted():
        return None
    if stat.S_ISREG(found.st_mode):
        command = copied(path, stat.S_IMODE(found.st_mode) & ~_writers() | 0o600)
        help_ = f"`{command}`, if its content is what it should be (a copy: the old file may still be open elsewhere)"
    else:
        help_ = f"`chown {name_of(os.geteuid())}: {quoted(path)}`, if its content is what it should be"
    return Distrust(_foreign(found, path), help_)


def _foreign(found: os.stat_result, path: str) -> str:
    uid = os.geteuid()
    owner = "root" if uid == 0 else f"`{name_of(uid)}` or root"
    return f"`{path}` belongs to `{name_of(found.st_uid)}`, not to {owner}"


def _move(found: os.stat_result, path: str) -> str:
    """Offer what mends a directory on the way; a user's home stays theirs."""
    user = name_of(os.geteuid())
    elsewhere = f"keep what {user} runs where only {user} may write"
    if _is_home(found, path):
        return elsewhere
    return f"`chown {user}: {quoted(path)}`, if its owner can do without it; else {elsewhere}"


def _is_home(found: os.stat_result, path: str) -> bool:
    try:
        return pwd.getpwuid(found.st_uid).pw_dir.rstrip("/") == path
    except KeyError:
        return False


def _close(descriptor: int, found: os.stat_result, path: str) -> str:
    if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
        return "only this mount of it is read-only: put a copy where nothing but the service's user may write"
    if stat.S_ISREG(found.st_mode):
        command = copied(path, stat.S_IMODE(found.st_mode) & ~_writers())
        return f"`{command}` (a copy: the old file may still be open elsewhere)"
    return f"`chmod {'go-w' if os.geteuid() == 0 else 'o-w'} {quoted(path)}`"


def _let_in(path: str, rights: str) -> str:
    """Return the command that lets this process's group in; root is let in everywhere but where the host forbids it."""
    if os.geteuid() == 0:
        return "the host does not let root in: is it a network file system, or an access rule of the kernel?"
    group = _group_of(_gid())
    return (
        f"`chgrp {group} {quoted(path)} && chmod g+{rights} {quoted(path)}` lets in the group `{group}` and no others"
    )


def _writers() -> int:
    return stat.S_IWOTH | (stat.S_IWGRP if os.geteuid() == 0 else 0)


def _is_sticky(found: os.stat_result) -> bool:
    return bool(stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)


def _gid() -> int:
    try:
        return pwd.getpwuid(os.geteuid()).pw_gid
    except KeyError:
        return os.getegid()


def _group_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
