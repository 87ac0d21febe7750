"""Judge which users could have written a file that is run, by owner and mode of the file and of the way to it.

For a service of root only root may be able to write. For a service of another user only that user, root, and a group
of the user. A directory that others may write is safe if it is sticky and its entries belong to a trusted user, or if
its whole file system is read-only. This is the rule of Debian's cron for /etc/cron.d, extended to the way.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path

from jobscheduler.util import acl
from jobscheduler.util.mounts import FileSystem, file_system_of, is_fuse


@dataclass(frozen=True, slots=True)
class TrustProblem:
    """Why a file is not trusted, and the command that fixes it."""

    message: str
    help: str


@dataclass(frozen=True, slots=True)
class TrustRules:
    """The user that runs the jobs, and a further user whose own files are trusted, if any."""

    uid: int = field(default_factory=os.geteuid)
    trusted_uids: int | None = None

    def is_trusted(self, uid: int | None) -> bool:
        """Return whether a user may own a file that is run."""
        return uid in {0, self.uid} or (uid is not None and uid == self.trusted_uids)

    def writers(self, owner: int) -> int:
        """Return the mode bits that let a stranger write. Root trusts no group, other users trust theirs."""
        is_root = self.uid == 0 and (self.trusted_uids is None or owner != self.trusted_uids)
        return stat.S_IWOTH | (stat.S_IWGRP if is_root else 0)

    @property
    def name(self) -> str:
        """The name of the user that runs the jobs."""
        return user_name(self.uid)


class TrustJudge:
    """Judges open files. One judge serves one sync: it asks about each file system once."""

    def __init__(self, rules: TrustRules | None = None) -> None:
        """Judge by these rules, else by those of a service of this process's user."""
        self.rules = rules or TrustRules()
        self._fuse: dict[int, FileSystem | None] = {}
        self._read_only: dict[int, bool] = {}

    def check(
        self, descriptor: int, file_stat: os.stat_result, path: str, *, is_strict: bool = False
    ) -> TrustProblem | None:
        """Judge an open file or directory.

        A sticky directory that others may write passes here, because `check_entry` judges its entries. It does not
        pass if `is_strict`: then others may not even add entries of their own.
        """
        return (
            self._fuse_problem(descriptor, file_stat, path)
            or self._owner_problem(file_stat, path)
            or self._mode_problem(descriptor, file_stat, path, is_strict=is_strict)
        )

    def check_step(
        self, descriptor: int, file_stat: os.stat_result, path: str, *, may_group: bool = False, is_strict: bool = False
    ) -> TrustProblem | None:
        """Judge a directory on the way. With `may_group` its group may write it, but other users may not.

        Its owner may need it for something else, so the help also offers to move the files.
        """
        problem = self._fuse_problem(descriptor, file_stat, path)
        if problem is None and not self.rules.is_trusted(file_stat.st_uid):
            return TrustProblem(self._owner_message(file_stat, path), self._fix_by_moving(file_stat, path))
        if problem is None and not (may_group and not file_stat.st_mode & stat.S_IWOTH):
            problem = self._mode_problem(descriptor, file_stat, path, is_strict=is_strict)
        return problem

    def check_entry(
        self, holder: os.stat_result, entry: os.stat_result, descriptor: int, path: str
    ) -> TrustProblem | None:
        """Judge an entry of a directory. If others may write the directory, a trusted user must own the entry."""
        is_closed = not holder.st_mode & self.rules.writers(holder.st_uid)
        if self.rules.is_trusted(entry.st_uid) or is_closed or self.is_read_only(descriptor, holder):
            return None
        writers = "everybody" if holder.st_mode & stat.S_IWOTH else "its group"
        message = f"`{path}` belongs to `{user_name(entry.st_uid)}` and stands in a directory that {writers} may write"
        help_ = f"`chown -h {self.rules.name}: {quoted(path)}`, if it is what it should be"
        return TrustProblem(message, help_)

    def is_read_only(self, descriptor: int, file_stat: os.stat_result) -> bool:
        """Return whether no process can write the file system of an open file, through any mount."""
        is_read_only = self._read_only.get(file_stat.st_dev)
        if is_read_only is None:
            file_system = file_system_of(descriptor)
            is_read_only = self._read_only[file_stat.st_dev] = file_system is not None and file_system.is_read_only
        return is_read_only

    def _fuse_problem(self, descriptor: int, file_stat: os.stat_result, path: str) -> TrustProblem | None:
        """Refuse files of a FUSE file system that a stranger serves: the server makes up owner and mode."""
        if file_stat.st_dev not in self._fuse:
            self._fuse[file_stat.st_dev] = (file_system_of(descriptor) or FileSystem()) if is_fuse(descriptor) else None
        file_system = self._fuse[file_stat.st_dev]
        if file_system is None or self.rules.is_trusted(file_system.mounted_by):
            return None
        user = "another user" if file_system.mounted_by is None else f"`{user_name(file_system.mounted_by)}`"
        message = f"`{path}` lies on a file system that {user} mounted and can make up (FUSE)"
        return TrustProblem(message, f"keep it where only {self.rules.name} may write")

    def _mode_problem(
        self, descriptor: int, file_stat: os.stat_result, path: str, *, is_strict: bool = False
    ) -> TrustProblem | None:
        if not file_stat.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
            return None
        if not file_stat.st_mode & self.rules.writers(file_stat.st_uid):
            return self._acl_problem(descriptor, file_stat, path)
        if (_is_sticky(file_stat) and not is_strict) or self.is_read_only(descriptor, file_stat):
            return None
        writers = "everybody" if file_stat.st_mode & stat.S_IWOTH else "its group"
        message = f"`{path}` may be written by {writers} (mode {stat.S_IMODE(file_stat.st_mode):04o})"
        return TrustProblem(message, self._fix_by_chmod(descriptor, file_stat, path))

    def _acl_problem(self, descriptor: int, file_stat: os.stat_result, path: str) -> TrustProblem | None:
        """Judge the access control list. If a file has one, the group bits of its mode are the mask of the list."""
        groups = {0, os.getegid(), *os.getgroups(), file_stat.st_gid}
        for kind, number in acl.acl_writers(descriptor):
            is_trusted = self.rules.is_trusted(number) if kind == "u" else number in groups
            if is_trusted or self.is_read_only(descriptor, file_stat):
                continue
            name = user_name(number) if kind == "u" else _group_name(number)
            message = f"`{path}` may be written by `{name}` (access control list)"
            drop = f"setfacl -x {kind}:{number} {quoted(path)}"
            if stat.S_ISREG(file_stat.st_mode):
                drop = f"setfacl -b {quoted(path)} && {self.copied(path, file_stat.st_mode & ~0o022)}"
            return TrustProblem(message, f"`{drop}`")
        return None

    def copied(self, path: str, mode: int) -> str:
        """Return the command that replaces a file by a copy of the user that runs the jobs."""
        return copy_hint(path, mode, self.rules.uid)

    def _owner_problem(self, file_stat: os.stat_result, path: str) -> TrustProblem | None:
        if self.rules.is_trusted(file_stat.st_uid):
            return None
        if stat.S_ISREG(file_stat.st_mode):
            command = self.copied(path, file_stat.st_mode & ~self.rules.writers(file_stat.st_uid) | 0o600)
            help_ = f"`{command}`, if its content is what it should be (a copy: the old file may be open elsewhere)"
        else:
            help_ = f"`chown {self.rules.name}: {quoted(path)}`, if its content is what it should be"
        return TrustProblem(self._owner_message(file_stat, path), help_)

    def _owner_message(self, file_stat: os.stat_result, path: str) -> str:
        owner = "root" if self.rules.uid == 0 else f"`{self.rules.name}` or root"
        return f"`{path}` belongs to `{user_name(file_stat.st_uid)}`, not to {owner}"

    def _fix_by_moving(self, file_stat: os.stat_result, path: str) -> str:
        """Return the help for a directory on the way. A home directory must stay that of its user."""
        user = self.rules.name
        elsewhere = f"keep what {user} runs where only {user} may write"
        if _is_home(file_stat, path):
            return elsewhere
        return f"`chown {user}: {quoted(path)}`, if its owner can do without it; else {elsewhere}"

    def _fix_by_chmod(self, descriptor: int, file_stat: os.stat_result, path: str) -> str:
        if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
            return "only this mount of it is read-only: put a copy where nothing but the service's user may write"
        writers = self.rules.writers(file_stat.st_uid)
        if stat.S_ISREG(file_stat.st_mode):
            command = self.copied(path, file_stat.st_mode & ~writers)
            return f"`{command}` (a copy: the old file may be open elsewhere)"
        return f"`chmod {'go-w' if writers & stat.S_IWGRP else 'o-w'} {quoted(path)}`"


