"""The process loop: it does all that a run on a thread of its own would do, and no run waits for another."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from jobscheduler.model import Event, Record, Retry, Status
from jobscheduler.runner import ProcessLoop, RetryAfter, Run, Runner, loop_ownership, poller, start_queue
from jobscheduler.tasks.command import child, tree_killer
from tests.support.tasks import (
    SLOT,
    Kept,
    Log,
    Pipe,
    descriptors,
    eventually,
    hanging_program,
    is_alive,
    is_gone,
    job,
    no_strangers,
    nothing_to_look_after,
)

__all__ = ["no_strangers"]


class World:
    """A runner and its loop, what they log, and how each attempt ended."""

    def __init__(self) -> None:
        self.log = Log()
        self.announced: list[Sequence[Event]] = []
        self.held: list[Callable[[], object]] | None = None
        self.late_lines = 0
        self.kept = Kept()
        self.runner = Runner(
            self.log.record,
            self.log.emit,
            announce=self.announce,
            on_behind=self.count_late_line,
            outputs=self.kept,
        )
        self.ends: SimpleQueue[tuple[Run, Record | RetryAfter | None]] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.loop = ProcessLoop(self.runner.log, lambda run, end: self.ends.put((run, end)), self.run_in_thread)

    def announce(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        """Write the lines at once, or when the test says so."""
        self.announced.append(events)
        _ = then() if self.held is None else self.held.append(then)

    def count_late_line(self) -> None:
        """Count a run that began before its line was written."""
        self.late_lines += 1

    def run_in_thread(self, work: Callable[[], None]) -> None:
        """Run a function on another thread."""
        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()

    def new_run(self, command: str | list[str], own: dict[str, Any] | None = None, **more: Any) -> Run:
        """Make a run of a command."""
        return self.runner.new_run(job(own={"command": command, **(own or {})}, **more), SLOT)

    def submit(self, command: str | list[str], own: dict[str, Any] | None = None, **more: Any) -> Run:
        """Make a run and submit it."""
        run = self.new_run(command, own, **more)
        self.loop.submit(run)
        return run

    def end(self) -> tuple[Run, Record | RetryAfter | None]:
        """Wait for the next end."""
        return self.ends.get(timeout=20)

    def record(self) -> Record:
        """Wait for the next end, which must be a record."""
        end = self.end()[1]
        assert isinstance(end, Record)
        return end

    def run(self, command: str | list[str], **more: Any) -> Record:
        """Run one command to its record."""
        self.submit(command, **more)
        return self.record()

    def output(self, run: Run) -> str:
        """Return what the command of a run printed."""
        return self.kept.text(run.run_id).decode()


@contextmanager
def new_world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.runner.stop()
        made.loop.close()
        made.runner.close()
        eventually(lambda: not made.loop._ownership.has_owner)


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as made:
        yield made


def no_thread(*_: Any) -> None:
    raise RuntimeError("can't start new thread")


def no_descriptor(*_: Any) -> None:
    raise OSError(errno.EMFILE, "no file descriptor left")


def loop_threads() -> int:
    return sum(thread.name == "commands" for thread in threading.enumerate())


def test_a_command_runs_to_its_record(world: World) -> None:
    """With its exit code and its output, as on a thread of its own."""
    good = world.submit("echo $JOB_RUN_ID $JOB_ATTEMPT")
    record = world.record()
    assert (record.status, record.details, record.run_id) == (Status.SUCCESS, (("exit_code", 0),), good.run_id)
    assert world.output(good).split() == [good.run_id, "1"]
    failed = world.run("echo no luck >&2; exit 3")
    assert (failed.status, failed.reason, failed.output) == (Status.FAILURE, "exit", "no luck")
    assert world.log.records == [record, failed]


def test_many_commands_run_at_once_on_one_thread(world: World, tmp_path: Path) -> None:
    """No command waits for another."""
    gate = Pipe(tmp_path)
    runs = [world.submit(f"read line < {gate.path}; echo through") for _ in range(20)]
    eventually(lambda: sum(map(len, world.announced)) == 20)
    assert loop_threads() == 1
    opened = os.open(gate.path, os.O_RDWR)  # so that no reader meets the end of the pipe between two writers
    os.write(opened, b"go\n" * 20)
    assert {world.end()[0] for _ in runs} == set(runs)
    os.close(opened)
    assert all(world.output(run) == "through\n" for run in runs)


def test_no_command_starts_before_its_line_is_written(world: World, tmp_path: Path) -> None:
    """After a crash only that line says that it may have run."""
    world.held = []
    mark = tmp_path / "mark"
    world.submit(f"touch {mark}")
    eventually(lambda: world.held)
    assert not mark.exists()
    world.held.pop()()
    assert world.record().status is Status.SUCCESS
    assert mark.exists()
    assert world.late_lines == 0


def test_a_log_that_hangs_does_not_keep_runs_from_beginning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and a line that is written later starts nothing again."""
    monkeypatch.setattr(start_queue, "LOG_WAIT_S", 0.05)
    world.held = []
    assert world.run("true").status is Status.SUCCESS
    assert world.late_lines == 1
    world.held.pop()()
    assert world.ends.empty()


