"""Keep the first and the last part of an output of any length, in bounded memory."""

from __future__ import annotations

import threading

from jobscheduler.model import KeptOutput

LIMIT = 64 * 1024  # bytes kept of one attempt, with the note about omitted bytes

_NOTE = 80  # bytes reserved for the note in the middle

_NOTHING = KeptOutput()


class HeadTailBuffer:
    """Keeps the first and the last bytes of an output, together at most `limit`.

    Thread: one at a time calls `add`; any may call the others meanwhile.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._half = (limit - _NOTE) // 2
        self._start = bytearray()
        self._end = bytearray()
        self._lock = threading.Lock()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        """Add the next bytes."""
        with self._lock:
            self.total += len(chunk)
            room = self._limit // 2 - len(self._start)
            if room > 0:
                self._start += chunk[:room]
                chunk = chunk[room:]
            self._end += chunk[-self._limit :]
            surplus = len(self._end) - self._limit // 2
            if surplus > 0:
                del self._end[:surplus]

    def kept(self) -> KeptOutput:
        """Return what is kept now."""
        if not self.total:  # as for most runs
            return _NOTHING
        with self._lock:
            if self.total <= len(self._start) + len(self._end):
                return KeptOutput(bytes(self._start + self._end), b"", self.total)
            start, end = bytes(self._start[: self._half]), bytes(self._end[-self._half :])
            return KeptOutput(trim_end(start), trim_start(end), self.total)


def bounded(output: bytes, limit: int = LIMIT) -> KeptOutput:
    """Return what is kept of a whole output."""
    if len(output) <= limit:
        return KeptOutput(output, b"", len(output))
    buffer = HeadTailBuffer(limit)
    buffer.add(output)
    return buffer.kept()


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
