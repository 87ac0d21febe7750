"""Send systemd the states of the service and watchdog pings, as sd_notify(3) says."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends datagrams to `NOTIFY_SOCKET`, if that is set.

    The socket is opened once, so that a service that has run out of descriptors can still ping.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._socket = _datagrams() if self._address else None

    def notify(self, *assignments: str) -> None:
        """Send assignments such as `READY=1` in one message. A manager that does not listen is no error."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode(), self._address)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()


def _datagrams() -> socket.socket:
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    datagrams.setblocking(False)
    return datagrams


def watchdog_interval(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return the ping interval in seconds, half of what systemd allows; None if this process has no watchdog."""
    for_pid = environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(os.getpid() if pid is None else pid):
        return None
    allowed = environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2_000_000 if allowed.isdigit() and int(allowed) > 0 else None


def is_journal(descriptor: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a standard stream is the journal, so that lines may begin with their priority."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stat = os.fstat(descriptor)
    except OSError:  # it is closed
        return False
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))
