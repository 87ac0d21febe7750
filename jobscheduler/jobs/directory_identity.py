"""The identity of a directory: it tells the directory from another one that stands under the same path."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

Identity = tuple[int, int, int]  # device, inode, generation (or time of creation)

_FS_IOC_GETVERSION = 0x80087601  # linux/fs.h, 64-bit; drawn anew each time that an inode is used again
_AT_EMPTY_PATH, _STATX_BTIME = 0x1000, 0x800  # linux/fcntl.h, linux/stat.h


def directory_identity(descriptor: int) -> Identity:
    """Return the identity of an open directory."""
    stat = os.fstat(descriptor)
    try:
        (generation,) = struct.unpack("=q", fcntl.ioctl(descriptor, _FS_IOC_GETVERSION, bytes(8)))
    except OSError:
        generation = _creation_time(descriptor)
    return stat.st_dev, stat.st_ino, generation


def _creation_time(descriptor: int) -> int:
    """Return when an inode was created, in nanoseconds; 0 if unknown. For file systems without generations."""
    buffer = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer)
    except AttributeError:  # a C library from before 2018
        return 0
    mask, seconds, nanoseconds = struct.unpack_from("=I76xqI", buffer)
    return 0 if failed or not mask & _STATX_BTIME else seconds * 1_000_000_000 + nanoseconds
