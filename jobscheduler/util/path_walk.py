"""Walk along a path component by component, so that what was judged for trust is what is read.

1. Each component is opened in the directory before it (`openat` with O_NOFOLLOW and O_PATH), only to learn its state.
2. A link is read through its descriptor, and the walk goes on at its target. `..` goes back along the open steps.
3. Each directory in which a component was looked up is judged, and so are the entries of one that others may write.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from jobscheduler.util.trust import TrustJudge, TrustProblem

MAX_LINKS = 40  # followed in one walk; the kernel has the same limit

_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class PathStep:
    """An open file or directory: its descriptor, its state, and its path without links."""

    descriptor: int
    stat: os.stat_result
    path: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link on the way: the descriptor of its directory, its name there, its path, and when it was made."""

    holder: int
    name: str
    path: str
    changed_at: float


class PathWalk:
    """The steps of a walk. A context manager: leaving it closes them.

    `problem` is the first problem of trust on the way. The caller judges the end of the way.
    """

    def __init__(
        self, judge: TrustJudge, above: Sequence[PathStep] = (), *, may_group: bool = False, is_strict: bool = False
    ) -> None:
        """Start below `above`, which was judged, else at the root.

        `may_group` and `is_strict` are those of `TrustJudge.check_step`; `is_strict` only for the last directory.
        """
        self.problem: TrustProblem | None = None
        self.links: list[Link] = []
        self._judge = judge
        self._group_may_write = may_group
        self._is_strict = is_strict
        self._opened: list[int] = []
        self._judged = {step.descriptor for step in above}
        self.steps = list(above)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the steps."""
        while self._opened:
            os.close(self._opened.pop())

    def walk(self, path: str, *, is_directory: bool = False) -> PathStep:
        """Walk along a path, from the last step unless it is absolute, and return its end.

        Raises:
            OSError: a component does not exist or may not be looked up, or links lead in a circle.

        """
        components = path.split("/")
        if path.startswith("/") or not self.steps:
            self._go_to_root()
        while components:
            name = components.pop(0)
            if name == "..":
                self._go_up()
            elif name not in {"", "."}:
                is_end = not any(components)
                components[:0] = self._enter(
                    name, is_file=is_end and not is_directory, is_strict=is_end and self._is_strict
                )
        return self.steps[-1]

    def keep_open(self, step: PathStep, *, is_strict: bool = False) -> None:
        """Judge a directory in which an entry is looked up or made, once."""
        if self.problem is None and (step.descriptor not in self._judged or is_strict):
            self._judged.add(step.descriptor)
            self.problem = self._judge.check_step(
                step.descriptor,
                step.stat,
                step.path,
                may_group=self._group_may_write and not is_strict,
                is_strict=is_strict,
            )

    def _enter(self, name: str, *, is_file: bool, is_strict: bool) -> list[str]:
        """Open an entry of the last step; return the components of its target if it is a link."""
        here = self.steps[-1]
        self.keep_open(here)
        step = self._open(here, name, is_file=is_file)
        is_link = stat.S_ISLNK(step.stat.st_mode)
        if is_strict and not is_link:
            self.keep_open(here, is_strict=True)
        self.problem = self.problem or self._judge.check_entry(here.stat, step.stat, here.descriptor, step.path)
        if not is_link:
            self.steps.append(step)
            return []
        self.links.append(Link(here.descriptor, name, step.path, step.stat.st_ctime))
        if len(self.links) > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), step.path)
        target = os.readlink("", dir_fd=step.descriptor)
        if target.startswith("/"):
            self._go_to_root()
        return target.split("/")

    def _open(self, here: PathStep, name: str, *, is_file: bool) -> PathStep:
        """Open an entry. A directory is opened as one, so that an automount is mounted."""
        path = f"{here.path.rstrip('/')}/{name}"
        try:
            flags = _PIN if is_file else _PIN | os.O_DIRECTORY
            descriptor = os.open(name, flags, dir_fd=here.descriptor)
        except OSError as error:
            if is_file or error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            descriptor = os.open(name, _PIN, dir_fd=here.descriptor)
        self._opened.append(descriptor)
        return PathStep(descriptor, os.fstat(descriptor), path)

    def _go_up(self) -> None:
        if len(self.steps) > 1:
            self.steps.pop()

    def _go_to_root(self) -> None:
        if self.steps:
            del self.steps[1:]
            return
        descriptor = os.open("/", _PIN | os.O_DIRECTORY)
        self._opened.append(descriptor)
        self.steps.append(PathStep(descriptor, os.fstat(descriptor), "/"))


def is_public(steps: Sequence[PathStep]) -> bool:
    """Return whether all users may read the file at the end of these steps."""
    *directories, end = steps
    return bool(end.stat.st_mode & stat.S_IROTH) and is_open(directories)


def is_open(directories: Iterable[PathStep]) -> bool:
    """Return whether all users may go through these directories."""
    return all(step.stat.st_mode & stat.S_IXOTH for step in directories)


def absolute_path(path: str | os.PathLike[str]) -> str:
    """Return the absolute path. Nothing in it is normalised, because links may be on the way."""
    text = os.fspath(path)
    return text if text.startswith("/") else os.path.join(os.getcwd(), text)  # noqa: PTH109, PTH118


def is_missing(path: str | os.PathLike[str]) -> bool:
    """Return whether a path does not exist. False if this process may not look it up."""
    try:
        os.stat(path)  # noqa: PTH116 - as it was given
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
