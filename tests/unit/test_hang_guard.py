"""Calls that may hang, on threads that can be given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.util.hang_guard import CallHung, HangGuard


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What lets calls that hang come back; set at the end."""
    made = threading.Event()
    yield made
    made.set()


def test_a_guarded_call_returns_and_raises_like_the_function() -> None:
    """On another thread than the caller's, and always on the same one while nothing hangs."""
    guard = HangGuard()
    threads = {guard.call("a thing", threading.get_ident) for _ in range(10)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    with pytest.raises(FileNotFoundError):
        guard.call("a thing", Path("/nowhere").stat)
    assert guard.hung() == {}


def test_a_thing_that_hangs_costs_one_thread_however_often_it_is_called(release: threading.Event) -> None:
    """Other things are called meanwhile. When it answers, that is reported, and it is called again."""
    returned = threading.Event()
    guard = HangGuard(returned.set, patience=0.2)
    with pytest.raises(CallHung, match="the disk does not answer"):
        guard.call("the disk", release.wait)
    count = threading.active_count()
    for _ in range(100):
        with pytest.raises(CallHung):
            guard.call("the disk", release.wait)
        assert guard.call("another", lambda: 1) == 1
    assert threading.active_count() <= count + 1
    assert set(guard.hung()) == {"the disk"}

    release.set()
    assert returned.wait(5)
    assert guard.hung() == {}
    assert guard.call("the disk", lambda: 2) == 2


def test_slow_is_not_hung() -> None:
    """A call that uses the processor is waited for, however long it takes."""

    def work() -> str:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            sum(range(1000))
        return "done"

    assert HangGuard(patience=0.3).call("work", work) == "done"
