"""The pause after failures."""

from __future__ import annotations

import pytest

from jobscheduler.util.backoff import Backoff


@pytest.mark.parametrize(("first", "pauses"), [(10.0, [10, 20, 40, 60, 60]), (300.0, [300] * 5)])
def test_a_pause_doubles_with_each_failure_up_to_the_limit(first: float, pauses: list[float]) -> None:
    """It never becomes shorter than the first, and a success begins anew."""
    backoff = Backoff(first, 60.0)
    found = []
    for _ in pauses:
        found.append(backoff.pause())
        backoff.fail()
    assert found == pauses
    for _ in range(5_000):  # no count of failures is too large for a float
        backoff.fail()
    assert backoff.pause() == pauses[-1]
    backoff.reset()
    assert (backoff.failures, backoff.pause()) == (0, first)
