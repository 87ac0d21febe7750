"""Files that a task reads before its start: the thread for all commands waits for none of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import Record, Retry, Status
from jobscheduler.runner import RetryAfter, process_loop
from jobscheduler.runner.process_start import Unprepared, start_process
from jobscheduler.runner.run import Attempt, Run
from jobscheduler.tasks.command import environment_files
from tests.support.tasks import eventually, no_strangers
from tests.unit.test_runner_process_loop import World, loop_threads, new_world

__all__ = ["no_strangers"]


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as made:
        yield made


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """An environment file."""
    path = tmp_path / "a.env"
    path.write_text("PASSWORD=of-file\n")
    path.chmod(0o600)
    return path


class Reading:
    """The reading of environment files, which lasts until the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self._read = environment_files.read_environment_file
        monkeypatch.setattr(environment_files, "read_environment_file", self)

    def __call__(self, path: str) -> dict[str, str]:
        self.has_begun.set()
        assert self.may_end.wait(20)
        return self._read(path)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    """Patience is longer than the test, so that only the test ends a reading."""
    monkeypatch.setattr(environment_files.GUARD, "patience", 60.0)
    made = Reading(monkeypatch)
    yield made
    made.may_end.set()


def with_file(world: World, path: Path, command: str = "echo $PASSWORD", **more: Any) -> Run:
    return world.submit(command, {"env_file": str(path)}, **more)


def test_a_file_that_does_not_answer_delays_its_own_job_alone(world: World, secrets: Path, reading: Reading) -> None:
    """The same thread starts other commands meanwhile, and that one when its file has answered."""
    waiting = with_file(world, secrets)
    assert reading.has_begun.wait(20)
    others = [world.submit("true") for _ in range(3)]
    assert {world.end()[0] for _ in others} == set(others)
    assert (waiting.begun_attempts, waiting.record) == (1, None)
    reading.may_end.set()
    assert world.record().status is Status.SUCCESS
    assert world.output(waiting) == "of-file\n"
    assert (world.loop._ownership.term, loop_threads()) == (1, 1)


def test_a_run_that_is_stopped_while_its_file_is_read_never_starts(
    world: World, secrets: Path, tmp_path: Path, reading: Reading
) -> None:
    """Its record has the reason of the stop."""
    run = with_file(world, secrets, f"touch {tmp_path}/mark")
    assert reading.has_begun.wait(20)
    run.stop("replaced")
    reading.may_end.set()
    assert world.record().reason == "replaced"
    assert not (tmp_path / "mark").exists()


def test_the_end_of_the_loop_waits_for_what_is_being_read(world: World, secrets: Path, reading: Reading) -> None:
    """Otherwise the run would be neither started nor ended."""
    with_file(world, secrets)
    assert reading.has_begun.wait(20)
    world.loop.close()
    assert not world.loop._is_idle()
    reading.may_end.set()
    assert world.record().status is Status.SUCCESS
    eventually(lambda: not world.loop._ownership.has_owner)


def test_a_file_that_cannot_be_used_fails_the_attempt_and_the_next_one_reads_it_again(
    world: World, secrets: Path
) -> None:
    """`retry` helps where the file comes later."""
    secrets.chmod(0o644)
    run = with_file(world, secrets, retry=Retry(attempts=2, delay=0.0))
    assert isinstance(world.end()[1], RetryAfter)
    ((failed, *_),) = [world.log.events("run.attempt_failed")]
    assert failed["reason"] == "start"
    assert failed["error"] == f"the environment file `{secrets}` is open to others; `chmod 600 {secrets}`"
    secrets.chmod(0o600)
    world.loop.submit(run)
    assert world.record().status is Status.SUCCESS
    assert world.output(run) == "of-file\n"


def test_a_host_without_a_thread_fails_the_attempt(world: World, secrets: Path) -> None:
    """In words, and the loop goes on."""

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    world.loop._preparations._run_in_pool = refuse
    with_file(world, secrets)
    record = world.record()
    assert (record.reason, dict(record.details)["error"]) == (
        "start",
        "the host has no thread left to prepare the task",
    )
    assert world.run("true").status is Status.SUCCESS


def test_a_thread_that_owns_the_loop_no_more_reads_and_starts_by_itself(
    world: World, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one took over while the task was made, and knows nothing of this attempt."""

    def taken_over(attempt: Attempt) -> Any:
        made = start_process(attempt)
        if isinstance(made, Unprepared):
            world.loop.replace_if_hung(math.inf)
        return made

    monkeypatch.setattr(process_loop, "start_process", taken_over)
    run = with_file(world, secrets)
    ended, record = world.end()
    assert isinstance(record, Record)
    assert (ended, record.status, world.output(run)) == (run, Status.SUCCESS, "of-file\n")
    assert world.loop._ownership.term == 2
