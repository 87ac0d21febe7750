"""What one thread waits with: descriptors that it listens to, and a bell that other threads ring."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress


class Poller:
    """Listens, for one thread at a time. Raises `OSError` when there is no descriptor left for it.

    Invariant: one thread at a time calls `hear`, and it reads no bell but its own. (`Charge` says which thread.)
    Invariant: the bell stays readable until `hear` has read it, so a ring cannot fall between two waits.
    Invariant: a thread that clears `_is_asleep` in `ring` writes to the bell afterwards, whatever happens in between.
    So a caller that finds it cleared has either brought its work before `hear` asks for the last time how long to wait,
    or a write to the bell is on its way.
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
        """Hear when a descriptor becomes readable. Raises `OSError` when the user's limit of watches is reached."""
        self._epoll.register(descriptor, select.EPOLLIN)

    def unregister(self, descriptor: int) -> None:
        """Hear nothing more of a descriptor; to be called before it is closed."""
        try:
            self._epoll.unregister(descriptor)
        except OSError:  # it was not listened to
            return

    def wake(self) -> None:
        """End `hear`, from any thread; does nothing while nobody is about to wait, and after `close`."""
        if self._is_asleep:
            self._is_asleep = False
            with self._lock:  # under which it is closed
                if self._wakeup_fd >= 0:
                    os.eventfd_write(self._wakeup_fd, 1)

    def poll(self, seconds: Callable[[], float | None]) -> list[int]:
        """Wait until a descriptor is readable or another thread rings, and return which are.

        `seconds` says how long at most, None for ever. It is asked last, so that what others brought before it is in
        its answer, and what they bring after it rings.
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
        """Give the descriptors back."""
        with self._lock:
            os.close(self._wakeup_fd)
            self._wakeup_fd = -1
            self._epoll.close()
