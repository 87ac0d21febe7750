"""The workers: commands, all on one thread, and other tasks on the pool's threads share them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler import tasks
from jobscheduler.model import LogEntry, Record, Retry, Status
from jobscheduler.runner import ProcessLoop, Run
from jobscheduler.scheduler import SchedulerLog
from jobscheduler.scheduler.waker import Waker
from jobscheduler.scheduler.worker_pool import WorkerPool
from jobscheduler.tasks import Context, Task
from tests.support.tasks import SLOT, Pipe, eventually, job, no_strangers

__all__ = ["no_strangers"]

WORKERS = 2


class Held(Task):
    """A task on a thread of the pool that waits until the test lets it go on."""

    begun: list[str] = []  # noqa: RUF012 - made anew for each test
    may_end = threading.Event()

    def run(self, context: Context) -> None:
        """Wait."""
        self.begun.append(context.run_id)
        self.may_end.wait(20)


class World:
    """A pool with two workers, and all its log entries."""

    def __init__(self) -> None:
        self.written: list[LogEntry] = []
        self.waker = Waker(WORKERS, lambda job_id, at: None)
        self.pool = WorkerPool(
            self.waker,
            WORKERS,
            record=self.written.append,
            log=SchedulerLog(self.written.append),
            clock=lambda: datetime.now(UTC),
        )

    def submit(self, task: str = "execute_command", **more: Any) -> Run:
        """Submit a run."""
        own = {} if task != "execute_command" else {"command": more.pop("command", "true")}
        run = self.pool.runner.new_run(job(task, own, **more), SLOT)
        self.pool.submit(run)
        return run

    def records(self) -> list[Record]:
        """Return all records so far."""
        return [entry for entry in self.written if isinstance(entry, Record)]

    def is_idle(self) -> bool:
        """Return whether every worker is free and no run is active."""
        return not self.pool.runner.active_runs and not self.pool.queued() and self.pool._queue.busy == 0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    Held.begun, Held.may_end = [], threading.Event()
    monkeypatch.setitem(tasks._loaded, "held", Held)
    made = World()
    yield made
    Held.may_end.set()
    made.pool.stop()
    eventually(made.is_idle)
    made.pool.close()
    made.waker.close()


def test_commands_and_other_tasks_share_the_workers(world: World, tmp_path: Path) -> None:
    """One of each takes both; the next waits for a worker until one of them has ended."""
    gate = Pipe(tmp_path)
    held, command = world.submit("held"), world.submit(command=f"read line < {gate.path}")
    eventually(lambda: Held.begun == [held.run_id] and command.attempts)
    third = world.submit()
    assert world.pool.queued() == 1
    assert world.pool.describe(third).waiting_for == "worker"
    assert third.attempts == 0
    gate.path.write_text("go\n")
    eventually(lambda: {one.run_id for one in world.records()} == {command.run_id, third.run_id})
    assert world.pool.queued() == 0


def test_the_run_that_has_waited_longest_is_first(world: World, tmp_path: Path) -> None:
    """Whatever its task; with one worker the order is that of submission."""
    gate = Pipe(tmp_path)
    world.submit(command=f"read line < {gate.path}")
    world.submit("held")
    waiting = [world.submit("held"), world.submit(), world.submit("held"), world.submit()]
    Held.may_end.set()
    eventually(lambda: all(run.record for run in waiting))
    started = [run.started_at for run in waiting]
    assert started == sorted(started, key=lambda at: at or SLOT)
    gate.path.write_text("go\n")


def test_a_cancelled_run_keeps_no_worker(world: World) -> None:
    """Neither while it waits nor afterwards."""
    for _ in range(WORKERS):
        world.submit("held")
    taken, last = world.submit(), world.submit()
    assert taken.cancel()
    Held.may_end.set()
    eventually(lambda: last.record)
    eventually(world.is_idle)
    assert taken.run_id not in {one.run_id for one in world.records()}


def test_a_pause_between_two_attempts_holds_no_worker(world: World) -> None:
    """The second attempt waits for one like any run."""
    failing = world.submit(command="exit 1", retry=Retry(2, delay=0.05))
    eventually(lambda: failing.attempts == 1 and world.pool._queue.busy == 0)
    for _ in range(WORKERS):
        world.submit("held")
    eventually(lambda: world.pool.queued() == 1)
    assert failing.attempts == 1
    Held.may_end.set()
    eventually(lambda: failing.record)
    assert failing.attempts == 2


def test_a_worker_that_a_task_never_frees_is_replaced(world: World) -> None:
    """As many other runs as before go on, until the task frees its worker after all."""
    world.pool.runner.services.grace = 0.05
    for _ in range(WORKERS):
        world.submit("held", timeout=0.05)
    eventually(lambda: world.pool.runner.lost == WORKERS)
    done = [world.submit() for _ in range(5)]
    eventually(lambda: all(run.record for run in done))
    Held.may_end.set()
    eventually(lambda: world.pool.runner.lost == 0 and world.is_idle())


def test_without_the_process_loop_each_command_has_a_thread_of_the_pool(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that can give the one and not the other is short of everything; a run is late for it and not lost."""

    def refuse(loop: ProcessLoop, run: Run) -> None:
        raise OSError("no descriptor left")

    monkeypatch.setattr(ProcessLoop, "submit", refuse)
    runs = [world.submit(command="exit 3") for _ in range(5)]
    eventually(world.is_idle)
    assert [run.record and run.record.status for run in runs] == [Status.FAILURE] * 5


def test_a_task_of_an_unknown_type_fails_and_frees_its_worker(world: World) -> None:
    """The definition was checked when the type still existed."""
    run = world.submit("gone")
    eventually(world.is_idle)
    assert run.record is not None
    assert run.record.reason == "start"
