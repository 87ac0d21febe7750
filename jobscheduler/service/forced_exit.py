"""The last resort at the end: a process that was told to end and does not, in time, is ended all the same.

Python's signal handlers run on the main thread. If that were stuck, SIGTERM would have no effect; so a thread of its
own hears of signals from the interpreter itself, through a pipe, and waits for nothing else.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

MARGIN_S = 25.0
"""How much longer than its drain an end may take, in seconds: the time of TERM and KILL, and that of alerts."""


class ForcedExit:
    """Calls `end` when the process still runs `MARGIN` after its drain. A context manager, of the main thread.

    A second signal is an order to hurry: the drain counts no longer.
    """

    def __init__(self, drain: float, end: Callable[[], object]) -> None:
        self._drain = drain
        self._end = end
        self._read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._listen, name="last-resort", daemon=True)
        self._previous_handlers = -1

    def __enter__(self) -> Self:
        self._previous_handlers = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._previous_handlers)
        os.close(self._write_fd)
        self._thread.join(1.0)

    def _listen(self) -> None:
        try:
            self._wait_for_the_end()
        finally:
            os.close(self._read_fd)

    def _wait_for_the_end(self) -> None:
        until: float | None = None
        while until is None or time.monotonic() < until:
            select.select([self._read_fd], [], [], None if until is None else max(0.0, until - time.monotonic()))
            with suppress(BlockingIOError):
                heard = os.read(self._read_fd, 512)
                if not heard:
                    return  # the process has come to its end
                for _ in range(sum(heard.count(one) for one in (signal.SIGTERM, signal.SIGINT))):
                    until = time.monotonic() + MARGIN_S + (self._drain if until is None else 0.0)
        self._end()
