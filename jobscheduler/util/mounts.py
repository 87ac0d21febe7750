"""Find file systems that strangers may write whatever owner and mode say, and those that no process can write.

Both follow from the superblock, never from the flags of a mount. A read-only mount shows a file system that may be
written through its other mounts, and `ProtectSystem=strict` makes such mounts of everything.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FUSE_MAGIC = 0x65735546  # linux/magic.h, FUSE_SUPER_MAGIC
_LOCAL = frozenset(  # file systems that hold their content themselves; NFS, overlay and others are written elsewhere
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs", "ramfs"),
        *("squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs", "vfat", "exfat", "ntfs3"),
    }
)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What trust depends on: whether no process can write it, and the user whose process serves it (FUSE), if any."""

    is_read_only: bool = False
    mounted_by: int | None = None


def is_fuse(descriptor: int) -> bool:
    """Return whether an open file lies on a FUSE file system, whose server decides on the owner and mode of files.

    Raises:
        OSError: the kernel does not answer.

    """
    buffer = ctypes.create_string_buffer(256)  # struct statfs, which begins with the type
    if _library().fstatfs(descriptor, buffer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ctypes.c_long.from_buffer(buffer).value == _FUSE_MAGIC


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def file_system_of(descriptor: int) -> FileSystem | None:
    """Return what the mount table says about the file system of an open file; None if it has no line for it."""
    try:
        mount = _mount_id(descriptor)
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        if line.startswith(f"{mount} "):
            return parse_mount(line)
    return None


def parse_mount(line: str) -> FileSystem:
    """Parse the part of a line of `/proc/self/mountinfo` that is about the file system, not about the mount."""
    kind, _, options = line.rpartition(" - ")[2].split(" ", 2)
    flags = options.rsplit(" ", 1)[-1].split(",")
    user = next((flag.partition("=")[2] for flag in flags if flag.startswith("user_id=")), None)
    is_read_only = kind in _LOCAL and "ro" in flags
    return FileSystem(is_read_only, int(user) if user is not None and user.isdigit() else None)


def _mount_id(descriptor: int) -> int:
    """Return the number of the mount through which a file was opened. Raises ValueError if the kernel gives none."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text("utf-8").splitlines():
        if line.startswith("mnt_id:"):
            return int(line.partition(":")[2])
    raise ValueError("no mnt_id")
