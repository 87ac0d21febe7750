"""The lines of some names in the whole log, from its end backwards: few among many, and found by their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jobscheduler.model.log_line import Line
from jobscheduler.runlog.file_names import log_files
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.reader import lines_newest_first, mentions, open_in_turn


def named_lines(path: Path, backups: int, name: str, *others: str) -> Iterator[Line]:
    """Yield the lines of these names, the newest first; none if the log does not have the first name.

    Raises:
        OSError: a file exists and cannot be read.

    """
    files, names = log_files(path, backups), (name, *others)
    if not mentions(files, name):
        return
    for raw in lines_newest_first(open_in_turn(files), [one.encode() for one in names]):
        line = parse_line(raw)
        if line is not None and line["word"] in names:
            yield line
