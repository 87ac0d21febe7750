"""The threads on which runs make their attempts: a pool that replaces lost threads, and says when the host refuses one.

Private members of `concurrent.futures` that we use, because it names these nowhere else:

| class                | member         | why                                                          |
|----------------------|----------------|--------------------------------------------------------------|
| `ThreadPoolExecutor` | `_max_workers` | there is no other way to replace a thread                    |
| `ThreadPoolExecutor` | `_threads`     | whether there is any thread                                  |
| `ThreadPoolExecutor` | `_work_queue`  | whether work waits for a thread                              |
| `ThreadPoolExecutor` | `_shutdown`    | whether a refused piece of work is queued all the same       |

`tests/unit/test_library_members.py` fails when a release changes one of them, or when this list is incomplete.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress


class RunThreads(ThreadPoolExecutor):
    """A pool of up to `workers` threads, and of one more for each that is lost."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="run")
        self._usual_workers = workers

    def run(self, work: Callable[[], None]) -> None:
        """Run `work` when a thread is free.

        Raises:
            RuntimeError: the pool is closed, or it has no thread and the host refuses one.

        """
        try:
            self.submit(work)
        except RuntimeError:  # queued all the same, unless the pool is closed
            if self._shutdown or not any(thread.is_alive() for thread in self._threads):
                raise

    def is_short(self) -> bool:
        """Return whether work waits for a thread that the host refused."""
        return self._work_queue.qsize() > 0 and len(self._threads) < self._max_workers

    def set_extra_workers(self, lost: int) -> None:
        """Allow one more thread for each lost one.

        1. concurrent.futures cannot replace a thread. It reads `_max_workers` only when work is submitted. So a no-op
           is submitted behind the queued work.
        2. When a lost thread returns, the limit falls. The surplus thread stays, and replaces the next lost one.
        """
        before, self._max_workers = self._max_workers, self._usual_workers + lost
        if self._max_workers > before:
            with suppress(RuntimeError):  # closed, or the host refuses a thread: the next run tries again
                self.run(_no_op)

    def close(self) -> None:
        """Accept no more work; work in the pool goes on."""
        self.shutdown(wait=False)


def _no_op() -> None:
    """Make the pool check whether it needs another thread."""
