"""The way to a file or directory, opened component by component, so that what was judged is what is read.

1. Each component is opened in the directory before it (`openat` with O_NOFOLLOW), for no more than telling what it is.
2. A link is read through its descriptor, and the way goes on where it leads. `..` goes back along what was opened.
3. Each directory in which a component was looked up is judged, and what stands in one that others may write.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from jobscheduler.util.trust import TrustJudge, TrustProblem

MAX_LINKS = 40
"""How many links in a row are followed; the kernel stops there, too."""

_ANY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class PathStep:
    """A file or directory that was opened: its descriptor, what that told, and its path without links."""

    descriptor: int
    stat: os.stat_result
    path: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link on the way: the directory that holds it, its name there, and when it was made (seconds)."""

    holder: int
    name: str
    path: str
    changed_at: float


class PathWalk:
    """All that a path leads through. A context manager: leaving it closes what was opened.

    `verdict` is the first reason for distrust on the way; the end of the way is not part of it.
    """

    def __init__(
        self, judge: TrustJudge, above: Sequence[PathStep] = (), *, may_group: bool = False, is_strict: bool = False
    ) -> None:
        """Start below `above`, which was judged, else at the root. `may_group` and `is_strict` as for `Judge.way`.

        `is_strict` is about the directory of the end only.
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        while self._opened:
            os.close(self._opened.pop())

    def walk(self, path: str, *, is_directory: bool = False) -> PathStep:
        """Walk along a path, which is relative to where the way is now unless it is absolute; return its end.

        Raises:
            OSError: something on it is not there, or may not be looked up, or links lead in a circle.

        """
        rest = path.split("/")
        if path.startswith("/") or not self.steps:
            self._go_to_root()
        while rest:
            part = rest.pop(0)
            if part == "..":
                self._go_up()
            elif part not in {"", "."}:
                is_last = not any(rest) and not is_directory
                rest[:0] = self._enter(part, is_last=is_last, is_strict=self._is_strict and not any(rest))
        return self.steps[-1]

    def keep_open(self, step: PathStep, *, is_strict: bool = False) -> None:
        """Judge a directory in which something is looked up or made, once."""
        if self.problem is None and (step.descriptor not in self._judged or is_strict):
            self._judged.add(step.descriptor)
            self.problem = self._judge.check_step(
                step.descriptor,
                step.stat,
                step.path,
                may_group=self._group_may_write and not is_strict,
                is_strict=is_strict,
            )

    def _enter(self, part: str, *, is_last: bool, is_strict: bool) -> list[str]:
        """Open a component where the way is now; return what is to be walked instead of it if it is a link."""
        here = self.steps[-1]
        self.keep_open(here)
        step = self._open(here, part, is_last=is_last)
        is_link = stat.S_ISLNK(step.stat.st_mode)
        if is_strict and not is_link:
            self.keep_open(here, is_strict=True)
        self.problem = self.problem or self._judge.check_entry(here.stat, step.stat, here.descriptor, step.path)
        if not is_link:
            self.steps.append(step)
            return []
        self.links.append(Link(here.descriptor, part, step.path, step.stat.st_ctime))
        if len(self.links) > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), step.path)
        target = os.readlink("", dir_fd=step.descriptor)
        if target.startswith("/"):
            self._go_to_root()
        return target.split("/")

    def _open(self, here: PathStep, part: str, *, is_last: bool) -> PathStep:
        """Open a component; one in the middle as a directory if it is one, which has it mounted on demand."""
        path = f"{here.path.rstrip('/')}/{part}"
        try:
            flags = _ANY if is_last else _ANY | os.O_DIRECTORY
            descriptor = os.open(part, flags, dir_fd=here.descriptor)
        except OSError as error:
            if is_last or error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            descriptor = os.open(part, _ANY, dir_fd=here.descriptor)
        self._opened.append(descriptor)
        return PathStep(descriptor, os.fstat(descriptor), path)

    def _go_up(self) -> None:
        if len(self.steps) > 1:
            self.steps.pop()

    def _go_to_root(self) -> None:
        if self.steps:
            del self.steps[1:]
            return
        descriptor = os.open("/", _ANY | os.O_DIRECTORY)
        self._opened.append(descriptor)
        self.steps.append(PathStep(descriptor, os.fstat(descriptor), "/"))


def absolute_path(path: str | os.PathLike[str]) -> str:
    """Return a path as it is walked from the root; nothing in it is normalised, since links may be on the way."""
    text = os.fspath(path)
    return text if text.startswith("/") else os.path.join(os.getcwd(), text)  # noqa: PTH109, PTH118


def is_missing(path: str | os.PathLike[str]) -> bool:
    """Tell whether nothing stands under a name; not so if this process merely may not look."""
    try:
        os.stat(path)  # noqa: PTH116 - as it was given
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