def test_runs_that_are_submitted_together_are_announced_together(world: World) -> None:
    """The log is written once for all of them."""
    entered, leave = threading.Event(), threading.Event()
    world.submit("true")
    world.record()

    def busy() -> None:
        entered.set()
        leave.wait(10)

    world.loop._call_soon(busy)
    assert entered.wait(10)
    for _ in range(5):
        world.submit("true")
    leave.set()
    for _ in range(5):
        world.record()
    assert [len(events) for events in world.announced] == [1, 5]


def test_output_beyond_the_size_of_a_pipe_is_read_while_it_comes(world: World) -> None:
    """Otherwise the command would wait for ever. The first and the last part are kept."""
    run = world.submit("seq 300000; echo end")
    assert world.record().status is Status.SUCCESS
    assert world.output(run).startswith("1\n2\n")
    assert world.output(run).endswith("300000\nend\n")


def test_a_command_may_close_its_output_and_go_on(world: World, tmp_path: Path) -> None:
    """Its end is still waited for, and its closed output is not polled again."""
    gate = Pipe(tmp_path)
    world.submit(f"echo early; exec >&- 2>&-; read line < {gate.path}; exit 4")
    eventually(
        lambda: any(item.output_fd is None and item.process.output_fd for item in world.loop._watch._watched.values())
    )
    rounds = []
    world.loop._call_soon(lambda: rounds.append(1))
    eventually(lambda: rounds)
    used = os.times()
    gate.path.write_text("go\n")
    assert world.record().details == (("exit_code", 4),)
    assert os.times().user - used.user < 1


def test_a_background_process_may_keep_the_output_open(world: World, tmp_path: Path) -> None:
    """The run has ended when its main process has."""
    gate = Pipe(tmp_path)
    run = world.submit(f"(read line < {gate.path}; echo late) & echo done")
    assert world.record().status is Status.SUCCESS
    assert world.output(run) == "done\n"
    gate.path.write_text("go\n")
    eventually(nothing_to_look_after)


