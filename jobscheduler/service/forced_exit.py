"""End the process by force when its shutdown takes too long.

Python's signal handlers run on the main thread. If that were stuck, SIGTERM would have no effect. So a thread of its
own reads the signals from the interpreter's wake-up pipe, and waits for nothing else.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

MARGIN_S = 25.0  # a shutdown may take this much longer than its drain: TERM and KILL of runs, then alerts


class ForcedExit:
    """Calls `end_process` when the process still runs `MARGIN_S` after its drain. A second signal cancels the drain.

    A context manager. Thread: the main thread.
    """

    def __init__(self, drain: float, end_process: Callable[[], object]) -> None:
        self._drain = drain
        self._end_process = end_process
        self._read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._listen, name="forced-exit", daemon=True)
        self._previous_handlers = -1

    def __enter__(self) -> Self:
        self._previous_handlers = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._previous_handlers)
        os.close(self._write_fd)
        self._thread.join(1.0)

    def _listen(self) -> None:
        try:
            self._wait_for_deadline()
        finally:
            os.close(self._read_fd)

    def _wait_for_deadline(self) -> None:
        deadline: float | None = None
        while deadline is None or time.monotonic() < deadline:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            select.select([self._read_fd], [], [], timeout)
            with suppress(BlockingIOError):
                numbers = os.read(self._read_fd, 512)
                if not numbers:
                    return  # the shutdown is complete
                for _ in range(sum(numbers.count(number) for number in (signal.SIGTERM, signal.SIGINT))):
                    deadline = time.monotonic() + MARGIN_S + (self._drain if deadline is None else 0.0)
        self._end_process()
