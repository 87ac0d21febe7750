"""Runs: attempts, time limits, and exactly one record for each run."""

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from jobscheduler import tasks
from jobscheduler.model import Retry, Status
from jobscheduler.runlog import format_json, format_text
from jobscheduler.runner import RetryAfter, Runner, TimerThread
from jobscheduler.runner.run import Attempt
from jobscheduler.tasks import Outcome, Task, TaskFailed
from tests.support.service import threads_since
from tests.support.tasks import SLOT, Kept, Log, Pipe, eventually, in_thread, is_gone, job, run_once

NOW = datetime(2026, 11, 22, 1, 0, 0, 12000, tzinfo=UTC)


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def runner(log, kept):
    made = Runner(log.record, log.emit, clock=lambda: NOW, outputs=kept)
    yield made
    made.close()


@pytest.fixture
def task(monkeypatch):
    """Return a function that makes a job whose task type `mine` runs a function."""

    def make(run, secrets=()):
        members = {"run": lambda self, context: run(context), "secrets": lambda self: iter(secrets)}
        monkeypatch.setitem(tasks._loaded, "mine", type("Mine", (Task,), members))
        return job("mine")

    return make


def failing(context):
    raise TaskFailed(f"no luck {context.attempt}", outcome=Outcome((), b"out %d" % context.attempt))


def test_a_success_is_one_event_and_one_record(runner, log):
    """`run.started` before the task begins, the record when it has ended. Both name the run."""
    run = runner.new_run(job(own={"command": "echo hi"}), SLOT)
    record = run.attempt()
    assert log.records == [record]
    assert log.events("run.started") == [
        {"job_id": "report-001", "run_id": run.run_id, "scheduled": SLOT, "attempt": 1}
    ]
    assert (record.status, record.job_id, record.run_id) == (Status.SUCCESS, "report-001", run.run_id)
    assert (record.scheduled, record.started, record.at, record.reason) == (SLOT, NOW, NOW, None)
    assert (record.details, record.output) == ((("exit_code", 0),), None)
    assert record.duration >= 0


def test_a_failure_has_the_reason_the_details_and_the_end_of_the_output(runner, kept):
    """The keeper of outputs gets the rest."""
    run = runner.new_run(job(own={"command": "seq 100000; exit 3"}), SLOT)
    record = run.attempt()
    assert (record.status, record.reason, record.details) == (Status.FAILURE, "exit", (("exit_code", 3),))
    assert record.output.endswith("99999\n100000")
    assert len(record.output) <= 2048
    assert len(kept.text(run.run_id)) > 60_000


def test_the_run_id_is_the_marker_of_the_command(runner, kept):
    """Its processes are found by it."""
    run = runner.new_run(job(own={"command": "echo $JOB_RUN_ID"}), SLOT)
    run.attempt()
    assert kept.text(run.run_id).decode().strip() == run.run_id
    assert len(run.run_id) >= 8
    assert set(run.run_id) <= set("0123456789abcdef")


def test_a_manual_run_has_no_slot(runner, log):
    """Its record names the user who requested it."""
    run = runner.new_run(job(), None, (("trigger", "manual"), ("by", 1000)))
    record = run.attempt()
    assert dict(record.fields()) == {
        "job_id": "report-001",
        "run_id": run.run_id,
        "started": NOW,
        "duration": record.duration,
        "trigger": "manual",
        "by": 1000,
        "exit_code": 0,
        "cpu": record.cpu,
    }
    assert log.events("run.started")[0]["by"] == 1000


def test_a_failed_attempt_is_followed_by_the_next_one(runner, log, task):
    """It holds no worker meanwhile. The run keeps its id and gets one record."""
    own = task(failing)
    retry = Retry(3, delay=30, backoff=2, max_delay=50)
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, retry=retry), SLOT)
    assert [run.attempt(), run.attempt()] == [RetryAfter(30, 2), RetryAfter(50, 3)]
    assert runner.active_runs == (run,)
    record = run.attempt()
    assert log.records == [record]
    assert (record.reason, record.output) == ("task", "out 3")
    assert record.details == (("attempts", 3), ("error", "no luck 3"))
    assert [event["attempt"] for event in log.events("run.started")] == [1, 2, 3]
    failed = log.events("run.attempt_failed")
    assert [(event["attempt"], event["retry_in"], event["error"], event["output"]) for event in failed] == [
        (1, 30, "no luck 1", "out 1"),
        (2, 50, "no luck 2", "out 2"),
    ]
    assert runner.active_runs == ()


