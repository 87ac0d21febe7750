"""The score by which the kernel chooses what to kill: the service keeps its own, its commands have the usual one.

To lower a score takes a privilege that tests may lack. So here the service has 100 and commands 200.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.tasks.command import child
from jobscheduler.tasks.command.oom_score import OomScore
from tests.support.tasks import execute

SCORE = Path("/proc/self/oom_score_adj")


def own() -> int:
    return int(SCORE.read_text("ascii"))


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch) -> Iterator[OomScore]:
    """The score of a process that has 100 while the test runs."""
    before = own()
    if before > 100:
        pytest.fail(f"the score of the tests is {before}, and they need one up to 100")
    SCORE.write_text("100")
    made = OomScore(of_commands=200)
    made.remember()
    monkeypatch.setattr(child, "OOM_SCORE", made)
    yield made
    SCORE.write_text(str(before))


def test_a_command_has_the_usual_score_from_its_first_moment_and_the_service_keeps_its_own(score: OomScore) -> None:
    """Also the children of the command, however early it starts them."""
    output = execute("cat /proc/self/oom_score_adj; sh -c 'cat /proc/$$/oom_score_adj'").output
    assert output.split() == [b"200", b"200"]
    assert own() == 100


def test_a_start_that_fails_gives_the_service_its_score_back(score: OomScore) -> None:
    """Here there is no such program."""
    with pytest.raises(Exception, match="no such"):
        execute(["/no/such/program"])
    assert own() == 100


def test_starts_at_the_same_time_share_the_score_until_the_last_has_ended(score: OomScore) -> None:
    """As many as threads."""
    for _ in range(2):
        score.raise_for_start()
    score.restore()
    assert own() == 200
    score.restore()
    assert own() == 100


def test_a_score_that_is_not_below_that_of_commands_is_left_alone(score: OomScore) -> None:
    """A container may have given the service a higher one, and nobody may be favoured by it."""
    other = OomScore(of_commands=50)
    other.remember()
    other.raise_for_start()
    assert own() == 100
    other.restore()
    assert own() == 100
