"""Keep the first and the last part of an output of any length, in bounded memory."""

from __future__ import annotations

LIMIT = 64 * 1024  # bytes kept of one run, with the note about omitted bytes

_NOTE = 80  # bytes reserved for the note in the middle


class HeadTailBuffer:
    """Keeps the first and the last bytes of an output, together at most `limit`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._half = (limit - _NOTE) // 2
        self._start = bytearray()
        self._end = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        """Add the next bytes."""
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
        """Return the kept bytes. A line in the middle has the number of bytes left out."""
        if self.total <= len(self._start) + len(self._end):
            return bytes(self._start + self._end)
        start = trim_end(bytes(self._start[: self._half]))
        end = trim_start(bytes(self._end[-self._half :]))
        return b"%b\n[... %d bytes left out ...]\n%b" % (start, self.total - len(start) - len(end), end)


def trim_start(text: bytes) -> bytes:
    """Return `text` without the rest of a UTF-8 character that was cut at its start."""
    start = 0
    while start < min(3, len(text)) and text[start] & 0xC0 == 0x80:
        start += 1
    return text[start:]


def trim_end(text: bytes) -> bytes:
    """Return `text` without the beginning of a UTF-8 character that was cut at its end."""
    for back in range(1, min(4, len(text) + 1)):
        byte = text[-back]
        if byte & 0xC0 != 0x80:
            wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return text[:-back] if wanted > back else text
    return text
