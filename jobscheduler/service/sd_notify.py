"""What systemd wants to hear: readiness, reloading, stopping, status and the watchdog's ping (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends datagrams to `NOTIFY_SOCKET`; without one it is silent.

    Its socket is opened once, so that a service that has no descriptor left can still say that it is alive.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._socket = _datagrams() if self._address else None

    def notify(self, *assignments: str) -> None:
        """Send assignments such as `READY=1` in one message. A manager that does not listen is not our trouble."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode(), self._address)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()


def _datagrams() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    made.setblocking(False)
    return made


def watchdog_interval(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return how often to ping in seconds (half of what systemd allows), or None if no watchdog is set for us."""
    for_pid = environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(os.getpid() if pid is None else pid):
        return None
    allowed = environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2_000_000 if allowed.isdigit() and int(allowed) > 0 else None


def stderr_is_journal(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether standard error is the journal, so that lines may carry their priority in front."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
