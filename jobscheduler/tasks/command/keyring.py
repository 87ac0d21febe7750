"""A session keyring of its own for each command.

A process that has a keyring may use the keys in it, whatever its user: `setpriv` changes ids, not the keyring. Without
this all jobs would share that of the service, Kerberos tickets of other users included. The keyring belongs to the
thread that makes the start and passes to what it starts; the next start takes another one.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Callable, Mapping
from types import MappingProxyType

_JOIN_SESSION_KEYRING = 1

_NUMBERS: Mapping[str, int] = MappingProxyType(
    {
        "x86_64": 250,
        "aarch64": 219,
        "riscv64": 219,
        "loongarch64": 219,
        "ppc64le": 271,
        "s390x": 280,
        "armv7l": 311,
        "armv6l": 311,
        "i686": 288,
        "i586": 288,
        "i386": 288,
    }
)
"""The number of the system call `keyctl` by machine; the C library has no function for it."""


def join_new_session_keyring() -> bool:
    """Give the calling thread an empty session keyring, for what it starts next; False if it keeps the one it has.

    It does where the kernel has no keyrings or a container forbids them: there is nothing to share then. It also does
    for a moment when an ordinary user has too many.
    """
    return _call()() >= 0


@functools.cache
def _call() -> Callable[[], int]:
    number = _NUMBERS.get(platform.machine())
    if number is None or ctypes.sizeof(ctypes.c_void_p) != (4 if number in (311, 288) else 8):
        return lambda: -1
    call = ctypes.PyDLL(None).syscall  # too short for the interpreter's lock to be given up
    call.restype = ctypes.c_long
    return functools.partial(call, ctypes.c_long(number), ctypes.c_long(_JOIN_SESSION_KEYRING), None)


_call()  # at a start, and not when the first command is due