def copy_hint(path: str, mode: int, uid: int | None = None) -> str:
    """Return the command that replaces a file by a copy. A stranger may still have the old file open."""
    uid = os.geteuid() if uid is None else uid
    owner = f"-o {user_name(uid)} -g {_group_name(_primary_group(uid))}"
    new = quoted(f"{path}.new")
    return f"install -T {owner} -m {mode & 0o777:o} {quoted(path)} {new} && mv -T {new} {quoted(path)}"


def quoted(path: str) -> str:
    """Quote a path for the shell, so that no command takes it for an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def unreadable(path: str, uid: int) -> TrustProblem:
    """Return why this process may not read a path, and how to give access to the user that runs the jobs.

    The file may hold a password, so the help gives access to no other user.
    """
    at, rights = os.path.realpath(path), "rx" if os.path.isdir(path) else "r"  # noqa: PTH112 - raises nothing
    for parent in reversed(Path(at).parents):
        if not os.access(parent, os.X_OK, effective_ids=True):
            return TrustProblem(f"`{parent}` may not be searched", _admission(str(parent), "x", uid))
    return TrustProblem(f"`{path}` may not be read", _admission(at, rights, uid))


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_home(file_stat: os.stat_result, path: str) -> bool:
    try:
        return pwd.getpwuid(file_stat.st_uid).pw_dir.rstrip("/") == path
    except KeyError:  # a user without an account has no home
        return False


def _admission(path: str, rights: str, uid: int) -> str:
    """Return the command that lets the user that runs the jobs read a file or enter a directory, and no other user.

    No group is let in: that of a user may be one that all users are in. A directory keeps its owner, whose it may be
    for other reasons; a file gets the user as its owner, which it may have by the rules of trust.
    """
    user = user_name(uid)
    if uid != os.geteuid():
        return f"only {user} has to read it: run this as {user}"
    if uid == 0:
        return "the host does not let root in: is it a network file system, or an access rule of the kernel?"
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return f"{user} has to read it"
    if found.st_uid == uid:
        return f"`chmod u+{rights} {quoted(path)}`"
    if stat.S_ISDIR(found.st_mode):
        command = f"setfacl -m u:{user}:{rights} {quoted(path)}"
    else:
        more = "" if found.st_mode & stat.S_IRUSR else f" && chmod u+r {quoted(path)}"
        command = f"chown {user} {quoted(path)}{more}"
    return f"as root: `{command}` lets in `{user}` and no other user"


def _is_sticky(file_stat: os.stat_result) -> bool:
    return bool(stat.S_ISDIR(file_stat.st_mode) and file_stat.st_mode & stat.S_ISVTX)


def _primary_group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return os.getegid()


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
