"""Read the files of a log: in which order, how they are opened, and their lines from the end backwards.

All readers of the log begin here. They differ in when files are opened:

- A start reads back from the end, mostly within the newest file, while no other process may rotate the log. It opens
  one file after the other (`open_in_turn`): a file that is not needed need not be readable.
- A query runs while the service writes and rotates. It opens all files together (`open_together`): so no file is left
  out or read twice.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jobscheduler.runlog.blocks import blocks_reversed, lines_of, lines_with
from jobscheduler.runlog.file_names import log_files

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_TRIES = 5  # to open all files between two rotations

File = tuple[int, int]  # a descriptor, and how many bytes of it to read


def open_in_turn(paths: Iterable[Path]) -> Iterator[File]:
    """Yield each file that exists, open until the next is asked for.

    Raises:
        OSError: a file exists and cannot be read.

    """
    for path in paths:
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:  # fewer files than may be kept, or one that was just rotated
            continue
        try:
            yield descriptor, os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)


@contextmanager
def open_together(path: Path, backups: int) -> Iterator[list[File]]:
    """Hold every file of the log open, the newest first. A file that is rotated or removed later is still read.

    If the newest file has changed meanwhile, all are opened again.

    Raises:
        OSError: a file exists and cannot be read.

    """
    for tries_left in reversed(range(_TRIES)):
        with ExitStack() as stack:
            files = dict(_open_once(log_files(path, backups), stack))
            if not tries_left or _identity_at(path) in {next(iter(files), None), None}:
                yield [(descriptor, os.fstat(descriptor).st_size) for descriptor in files.values()]
                return


def _open_once(paths: Iterable[Path], stack: ExitStack) -> Iterator[tuple[tuple[int, int], int]]:
    """Open each file once: a file that is rotated meanwhile appears again under the next name."""
    known = set()
    for path in paths:
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:  # fewer files than may be kept, or one that was just rotated
            continue
        stack.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if (identity := (status.st_dev, status.st_ino)) not in known:
            known.add(identity)
            yield identity, descriptor


def _identity_at(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:  # it was just rotated
        return None
    return status.st_dev, status.st_ino


def blocks_newest_first(files: Iterable[File]) -> Iterator[bytes]:
    """Yield blocks of whole lines, from the end of the log backwards."""
    for file in files:
        yield from blocks_reversed(*file)


def lines_newest_first(files: Iterable[File], needles: Sequence[bytes] = ()) -> Iterator[bytes]:
    """Yield the complete lines, the last one first; with needles only the lines that contain one of them.

    A last line without its end was truncated by a crash, and is left out.
    """
    for block in blocks_newest_first(files):
        yield from reversed(lines_with(needles, block) if needles else lines_of(block))


def mentions(paths: Iterable[Path], word: str) -> bool:
    """Return whether a word occurs in any of these files: otherwise their lines need not be parsed for it.

    Raises:
        OSError: a file exists and cannot be read.

    """
    return any(_file_mentions(path, word) for path in paths)


def _file_mentions(path: Path, word: str) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.rfind(word.encode()) >= 0
    except (FileNotFoundError, ValueError):  # an empty file cannot be mapped
        return False
