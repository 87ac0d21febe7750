"""Wait for one command on a thread of its own."""

from __future__ import annotations

import os
import select
import time
from threading import Lock
from types import TracebackType
from typing import Self

from jobscheduler.tasks.command.child import ChildProcess
from jobscheduler.tasks.context import Context

CHECK_INTERVAL_S = 0.05  # between two checks when no descriptor is left to wait for


class ProcessWaiter:
    """Reads the output of a command until it ends or its run has to stop. A context manager."""

    def __init__(self, child: ChildProcess, context: Context) -> None:
        self._child = child
        self._context = context
        self._lock = Lock()
        self._wakeup_fd = _make_wakeup_fd()
        self._registered = child.pipe is not None
        self._poll = select.poll()
        for descriptor in (child.pidfd, child.pipe, self._wakeup_fd):
            if descriptor is not None:
                self._poll.register(descriptor, select.POLLIN)
        context.on_stop(self._wake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            descriptor, self._wakeup_fd = self._wakeup_fd, None
        if descriptor is not None:
            os.close(descriptor)

    def _wake(self) -> None:
        with self._lock:
            if self._wakeup_fd is not None:
                os.eventfd_write(self._wakeup_fd, 1)

    def wait(self) -> bool:
        """Wait until the main process has ended. Return False if its run has to stop first."""
        while not self._child.has_ended():
            if self._context.stop_requested:
                return False
            self._listen(None)
        return True

    def pause(self, seconds: float) -> None:
        """Wait for `seconds` and read the output meanwhile."""
        if self._wakeup_fd is not None:
            self._poll.unregister(self._wakeup_fd)  # it stays readable and would end every poll at once
            self.__exit__(None, None, None)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._child.pidfd is not None and self._child.has_ended():
                self._poll.unregister(self._child.pidfd)  # like this descriptor
                self._child.close_pidfd()
            self._listen(left)

    def _listen(self, seconds: float | None) -> None:
        """Read output until an event, for at most `seconds`."""
        if self._child.pidfd is None or self._wakeup_fd is None:
            seconds = CHECK_INTERVAL_S if seconds is None else min(seconds, CHECK_INTERVAL_S)
        readable = [descriptor for descriptor, _ in self._poll.poll(None if seconds is None else seconds * 1000)]
        if self._registered and self._child.pipe in readable and self._child.read() == 0:
            self._registered = False
            self._poll.unregister(self._child.pipe)
            self._child.close_pipe()


def _make_wakeup_fd() -> int | None:
    """Return a descriptor for wakeups, None if no descriptor is left."""
    try:
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    except OSError:
        return None
