"""The runs that wait for their next attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobscheduler.scheduler.retries import Retries


class FakeTimer:
    """A timer that is asked by hand."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_at(self, due: float, call: Callable[[], None]) -> int:
        """Keep a call."""
        self.calls.append((due, call))
        return len(self.calls)


@pytest.fixture
def timer() -> FakeTimer:
    """An empty one."""
    return FakeTimer()


def test_a_run_waits_until_its_next_attempt_is_due(timer: FakeTimer) -> None:
    """It is submitted when it no longer counts as waiting: what asks then finds it in the queue, not here."""
    seen: list[tuple[Any, bool]] = []
    retries = Retries(timer, lambda run: seen.append((run, run in retries)))  # type: ignore[arg-type]
    retries.add("run", 60.0)  # type: ignore[arg-type]
    ((due, call),) = timer.calls
    assert retries.items() == (("run", due),)
    assert "run" in retries
    assert seen == []
    call()
    assert seen == [("run", False)]
    assert retries.items() == ()


def test_a_run_that_has_ended_is_forgotten(timer: FakeTimer) -> None:
    """Its end may come twice."""
    retries = Retries(timer, lambda _: None)  # type: ignore[arg-type]
    retries.add("run", 60.0)  # type: ignore[arg-type]
    retries.discard("run")  # type: ignore[arg-type]
    retries.discard("run")  # type: ignore[arg-type]
    assert "run" not in retries
