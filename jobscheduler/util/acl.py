"""Read access control lists: what they allow to users and groups besides the owner and the group of a file."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

_NAME = "system.posix_acl_access"
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")  # linux/posix_acl_xattr.h
_USER, _GROUP, _MASK = 0x02, 0x08, 0x10

WRITE, SEARCH = 0x02, 0x01  # rights: to write, and to look up what is in a directory


def acl_writers(descriptor: int) -> list[tuple[str, int]]:
    """Return the named users and groups that may write an open file, as ("u" or "g", id).

    Raises:
        OSError: the list cannot be read.

    """
    return list(named_writers(_read(descriptor)))


def allows_group(descriptor: int, group: int, right: int) -> bool:
    """Return whether the list of an open file names a group and gives it a right.

    Raises:
        OSError: the list cannot be read.

    """
    return ("g", group) in _named(_read(descriptor), right)


def _read(descriptor: int) -> bytes:
    """Return the list of an open file; an empty one if it has none."""
    try:
        return os.getxattr(f"/proc/self/fd/{descriptor}", _NAME)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return b""
        raise


def named_writers(raw: bytes) -> Iterator[tuple[str, int]]:
    """Yield the named users and groups that a list allows to write. Its mask limits all of them."""
    return _named(raw, WRITE)


def _named(raw: bytes, right: int) -> Iterator[tuple[str, int]]:
    entries = list(_ENTRY.iter_unpack(raw[_HEADER.size :]))
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), right)
    for tag, rights, number in entries:
        if tag in {_USER, _GROUP} and rights & mask & right:
            yield "u" if tag == _USER else "g", number
