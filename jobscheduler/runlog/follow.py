"""Follow a log as it is written, from one file to the next when it is rotated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from jobscheduler.runlog.file_names import log_files

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_BLOCK_BYTES = 256 * 1024

_Identity = tuple[int, int]


class LogFollower:
    """Reads the lines that are added to a log after it was made. Close it.

    1. What the open file still gets is read first, also after it was renamed.
    2. Then come the files that are newer than it, up to the one that has the log's name now.
    3. A file that became shorter is read from its beginning.
    """

    def __init__(self, path: Path, backups: int) -> None:
        self._path, self._backups = path, backups
        self._descriptor = _opened(path)
        self._offset = 0 if self._descriptor is None else _end_of_last_line(self._descriptor)
        self._partial = b""

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines that were added since the last call, without their ends.

        Raises:
            OSError: the file cannot be read.

        """
        yield from self._rest()
        for path in self._newer():
            yield from self._rest()  # what was written before the rename, and after the first look
            self._open(path)
            yield from self._rest()

    def _rest(self) -> Iterator[bytes]:
        while data := self._read():
            *complete, self._partial = (self._partial + data).split(b"\n")
            yield from complete

    def _read(self) -> bytes:
        if self._descriptor is None:
            return b""
        if os.fstat(self._descriptor).st_size < self._offset:
            self._offset, self._partial = 0, b""
        data = os.pread(self._descriptor, _BLOCK_BYTES, self._offset)
        self._offset += len(data)
        return data

    def _newer(self) -> list[Path]:
        """Return the files that are newer than the open one, the oldest first; none if it has the log's name."""
        newer: list[Path] = []
        ours = None if self._descriptor is None else _identity(os.fstat(self._descriptor))
        for path in log_files(self._path, self._backups):
            with suppress(FileNotFoundError):
                if _identity(path.stat()) == ours:
                    return newer[::-1]
                newer.append(path)
        return newer[:1]  # the open file is gone: what lies between cannot be known from what was read

    def _open(self, path: Path) -> None:
        descriptor = _opened(path)
        if descriptor is not None:
            self.close()
            self._descriptor, self._offset, self._partial = descriptor, 0, b""


def _opened(path: Path) -> int | None:
    """Return a descriptor of a file; None if there is none at present."""
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _end_of_last_line(descriptor: int) -> int:
    """Return the offset after the last complete line, within the last block."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - _BLOCK_BYTES)
    return start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1
