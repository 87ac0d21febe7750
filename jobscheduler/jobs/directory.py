"""A directory of `*.json` files: one job each, not recursive. `open_directory` reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobscheduler.jobs.directory_errors import directory_unavailable
from jobscheduler.jobs.directory_identity import Identity, directory_identity
from jobscheduler.jobs.open_directory import DirectoryState, OpenDirectory, is_job_file
from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.util.path_walk import PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustRules


class DirectorySource:
    """The jobs directory, under the path that the user gave. The path may be a link, and may come to mean another."""

    kind = "directory"
    noun = "file"
    prefix = ""
    is_atomic = False

    def __init__(self, path: Path, rules: TrustRules | None = None, *, is_lenient: bool = False) -> None:
        """Judge trust by `rules`. A lenient source also reads what is not trusted, and reports the problem with it."""
        self.path = path
        self.rules = rules or TrustRules()
        self._state = DirectoryState(path, self.rules, is_lenient)

    def __str__(self) -> str:
        """Return the absolute path."""
        return str(self.path.absolute())

    @contextmanager
    def open(self) -> Iterator[OpenDirectory]:
        """Open the directory for one sync.

        Raises:
            SourceUnavailable: it does not exist, is not a directory, may not be read, or a stranger may write on the
                way to it.

        """
        judge = TrustJudge(self.rules)
        with PathWalk(judge) as walk:
            descriptor = self._open(walk, judge)
            try:
                yield OpenDirectory(self._state, descriptor, walk, judge)
            finally:
                os.close(descriptor)

    def identity(self) -> Identity:
        """Return the identity of the directory that the path means now.

        Raises:
            SourceUnavailable: there is none, or it may not be read.

        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise directory_unavailable(self.path, error, self.rules.uid) from None
        try:
            return directory_identity(descriptor)
        finally:
            os.close(descriptor)

    def is_relevant(self, name: str) -> bool:
        """Return whether a name in the directory matters: a job file, or part of the way that a linked one takes."""
        return is_job_file(name) or name in self._state.link_names

    def _open(self, walk: PathWalk, judge: TrustJudge) -> int:
        """Walk to the directory, judge it and every step of the way, and return a descriptor to list it with."""
        try:
            end = walk.walk(absolute_path(self.path), is_directory=True)
            name = end.path if walk.links else str(self.path)
            walk.problem = walk.problem or judge.check(end.descriptor, end.stat, name)
            if walk.problem is None or self._state.is_lenient:
                return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=end.descriptor)
        except OSError as error:
            raise directory_unavailable(self.path, error, self.rules.uid) from None
        raise SourceUnavailable(walk.problem.message, walk.problem.help)
