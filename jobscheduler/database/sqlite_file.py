"""Check where an SQLite file lies. SQLite trusts the files beside it, so no other user may put any there.

The next process that opens the database applies its journal (`FILE-journal`, `FILE-wal`), whose content then becomes
jobs. A sticky directory does not protect: any user may add a file to it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from jobscheduler.util.path_walk import PathStep, PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustProblem, quoted

_BESIDE = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class TrustedFile:
    """The real path of a file, without links, and its identity; None if the file does not exist yet."""

    path: str
    identity: tuple[int, int] | None
    problem: TrustProblem | None


def check_file(file: str) -> TrustedFile:
    """Check the path to an SQLite file, the file, and what SQLite may find beside it.

    Raises:
        OSError: there is no such file, or it cannot be inspected.

    """
    judge = TrustJudge()
    with PathWalk(judge, is_strict=True) as walk:
        end = walk.walk(absolute_path(file))
        problem = (
            walk.problem or judge.check(end.descriptor, end.stat, end.path) or _neighbour_problem(judge, walk, end)
        )
        return TrustedFile(end.path, (end.stat.st_dev, end.stat.st_ino), problem)


def check_new_file(file: str) -> TrustedFile:
    """Check where an SQLite file is to be created; check an existing one as `check_file` does.

    Raises:
        OSError: its directory is missing or cannot be inspected, or a link of its name leads nowhere.

    """
    if os.path.lexists(file):
        return check_file(file)
    folder, name = os.path.split(absolute_path(file))
    judge = TrustJudge()
    with PathWalk(judge) as walk:
        end = walk.walk(folder, is_directory=True)
        walk.keep_open(end, is_strict=True)
        path = f"{end.path.rstrip('/')}/{name}"
        return TrustedFile(path, None, walk.problem or _neighbour_problem(judge, walk, PathStep(-1, end.stat, path)))


def _neighbour_problem(judge: TrustJudge, walk: PathWalk, file: PathStep) -> TrustProblem | None:
    """Check the files that SQLite reads on its own.

    One may date from before the directory was closed to other users.
    """
    folder = walk.steps[-1] if file.descriptor < 0 else walk.steps[-2]
    for suffix in _BESIDE:
        path = file.path + suffix
        try:
            status = os.stat(os.path.basename(path), dir_fd=folder.descriptor, follow_symlinks=False)  # noqa: PTH119
        except FileNotFoundError:  # most databases have not all of them
            continue
        is_closed = not status.st_mode & judge.rules.writers(status.st_uid)
        is_closed = is_closed or judge.is_read_only(folder.descriptor, folder.stat)
        if stat.S_ISREG(status.st_mode) and judge.rules.is_trusted(status.st_uid) and is_closed:
            continue
        message = f"`{path}` is not what SQLite left there, or may be written by others, and SQLite would play it back"
        return TrustProblem(message, f"`rm {quoted(path)}`, if no other program uses the database")
    return None
