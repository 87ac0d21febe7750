"""Limit the head of a request as a whole. The standard library limits each line and the number of headers only."""

from __future__ import annotations

import io
from io import BufferedIOBase

MAX_HEAD_BYTES = 16 * 1024  # the request line and all headers together


class HeadTooLong(Exception):
    """A request whose head has more than `MAX_HEAD_BYTES`."""


class BoundedHead(io.BufferedIOBase):
    """A request as it arrives. Only lines can be read, since the application needs nothing but the head."""

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

    def close(self) -> None:
        """Close the underlying file."""
        self._file.close()
