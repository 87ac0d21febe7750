"""Waiting for descriptors and for other threads at once, without losing a wakeup from either."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from jobscheduler.runner.poller import Poller
from tests.support.tasks import descriptors, eventually


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller()
    made.open()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_a_readable_descriptor_is_returned(poller: Poller, pipe: tuple[int, int]) -> None:
    """As long as there is something to read."""
    poller.register(pipe[0])
    assert poller.poll(lambda: 0.0) == []
    os.write(pipe[1], b"news")
    assert poller.poll(lambda: None) == [pipe[0]]
    assert poller.poll(lambda: None) == [pipe[0]]


def test_an_unregistered_descriptor_is_not_returned(poller: Poller, pipe: tuple[int, int]) -> None:
    """Also when it is unregistered twice."""
    poller.register(pipe[0])
    os.write(pipe[1], b"news")
    poller.unregister(pipe[0])
    poller.unregister(pipe[0])
    assert poller.poll(lambda: 0.0) == []


def test_another_thread_can_end_the_wait(poller: Poller) -> None:
    """Its wakeup is not among the readable descriptors."""
    about_to_wait = threading.Event()

    def wake() -> None:
        about_to_wait.wait(10)
        poller.wake()

    thread = threading.Thread(target=wake)
    thread.start()
    assert poller.poll(about_to_wait.set) == []
    thread.join()


def test_a_wakeup_between_the_timeout_and_the_wait_is_not_lost(poller: Poller) -> None:
    """It comes after the last look at added work, and before the wait."""
    assert poller.poll(poller.wake) == []


def test_a_wakeup_while_no_thread_waits_does_nothing(poller: Poller) -> None:
    """The caller has added its work, and the thread finds it before it waits."""
    poller.wake()
    assert poller.poll(lambda: 0.0) == []


def test_a_closed_poller_has_no_descriptor_and_cannot_be_woken() -> None:
    """A late wakeup must not write into a file that has the number by now."""
    before = descriptors()
    made = Poller()
    made.open()
    made._is_asleep = True  # as another thread in `wake` saw it a moment before
    made.close()
    made.wake()
    assert descriptors() == before


def test_a_closed_poller_can_be_opened_again(pipe: tuple[int, int]) -> None:
    """With descriptors of its own, and none more when it is open already."""
    made = Poller()
    made.open()
    made.close()
    before = descriptors()
    made.open()
    made.open()
    assert descriptors() == before + 2
    made.register(pipe[0])
    os.write(pipe[1], b"news")
    assert made.poll(lambda: None) == [pipe[0]]
    made.close()


def test_a_probe_tells_whether_the_thread_has_come_to_wait_since_the_last_one(poller: Poller) -> None:
    """It wakes the thread, so a thread that sleeps answers before the next probe, and one that hangs does not."""
    woken = threading.Semaphore(0)

    def wait_twice() -> None:
        for _ in range(2):
            poller.poll(lambda: None)
            woken.release()

    sleeper = threading.Thread(target=wait_twice)
    sleeper.start()
    eventually(lambda: poller._is_asleep)
    assert poller.probe()
    assert woken.acquire(timeout=10)
    eventually(lambda: poller._is_asleep)
    assert poller.probe()
    sleeper.join()
    assert not poller.probe()
    assert not poller.probe()
