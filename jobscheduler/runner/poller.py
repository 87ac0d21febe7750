"""Wait for descriptors on one thread, with a wakeup descriptor that other threads write to."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress


class Poller:
    """Waits for descriptors, for one thread at a time. Raises: `OSError` when no descriptor is left for it.

    Invariant: one thread at a time calls `poll`, and reads only its own wakeup. `LoopOwnership` decides which thread.
    Invariant: the wakeup descriptor stays readable until `poll` has read it, so no wakeup falls between two waits.
    Invariant: a thread that clears `_is_asleep` in `wake` always writes to the wakeup descriptor afterwards.
    So when another caller finds it cleared, there are two cases: its work was added before `poll` last asked for the
    timeout, or a write to the wakeup descriptor is on its way.
    """

    def __init__(self) -> None:
        self._wakeup_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._epoll = select.epoll()
            self._epoll.register(self._wakeup_fd, select.EPOLLIN)
        except OSError:
            os.close(self._wakeup_fd)
            raise
        self._lock = threading.Lock()
        self._is_asleep = False

    def register(self, descriptor: int) -> None:
        """Add a descriptor to wait for. Raises: `OSError` when the limit of watches of the user is reached."""
        self._epoll.register(descriptor, select.EPOLLIN)

    def unregister(self, descriptor: int) -> None:
        """Remove a descriptor; the caller does so before closing it."""
        try:
            self._epoll.unregister(descriptor)
        except OSError:  # it was not registered
            return

    def wake(self) -> None:
        """End `poll`, from any thread. Does nothing after `close`, or while no thread is about to wait."""
        if self._is_asleep:
            self._is_asleep = False
            with self._lock:  # `close` holds it, too
                if self._wakeup_fd >= 0:
                    os.eventfd_write(self._wakeup_fd, 1)

    def poll(self, seconds: Callable[[], float | None]) -> list[int]:
        """Wait until a descriptor is readable or another thread calls `wake`. Return the readable descriptors.

        `seconds` returns the timeout, None for no limit. It is called last: work added before is part of its answer,
        and work added later wakes the thread.
        """
        self._is_asleep = True
        heard = self._epoll.poll(seconds())
        self._is_asleep = False
        return [descriptor for descriptor, _ in heard if descriptor != self._wakeup_fd or not self._drain_wakeup()]

    def _drain_wakeup(self) -> bool:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup_fd)
        return True

    def close(self) -> None:
        """Close the descriptors."""
        with self._lock:
            os.close(self._wakeup_fd)
            self._wakeup_fd = -1
            self._epoll.close()
