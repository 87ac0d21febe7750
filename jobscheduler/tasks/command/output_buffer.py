"""What is kept of a command's output: its first and its last part, in bounded memory, however much is written."""

from __future__ import annotations

LIMIT = 64 * 1024
"""Bytes kept of one run, the note about what was left out included."""

_NOTE = 80  # bytes set aside for the note in the middle


class HeadTailBuffer:
    """Takes chunks of bytes and keeps the first and the last of them, together at most `limit` bytes."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._half = (limit - _NOTE) // 2
        self._start = bytearray()
        self._end = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.total += len(chunk)
        room = self._limit // 2 - len(self._start)
        if room > 0:
            self._start += chunk[:room]
            chunk = chunk[room:]
        self._end += chunk[-self._limit :]
        surplus = len(self._end) - self._limit // 2
        if surplus > 0:
            del self._end[:surplus]

    def kept(self) -> bytes:
        """The bytes that were kept; the number of those left out stands in the middle, on a line of its own."""
        if self.total <= len(self._start) + len(self._end):
            return bytes(self._start + self._end)
        start = trim_end(bytes(self._start[: self._half]))
        end = trim_start(bytes(self._end[-self._half :]))
        return b"%b\n[... %d bytes left out ...]\n%b" % (start, self.total - len(start) - len(end), end)


def trim_start(text: bytes) -> bytes:
    """`text` without the rest of a UTF-8 character at its start, if it was cut within one."""
    rest = 0
    while rest < min(3, len(text)) and text[rest] & 0xC0 == 0x80:
        rest += 1
    return text[rest:]


def trim_end(text: bytes) -> bytes:
    """`text` without the beginning of a UTF-8 character at its end, if it was cut within one."""
    for back in range(1, min(4, len(text) + 1)):
        byte = text[-back]
        if byte & 0xC0 != 0x80:
            wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return text[:-back] if wanted > back else text
    return text
