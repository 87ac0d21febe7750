"""Outside calls of the service that can be made to hang, each where it is made, for `test_hangs_by_count.py`.

Each call of the system's file functions has a *site*: thread, function, and the place in our code that makes it. Sites
that are passed are written to `sites`. The first call at the site that stands in `order` is written to `hung`, and
hangs until there is another order or none.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE = Path(os.environ["HANGS"])
ROOT = str(Path(__file__).resolve().parent.parent.parent)

OF_OS = (
    *("stat", "lstat", "fstat", "open", "read", "write", "pread", "listdir", "readlink", "close", "access", "dup"),
    *("ftruncate", "fdatasync", "replace", "rename", "unlink", "fstatvfs", "chmod"),
)
CALLS = (
    *((os, name) for name in OF_OS),
    (io, "open"),
    (builtins, "open"),
    (fcntl, "flock"),
    (fcntl, "lockf"),
    (fcntl, "ioctl"),
)
"""What is wrapped."""

NOT_OURS = ("commands", "pool", "ThreadPool", "timer", "order", "control", "waitress")
"""Threads that may wait: those of runs, and those that answer a client each."""

_exists, _write, _open, _close = os.path.exists, os.write, os.open, os.close
_inside = threading.local()
_seen: set[str] = set()
_hung: list[str] = []
_order = ("", threading.Event())


def note(name: str, text: str) -> None:
    """Append a line to a file of the test."""
    file = _open(BASE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    _write(file, f"{text}\n".encode())
    _close(file)


def site(function: str) -> str:
    """Name the place in our code that makes a call, empty if it is not to be made to hang."""
    thread = threading.current_thread()
    if type(thread).__name__ == "InotifyBuffer" or thread.name.startswith(NOT_OURS):
        return ""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(f"{ROOT}/jobscheduler"):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return ""
    where = frame.f_code.co_filename.removeprefix(f"{ROOT}/jobscheduler/")
    return f"{thread.name.partition('-')[0]} {function} {where}:{frame.f_code.co_name}:{frame.f_lineno}"


def wrapped(function: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that notes its site, and hangs if it is told to."""

    def call(*args: Any, **named: Any) -> Any:
        if getattr(_inside, "here", False):
            return real(*args, **named)
        _inside.here = True
        try:
            here = site(function)
            if here and here not in _seen:
                _seen.add(here)
                note("sites", here)
            ordered, answer = _order
            if here and here == ordered and not _hung:
                _hung.append(here)
                note("hung", here)
                answer.wait()
        finally:
            _inside.here = False
        return real(*args, **named)

    return call


def obey() -> None:
    """Read what is ordered, again and again."""
    _inside.here = True
    while True:
        take_order()
        time.sleep(0.02)


def take_order() -> None:
    """Read what is ordered, and let go of what hangs if that is something else."""
    global _order
    ordered = (BASE / "order").read_text().strip() if _exists(BASE / "order") else ""
    if ordered != _order[0]:
        former, _order = _order[1], (ordered, threading.Event())
        _hung.clear()
        former.set()


def install() -> None:
    """Wrap the calls, and shorten what a hang is waited for."""
    from jobscheduler.jobs import guarded_directory
    from jobscheduler.runlog import backlog, file_calls
    from jobscheduler.service import main as service_main
    from jobscheduler.service import supervisor
    from jobscheduler.tasks import hung_paths
    from jobscheduler.tasks.command import reaper_thread

    hung_paths.GUARD.patience = 0.5
    backlog.CLOSE_TIMEOUT_S = 1.0
    reaper_thread.HUNG_S = 1.5
    service_main.HangGuard.__init__.__kwdefaults__["patience"] = 0.5
    (
        file_calls.CALL_TIMEOUT_S,
        supervisor.CHECK_INTERVAL_S,
        supervisor.HEALTH_INTERVAL_S,
        guarded_directory.RETRY_PATIENCE_S,
    ) = 0.4, 0.5, 1.0, 0.2
    for module, name in CALLS:
        setattr(module, name, wrapped(name, getattr(module, name)))
    take_order()
    threading.Thread(target=obey, name="order", daemon=True).start()
