"""Where an SQLite file may stand: SQLite believes what lies beside it, so that no other user may put anything there.

A journal (`FILE-journal`, `FILE-wal`) is played back into the file by the next process that opens it, and whatever it
holds are then jobs. A sticky directory does not help: anyone may add a file to that.
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
    """Where a file really is, without links, and which file that is; none if it has yet to be made."""

    path: str
    identity: tuple[int, int] | None
    problem: TrustProblem | None


def check_file(file: str) -> TrustedFile:
    """Judge the way to an SQLite file, the file, and what SQLite may find beside it.

    Raises:
        OSError: there is no such file, or it cannot be looked at.

    """
    judge = TrustJudge()
    with PathWalk(judge, is_strict=True) as way:
        end = way.walk(absolute_path(file))
        distrust = way.problem or judge.check(end.descriptor, end.stat, end.path) or _neighbour_problem(judge, way, end)
        return TrustedFile(end.path, (end.stat.st_dev, end.stat.st_ino), distrust)


def check_new_file(file: str) -> TrustedFile:
    """Judge where an SQLite file is to be made; one that is there is judged as `place_of` does.

    Raises:
        OSError: its directory is not there, or cannot be looked at, or a link of its name leads nowhere.

    """
    if os.path.lexists(file):
        return check_file(file)
    folder, name = os.path.split(absolute_path(file))
    judge = TrustJudge()
    with PathWalk(judge) as way:
        end = way.walk(folder, is_directory=True)
        way.keep_open(end, is_strict=True)
        path = f"{end.path.rstrip('/')}/{name}"
        return TrustedFile(path, None, way.problem or _neighbour_problem(judge, way, PathStep(-1, end.stat, path)))


def _neighbour_problem(judge: TrustJudge, way: PathWalk, file: PathStep) -> TrustProblem | None:
    """Judge the files that SQLite reads without being asked; also one from before the directory was closed."""
    folder = way.steps[-1] if file.descriptor < 0 else way.steps[-2]
    for suffix in _BESIDE:
        path = file.path + suffix
        try:
            found = os.stat(os.path.basename(path), dir_fd=folder.descriptor, follow_symlinks=False)  # noqa: PTH119
        except FileNotFoundError:
            continue
        is_closed = not found.st_mode & judge.rules.writers(found.st_uid)
        is_closed = is_closed or judge.is_read_only(folder.descriptor, folder.stat)
        if stat.S_ISREG(found.st_mode) and judge.rules.is_trusted(found.st_uid) and is_closed:
            continue
        message = f"`{path}` is not what SQLite left there, or may be written by others, and SQLite would play it back"
        return TrustProblem(message, f"`rm {quoted(path)}`, if no other program uses the database")
    return None
