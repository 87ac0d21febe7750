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
from dataclasses import dataclass, field
from pathlib import Path

from jobscheduler.util import acl
from jobscheduler.util.mounts import FileSystem, file_system_of, is_fuse


@dataclass(frozen=True, slots=True)
class TrustProblem:
    """Why something is not trusted, and the command that mends it."""

    message: str
    help: str


@dataclass(frozen=True, slots=True)
class TrustRules:
    """For whom is judged: the user that runs the jobs. `also` is one that is trusted with what is theirs."""

    uid: int = field(default_factory=os.geteuid)
    trusted_uids: int | None = None

    def is_trusted(self, uid: int | None) -> bool:
        """Tell whether a user may own what is run."""
        return uid in {0, self.uid} or (uid is not None and uid == self.trusted_uids)

    def writers(self, owner: int) -> int:
        """Return the mode bits that let a stranger write: root trusts no group, others trust theirs."""
        is_root = self.uid == 0 and (self.trusted_uids is None or owner != self.trusted_uids)
        return stat.S_IWOTH | (stat.S_IWGRP if is_root else 0)

    @property
    def name(self) -> str:
        """The name of the user that runs the jobs."""
        return user_name(self.uid)


class TrustJudge:
    """Judges what was opened. One judge serves one look: what it learns of a file system it does not ask again."""

    def __init__(self, rules: TrustRules | None = None) -> None:
        """Judge by the rules of the service that this process is, unless they are those of another one."""
        self.rules = rules or TrustRules()
        self._fuse: dict[int, FileSystem | None] = {}
        self._whole: dict[int, bool] = {}

    def check(
        self, descriptor: int, found: os.stat_result, path: str, *, is_strict: bool = False
    ) -> TrustProblem | None:
        """Judge an open file or directory; a sticky directory is judged by what it holds (`entry`).

        Unless `is_strict`: then others may not even put something of their own into the directory.
        """
        return (
            self._is_synthetic(descriptor, found, path)
            or self._owned(found, path)
            or self._writable(descriptor, found, path, is_strict=is_strict)
        )

    def check_step(
        self, descriptor: int, found: os.stat_result, path: str, *, may_group: bool = False, is_strict: bool = False
    ) -> TrustProblem | None:
        """Judge a directory that a path leads through; with `may_group` its group may write it, but others may not.

        Its owner may need it for something else, so the help does not only offer to take it away from them.
        """
        distrust = self._is_synthetic(descriptor, found, path)
        if distrust is None and not self.rules.is_trusted(found.st_uid):
            return TrustProblem(self._is_foreign(found, path), self._fix_by_moving(found, path))
        if distrust is None and not (may_group and not found.st_mode & stat.S_IWOTH):
            distrust = self._writable(descriptor, found, path, is_strict=is_strict)
        return distrust

    def check_entry(
        self, holder: os.stat_result, entry: os.stat_result, descriptor: int, path: str
    ) -> TrustProblem | None:
        """Judge what a directory holds: where others may write, it must belong to a trusted user."""
        is_closed = not holder.st_mode & self.rules.writers(holder.st_uid)
        if self.rules.is_trusted(entry.st_uid) or is_closed or self.is_read_only(descriptor, holder):
            return None
        who = "everybody" if holder.st_mode & stat.S_IWOTH else "its group"
        message = f"`{path}` belongs to `{user_name(entry.st_uid)}` and stands in a directory that {who} may write"
        help_ = f"`chown -h {self.rules.name}: {quoted(path)}`, if it is what it should be"
        return TrustProblem(message, help_)

    def is_read_only(self, descriptor: int, found: os.stat_result) -> bool:
        """Tell whether no process can write the file system of an open file, through whichever mount."""
        known = self._whole.get(found.st_dev)
        if known is None:
            file_system = file_system_of(descriptor)
            known = self._whole[found.st_dev] = file_system is not None and file_system.is_read_only
        return known

    def _is_synthetic(self, descriptor: int, found: os.stat_result, path: str) -> TrustProblem | None:
        """Refuse files of a FUSE file system whose server is a stranger's: owner and mode are what that says."""
        if found.st_dev not in self._fuse:
            self._fuse[found.st_dev] = (file_system_of(descriptor) or FileSystem()) if is_fuse(descriptor) else None
        file_system = self._fuse[found.st_dev]
        if file_system is None or self.rules.is_trusted(file_system.mounted_by):
            return None
        user = "another user" if file_system.mounted_by is None else f"`{user_name(file_system.mounted_by)}`"
        message = f"`{path}` lies on a file system that {user} mounted and can make up (FUSE)"
        return TrustProblem(message, f"keep it where only {self.rules.name} may write")

    def _writable(
        self, descriptor: int, found: os.stat_result, path: str, *, is_strict: bool = False
    ) -> TrustProblem | None:
        if not found.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
            return None
        if not found.st_mode & self.rules.writers(found.st_uid):
            return self._listed(descriptor, found, path)
        if (_is_sticky(found) and not is_strict) or self.is_read_only(descriptor, found):
            return None
        who = "everybody" if found.st_mode & stat.S_IWOTH else "its group"
        message = f"`{path}` may be written by {who} (mode {stat.S_IMODE(found.st_mode):04o})"
        return TrustProblem(message, self._fix_by_chmod(descriptor, found, path))

    def _listed(self, descriptor: int, found: os.stat_result, path: str) -> TrustProblem | None:
        """Judge the access control list; without one the group's bits are the group's, else they are its mask."""
        groups = {0, os.getegid(), *os.getgroups(), found.st_gid}
        for kind, number in acl.acl_writers(descriptor):
            is_trusted = self.rules.is_trusted(number) if kind == "u" else number in groups
            if is_trusted or self.is_read_only(descriptor, found):
                continue
            name = user_name(number) if kind == "u" else _group_of(number)
            message = f"`{path}` may be written by `{name}` (access control list)"
            drop = f"setfacl -x {kind}:{number} {quoted(path)}"
            if stat.S_ISREG(found.st_mode):
                drop = f"setfacl -b {quoted(path)} && {self.copied(path, found.st_mode & ~0o022)}"
            return TrustProblem(message, f"`{drop}`")
        return None

    def copied(self, path: str, mode: int) -> str:
        """Return the command that puts a copy, for the user that runs the jobs, in the place of a file."""
        return copy_hint(path, mode, self.rules.uid)

    def _owned(self, found: os.stat_result, path: str) -> TrustProblem | None:
        if self.rules.is_trusted(found.st_uid):
            return None
        if stat.S_ISREG(found.st_mode):
            command = self.copied(path, found.st_mode & ~self.rules.writers(found.st_uid) | 0o600)
            help_ = f"`{command}`, if its content is what it should be (a copy: the old file may be open elsewhere)"
        else:
            help_ = f"`chown {self.rules.name}: {quoted(path)}`, if its content is what it should be"
        return TrustProblem(self._is_foreign(found, path), help_)

    def _is_foreign(self, found: os.stat_result, path: str) -> str:
        owner = "root" if self.rules.uid == 0 else f"`{self.rules.name}` or root"
        return f"`{path}` belongs to `{user_name(found.st_uid)}`, not to {owner}"

    def _fix_by_moving(self, found: os.stat_result, path: str) -> str:
        """Offer what mends a directory on the way; a user's home stays theirs."""
        user = self.rules.name
        elsewhere = f"keep what {user} runs where only {user} may write"
        if _is_home(found, path):
            return elsewhere
        return f"`chown {user}: {quoted(path)}`, if its owner can do without it; else {elsewhere}"

    def _fix_by_chmod(self, descriptor: int, found: os.stat_result, path: str) -> str:
        if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
            return "only this mount of it is read-only: put a copy where nothing but the service's user may write"
        writers = self.rules.writers(found.st_uid)
        if stat.S_ISREG(found.st_mode):
            command = self.copied(path, found.st_mode & ~writers)
            return f"`{command}` (a copy: the old file may be open elsewhere)"
        return f"`chmod {'go-w' if writers & stat.S_IWGRP else 'o-w'} {quoted(path)}`"


