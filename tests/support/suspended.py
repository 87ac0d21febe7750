"""Suspend a process of a test's own."""

from __future__ import annotations

import os
import signal
import subprocess


def suspend(process: subprocess.Popen[bytes]) -> None:
    """Suspend a child process, and return when it does nothing any more: on a busy host that takes a while."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
