"""How many bytes a server may send that are not the body: the head of an answer, and the frames of its chunks.

`http.client` bounds the length of a line and the number of headers. It does not bound the number of interim answers
(`100 Continue`), of trailers behind the last chunk, or of chunks that hold one byte each. Such an answer would cost a
core for the whole time limit.
"""

from __future__ import annotations

MAX_HEAD_BYTES = 256 * 1024  # until the body begins, interim answers included
MAX_FRAME_BYTES = 1024 * 1024  # of chunk sizes and trailers beside the body, and as much again as the body has


class TooManyExtraBytes(Exception):
    """The server sends something else than a body without end. Not an error that urllib3 wraps into its own."""


class Allowance:
    """Counts the bytes of one answer as they arrive, and says when there are too many beside its body."""

    def __init__(self) -> None:
        self._received = 0
        self._maximum = MAX_HEAD_BYTES
        self._head = 0
        self._complaint = f"an answer whose head has more than {MAX_HEAD_BYTES // 1024} KiB"

    def count(self, count: int) -> None:
        """Count bytes that arrived.

        Raises:
            TooMuchFraming: there are more than the body so far explains.

        """
        self._received += count
        if self._received > self._maximum:
            raise TooManyExtraBytes(self._complaint)

    def allow(self, body: int) -> None:
        """Allow what comes with the next part of the body, of which `body` bytes were read or are about to be."""
        if not self._head:
            self._head = self._received
            self._complaint = "an answer in chunks that are mostly frames"
        self._maximum = self._head + 2 * body + MAX_FRAME_BYTES
