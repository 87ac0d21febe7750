"""Where an SQLite file may stand: SQLite believes what lies beside it, so that no other user may put anything there.

A journal (`FILE-journal`, `FILE-wal`) is played back into the file by the next process that opens it, and whatever it
holds are then jobs. A sticky directory does not help: anyone may add a file to that.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from jobscheduler.util.path_walk import Step, Way, absolute
from jobscheduler.util.trust import Distrust, Judge, quoted

_BESIDE = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file really is, without links, and which file that is; none if it has yet to be made."""

    path: str
    identity: tuple[int, int] | None
    distrust: Distrust | None


def place_of(file: str) -> Place:
    """Judge the way to an SQLite file, the file, and what SQLite may find beside it.

    Raises:
        OSError: there is no such file, or it cannot be looked at.

    """
    judge = Judge()
    with Way(judge, is_strict=True) as way:
        end = way.go(absolute(file))
        distrust = way.verdict or judge.judge(end.descriptor, end.found, end.path) or _beside(judge, way, end)
        return Place(end.path, (end.found.st_dev, end.found.st_ino), distrust)


def new_place_of(file: str) -> Place:
    """Judge where an SQLite file is to be made; one that is there is judged as `place_of` does.

    Raises:
        OSError: its directory is not there, or cannot be looked at, or a link of its name leads nowhere.

    """
    if os.path.lexists(file):
        return place_of(file)
    folder, name = os.path.split(absolute(file))
    judge = Judge()
    with Way(judge) as way:
        end = way.go(folder, is_directory=True)
        way.hold(end, is_strict=True)
        path = f"{end.path.rstrip('/')}/{name}"
        return Place(path, None, way.verdict or _beside(judge, way, Step(-1, end.found, path)))


def _beside(judge: Judge, way: Way, file: Step) -> Distrust | None:
    """Judge the files that SQLite reads without being asked; also one from before the directory was closed."""
    folder = way.steps[-1] if file.descriptor < 0 else way.steps[-2]
    for suffix in _BESIDE:
        path = file.path + suffix
        try:
            found = os.stat(os.path.basename(path), dir_fd=folder.descriptor, follow_symlinks=False)  # noqa: PTH119
        except FileNotFoundError:
            continue
        is_closed = not found.st_mode & judge.rules.writers(found.st_uid)
        is_closed = is_closed or judge.is_read_only(folder.descriptor, folder.found)
        if stat.S_ISREG(found.st_mode) and judge.rules.is_trusted(found.st_uid) and is_closed:
            continue
        message = f"`{path}` is not what SQLite left there, or may be written by others, and SQLite would play it back"
        return Distrust(message, f"`rm {quoted(path)}`, if no other program uses the database")
    return None
