"""Each step of a run that another thread of ours owes is found when it is overdue, and never before."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from jobscheduler.model import Retry
from jobscheduler.runner import AttemptResult, RetryAfter, Run, Runner
from jobscheduler.scheduler.overdue_steps import OverdueSteps
from jobscheduler.scheduler.run_queue import RunQueue
from tests.support.tasks import SLOT, job

NO_ANSWER = "the thread that would notice its end does not answer"
NOT_RETRIED = "its next attempt is due and was not asked for"
NOT_BEGUN = "it was handed over and has not begun"
OVERLOOKED = "it waits for a worker although one is free"


class World:
    """The queue and the runs of a pool with one worker, without a thread."""

    def __init__(self) -> None:
        self.runner = Runner(lambda _: None, lambda _: None)
        self.queue = RunQueue(1)
        self.retries: dict[Run, float] = {}
        self.answers = True
        self.is_short = False
        self.questions = 0
        self.steps = OverdueSteps(
            self.queue,
            self.runner,
            commands_answer=self.ask,
            retries=lambda: tuple(self.retries.items()),
            is_short=lambda: self.is_short,
        )

    def ask(self) -> bool:
        """Answer for the thread of all commands."""
        self.questions += 1
        return self.answers

    def run(self, task: str = "execute_command", **fields: object) -> Run:
        """Make a run of a task."""
        own = {"url": "http://x"} if task == "http_request" else None
        return self.runner.new_run(job(task, own, **fields), SLOT)

    def missing(self) -> list[tuple[str, str]]:
        """Return the runs with an overdue step, and what is missing."""
        return [(step.run_id, step.missing) for step in self.steps.find(time.monotonic())]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.runner.close()


def begin(run: Run) -> None:
    """Begin an attempt of a run."""
    attempt = run.next_attempt()
    assert attempt is not None
    attempt.begin()


def test_the_oldest_running_command_is_named_when_its_thread_does_not_answer(world: World) -> None:
    """Without that thread its end would never be noticed, and nothing else would tell."""
    first, second = world.run(), world.run()
    begin(first)
    begin(second)
    assert world.missing() == []
    world.answers = False
    assert world.missing() == [(first.run_id, NO_ANSWER)]


@pytest.mark.parametrize("has_begun", [True, False])
def test_the_thread_of_commands_is_asked_only_while_a_command_runs(world: World, has_begun: bool) -> None:
    """Else it may sleep, and no question wakes it."""
    world.answers = False
    run = world.run("http_request" if has_begun else "execute_command")
    begin(run) if has_begun else run.next_attempt()
    assert world.missing() == []
    assert world.questions == 0


def test_a_retry_that_is_not_asked_for_when_it_is_due_is_overdue(world: World) -> None:
    """No time limit applies between two attempts."""
    run = world.run(retry=Retry(3))
    attempt = run.next_attempt()
    assert attempt is not None
    attempt.begin()
    assert isinstance(attempt.end(AttemptResult("exit")), RetryAfter)
    world.retries[run] = time.monotonic() + 100
    assert world.missing() == []
    world.retries[run] = time.monotonic() - 1
    assert world.missing() == [(run.run_id, NOT_RETRIED)]
    run.stop("stopped")
    assert world.missing() == []


def test_a_run_that_waits_though_a_worker_is_free_is_overdue(world: World) -> None:
    """One that waits because the worker is busy is not."""
    run, other = world.run(), world.run()
    world.queue.put(run)
    assert world.missing() == [(run.run_id, OVERLOOKED)]
    assert world.queue.take() is run
    begin(run)
    world.queue.put(other)
    assert world.missing() == []
    world.queue.release(run)
    assert world.missing() == [(other.run_id, OVERLOOKED)]


@pytest.mark.parametrize("task", ["execute_command", "http_request"])
def test_a_run_that_was_handed_over_is_overdue_until_it_begins(world: World, task: str) -> None:
    """On a host that refuses a thread a task that needs one waits for it."""
    run = world.run(task)
    world.queue.put(run)
    world.queue.take()
    assert world.missing() == [(run.run_id, NOT_BEGUN)]
    world.is_short = True
    assert world.missing() == ([(run.run_id, NOT_BEGUN)] if task == "execute_command" else [])
    world.is_short = False
    begin(run)
    assert world.missing() == []
