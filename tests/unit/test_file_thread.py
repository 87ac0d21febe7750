"""The thread that reads files, and the end of a process whose main thread is stuck."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.service import forced_exit
from jobscheduler.service.file_thread import FileThread
from tests.support.service import ROOT, wait_until


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What lets calls that hang come back; set at the end."""
    made = threading.Event()
    yield made
    made.set()


def test_the_file_thread_queues_work_of_a_name_once_and_measures_how_long_it_hangs(release: threading.Event) -> None:
    """Queued work is not queued again, and closing waits for the work in progress for a limited time."""
    done: list[str] = []
    thread = FileThread()
    thread.start()
    thread.submit("hangs", release.wait)
    wait_until(lambda: thread.is_waiting("hangs") and "hangs" not in thread._waiting)
    for _ in range(5):
        thread.submit("a", lambda: done.append("a"))
        thread.submit("b", lambda: done.append("b"))
    thread.busy_for()
    time.sleep(0.3)
    assert 0.2 < thread.busy_for() < 2
    release.set()
    wait_until(lambda: done == ["a", "b"])
    wait_until(lambda: not thread.is_waiting("b"))
    assert thread.busy_for() == 0
    thread.close(1.0)


def test_an_exception_of_work_is_stored_for_the_main_thread() -> None:
    """The service ends because of it."""
    thread = FileThread()
    thread.start()
    thread.submit("fails", lambda: 1 / 0)
    wait_until(lambda: thread.fault is not None)
    assert isinstance(thread.fault, ZeroDivisionError)
    thread.close(1.0)


def test_a_process_whose_main_thread_is_stuck_is_ended_by_force(tmp_path: Path) -> None:
    """SIGTERM is noticed although no handler can run; from the second signal on the drain timeout no longer counts."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import ctypes, os, signal\n"
        "from jobscheduler.service import forced_exit\n"
        "forced_exit.MARGIN_S = 0.3\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "with forced_exit.ForcedExit(0.5, lambda: os._exit(70)):\n"
        "    print('up', flush=True)\n"
        "    while True: ctypes.CDLL(None).sleep(100)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 70
    assert time.monotonic() - began >= 0.7
    process.stdout.close()
    assert forced_exit.MARGIN_S > 20
