"""A lock that needs no folder: an abstract socket, whose name is in no directory (see `file_locks`)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

from jobscheduler.util.lock_holders import LockHeld

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid from SO_PEERCRED


class LockSocket:
    """A lock that needs no folder: an abstract socket. It ends with the process, and is per network namespace."""

    def __init__(self, name: str) -> None:
        self._address = f"\0jobscheduler-{os.geteuid()}-{name}"
        self._descriptor = -1

    def acquire(self) -> None:
        """Bind the socket.

        Raises:
            LockHeld: another process of this user or of root has the lock.
            OSError: a process of another user has it, or the system has no such sockets.

        """
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.bind(self._address)
            server.listen(1)  # otherwise others cannot ask the kernel for the owner
        except OSError as error:
            server.close()
            if error.errno == errno.EADDRINUSE:
                raise self._bound_by() from None
            raise
        self._descriptor = server.detach()

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _bound_by(self) -> LockHeld | OSError:
        """Return LockHeld if a process of this user or of root has the socket, an OSError if another has it.

        A process that has ended may have left the socket to a child that it was starting. That is no service.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            try:
                client.connect(self._address)
                credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            except OSError as error:
                return error
        pid, uid, _ = _CREDENTIALS.unpack(credentials)
        is_left = pid != 0 and not Path(f"/proc/{pid}").exists()  # 0: a process of another container
        is_service = uid in {0, os.geteuid()} and not is_left
        return LockHeld(pid) if is_service else OSError(errno.EPERM, os.strerror(errno.EPERM))
