"""Keep the output of the latest runs in one ring, and return its tail for a record."""

from __future__ import annotations

import threading
from collections import OrderedDict

from jobscheduler.tasks.command.output_buffer import trim_start

MAX_OUTPUT_BYTES = 16 * 1024 * 1024  # of all runs together

MAX_RUNS = 4096  # whose output is kept; an empty one takes room, too

TAIL_BYTES = 2048  # of the output of a failed run that stand in its record


class OutputCache:
    """The output of the latest runs, by run id. Beyond `limit` bytes it drops the oldest."""

    def __init__(self, limit: int = MAX_OUTPUT_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._outputs: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, run_id: str, output: bytes) -> None:
        """Keep the output of a run, replacing that of an earlier attempt."""
        with self._lock:
            self._size += len(output) - len(self._outputs.pop(run_id, b""))
            self._outputs[run_id] = output
            while self._size > self._limit or len(self._outputs) > MAX_RUNS:
                self._size -= len(self._outputs.popitem(last=False)[1])

    def get(self, run_id: str) -> bytes | None:
        """Return the output of the run, None if it is no longer kept."""
        with self._lock:
            return self._outputs.get(run_id)


def tail(output: bytes, size: int = TAIL_BYTES) -> str:
    """Return the last bytes of an output as text of whole characters, with invalid UTF-8 in hexadecimal."""
    end = output[-size:]
    if len(output) > size:
        end = trim_start(end)
    return end.decode("utf-8", "backslashreplace").rstrip("\n")
