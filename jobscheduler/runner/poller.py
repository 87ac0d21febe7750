"""Wait for descriptors on one thread, with a wakeup descriptor that other threads write to."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress


class Poller:
    """Waits for descriptors, for one thread at a time, between `open` and `close`.

    Invariant: one thread at a time calls `poll`, and reads only its own wakeup. `LoopOwnership` decides which thread.
    Invariant: the wakeup descriptor stays readable until `poll` has read it, so no wakeup falls between two waits.
    Invariant: a thread that clears `_is_asleep` in `wake` always writes to the wakeup descriptor afterwards.
    So when another caller finds it cleared, there are two cases: its work was added before `poll` last asked for the
    timeout, or a write to the wakeup descriptor is on its way.
    """

    _epoll: select.epoll  # from `open` to `close`

    def __init__(self) -> None:
        self._wakeup_fd = -1  # none while it is closed
        self._lock = threading.Lock()
        self._is_asleep = False
        self._polls = 0
        self._polls_at_probe = -1

    def open(self) -> None:
        """Open the descriptors unless they are open. Raises: `OSError` when no descriptor is left.

        Thread: the caller sees to it that no other thread opens or closes at the same time.
        """
        if self._wakeup_fd >= 0:
            return
        wakeup_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._epoll = select.epoll()
            self._epoll.register(wakeup_fd, select.EPOLLIN)
        except OSError:
            os.close(wakeup_fd)
            raise
        self._wakeup_fd = wakeup_fd

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
        """End `poll`, from any thread. Does nothing while this is closed, or while no thread is about to wait."""
        if self._is_asleep:
            self._is_asleep = False
            with self._lock:  # `close` holds it, too
                if self._wakeup_fd >= 0:
                    os.eventfd_write(self._wakeup_fd, 1)

    def probe(self) -> bool:
        """Wake the thread, and return whether it has come to `poll` since the last probe. Thread: one calls this."""
        has_polled = self._polls != self._polls_at_probe
        self._polls_at_probe = self._polls
        self.wake()
        return has_polled

    def poll(self, seconds: Callable[[], float | None]) -> list[int]:
        """Wait until a descriptor is readable or another thread calls `wake`. Return the readable descriptors.

        `seconds` returns the timeout, None for no limit. It is called last: work added before is part of its answer,
        and work added later wakes the thread.
        """
        self._polls += 1
        self._is_asleep = True
        heard = self._epoll.poll(seconds())
        self._is_asleep = False
        return [descriptor for descriptor, _ in heard if descriptor != self._wakeup_fd or not self._drain_wakeup()]

    def _drain_wakeup(self) -> bool:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup_fd)
        return True

    def close(self) -> None:
        """Close the descriptors. They may be opened again."""
        with self._lock:
            os.close(self._wakeup_fd)
            self._wakeup_fd = -1
            self._epoll.close()
