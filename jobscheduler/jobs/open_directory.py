"""The jobs directory while a sync reads it.

Everything is checked on what was opened, never on a name that may mean something else a moment later. The directory is
opened once for a sync, files are opened in it, and type and size are those of the open file.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from jobscheduler.jobs.directory_errors import describe_file_type, directory_unavailable
from jobscheduler.jobs.directory_identity import Identity, directory_identity
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Fingerprint, Problem
from jobscheduler.util.path_walk import PathStep, PathWalk, is_open
from jobscheduler.util.trust import TrustJudge, TrustProblem, TrustRules, unreadable

MAX_FILE_BYTES = 1024 * 1024  # larger files are refused unread
MTIME_GRANULARITY_S = 0.1  # a file changed less than this before it was read may change again with the same times

UNREADABLE_FINGERPRINT: Fingerprint = (0,)  # of a name whose state the kernel does not tell
HUNG_FINGERPRINT: Fingerprint = (-1,)  # of a file that does not answer

_PIN = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

fingerprint_of: Callable[[os.stat_result], Fingerprint] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_uid", "st_gid"
)
"""Reduce a stat result to what changes whenever content, owner or mode change."""


def is_job_file(name: str) -> bool:
    """Return whether a name in the directory is that of a job file."""
    return name[-5:] == ".json" and name[0] != "."


@dataclass(slots=True)
class DirectoryState:
    """What a directory source knows from one sync to the next: the directory last listed, names that links lead over.

    `link_names` are names in the directory that are not job files themselves.
    """

    path: Path
    rules: TrustRules
    is_lenient: bool
    listed: Identity | None = None
    link_names: frozenset[str] = frozenset()


class OpenDirectory:
    """The directory, open for one sync (a `SourceView`).

    `current` is the file whose state `list_items` is asking for, empty before and after.
    """

    def __init__(self, state: DirectoryState, descriptor: int, walk: PathWalk, judge: TrustJudge) -> None:
        self._state = state
        self._path = str(state.path)
        self._descriptor = descriptor
        self._walk = walk
        self._judge = judge
        self._is_open = is_open(walk.steps)
        self.trust_problem = walk.problem
        self._identity = directory_identity(descriptor)
        self.current = ""
        self.is_abandoned = False

    def abandon(self) -> None:
        """Have listing and reading end at the next file. Thread: any."""
        self.is_abandoned = True

    def is_same_place(self) -> bool:
        """Return whether this is the directory that was last listed."""
        return self._identity == self._state.listed

    def entry(self, name: str) -> os.stat_result | None:
        """Return the state of the entry with this name, without following a link; None if there is none."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None

    def target(self, name: str) -> str | None:
        """Return the text of a symbolic link; None if it is not one."""
        try:
            return os.readlink(name, dir_fd=self._descriptor)
        except OSError:
            return None

    def list_items(self, is_skipped: Callable[[str], bool] | None = None) -> dict[str, Fingerprint]:
        """Return the fingerprints of all job files. Skipped files are not asked: they do not answer.

        Raises:
            SourceUnavailable: the directory could not be read to its end, was deleted meanwhile, or is empty and not
                the one last read. An unmounted file system leaves such a directory behind.

        """
        try:
            names = list(filter(is_job_file, os.listdir(self._descriptor)))  # noqa: PTH208 - of a descriptor
            skipped = [] if is_skipped is None else [name for name in names if is_skipped(name)]
            fingerprints = self._fingerprints(set(names).difference(skipped) if skipped else names)
            fingerprints.update(dict.fromkeys(skipped, HUNG_FINGERPRINT))
            is_deleted = os.fstat(self._descriptor).st_nlink == 0
        except OSError as error:
            raise directory_unavailable(self._state.path, error, self._state.rules.uid) from None
        if not fingerprints and (is_deleted or self._state.listed not in {None, self._identity}):
            raise SourceUnavailable(
                f"`{self._state.path}` is now another directory and empty",
                "is a file system not mounted? If it is meant to be empty, restart the service",
            )
        self._state.listed = self._identity
        return fingerprints

    def _fingerprints(self, names: Iterable[str]) -> dict[str, Fingerprint]:
        """Ask for the state of each file. This is most of what an idle service does, so it is one plain loop."""
        fingerprints: dict[str, Fingerprint] = {}
        stat_file, descriptor = os.stat, self._descriptor
        for name in names:
            self.current = name
            if self.is_abandoned:
                raise SourceUnavailable(f"reading `{self._state.path}` was given up")
            try:
                fingerprints[name] = fingerprint_of(stat_file(name, dir_fd=descriptor))
            except OSError:
                fingerprints[name] = UNREADABLE_FINGERPRINT
        self.current = ""
        return fingerprints

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        """Read these files one after the other."""
        return map(self.read, names)

    def read(self, name: str) -> ReadResult:
        """Read one file. Never blocks on a FIFO and never opens a device.

        The name is looked up once, for a descriptor that can only tell the state of the file. That state is judged,
        and that very file is then opened, whatever the name means by now. A link is walked in the same way.

        Raises:
            SourceUnavailable: the directory went away, so nothing is known about the file.

        """
        try:
            pinned = os.open(name, _PIN, dir_fd=self._descriptor)
        except OSError as error:
            return self._unreadable(name, error)
        try:
            file_stat = os.fstat(pinned)
            if stat.S_ISLNK(file_stat.st_mode):
                return self._read_linked(name)
            return self._read_pinned(name, pinned, file_stat, os.path.join(self._path, name))  # noqa: PTH118 - runs often
        except OSError as error:
            return self._unreadable(name, error)
        finally:
            os.close(pinned)

    def _read_linked(self, name: str) -> ReadResult:
        """Read the file that a link leads to. It is as new as the newest link on the way, which chose the file."""
        with PathWalk(self._judge, self._walk.steps) as walk:
            directory = walk.steps[-1].descriptor
            end = walk.walk(name)
            self._state.link_names |= {link.name for link in walk.links if link.holder == directory}
            newest = max((link.changed_at for link in walk.links), default=0.0)
            return self._read_pinned(name, end.descriptor, end.stat, end.path, walk.problem, newest, walk.steps[:-1])

    def _read_pinned(
        self,
        name: str,
        pinned: int,
        file_stat: os.stat_result,
        path: str,
        untrusted: TrustProblem | None = None,
        linked_at: float = 0.0,
        steps: Sequence[PathStep] | None = None,
    ) -> ReadResult:
        if not stat.S_ISREG(file_stat.st_mode):
            return _refused(name, f"{describe_file_type(file_stat.st_mode)}, not a regular file", file_stat)
        untrusted = untrusted or self._judge.check(pinned, file_stat, path)
        if untrusted is not None and not self._state.is_lenient:
            return _refused(name, untrusted.message, file_stat, untrusted.help, host_dependent=True)
        if file_stat.st_size > MAX_FILE_BYTES:
            help_ = "a job file holds one definition; put data elsewhere"
            return _refused(name, "the file is larger than 1 MiB", file_stat, help_)
        problem = None
        if untrusted is not None:
            problem = Problem(untrusted.message, file=name, help=untrusted.help, host_dependent=True)
        is_reachable = self._is_open if steps is None else is_open(steps)
        is_public = file_stat.st_mode & stat.S_IROTH and is_reachable
        return ReadResult(
            name,
            fingerprint_of(file_stat),
            _content(pinned),
            problem,
            max(file_stat.st_ctime, linked_at),
            reread=time.time() - file_stat.st_ctime < MTIME_GRANULARITY_S,
            public_path=os.path.join(self._path, name) if is_public else None,  # noqa: PTH118 - runs often
        )

    def _unreadable(self, name: str, error: OSError) -> ReadResult:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return self._missing(name)
        file_stat = self._stat(name)
        if error.errno in {errno.EACCES, errno.EPERM}:
            path = os.path.join(self._state.path, name)  # noqa: PTH118 - not to be normalised
            denied = unreadable(path, self._state.rules.uid)
            return _refused(name, denied.message, file_stat, denied.help, host_dependent=True)
        if error.errno == errno.ELOOP:
            return self._broken_link(name, "the symbolic link is circular")
        reason = os.strerror(error.errno or 0).lower()
        return _refused(name, f"the file cannot be read: {reason}", file_stat, host_dependent=True)

    def _missing(self, name: str) -> ReadResult:
        if self.entry(name) is not None:
            return self._broken_link(name, "the symbolic link points to nothing")
        if os.fstat(self._descriptor).st_nlink == 0:
            raise SourceUnavailable(f"`{self._state.path}` has been deleted") from None
        return ReadResult(name)

    def _broken_link(self, name: str, message: str) -> ReadResult:
        """Return the problem with a link that leads nowhere. It is as old as the link itself."""
        problem = Problem(message, file=name, host_dependent=True)
        entry = self.entry(name)
        changed_at = time.time() if entry is None else entry.st_ctime
        return ReadResult(name, UNREADABLE_FINGERPRINT, problem=problem, modified_at=changed_at)

    def _stat(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor)
        except OSError:  # it was removed, or a link leads nowhere: reading it says which
            return None


def _content(pinned: int) -> bytes:
    """Return the beginning of a file, as much as a job can be. One byte more tells the parser that it is too large."""
    descriptor = os.open(f"/proc/self/fd/{pinned}", _READ)
    try:
        raw = bytearray()
        while len(raw) <= MAX_FILE_BYTES and (part := os.read(descriptor, MAX_FILE_BYTES + 1 - len(raw))):
            raw += part
        return bytes(raw)
    finally:
        os.close(descriptor)


def _refused(
    name: str,
    message: str,
    file_stat: os.stat_result | None,
    help: str | None = None,  # noqa: A002 - the word under which it is shown
    *,
    host_dependent: bool = False,
) -> ReadResult:
    """Return the problem with a file that must not be read. A file of unknown state counts as quite new."""
    problem = Problem(message, file=name, help=help, host_dependent=host_dependent)
    if file_stat is None:
        return ReadResult(name, UNREADABLE_FINGERPRINT, problem=problem, modified_at=time.time())
    return ReadResult(name, fingerprint_of(file_stat), problem=problem, modified_at=file_stat.st_ctime)
