"""Give each command a session keyring of its own.

Any user of a process may use the keys in its keyring, and `setpriv` changes ids but not the keyring. Otherwise all jobs
would share the keyring of the service, and with it the Kerberos tickets of other users. The keyring belongs to the
starting thread, and the started process inherits it. The next start gets another one.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Callable, Mapping
from types import MappingProxyType

_JOIN_SESSION_KEYRING = 1

# The number of the system call `keyctl` by machine; the C library has no function for it.
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


def join_new_session_keyring() -> bool:
    """Give the calling thread an empty session keyring for its next start. Return False if that fails.

    It fails where the kernel has no keyrings or a container forbids them; then there is nothing to share. It also
    fails for a moment when an ordinary user has too many keyrings.
    """
    return _call()() >= 0


@functools.cache
def _call() -> Callable[[], int]:
    number = _NUMBERS.get(platform.machine())
    if number is None or ctypes.sizeof(ctypes.c_void_p) != (4 if number in (311, 288) else 8):
        return lambda: -1
    call = ctypes.PyDLL(None).syscall  # too short a call to release the interpreter lock
    call.restype = ctypes.c_long
    return functools.partial(call, ctypes.c_long(number), ctypes.c_long(_JOIN_SESSION_KEYRING), None)


_call()  # at import, not when the first command is due
