"""Limit the head of a request as a whole. The standard library limits each line and the number of headers only.

The body is read by the handler of the connection, which limits it.
"""

from __future__ import annotations

import io
from io import BufferedIOBase

MAX_HEAD_BYTES = 16 * 1024  # the request line and all headers together


class HeadTooLong(Exception):
    """A request whose head has more than `MAX_HEAD_BYTES`."""


class BoundedHead(io.BufferedIOBase):
    """A request as it arrives: the lines of its head, then its body."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = MAX_HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line.

        Raises:
            HeadTooLong: all lines so far and this one are too long together.

        """
        limit = self._left + 1
        line = self._file.readline(limit if size is None or size < 0 else min(size, limit))
        self._left -= len(line)
        if self._left < 0:
            raise HeadTooLong
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        """Return this many bytes of the body, fewer if the client sends no more."""
        return self._file.read(size)

    def close(self) -> None:
        """Close the underlying file."""
        self._file.close()
