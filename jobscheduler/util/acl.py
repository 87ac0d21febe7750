"""Read access control lists: the users and groups that may write a file besides its owner and its group."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

_NAME = "system.posix_acl_access"
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")  # linux/posix_acl_xattr.h
_USER, _GROUP, _MASK = 0x02, 0x08, 0x10
_WRITE = 0x02


def acl_writers(descriptor: int) -> list[tuple[str, int]]:
    """Return the named users and groups that may write an open file, as ("u" or "g", id).

    Raises:
        OSError: the list cannot be read.

    """
    try:
        raw = os.getxattr(f"/proc/self/fd/{descriptor}", _NAME)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return []
        raise
    return list(named_writers(raw))


def named_writers(raw: bytes) -> Iterator[tuple[str, int]]:
    """Yield the named users and groups that a list allows to write. Its mask limits all of them."""
    entries = list(_ENTRY.iter_unpack(raw[_HEADER.size :]))
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), _WRITE)
    for tag, rights, number in entries:
        if tag in {_USER, _GROUP} and rights & mask & _WRITE:
            yield "u" if tag == _USER else "g", number
