"""A FUSE file system of one file, whose server says that all of it belongs to root. Run in a mount namespace.

    python fuse_support.py MOUNTPOINT UID JOBS_DIR NAME

Mounts it for `UID`, as `fusermount` does with `allow_other`, then reads one job file and prints what is the matter.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from pathlib import Path

CONTENT = b'{"job_id": "x", "schedule": "@yearly", "task": {"type": "execute_command", "command": "x"}}'
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, INIT, BATCH_FORGET = 1, 2, 3, 14, 15, 17, 18, 26, 42


def attributes(node: int) -> bytes:
    """Node 1 is the directory, node 2 the file in it."""
    mode, size = (0o040755, 0) if node == 1 else (0o100644, len(CONTENT))
    return struct.pack("=6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode: int, node: int) -> bytes | int:
    """Return the body of an answer, or the number of an error."""
    match opcode:
        case 26:
            return struct.pack("=4I2H2I2H8I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, *[0] * 8)
        case 1:
            return struct.pack("=4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2)
        case 3:
            return struct.pack("=QII", 0, 0, 0) + attributes(node)
        case 14:
            return struct.pack("=QII", 0, 0, 0)
        case 15:
            return CONTENT
        case 17:
            return bytes(80)
        case 18:
            return b""
    return 38  # ENOSYS


def serve(device: int) -> None:
    """Answer the kernel for as long as there is something mounted."""
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError:
            return
        _, opcode, unique, node = struct.unpack_from("=IIQQ", request)
        if opcode in {FORGET, BATCH_FORGET}:
            continue
        given = answer(opcode, node)
        body, error = (b"", -given) if isinstance(given, int) else (given, 0)
        os.write(device, struct.pack("=IiQ", 16 + len(body), error, unique) + body)


def mount(place: str, uid: int) -> None:
    """Mount it, and serve it on a thread."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={uid},group_id={uid},allow_other"
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"fuse", place.encode(), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    threading.Thread(target=serve, args=(device,), daemon=True).start()


def main() -> None:
    """Mount, read, print."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    from jobscheduler.jobs.directory import DirectorySource

    place, uid, jobs, name = sys.argv[1:]
    mount(place, int(uid))
    with DirectorySource(Path(jobs)).open() as view:
        found = view.read(name)
    sys.stdout.write(found.problem.message if found.problem else (found.raw or b"").decode())


if __name__ == "__main__":
    main()
