"""Whose turn it is: one thread at a time starts commands, unless that one is held up."""

from __future__ import annotations

import threading

from jobscheduler.tasks import turns
from jobscheduler.tasks.execute_command_child import _BELLS, Child, Plan
from jobscheduler.tasks.turns import Turn
from tests.tasks_support import in_thread


def test_one_comes_after_the_other() -> None:
    """Who waits goes on as soon as the other has finished."""
    first_has_it, first_may_go, order = threading.Event(), threading.Event(), []

    def first() -> None:
        with Turn():
            first_has_it.set()
            first_may_go.wait(10)
            order.append("first")

    with in_thread(first):
        first_has_it.wait(10)
        first_may_go.set()
        with Turn():
            order.append("second")
    assert order == ["first", "second"]


def test_one_that_is_held_up_holds_up_nobody(monkeypatch) -> None:
    """It may wait for a directory on a disk that does not answer; the others go ahead, and each takes turns again."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    has_it, release = threading.Event(), threading.Event()

    def stuck() -> None:
        with Turn():
            has_it.set()
            release.wait(10)

    with in_thread(stuck):
        has_it.wait(10)
        with Turn():
            pass
        assert turns._lock.locked()
        release.set()
    with Turn():
        assert turns._lock.locked()
    assert not turns._lock.locked()


def test_a_stop_that_comes_late_does_not_reach_the_next_run() -> None:
    """Runs share the descriptors by which they are woken, one after the other."""
    plan = Plan([b"/bin/true"], {}, "/", 0o022)
    ended = Child.start(plan)
    assert ended.wait()
    ended.close()
    assert _BELLS._free
    ended.wake()
    following = Child.start(plan)
    assert following.wait()
    assert following.close() == 0