def copy_hint(path: str, mode: int, uid: int | None = None) -> str:
    """Return the command that puts a copy in the place of a file: a stranger may still have the old one open."""
    uid = os.geteuid() if uid is None else uid
    owner = f"-o {user_name(uid)} -g {_group_of(_gid(uid))}"
    new = quoted(f"{path}.new")
    return f"install -T {owner} -m {mode & 0o777:o} {quoted(path)} {new} && mv -T {new} {quoted(path)}"


def quoted(path: str) -> str:
    """Quote a path for the shell, so that no command takes it for an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def unreadable(path: str, uid: int) -> TrustProblem:
    """Say why this process was denied a path, and how the user that runs the jobs may be let in.

    What is closed may hold a password, so that the help opens it to no others, and not to a process of another user.
    """
    at, rights = os.path.realpath(path), "rx" if os.path.isdir(path) else "r"  # noqa: PTH112 - raises nothing
    for parent in reversed(Path(at).parents):
        if not os.access(parent, os.X_OK, effective_ids=True):
            return TrustProblem(f"`{parent}` may not be searched", _allowed_groups(str(parent), "x", uid))
    return TrustProblem(f"`{path}` may not be read", _allowed_groups(at, rights, uid))


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_home(found: os.stat_result, path: str) -> bool:
    try:
        return pwd.getpwuid(found.st_uid).pw_dir.rstrip("/") == path
    except KeyError:
        return False


def _allowed_groups(path: str, rights: str, uid: int) -> str:
    """Return the command that lets the group of the service's user in."""
    if uid != os.geteuid():
        return f"only {user_name(uid)} has to read it: run this as {user_name(uid)}"
    if uid == 0:
        return "the host does not let root in: is it a network file system, or an access rule of the kernel?"
    group = _group_of(_gid(uid))
    return (
        f"`chgrp {group} {quoted(path)} && chmod g+{rights} {quoted(path)}` lets in the group `{group}` and no others"
    )


def _is_sticky(found: os.stat_result) -> bool:
    return bool(stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)


def _gid(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return os.getegid()


def _group_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
