"""The copy of the log's lines on standard error."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from queue import SimpleQueue


class StderrCopy:
    """Copy lines to standard error, on a thread of its own, so that a stalled reader cannot hold up the log.

    Lines beyond `BOUND` waiting bytes are left out; their number is written there when the reader goes on.
    """

    BOUND = 4 * 1024 * 1024

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._size = 0
        self._omitted = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="stderr-copy", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Queue lines to be copied; never wait."""
        with self._lock:
            if self._size + len(data) > self.BOUND:
                self._omitted += data.count(b"\n")
                return
            self._size += len(data)
        self._queue.put(data)

    def close(self, seconds: float = 1.0) -> None:
        """Copy the remaining lines, unless the reader does not take them in this time."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            with suppress(OSError):  # the reader has gone; the file has every line
                self._copy(data)

    def _copy(self, data: bytes) -> None:
        size = len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        finally:
            with self._lock:
                self._size -= size
                omitted, self._omitted = self._omitted, 0
        if omitted:
            os.write(self._descriptor, f"... {omitted} lines left out here, see the log file\n".encode())
