"""Start a program quickly, without blocking other threads.

Before Python 3.11.5 (Debian 12 has 3.11.2), `subprocess` holds the interpreter lock until the new process has become
its program (python/cpython issue 104372). That blocks all threads for a fifth of a millisecond, or for ever if the
program or its directory is on a hung disk. `posix_spawn` of the C library is called without that lock and blocks only
its own thread. It uses a third less processor time than any version of `subprocess`. If it cannot do a start or fails,
`subprocess` takes over, which also gives the reason of a failure. Once Python 3.11.5 is required, only the processor
time speaks for this module.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import threading
from collections.abc import Mapping, Sequence

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80  # <spawn.h> of glibc and musl
_ROOM = 1024  # bytes for a structure whose size depends on the C library; the largest has 336

_POINTERS = 256  # remembered combinations of a directory and descriptors

_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these; `subprocess` restores them, too

_CLONE_FS = 0x200  # <sched.h>: the umask, the directory and the root of a thread


def spawn(
    command: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    directory: str,
    umask: int,
    stdin: int,
    output: int,
) -> int | None:
    """Start a program in a session of its own, with only these descriptors. Return its pid, None if it failed.

    The C library cannot set a umask. So the calling thread gets a umask of its own, which its children inherit and
    other threads do not see. From then on this thread also has a working directory of its own. So the main thread,
    which belongs to the caller of this package, starts nothing here.
    """
    library, program = _library(), _program(command[0], environment)
    if library is None or program is None or threading.get_native_id() == os.getpid():
        return None
    variables = [b"%b=%b" % pair for pair in environment.items()]
    if b"\0" in b"".join((*command, *variables)) or b"=" in b"".join(environment):
        return None
    if not library.own_umask():
        return None
    before = os.umask(umask)
    try:
        return library.start(program, command, variables, (os.fsencode(directory), stdin, output))
    finally:
        os.umask(before)


class _Library:
    """The functions of the C library. Raises: `AttributeError` if one is missing (glibc before 2.34, musl)."""

    def __init__(self) -> None:
        unlocked, locked = ctypes.CDLL(None), ctypes.PyDLL(None)  # the first releases the interpreter lock
        pointer, number = ctypes.c_void_p, ctypes.c_int
        self._spawn = unlocked.posix_spawn
        self._spawn.argtypes = (pointer, ctypes.c_char_p, pointer, pointer, pointer, pointer)
        self.init = locked.posix_spawn_file_actions_init
        self.destroy = locked.posix_spawn_file_actions_destroy
        self.enter = locked.posix_spawn_file_actions_addchdir_np
        self.enter.argtypes = (pointer, ctypes.c_char_p)
        self.have = locked.posix_spawn_file_actions_adddup2
        self.have.argtypes = (pointer, number, number)
        self.close_from = locked.posix_spawn_file_actions_addclosefrom_np
        self.close_from.argtypes = (pointer, number)
        self.init.argtypes = self.destroy.argtypes = (pointer,)
        self._unshare = locked.unshare
        self._unshare.argtypes = (number,)
        self._attributes = self._made(locked)
        self._known: dict[tuple[bytes, int, int], _Actions] = {}

    def own_umask(self) -> bool:
        """Give the calling thread a umask of its own. Return False where that is forbidden, as in Docker containers.

        Call this before each start, because a thread made since shares the umask. A repeated call is cheap.
        """
        return bool(self._unshare(_CLONE_FS) == 0)

    def _made(self, library: ctypes.PyDLL) -> ctypes.Array[ctypes.c_char]:
        """Return the attributes of every start: a new session, no blocked signal, no signal ignored by Python.

        Signals that this process ignored from its beginning, as after `nohup`, are restored too.
        """
        attributes, nothing, restored = (ctypes.create_string_buffer(_ROOM) for _ in range(3))
        library.sigemptyset(nothing)
        library.sigemptyset(restored)
        for number in {*_RESTORED, *_ignored()}:
            library.sigaddset(restored, ctypes.c_int(number))
        library.posix_spawnattr_init(attributes)
        library.posix_spawnattr_setsigmask(attributes, nothing)
        library.posix_spawnattr_setsigdefault(attributes, restored)
        library.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID))
        return attributes

    def start(
        self, program: bytes, command: Sequence[bytes], variables: Sequence[bytes], place: tuple[bytes, int, int]
    ) -> int | None:
        """Start a program. `place` is its directory, its input and its output."""
        actions, pid = self._actions(place), ctypes.c_int()
        if actions is None:
            return None
        arguments = _strings(command), _strings(variables)
        failed = self._spawn(ctypes.byref(pid), program, actions.memory, self._attributes, *arguments)
        return None if failed else pid.value

    def _actions(self, place: tuple[bytes, int, int]) -> _Actions | None:
        """Return the actions of the new process before its program. Cached, because descriptor numbers repeat."""
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= _POINTERS:
                self._known.clear()
            known = _Actions(self, *place)
            if not known.is_complete:  # no memory left for the moment
                return None
            self._known[place] = known
        return known


class _Actions:
    """Actions in memory of the C library, which is freed with this object."""

    def __init__(self, library: _Library, directory: bytes, stdin: int, output: int) -> None:
        self.memory = ctypes.create_string_buffer(_ROOM)
        self._destroy = library.destroy
        self._is_made = library.init(self.memory) == 0
        self.is_complete = self._is_made and not (
            library.enter(self.memory, directory)
            or library.have(self.memory, stdin, 0)
            or library.have(self.memory, output, 1)
            or library.have(self.memory, output, 2)
            or library.close_from(self.memory, 3)
        )

    def __del__(self) -> None:
        if self._is_made:
            self._destroy(self.memory)


def _strings(words: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


def _ignored() -> list[signal.Signals]:
    return [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]


@functools.cache
def _library() -> _Library | None:
    try:
        return _Library()
    except (AttributeError, OSError):  # another C library: `subprocess` starts the commands
        return None


def _program(name: bytes, environment: Mapping[bytes, bytes]) -> bytes | None:
    """Return the file to start. A name without a slash is searched in the PATH of the command."""
    if b"/" in name:
        return name
    directories = environment.get(b"PATH", b"").split(b":")
    if not name or not all(directory.startswith(b"/") for directory in directories):
        return None
    candidates = (b"%b/%b" % (directory, name) for directory in directories)
    return next((file for file in candidates if os.access(file, os.X_OK)), None)


_library()  # at import, not when the first command is due
