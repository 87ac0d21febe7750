"""Whether the threads of a node are alive and on time."""

from __future__ import annotations

import threading

import pytest

from jobscheduler.cluster import node_health
from jobscheduler.cluster.node_health import NodeHealth, NodeLoop
from tests.support.service import wait_until


def test_a_thread_that_ends_and_was_not_to_has_died() -> None:
    """One that has not begun has not, nor has one that was to end."""
    closing, failing = threading.Event(), threading.Event()
    loop = NodeLoop("x", failing.wait, closing.is_set)
    health = NodeHealth({"the thread of the x": loop})
    assert (loop.has_died, health.dead(), health.late()) == (False, None, None)
    loop.start()
    assert not loop.has_died
    failing.set()
    loop.join(10)
    assert (health.dead(), health.late()) == ("the thread of the x",) * 2
    closing.set()
    assert (health.dead(), health.late()) == (None, None)


def test_a_thread_that_is_at_one_turn_for_too_long_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that waits for its next turn."""
    monkeypatch.setattr(node_health, "LATE_AFTER_S", 0.01)
    go_on = threading.Event()
    health = NodeHealth({"x": (loop := NodeLoop("x", go_on.wait, lambda: True))})
    loop.turn.begin()
    wait_until(lambda: health.late() == "x")
    assert health.dead() is None
    loop.turn.end()
    assert health.late() is None
