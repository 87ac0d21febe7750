"""The head of a request, bounded as a whole: the standard library bounds each line and the number of headers only."""

from __future__ import annotations

import io
from io import BufferedIOBase

MAX_HEAD_BYTES = 16 * 1024  # the request line and all headers together


class HeadTooLong(Exception):
    """A request whose head has more than `MAX_HEAD_BYTES`."""


class BoundedHead(io.BufferedIOBase):
    """A request as it arrives. The application needs nothing but the head, so only lines can be read."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = MAX_HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line.

        Raises:
            HeadTooLong: the lines so far and this one are too long together.

        """
        most = self._left + 1
        line = self._file.readline(most if size is None or size < 0 else min(size, most))
        self._left -= len(line)
        if self._left < 0:
            raise HeadTooLong
        return line

    def close(self) -> None:
        """Close what it reads from."""
        self._file.close()
