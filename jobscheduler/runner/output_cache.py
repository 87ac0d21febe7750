"""What runs printed: all that was kept, in one ring for all runs, and its end, for a record."""

from __future__ import annotations

import threading
from collections import OrderedDict

from jobscheduler.tasks.command.output_buffer import trim_start

MAX_OUTPUTS = 16 * 1024 * 1024
"""Bytes kept of all runs together."""

MAX_BYTES = 4096
"""Of how many runs output is kept at most: also nothing, for a run that printed nothing, takes room."""

TAIL_BYTES = 2048
"""Bytes of a failed run's output that stand in its record."""


class OutputCache:
    """The output of the latest runs, by run id; the oldest goes when more than `limit` bytes are held."""

    def __init__(self, limit: int = MAX_OUTPUTS) -> None:
        self._limit = limit
        self._size = 0
        self._outputs: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, run_id: str, output: bytes) -> None:
        """Keep the output of a run, in place of what an earlier attempt of it printed."""
        with self._lock:
            self._size += len(output) - len(self._outputs.pop(run_id, b""))
            self._outputs[run_id] = output
            while self._size > self._limit or len(self._outputs) > MAX_BYTES:
                self._size -= len(self._outputs.popitem(last=False)[1])

    def get(self, run_id: str) -> bytes | None:
        """What the run printed, None if that is no longer kept."""
        with self._lock:
            return self._outputs.get(run_id)


def tail(output: bytes, most: int = TAIL_BYTES) -> str:
    """The last bytes of an output as text: no character is cut, and bytes that are not UTF-8 show in hexadecimal."""
    end = output[-most:]
    if len(output) > most:
        end = trim_start(end)
    return end.decode("utf-8", "backslashreplace").rstrip("\n")
