"""Limit the bytes outside the body that a server may send: the head of a response, and the framing of its chunks.

`http.client` limits the length of a line and the number of headers. It does not limit interim responses
(`100 Continue`), trailers after the last chunk, or chunks of one byte. Such a response would keep a core busy for the
whole time limit.
"""

from __future__ import annotations

MAX_HEAD_BYTES = 256 * 1024  # before the body, interim responses included
MAX_FRAME_BYTES = 1024 * 1024  # of chunk sizes and trailers, in addition to the size of the body


class TooManyExtraBytes(Exception):
    """Raised when a server sends too many bytes outside the body. Of a type that urllib3 does not wrap."""


class Allowance:
    """Counts the received bytes of one response, and raises when too many are outside its body."""

    def __init__(self) -> None:
        self._received = 0
        self._maximum = MAX_HEAD_BYTES
        self._head = 0
        self._complaint = f"an answer whose head has more than {MAX_HEAD_BYTES // 1024} KiB"

    def count(self, count: int) -> None:
        """Count received bytes.

        Raises:
            TooManyExtraBytes: too many bytes are outside the body.

        """
        self._received += count
        if self._received > self._maximum:
            raise TooManyExtraBytes(self._complaint)

    def allow(self, body: int) -> None:
        """Raise the limit for a body of `body` bytes that were read or are about to be read."""
        if not self._head:
            self._head = self._received
            self._complaint = "an answer in chunks that are mostly frames"
        self._maximum = self._head + 2 * body + MAX_FRAME_BYTES