def test_a_stopped_run_ends_with_its_process_tree(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run is not delayed meanwhile, although the tree ignores TERM."""
    monkeypatch.setattr(tree_killer, "TERM_GRACE_S", 1.0)
    pipe = Pipe(tmp_path)
    run = world.submit(f"trap '' TERM; sleep 60 & echo $$ $! > {pipe.path}; wait; wait; sleep 60")
    pids = pipe.pids()
    run.stop("replaced")
    assert world.run("true").status is Status.SUCCESS
    ended, record = world.end()
    assert isinstance(record, Record)
    assert (ended, record.reason, dict(record.details)) == (run, "replaced", {"signal": "SIGKILL"})
    assert all(map(is_gone, pids)) or not any(map(is_alive, pids))


def test_a_time_limit_ends_a_run(world: World) -> None:
    """The limit counts from the start of the run."""
    record = world.run("exec sleep 60", timeout=0.2)
    assert (record.status, record.reason) == (Status.FAILURE, "timeout")
    assert record.duration is not None
    assert 0.2 <= record.duration < 10


def test_a_run_that_is_stopped_before_its_start_never_starts(world: World, tmp_path: Path) -> None:
    """The stop comes between its line and its start."""
    world.held = []
    mark = tmp_path / "mark"
    run = world.submit(f"touch {mark}; sleep 60")
    eventually(lambda: world.held)
    run.stop("shutdown")
    world.held.pop()()
    record = world.record()
    assert (record.status, record.reason) == (Status.FAILURE, "shutdown")
    assert record.details == (("error", "stopped before it could be started"),)
    assert not mark.exists()


def test_a_closed_loop_carries_out_the_runs_submitted_before(world: World) -> None:
    """Also a run whose line is still to be written."""
    world.held = []
    run = world.submit("exit 3")
    eventually(lambda: world.held)
    world.loop.close()
    world.held.pop()()
    assert world.end()[0] is run


def test_a_cancelled_run_ends_without_a_record(world: World) -> None:
    """The caller of `cancel` accounts for its slot."""
    run = world.new_run("true")
    assert run.cancel()
    world.loop.submit(run)
    assert world.end() == (run, None)
    assert world.announced == []


def test_a_failed_attempt_may_be_followed_by_the_next_one(world: World) -> None:
    """The caller decides when to submit the run again."""
    run = world.submit("exit $((2 - JOB_ATTEMPT))", retry=Retry(2, delay=7))
    assert world.end() == (run, RetryAfter(7, 2))
    world.loop.submit(run)
    assert world.record().details == (("attempts", 2), ("exit_code", 0))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/no/such/program"], "no such command"),
        (["/etc/passwd"], "no permission"),
        ("true\0", "null byte"),
    ],
)
def test_a_failed_start_is_explained_in_the_record(world: World, command: str | list[str], words: str) -> None:
    """Without a traceback."""
    record = world.run(command)
    assert record.reason == "start"
    assert words in str(dict(record.details)["error"])
    assert world.log.events("task.crashed") == []


def test_a_temporary_failure_to_start_is_retried_on_another_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on meanwhile."""
    answers = [OSError(errno.EAGAIN, "no process left")] * 3
    start = child._start_process

    def scarce(*arguments: Any) -> int:
        if answers:
            raise answers.pop()
        return start(*arguments)

    monkeypatch.setattr(child, "_start_process", scarce)
    assert world.run("exit 5").details == (("exit_code", 5),)
    assert len(world.threads) == 1
    assert [len(events) for events in world.announced] == [1]


def test_a_thread_waits_for_a_command_without_a_pidfd(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs already, so it is neither forgotten nor started again."""
    monkeypatch.setattr(child, "_pidfd", lambda pid: None)
    assert world.run("echo $$; exit 6").details == (("exit_code", 6),)


def test_a_host_without_a_thread_ends_runs_later(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop tries again until it gets one."""
    pipe = Pipe(tmp_path)
    run = world.submit(f"echo $$ > {pipe.path}; exec sleep 60")
    (pid,) = pipe.pids()
    missing = [RuntimeError("can't start new thread")] * 2
    start = threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if missing and thread.name == "command":
            raise missing.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    run.stop("shutdown")
    assert world.record().reason == "shutdown"
    assert missing == []
    assert is_gone(pid)


def test_a_start_that_hangs_delays_no_other_run(world: World, tmp_path: Path) -> None:
    """Another thread takes over, and the hung thread ends its own attempt when it returns."""
    with hanging_program(tmp_path) as (program, release):
        hung = world.submit([program])
        eventually(lambda: world.loop._ownership.start_began_at)
        others = [world.submit("echo other") for _ in range(3)]
        eventually(
            lambda: (
                world.loop.replace_if_hung(world.loop._ownership.start_began_at + loop_ownership.START_TIMEOUT_S + 1)
                or world.loop._ownership.term == 2
            )
        )
        assert {world.end()[0] for _ in others} == set(others)
        assert hung.record is None
        release()
        ended, record = world.end()
    assert isinstance(record, Record)
    assert (ended, record.status, record.details) == (hung, Status.SUCCESS, (("exit_code", 0),))
    eventually(lambda: loop_threads() == 1)


def test_a_host_without_a_thread_lets_another_take_over_later(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check tries again."""
    with hanging_program(tmp_path) as (program, release):
        world.submit([program])
        eventually(lambda: world.loop._ownership.start_began_at)
        first, late = (
            world.loop._ownership.term,
            world.loop._ownership.start_began_at + loop_ownership.START_TIMEOUT_S + 1,
        )
        with monkeypatch.context() as scarce:
            scarce.setattr(threading.Thread, "start", no_thread)
            world.loop.replace_if_hung(late)
        assert world.loop._ownership.term == first
        world.loop.replace_if_hung(late)
        assert world.loop._ownership.term != first
        assert world.run("true").status is Status.SUCCESS
        release()
        world.record()


def test_submit_raises_on_a_host_without_a_descriptor_or_a_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run is carried out as usual."""
    with monkeypatch.context() as scarce:
        scarce.setattr(poller.select, "epoll", no_descriptor)
        with pytest.raises(OSError, match="descriptor"):
            world.loop.submit(world.new_run("true"))
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            world.loop.submit(world.new_run("true"))
    assert world.run("true").status is Status.SUCCESS


def test_a_start_that_returns_after_the_record_is_ended(world: World, tmp_path: Path) -> None:
    """Its run has its record, and no process is left."""
    world.runner.services.grace = 0.05
    with hanging_program(tmp_path) as (program, release):
        hung = world.submit([program], timeout=0.1)
        eventually(lambda: hung.record)
        assert hung.record is not None
        assert hung.record.reason == "timeout"
        assert world.runner.lost == 1
        release()
        assert world.end() == (hung, hung.record)
    assert world.runner.lost == 0


def test_a_fault_of_the_loop_is_logged_and_ends_nothing(world: World) -> None:
    """The next run is carried out as usual."""

    def fault() -> None:
        raise ZeroDivisionError("of ours")

    world.run("true")
    world.loop._call_soon(fault)
    assert world.run("true").status is Status.SUCCESS
    assert [event["error"] for event in world.log.events("task.crashed")] == ["ZeroDivisionError: of ours"]


def test_no_descriptor_is_left_open() -> None:
    """Neither by runs that ended by themselves, nor by stopped ones, nor by the loop."""
    with new_world() as world:
        world.run("true")
        before = descriptors()
        stopped = world.submit("exec sleep 60")
        for _ in range(10):
            world.submit("echo x")
        for _ in range(10):
            world.record()
        stopped.stop("replaced")
        world.record()
        eventually(lambda: descriptors() == before)
    eventually(lambda: descriptors() == before - 2)


def test_a_closed_loop_takes_no_run(world: World) -> None:
    """The caller has to carry it out in another way."""
    world.loop.close()
    with pytest.raises(RuntimeError):
        world.loop.submit(world.new_run("true"))


def test_other_fields_of_a_job_have_their_usual_effect(world: World, tmp_path: Path) -> None:
    """Umask, directory, input."""
    run = world.submit("umask; pwd; cat", own={"umask": "027", "cwd": str(tmp_path), "stdin": "given"})
    assert world.record().status is Status.SUCCESS
    assert world.output(run) == f"0027\n{tmp_path}\ngiven"


def test_a_loop_without_a_thread_has_nothing_to_answer(world: World) -> None:
    """As when the host refused a descriptor, and a command runs on a thread of its own."""
    assert [world.loop.answers() for _ in range(3)] == [True, True, True]