def test_a_later_success_is_a_success(runner, log, task):
    """With the number of attempts that it took."""

    def second_time(context):
        if context.attempt == 1:
            raise TaskFailed("not yet")

    own = task(second_time)
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, retry=Retry(5, delay=0)), SLOT)
    assert run.attempt() == RetryAfter(0, 2)
    assert (run.attempt().status, run.record.details) == (Status.SUCCESS, (("attempts", 2),))


@pytest.mark.parametrize(
    ("retry", "pauses"),
    [
        (Retry(1), [None]),
        (Retry(3, 30, 2, 600), [30, 60, None]),
        (Retry(4, 30, 10, 600), [30, 300, 600, None]),
    ],
)
def test_delays_grow_up_to_their_maximum(retry, pauses):
    """By the factor, from the first delay on."""
    assert [retry.delay_after(attempt) for attempt in range(1, retry.attempts + 1)] == pauses


def test_a_delay_too_large_to_compute_is_the_maximum():
    """Any number of attempts has a delay."""
    assert Retry(10**6, 1, 10.0, 600).delay_after(10**5) == 600


def test_an_attempt_ends_at_its_time_limit(runner, tmp_path):
    """With its whole process tree. The reason is `timeout`."""
    pipe = Pipe(tmp_path)
    run = runner.new_run(job(own={"command": f"echo $$ > {pipe.path}; sleep 1000 & wait"}, timeout=1.0), SLOT)
    pids = []
    with in_thread(lambda: pids.extend(pipe.pids())):
        record = run.attempt()
    assert (record.reason, record.details) == ("timeout", (("signal", "SIGTERM"),))
    eventually(lambda: is_gone(pids[0]))


def test_each_attempt_has_the_whole_time_limit(runner, task):
    """A timeout is a failure like others, so another attempt follows."""
    deadlines = []

    def wait_for_stop(context):
        deadlines.append(context.deadline)
        context.stopping.wait()

    own = task(wait_for_stop)
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, timeout=0.01, retry=Retry(2, delay=0)), SLOT)
    assert run.attempt() == RetryAfter(0, 2)
    assert run.attempt().reason == "timeout"
    assert deadlines[1] > deadlines[0]


def test_a_success_after_the_limit_is_a_timeout(runner, task):
    """A task that returns because it had to stop has not done its work."""
    own = task(lambda context: context.stopping.wait() and None)
    record = runner.new_run(type(own)(own.id, own.schedule, own.task, timeout=0.01), SLOT).attempt()
    assert (record.status, record.reason) == (Status.FAILURE, "timeout")


@pytest.mark.parametrize("reason", ["replaced", "shutdown"])
def test_a_run_can_be_stopped(runner, log, task, reason):
    """Its record has the reason, and no further attempt is made."""
    begun = threading.Event()

    def wait_for_stop(context):
        begun.set()
        context.stopping.wait()

    own = task(wait_for_stop)
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, retry=Retry(9, delay=0)), SLOT)
    with in_thread(run.attempt):
        begun.wait()
        run.stop(reason)
    assert [record.reason for record in log.records] == [reason]


def test_a_run_that_waits_for_its_next_attempt_is_stopped_at_once(runner, log, task):
    """It gets its record there and then. The attempt that comes later only returns it."""
    own = task(failing)
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, retry=Retry(2, 60)), SLOT)
    run.attempt()
    run.stop("replaced")
    assert [record.reason for record in log.records] == ["replaced"]
    assert run.attempt() is log.records[0]
    assert len(log.records) == 1


def test_a_run_that_waits_for_a_worker_can_be_replaced(runner, log):
    """Its record says so, and has no start."""
    run = runner.new_run(job(own={"command": "exit 9"}), SLOT)
    run.stop("replaced")
    record = run.attempt()
    assert (record.reason, record.started, record.duration) == ("replaced", None, None)
    assert log.entries == [record]


def test_a_run_that_never_began_is_cancelled_at_shutdown(runner, log, task):
    """Its slot gets no record: the next start decides about it. A run that has begun is stopped."""
    own = task(failing)
    begun = runner.new_run(type(own)(own.id, own.schedule, own.task, retry=Retry(2, 60)), SLOT)
    begun.attempt()
    waiting = runner.new_run(job(), SLOT)
    runner.stop()
    assert waiting.attempt() is None
    assert [(record.run_id, record.reason) for record in log.records] == [(begun.run_id, "shutdown")]
    assert runner.active_runs == ()


