"""Waiting for descriptors and for other threads at once, without losing a word from either."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from jobscheduler.runner.poller import Poller
from tests.support.tasks import descriptors


@pytest.fixture
def ear() -> Iterator[Poller]:
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_it_tells_which_descriptors_are_readable(ear: Poller, pipe: tuple[int, int]) -> None:
    """As long as there is something to read."""
    ear.register(pipe[0])
    assert ear.poll(lambda: 0.0) == []
    os.write(pipe[1], b"news")
    assert ear.poll(lambda: None) == [pipe[0]]
    assert ear.poll(lambda: None) == [pipe[0]]


def test_it_hears_nothing_of_what_was_forgotten(ear: Poller, pipe: tuple[int, int]) -> None:
    """Also when it is forgotten twice."""
    ear.register(pipe[0])
    os.write(pipe[1], b"news")
    ear.unregister(pipe[0])
    ear.unregister(pipe[0])
    assert ear.poll(lambda: 0.0) == []


def test_another_thread_can_wake_it(ear: Poller) -> None:
    """And is no descriptor of which anything is told."""
    about_to_wait = threading.Event()

    def ring() -> None:
        about_to_wait.wait(10)
        ear.wake()

    thread = threading.Thread(target=ring)
    thread.start()
    assert ear.poll(about_to_wait.set) == []
    thread.join()


def test_a_ring_between_the_question_and_the_wait_is_not_lost(ear: Poller) -> None:
    """It comes after the last look at what others brought, and before the wait."""
    assert ear.poll(ear.wake) == []


def test_a_ring_while_nobody_waits_is_no_news_later(ear: Poller) -> None:
    """Who rings then has brought what is looked at before the next wait anyway."""
    ear.wake()
    assert ear.poll(lambda: 0.0) == []


def test_it_gives_its_descriptors_back_and_is_deaf_then() -> None:
    """A late ring must not write into a file that has the number by now."""
    before = descriptors()
    made = Poller()
    made._is_asleep = True  # as one who rings saw it a moment before
    made.close()
    made.wake()
    assert descriptors() == before
