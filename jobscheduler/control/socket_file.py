"""Make the file of the control socket: beside a file that no process listens on, for the owner and the group."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from jobscheduler.model import Problem

_MAX_PATH_BYTES = 107  # of a socket, unix(7)


def bind_socket(listener: socket.socket, path: Path) -> None:
    """Replace a socket file that no process listens on. The new file is made beside it and renamed when complete.

    Raises:
        OSError: EADDRINUSE, another process listens there; EEXIST, the file is not a socket.

    """
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    _ensure_no_listener(path)
    new = path.with_name(f".{os.getpid():x}")
    with suppress(FileNotFoundError):
        new.unlink()
    os.fchmod(listener.fileno(), 0o600)  # `bind` makes a file with this mode, also without a umask
    listener.bind(str(new))
    open_to_group(new)
    new.rename(path)


def open_to_group(path: Path) -> None:
    """Allow the group of a socket file to use it.

    The descriptor pins the file, so another user cannot swap in another one under its name.
    """
    pinned = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISSOCK(os.fstat(pinned).st_mode):
            os.chmod(f"/proc/self/fd/{pinned}", 0o660)  # noqa: PTH101 - through the descriptor
    finally:
        os.close(pinned)


def _ensure_no_listener(path: Path) -> None:
    """Check that no process listens on this path.

    Raises:
        OSError: EADDRINUSE, a process listens; EEXIST, the file is not a socket.

    """
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None if there is none that can be reached."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def describe_listen_error(path: Path, error: OSError) -> Problem:
    """Return why the control socket cannot be made, and what helps."""
    name = f"the control socket `{path}`"
    help_other = "name another with `--socket FILE`"
    match error.errno:
        case errno.EADDRINUSE:
            return Problem(f"{name} is in use by another service", help=f"stop that one, or {help_other}")
        case errno.EEXIST:
            return Problem(f"{name} cannot be made: there is a file of that name", help=help_other)
        case errno.ENOENT:
            help_ = f"make its directory with `mkdir -p {path.parent}`, or {help_other}"
            return Problem(f"{name} cannot be made: the directory `{path.parent}` does not exist", help=help_)
        case errno.ENAMETOOLONG:
            return Problem(
                f"{name} cannot be made: a socket's path has at most {_MAX_PATH_BYTES} bytes", help=help_other
            )
        case _:
            return Problem(f"{name} cannot be made: {os.strerror(error.errno or 0).lower()}", help=help_other)
