"""A file system that stops to answer: a FUSE mount whose process is stopped (`bindfs`), as a dead server's would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.booted import cannot
from tests.support.service import wait_until


class Mount:
    """A mount at `path` of what is in `real`. What is asked of it while it hangs is answered later."""

    def __init__(self, path: Path, real: Path, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self.real = real
        self._process = process

    def hang(self) -> None:
        """Answer nothing any more, from now on: on a busy host a signal stops the process a while later."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def answer(self) -> None:
        """Answer everything, also what was asked before."""
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def mounted(base: Path, name: str = "mnt") -> Iterator[Mount]:
    """Mount a directory of `base`; skip where that cannot be, or fail if this machine has to prove it."""
    path, real = base / name, base / f"{name}.real"
    path.mkdir()
    real.mkdir()
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.W_OK):
        cannot("it needs bindfs and /dev/fuse")
    options = "entry_timeout=0,attr_timeout=0,negative_timeout=0"  # the kernel is to ask each time
    process = subprocess.Popen(["bindfs", "-f", "-o", options, str(real), str(path)], stderr=subprocess.DEVNULL)
    made = Mount(path, real, process)
    try:
        wait_until(lambda: os.path.ismount(path), why="the file system is mounted")
        yield made
    finally:
        made.answer()
        subprocess.run(["umount", "--lazy", str(path)], check=False)
        process.kill()
        process.wait()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A mount that answers until it is told to hang."""
    with mounted(tmp_path) as made:
        yield made