def test_a_stop_that_comes_with_the_end_of_an_attempt_is_not_lost(runner, log, task, monkeypatch):
    """The attempt fails by itself at the moment at which the run is replaced. No further one follows."""
    begun, go = threading.Event(), threading.Event()

    def stubborn(context):
        begun.set()
        go.wait()
        raise TaskFailed("by itself")

    own = task(stubborn)
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, retry=Retry(9, delay=0)), SLOT)
    monkeypatch.setattr(Attempt, "request_stop", lambda *_: None)  # the moment before the task is asked to stop
    with in_thread(run.attempt):
        begun.wait()
        run.stop("replaced")
        go.set()
    assert [record.reason for record in log.records] == ["replaced"]


def test_the_second_stop_does_nothing(runner, log):
    """Nor does one after the end."""
    run = runner.new_run(job(), SLOT)
    record = run.attempt()
    run.stop("replaced")
    run.stop("shutdown")
    assert log.records == [record]


def test_a_task_that_ignores_its_stop_is_recorded_and_counted_as_lost(log, task):
    """Its record does not wait for it. Its late result is ignored, and its thread is then no longer lost."""
    runner = Runner(log.record, log.emit, grace=0.05)
    release = threading.Event()
    own = task(lambda context: release.wait() and Outcome((("late", 1),)))
    run = runner.new_run(type(own)(own.id, own.schedule, own.task, timeout=0.05, retry=Retry(5, delay=0)), SLOT)
    ended = []
    with in_thread(lambda: ended.append(run.attempt())):
        log.recorded.wait()
        assert runner.lost == 1
        assert runner.active_runs == ()
        release.set()
    (record,) = log.records
    assert (record.reason, runner.lost, ended) == ("timeout", 0, [record])
    assert record.details == (("error", "the task did not end within 0.05 s of being asked to; its thread is lost"),)
    runner.close()


def test_a_crash_is_a_failure_with_its_traceback_in_an_event(runner, log, task):
    """The traceback is for the author of the task type, the record for its users."""
    record = runner.new_run(task(lambda context: 1 / 0), SLOT).attempt()
    assert (record.reason, record.details) == ("task", (("error", "ZeroDivisionError: division by zero"),))
    (crash,) = log.events("task.crashed")
    assert crash["run_id"] == record.run_id
    assert "test_runner_run.py" in crash["traceback"]


@pytest.mark.parametrize(
    "crash", [SystemExit(3), KeyboardInterrupt(), MemoryError(), RecursionError(), GeneratorExit()]
)
def test_no_exception_of_a_task_leaves_its_run(runner, task, crash):
    """Not even one that is meant to end a thread or the process."""

    def run(context):
        raise crash

    assert runner.new_run(task(run), SLOT).attempt().reason == "task"


def test_secrets_are_redacted_in_messages_and_tracebacks(runner, log, task):
    """The task lists its secrets. They appear in neither records nor events."""

    def run(context):
        raise ValueError("cannot use hunter2")

    record = runner.new_run(task(run, secrets=["hunter2", "", "a"]), SLOT).attempt()
    assert record.details == (("error", "ValueError: cannot use [secret]"),)
    assert "hunter2" not in log.events("task.crashed")[0]["traceback"]


@pytest.mark.parametrize("result", ["text", 1, Outcome, {"a": 1}])
def test_a_task_that_returns_no_outcome_has_crashed(runner, task, result):
    """It must return an `Outcome` or None."""
    assert runner.new_run(task(lambda context: result), SLOT).attempt().reason == "task"


def test_a_failure_with_a_broken_outcome_is_a_failure(runner, task):
    """An error while a failure is described stays inside the runner."""

    def run(context):
        raise TaskFailed("x", outcome="not an outcome")

    assert runner.new_run(task(run), SLOT).attempt().reason == "task"


def test_details_that_a_line_cannot_carry_become_text(runner, task):
    """A task type of another package may return any value."""
    own = task(lambda context: Outcome(((1, None), ("b", [2]), ("c", 3))))
    assert runner.new_run(own, SLOT).attempt().details == (("1", "None"), ("b", "[2]"), ("c", 3))


def test_no_detail_can_forge_a_line_or_a_reserved_key(runner, task):
    """Keys have no blank and no reserved word, values fit both forms of the log, and their number is limited."""
    # The last instant of the calendar in a zone west of Greenwich is none in UTC.
    forged = "x\n2026-11-22T01:00:00.000Z SUCCESS job_id=forged"
    given = (
        (forged, 1),
        ("status", 200),
        ("ratio", float("nan")),
        ("huge", 10**5000),
        ("", datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
    )
    record = runner.new_run(task(lambda context: Outcome(given + (("more", 1),) * 100)), SLOT).attempt()
    names = [name for name, _ in record.details]
    assert names[:5] == ["x_2026_11_22t01_00_00_000z_success_job_i", "task_status", "ratio", "huge", "_"]
    assert (len(names), set(names[5:])) == (32, {"task_more"})
    assert format_text(record).count("job_id=") == 1
    assert json.loads(format_json(record), parse_constant=pytest.fail)["status"] == "SUCCESS"


@pytest.mark.parametrize("reason", [None, "", "overlap", [], "exit "])
def test_a_failure_without_a_known_reason_is_a_failure(runner, task, reason):
    """It is never a success."""

    def run(context):
        raise TaskFailed("m", reason=reason)

    record = runner.new_run(task(run), SLOT).attempt()
    assert (record.status, record.reason, record.details) == (Status.FAILURE, "task", (("error", "m"),))


def test_a_fault_of_the_log_does_not_fail_a_run(task):
    """Exceptions of `record` and `emit` are ignored."""

    def broken(entry):
        raise OSError("no space left on device")

    assert run_once(job(), SLOT, broken, broken).status is Status.SUCCESS


def test_a_callback_that_raises_does_not_keep_the_next_one_from_being_called(runner, log, task):
    """Nor does it end the timer thread."""

    def run(context):
        context.on_stop(lambda: 1 / 0)
        called = threading.Event()
        context.on_stop(called.set)
        called.wait()

    own = task(run)
    for _ in range(2):
        record = runner.new_run(type(own)(own.id, own.schedule, own.task, timeout=0.01), SLOT).attempt()
        assert record.reason == "timeout"
    eventually(lambda: len(log.events("task.crashed")) == 2)


def test_a_callback_that_blocks_delays_neither_other_time_limits_nor_the_caller_of_stop(runner, task):
    """The timer thread serves all runs, and the thread that replaces a run serves all slots."""
    release, began = threading.Event(), threading.Event()

    def stubborn(context):
        context.on_stop(release.wait)
        began.set()
        context.stopping.wait(20)

    first = runner.new_run(task(stubborn), SLOT)
    with in_thread(first.attempt):
        try:
            began.wait(20)
            first.stop("replaced")
            assert not release.is_set()
            limited = replace(task(stubborn), timeout=0.05)
            ends = [runner.new_run(limited, SLOT).attempt() for _ in range(2)]
        finally:
            release.set()
    assert [end.reason for end in ends] == ["timeout", "timeout"]
    assert first.record.reason == "replaced"


def test_a_task_type_that_is_gone_fails_its_runs(runner):
    """Its package was removed while the job was loaded."""
    record = runner.new_run(job("no_such_type"), SLOT).attempt()
    assert record.reason == "start"
    assert "unknown task type `no_such_type`" in record.details[0][1]


def test_many_runs_share_one_timer_thread(runner, task):
    """Whatever their number."""
    before = threading.enumerate()
    own = task(lambda context: None)
    limited = type(own)(own.id, own.schedule, own.task, timeout=3600)
    for _ in range(500):
        runner.new_run(limited, SLOT).attempt()
    assert len(threads_since(before)) == 1
    assert len(runner.timer._due) < 100


def test_the_timer_calls_in_the_order_of_time():
    """Whatever the order of the requests."""
    timer, called, over = TimerThread(print), [], threading.Event()
    soon = time.monotonic() + 0.05
    for number in (3, 1, 2):
        timer.call_at(soon + number / 1000, partial(called.append, number))
    timer.call_at(soon + 0.004, over.set)
    over.wait()
    timer.close()
    assert called == [1, 2, 3]


def test_run_once_makes_all_attempts(task):
    """On the calling thread, for tests and small programs."""
    entries, before = [], threading.enumerate()
    own = task(failing)
    record = run_once(
        type(own)(own.id, own.schedule, own.task, retry=Retry(3, 0.01)), SLOT, entries.append, entries.append
    )
    assert record.details == (("attempts", 3), ("error", "no luck 3"))
    assert len(threads_since(before)) <= 1, "only the timer's"
