"""The scheduler: slots become runs and records, and none is lost or doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from jobscheduler import tasks
from jobscheduler.model import (
    Checkpoint,
    Cron,
    Event,
    FullCheckpoint,
    InFlightRun,
    Job,
    LogEntry,
    Once,
    Pause,
    Record,
    RecoveredState,
    Retry,
    TaskSpec,
)
from jobscheduler.model.selection import selectors
from jobscheduler.scheduler import Clocks, Resumed, Scheduler, SchedulerHost, SchedulerLog
from jobscheduler.tasks import Context, Outcome, Task, TaskFailed
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.timetable.timetable import timetable_of
from tests.support.service import wait_until

NOON = datetime(2096, 11, 22, 12, tzinfo=UTC)
"""Far ahead of the host's clock, which APScheduler uses: it never wakes up by itself."""


class Gate(Task):
    """A task that ends when the test opens the gate, or when it is stopped."""

    begun: ClassVar[list[Context]] = []
    may_end = threading.Event()

    def run(self, context: Context) -> Outcome | None:
        """Begin; end when the gate is open."""
        Gate.begun.append(context)
        wait_until(lambda: Gate.may_end.is_set() or context.stopping.is_set())  # a stop opens no other run's gate
        if self.fields.get("fails"):
            raise TaskFailed("as its fields say")
        return Outcome()


class World:
    """A scheduler whose clock the test moves, and all its log entries."""

    def __init__(self, workers: int = 4, log: SchedulerLog | None = None, *, stands_by: bool = False) -> None:
        self.now = NOON
        self.late_reason = "asleep"
        self.written: list[LogEntry] = []
        self.checkpoints: list[Checkpoint] = []
        self.scheduler = Scheduler(
            log or SchedulerLog(self.written.append, self.checkpoints.append),
            max_workers=workers,
            host=SchedulerHost(boot="boot-1"),
            clocks=Clocks(now=lambda: self.now, late_reason=lambda: self.late_reason),
            stands_by=stands_by,
        )
        self.scheduler._waker.start = lambda: None  # the host's clock is not the test's

    def put(self, job: Job) -> datetime | None:
        """Activate a job now."""
        return self.scheduler.put(job, self.now)

    def due(self, job_id: str, seconds: float) -> None:
        """Set the clock to `seconds` after noon, and wake up for the job."""
        self.now = NOON + timedelta(seconds=seconds)
        self.scheduler._on_due(job_id, self.now)

    def pause(self, *texts: str, seconds: float | None = None, **about: str) -> list[Pause]:
        """Pause what these select, until so many seconds after noon; return the pauses that are new."""
        until = None if seconds is None else NOON + timedelta(seconds=seconds)
        return self.scheduler.pauses.pause(selectors(texts), until, **about)

    def resume(self, *texts: str) -> list[Resumed]:
        """Resume what these select; return what has changed."""
        entries = self.scheduler._engine.registry.jobs.values()
        return self.scheduler.pauses.resume(selectors(texts), {one.job.id: one.job.tags for one in entries})

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the pairs of the events of this name."""
        return [dict(one.fields()) for one in self.written if isinstance(one, Event) and one.name == name]

    def records(self, job_id: str | None = None) -> list[tuple[int, str, str | None]]:
        """Return each record: the seconds after noon of its slot, its status and reason."""
        return [
            (int((one.scheduled - NOON).total_seconds()), one.status.value, one.reason)
            for one in self.written
            if isinstance(one, Record) and job_id in {None, one.job_id} and one.scheduled
        ]

    def wait_until_idle(self) -> None:
        """Wait until no run is at work: a slot that comes due earlier is skipped."""
        wait_until(lambda: not [*self.scheduler._engine.registry.runs()])

    def wait_for_records(self, count: int) -> list[tuple[int, str, str | None]]:
        """Wait until there are `count` records, and return all."""
        wait_until(lambda: len(self.records()) >= count, why=f"{count} records, have {self.records()}")
        return self.records()


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a task type of the test's own, with its gate open."""
    Gate.begun, Gate.may_end = [], threading.Event()
    Gate.may_end.set()
    monkeypatch.setitem(tasks._loaded, "gate", Gate)


@pytest.fixture
def world() -> Iterator[World]:
    """Give a scheduler that was not started: the test wakes it."""
    made = World()
    yield made
    Gate.may_end.set()
    made.scheduler.stop(5)


def job(
    job_id: str = "x", schedule: Cron | Once | None = None, task: Mapping[str, Any] | None = None, **fields: Any
) -> Job:
    """Return a job that passes the gate each minute."""
    return Job(job_id, schedule or Cron("* * * * *", "UTC"), TaskSpec.from_params("gate", task or {}), **fields)


def test_a_slot_becomes_one_run_and_one_record(world: World) -> None:
    """However often the scheduling thread wakes up for it."""
    assert world.put(job()) == NOON + timedelta(minutes=1)
    world.due("x", 59)
    for _ in range(3):
        world.due("x", 60)

    assert world.wait_for_records(1) == [(60, "SUCCESS", None)]
    started = [one for one in world.written if isinstance(one, Event)]
    assert [one.name for one in started] == ["run.started"]
    assert world.scheduler.next_slot("x") == NOON + timedelta(minutes=2)


def test_a_warm_up_decides_and_writes_nothing(world: World) -> None:
    """It takes the code path of the slot without a trace, even for a job that is gone by then."""
    world.put(job())
    world.now = NOON + timedelta(seconds=59.99)
    for job_id in ("x", "gone"):
        world.scheduler._warm_up(job_id)

    assert world.written == []
    assert world.scheduler.next_slot("x") == NOON + timedelta(minutes=1)


def due_together(world: World, count: int) -> None:
    """Make `count` jobs due while the gate is shut, and wait until each of the four workers has a run."""
    Gate.may_end.clear()
    for number in range(count):
        world.put(job(f"x{number}"))
    for number in range(count):
        world.due(f"x{number}", 60)
    wait_until(lambda: len(Gate.begun) == 4)


def test_jobs_that_are_due_together_run_at_the_same_time(world: World) -> None:
    """Four workers have four runs at once."""
    due_together(world, 4)

    assert world.records() == []


def test_a_busy_pool_makes_runs_late_and_never_drops_them(world: World) -> None:
    """Twenty runs on four workers: all have their record."""
    due_together(world, 20)
    Gate.may_end.set()

    assert world.wait_for_records(20) == [(60, "SUCCESS", None)] * 20


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", [(60, "SUCCESS", None), (120, "SKIPPED", "overlap"), (180, "SKIPPED", "overlap")]),
        ("queue", [(60, "SUCCESS", None), (120, "SUCCESS", None), (180, "SKIPPED", "overlap")]),
        ("replace", [(60, "FAILURE", "replaced"), (120, "FAILURE", "replaced"), (180, "SUCCESS", None)]),
        ("allow", [(60, "SUCCESS", None), (120, "SUCCESS", None), (180, "SUCCESS", None)]),
    ],
)
def test_the_overlap_rule_decides_about_slots_during_a_run(
    world: World, overlap: str, expected: list[tuple[int, str, str | None]]
) -> None:
    """Three slots, the later two while the first is running: one record for each."""
    Gate.may_end.clear()
    world.put(job(overlap=overlap))
    for seconds in (60, 120, 180):
        world.due("x", seconds)
        wait_until(lambda: Gate.begun)
    Gate.may_end.set()

    world.wait_for_records(3)
    assert sorted(world.records()) == expected


def test_a_run_between_two_attempts_is_active(world: World) -> None:
    """It holds no worker, and the next slot overlaps with it."""
    world.put(job(task={"fails": True}, retry=Retry(2, delay=3600)))
    world.due("x", 60)
    wait_until(lambda: any(isinstance(one, Event) and one.name == "run.attempt_failed" for one in world.written))
    world.due("x", 120)

    assert world.wait_for_records(1) == [(120, "SKIPPED", "overlap")]


def test_an_edit_at_the_moment_of_a_slot_neither_loses_nor_doubles_it(world: World) -> None:
    """The slots of the former definition are decided before the new one counts from now."""
    world.put(job())
    world.now = NOON + timedelta(seconds=60.001)
    world.put(job(description="edited"))
    world.due("x", 60.002)

    assert world.wait_for_records(1) == [(60, "SUCCESS", None)]
    world.due("x", 120)
    assert world.wait_for_records(2) == [(60, "SUCCESS", None), (120, "SUCCESS", None)]


def test_a_changed_schedule_counts_from_now(world: World) -> None:
    """Past slots of the new schedule do not count."""
    world.put(job(schedule=Cron("0 13 * * *", "UTC")))
    world.due("x", 1800)
    assert world.put(job(schedule=Cron("*/20 * * * *", "UTC"))) == NOON + timedelta(minutes=40)
    world.due("x", 2400)

    assert world.wait_for_records(1) == [(2400, "SUCCESS", None)]


def test_a_one_time_job_runs_once_however_often_it_is_put(world: World) -> None:
    """Edited, removed and put back: its slot never runs twice."""
    once = job(schedule=Once(NOON + timedelta(seconds=2)))
    assert world.put(once) == NOON + timedelta(seconds=2)
    world.due("x", 2)
    world.wait_for_records(1)
    for number in range(3):
        assert world.put(job(schedule=once.schedule, description=str(number))) is None
        world.due("x", 3 + number)
        world.scheduler.drop("x", world.now)
    assert world.put(once) is None
    world.due("x", 30)

    assert world.records() == [(2, "SUCCESS", None)]


def test_a_one_time_job_that_is_a_little_late_runs(world: World) -> None:
    """Its file came two seconds after its instant: it is not older than `catch_up`, so it runs at once."""
    world.now = NOON + timedelta(seconds=4)
    assert world.put(job(schedule=Once(NOON + timedelta(seconds=2)))) == NOON + timedelta(seconds=2)
    world.due("x", 4)

    assert world.wait_for_records(1) == [(2, "SUCCESS", None)]


def test_a_disabled_job_is_never_due_and_counts_from_when_it_is_enabled(world: World) -> None:
    """A slot during which it is disabled does not count, and the next one runs."""
    world.put(job())
    world.put(job(enabled=False))
    assert world.scheduler.next_slot("x") is None
    world.due("x", 60)
    world.now = NOON + timedelta(seconds=90)
    world.put(job())
    world.due("x", 120)

    assert world.wait_for_records(1) == [(120, "SUCCESS", None)]


def test_a_removed_job_that_comes_back_overlaps_with_its_active_run(world: World) -> None:
    """An active run does not belong to the file."""
    Gate.may_end.clear()
    world.put(job())
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    world.scheduler.drop("x", world.now)
    world.due("x", 120)
    world.put(job())
    world.due("x", 180)
    Gate.may_end.set()

    world.wait_for_records(2)
    assert sorted(world.records()) == [(60, "SUCCESS", None), (180, "SKIPPED", "overlap")]


def test_a_pending_slot_is_missed_when_its_file_is_removed(world: World) -> None:
    """The record has the reason."""
    Gate.may_end.clear()
    world.put(job(overlap="queue"))
    for seconds in (60, 120):
        world.due("x", seconds)
        wait_until(lambda: Gate.begun)
    world.scheduler.drop("x", world.now)
    Gate.may_end.set()

    world.wait_for_records(2)
    assert sorted(world.records()) == [(60, "SUCCESS", None), (120, "MISSED", "deleted")]


def test_a_clock_set_back_repeats_nothing(world: World) -> None:
    """Ten minutes back: decided slots are not decided again, and later ones follow."""
    world.put(job())
    world.due("x", 600)
    world.wait_until_idle()
    world.due("x", 0)
    world.due("x", 600)
    world.due("x", 660)

    assert [slot for slot, status, _ in world.wait_for_records(3) if status == "SUCCESS"] == [600, 660]


def test_an_outage_is_accounted_for(world: World) -> None:
    """An hour of sleep: the latest slot runs, the others share one record."""
    world.put(job())
    world.due("x", 3600)

    world.wait_for_records(2)
    assert sorted(world.records()) == [(60, "MISSED", "asleep"), (3600, "SUCCESS", None)]
    (missed,) = [one for one in world.written if isinstance(one, Record) and one.status == "MISSED"]
    assert dict(missed.details) == {"last": NOON + timedelta(minutes=59), "count": 59}


def test_a_stop_lets_runs_finish_and_leaves_pending_slots_to_the_next_start() -> None:
    """Running tasks may end in their time; runs that wait for a worker get no record."""
    world = World(workers=1)
    Gate.may_end.clear()
    for name in ("x", "y"):
        world.put(job(name))
    for name in ("x", "y"):
        world.due(name, 60)
    wait_until(lambda: Gate.begun)
    threading.Timer(0.2, Gate.may_end.set).start()
    world.scheduler.stop(10)

    assert world.records() == [(60, "SUCCESS", None)]
    world.due("x", 120)
    assert len(world.records()) == 1


@pytest.mark.parametrize("must_end_now", [False, True])
def test_a_stop_ends_runs_that_do_not_finish_in_time(must_end_now: bool) -> None:
    """After the drain, or at once after a second signal."""
    world = World()
    Gate.may_end.clear()
    world.put(job(task={"fails": True}))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    world.scheduler.stop(600 if must_end_now else 0.05, lambda: must_end_now)

    assert world.records() == [(60, "FAILURE", "shutdown")]


def real(seconds: float = 1.0) -> tuple[datetime, Callable[[], datetime]]:
    """Return an instant that is soon, and a clock that runs."""
    return datetime.now(UTC) + timedelta(seconds=seconds), lambda: datetime.now(UTC)


def test_the_real_scheduler_wakes_at_the_time() -> None:
    """APScheduler's thread, its store and its pool: a one-time and an every-second job run when they are due."""
    soon, clock = real()
    written: list[LogEntry] = []
    scheduler = Scheduler(SchedulerLog(written.append), max_workers=2, clocks=Clocks(now=clock))
    with scheduler:
        scheduler.put(job("once", Once(soon)), clock())
        scheduler.put(job("each", Cron("* * * * * *", "UTC")), clock())
        scheduler.start()
        assert scheduler.is_alive()
        wait_until(lambda: sum(isinstance(one, Record) for one in written) >= 4)

    runs = [one for one in written if isinstance(one, Record)]
    assert {one.status.value for one in runs} == {"SUCCESS"}
    assert sum(one.job_id == "once" for one in runs) == 1
    assert len({(one.job_id, one.scheduled) for one in runs}) == len(runs)
    assert all(one.started >= one.scheduled for one in runs)
    assert not scheduler.is_alive()


def full_checkpoint_of(*jobs: Job) -> FullCheckpoint:
    """Return a full checkpoint that names these jobs."""
    return FullCheckpoint(
        accounted_since=NOON - timedelta(days=9), hashes={one.id: definition_hash(one) for one in jobs if one.enabled}
    )


def restart(world: World, *jobs: Job, **past: Any) -> None:
    """Start a scheduler whose log has its last checkpoint at noon."""
    given = {
        "checkpoint": Checkpoint(NOON, "boot-1"),
        "last_line_at": NOON,
        "clean_stop": False,
        "full": full_checkpoint_of(*jobs),
        **past,
    }
    world.scheduler.restore(RecoveredState(**given), world.now)
    for one in jobs:
        world.put(one)
    world.scheduler.start()


def test_after_a_stop_the_latest_slot_is_caught_up_and_the_others_are_one_record(world: World) -> None:
    """The service was down for ten minutes."""
    world.now = NOON + timedelta(seconds=630)
    restart(world, job())

    assert sorted(world.wait_for_records(2)) == [(60, "MISSED", "down"), (600, "SUCCESS", None)]
    assert world.scheduler.next_slot("x") == NOON + timedelta(seconds=660)


def test_an_interrupted_run_is_a_failure_and_is_not_repeated(world: World) -> None:
    """Its slot is accounted for."""
    world.now = NOON + timedelta(seconds=90)
    slot = NOON + timedelta(seconds=60)
    restart(world, job(), in_flight=(InFlightRun("x", "abc", slot, slot),))
    world.due("x", 120)

    assert world.wait_for_records(2) == [(60, "FAILURE", "interrupted"), (120, "SUCCESS", None)]


def test_slots_before_the_file_was_written_do_not_count(world: World) -> None:
    """The file is newer than the checkpoint, so only slots after it count."""
    world.now = NOON + timedelta(seconds=330)
    restart(world, job(modified_at=NOON + timedelta(seconds=150)), full=FullCheckpoint())

    assert sorted(world.wait_for_records(2)) == [(180, "MISSED", "down"), (300, "SUCCESS", None)]


def test_recorded_slots_stay_recorded(world: World) -> None:
    """Slots with a record after the checkpoint are neither run nor missed."""
    world.now = NOON + timedelta(seconds=200)
    slot = NOON + timedelta(seconds=120)
    restart(world, job(), recorded={"x": ((slot, slot),)})

    assert sorted(world.wait_for_records(2)) == [(60, "MISSED", "down"), (180, "SUCCESS", None)]


def test_a_lagging_job_is_accounted_for_from_its_cursor(world: World) -> None:
    """Other jobs have run slots of the same time, which the checkpoint covers; this one has not."""
    world.now = NOON + timedelta(seconds=100)
    checkpoint = Checkpoint(NOON + timedelta(seconds=90), "boot-1", lagging=(("late", NOON),))
    restart(world, job("late"), job("others"), checkpoint=checkpoint)

    assert world.wait_for_records(1) == world.records("late") == [(60, "SUCCESS", None)]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job(catch_up=600)], [(60, "SUCCESS", None)]),
        ([job(catch_up=5)], [(60, "MISSED", "down")]),
        ([], [(60, "MISSED", "deleted")]),
    ],
)
def test_a_slot_that_was_pending_at_the_stop_is_accounted_for(
    world: World, jobs: list[Job], expected: list[tuple[int, str, str | None]]
) -> None:
    """It is part of the outage; without its file it is missed."""
    world.now = NOON + timedelta(seconds=100)
    checkpoint = Checkpoint(NOON + timedelta(seconds=90), "boot-1", (), (("x", NOON + timedelta(seconds=60)),))
    restart(world, *jobs, checkpoint=checkpoint, pending=checkpoint.pending)

    assert world.wait_for_records(1) == expected


def test_after_a_host_crash_nothing_runs_where_lines_may_be_lost(world: World) -> None:
    """Two seconds after the last line that survived."""
    world.now = NOON + timedelta(seconds=30)
    restart(world, job(schedule=Cron("* * * * * *", "UTC"), catch_up=20), checkpoint=Checkpoint(NOON, "another boot"))

    assert sorted(world.wait_for_records(3)) == [(1, "MISSED", "unknown"), (3, "MISSED", "down"), (30, "SUCCESS", None)]


@pytest.mark.parametrize(("before_its_start", "runs"), [(1, 0), (3, 1)])
def test_after_a_host_crash_a_slot_that_may_have_started_is_not_run(
    world: World, before_its_start: int, runs: int
) -> None:
    """The last line that survived is from shortly before the end of its jitter; or from long enough before."""
    start = timetable_of(jittered()).start_time(NOON + timedelta(hours=1))
    world.now = start + timedelta(seconds=20)
    until = start - timedelta(seconds=before_its_start)
    restart(world, jittered(), checkpoint=Checkpoint(NOON + timedelta(minutes=59), "another boot"), last_line_at=until)

    assert world.wait_for_records(1) == [(3600, "SUCCESS", None) if runs else (3600, "MISSED", "unknown")]


def test_a_one_time_job_of_the_outage_runs_if_it_is_young_enough_and_else_is_missed(world: World) -> None:
    """A job whose file came after its instant is neither: it is expired, which is reported elsewhere."""
    world.now = NOON + timedelta(seconds=300)
    young = job("young", Once(NOON + timedelta(seconds=290)), modified_at=NOON)
    old = job("old", Once(NOON + timedelta(seconds=100)), modified_at=NOON)
    late = job("late", Once(NOON + timedelta(seconds=100)), modified_at=NOON + timedelta(seconds=200))
    world.scheduler.restore(RecoveredState(Checkpoint(NOON), NOON, clean_stop=True), world.now)
    world.put(young)
    assert world.scheduler.expire(old, world.now)
    assert not world.scheduler.expire(late, world.now)
    world.scheduler.start()

    assert sorted(world.wait_for_records(2)) == [(100, "MISSED", "down"), (290, "SUCCESS", None)]


@pytest.mark.parametrize(("boot", "runs"), [("boot-1", 0), ("boot-2", 1)])
def test_an_at_reboot_job_runs_once_a_boot(world: World, boot: str, runs: int) -> None:
    """A restart within the same boot does not run it again; a new boot does."""
    world.now = NOON + timedelta(seconds=30)
    restart(world, job(schedule=Cron("@reboot", "UTC")), job("y"), checkpoint=Checkpoint(NOON, boot), clean_stop=True)
    world.due("y", 60)
    world.wait_for_records(1 + runs)

    assert [record[0] for record in world.records("x")] == [30] * runs
    assert world.put(job("later", schedule=Cron("@reboot", "UTC"))) is None


def test_a_slot_has_the_precision_of_the_log(world: World) -> None:
    """Milliseconds, whatever the clock or the schedule has: else its record would not be recognised."""
    world.now = NOON + timedelta(microseconds=123_456)
    restart(world, job("boot", Cron("@reboot", "UTC")), checkpoint=Checkpoint(NOON, "boot-0"), clean_stop=True)
    world.put(job("once", Once(NOON + timedelta(seconds=1, microseconds=654_321))))
    world.due("once", 2)
    world.wait_for_records(2)

    slots = {one.job_id: one.scheduled - NOON for one in world.written if isinstance(one, Record) and one.scheduled}
    assert slots == {"boot": timedelta(milliseconds=123), "once": timedelta(seconds=1, milliseconds=654)}


def test_slots_decided_ahead_of_the_clock_are_not_run_again(world: World) -> None:
    """However far the log is ahead. Beyond three hours the log has a line that jobs wait; `status` always shows it."""
    restart(world, job(), checkpoint=Checkpoint(NOON + timedelta(hours=2), "boot-1"))
    assert world.scheduler.next_slot("x") == NOON + timedelta(hours=2, minutes=1)
    assert not [one for one in world.written if isinstance(one, Event)]

    other = World()
    restart(other, job(), checkpoint=Checkpoint(NOON + timedelta(days=4000), "boot-1"))
    assert other.scheduler.next_slot("x") == NOON + timedelta(days=4000, minutes=1)
    (event,) = [one for one in other.written if isinstance(one, Event)]
    assert (event.name, dict(event.values)["until"]) == ("clock.accepted", NOON + timedelta(days=4000))
    behind = other.scheduler.behind_clock()
    assert behind is not None
    assert (behind.by, behind.jobs) == (timedelta(days=4000), 1)
    other.scheduler.stop(0)


def test_after_a_clock_set_back_far_new_slots_run(world: World) -> None:
    """A day back: the job was put later than that, so its slots of the new time are its first ones."""
    world.scheduler.start()
    world.put(job())
    world.due("x", 60)
    world.wait_for_records(1)
    world.now = NOON - timedelta(days=1)
    assert world.scheduler.check_clock()

    assert world.scheduler.next_slot("x") == world.now + timedelta(minutes=1)
    assert world.scheduler.behind_clock() is None  # it waits for nothing, so nothing is wrong


def test_a_checkpoint_has_runs_pending_slots_and_cursors(world: World) -> None:
    """It has active runs and pending slots, and the cursor of a job with an undecided slot."""
    checkpoints = world.checkpoints
    checkpoints.clear()
    Gate.may_end.clear()
    world.put(job(overlap="queue"))
    world.put(job("jittered", jitter=50))
    for seconds in (60, 120):
        world.due("x", seconds)
        wait_until(lambda: Gate.begun)
    world.now = NOON + timedelta(seconds=150)
    world.scheduler.write_checkpoint()

    (checkpoint,) = checkpoints
    assert [(one.job_id, one.scheduled) for one in checkpoint.in_flight] == [("x", NOON + timedelta(seconds=60))]
    assert checkpoint.pending == (("x", NOON + timedelta(seconds=120)),)
    assert (checkpoint.settled, checkpoint.lagging) == (world.now, (("jittered", NOON),))


def test_runs_that_wait_for_a_worker_are_reported_once(world: World) -> None:
    """With their number, when the first has waited for more than a second; and again the next time."""
    Gate.may_end.clear()
    for number in range(7):
        world.put(job(f"x{number}"))
    for number in range(7):
        world.due(f"x{number}", 60)
    wait_until(lambda: len(Gate.begun) == 4)
    now = time.monotonic()
    for later in (0.0, 2.0, 3.0):
        world.scheduler.runs.check(now + later)

    events = [one for one in world.written if isinstance(one, Event) and one.name == "pool.full"]
    assert [dict(one.values)["waiting"] for one in events] == [3]


def jittered(**fields: Any) -> Job:
    """Return a job each hour whose start comes up to 50 minutes late."""
    return job(schedule=Cron("0 * * * *", "UTC"), jitter=3000, **fields)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda world: world.put(jittered(description="edited")), []),
        (lambda world: world.put(jittered(catch_up=5, description="edited")), []),
        (lambda world: world.put(job(schedule=Cron("30 * * * *", "UTC"))), [(3600, "SUCCESS", None)]),
        (lambda world: world.put(jittered(enabled=False)), [(3600, "MISSED", "disabled")]),
        (lambda world: world.scheduler.drop("x", world.now), [(3600, "MISSED", "deleted")]),
    ],
)
def test_a_slot_whose_jitter_is_running_is_not_lost_by_a_change_of_its_file(
    world: World, change: Callable[[World], object], expected: list[tuple[int, str, str | None]]
) -> None:
    """An edit that leaves the times alone leaves it alone, another starts it at once; without a job it is missed."""
    world.scheduler.start()
    world.put(jittered())
    start = timetable_of(jittered()).start_time(NOON + timedelta(hours=1)) - NOON
    assert start > timedelta(hours=1, seconds=20)
    world.now = NOON + timedelta(hours=1, seconds=15)
    change(world)

    assert world.wait_for_records(len(expected)) == expected
    if not expected:
        world.due("x", start.total_seconds())
        assert world.wait_for_records(1) == [(3600, "SUCCESS", None)]


def test_a_slot_whose_jitter_was_running_when_the_service_crashed_starts_when_it_is_due(world: World) -> None:
    """It had not begun, so it is not part of the outage."""
    world.now = NOON + timedelta(hours=1, seconds=15)
    restart(world, jittered(), checkpoint=Checkpoint(NOON + timedelta(minutes=59), "boot-1"))
    start = timetable_of(jittered()).start_time(NOON + timedelta(hours=1)) - NOON
    world.due("x", start.total_seconds())

    assert world.wait_for_records(1) == [(3600, "SUCCESS", None)]


@pytest.mark.parametrize(
    ("boot", "ahead", "given", "expected"),
    [
        ("boot-1", 0, [job(enabled=False)], [(60, "MISSED", "disabled")]),
        ("boot-2", 0, [job(schedule=Cron("@reboot", "UTC"))], [(60, "MISSED", "down"), (100, "SUCCESS", None)]),
        ("boot-1", 4, [job()], [(60, "SUCCESS", None)]),
    ],
)
def test_a_start_forgets_no_pending_slot(
    world: World, boot: str, ahead: int, given: list[Job], expected: list[tuple[int, str, str | None]]
) -> None:
    """Its job was switched off meanwhile, the host has booted, or the clock is another one."""
    world.now = NOON + timedelta(seconds=100)
    checkpoint = Checkpoint(NOON + timedelta(seconds=90, hours=ahead), boot, (), (("x", NOON + timedelta(seconds=60)),))
    restart(world, *given, checkpoint=checkpoint, pending=checkpoint.pending, clean_stop=True)

    assert sorted(world.wait_for_records(len(expected))) == expected


def test_a_pending_one_time_job_with_a_touched_file_is_accounted_for(world: World) -> None:
    """It was decided, whatever the time of its file; now it is too old."""
    world.now = NOON + timedelta(seconds=300)
    slot = NOON + timedelta(seconds=10)
    world.scheduler.restore(
        RecoveredState(Checkpoint(NOON + timedelta(seconds=20)), NOON, True, pending=(("x", slot),)), world.now
    )
    assert world.scheduler.expire(job(schedule=Once(slot), modified_at=NOON + timedelta(seconds=200)), world.now)
    world.scheduler.start()

    assert world.records() == [(10, "MISSED", "down")]


def logged_pending(world: World) -> list[tuple[str, int, bool]]:
    """Return each line about a pending slot: job, seconds after noon, and whether only its jitter delays it."""
    events = [one for one in world.written if isinstance(one, Event) and one.name == "slot.waits"]
    values = [dict(one.values) for one in events]
    return [(one["job_id"], int((one["scheduled"] - NOON).total_seconds()), "starts" in one) for one in values]


def test_a_slot_that_waits_for_its_turn_is_logged_at_once(world: World) -> None:
    """After a crash before the next checkpoint, it must not depend on the time of its file."""
    Gate.may_end.clear()
    world.scheduler.start()
    world.put(job(overlap="queue"))
    for seconds in (60, 120, 180):
        world.due("x", seconds)

    assert logged_pending(world) == [("x", 120, False)]


@pytest.mark.parametrize("change", ["touch", "edit"])
def test_pending_slots_are_logged_before_their_file_looks_newer(world: World, change: str) -> None:
    """For a worker, for its turn, or for the end of its jitter; active and ended runs need no line."""
    Gate.may_end.clear()
    world.scheduler.start()
    late = job("late", Cron("0 * * * *", "UTC"), jitter=3000)
    minutely = [job(f"x{number}") for number in range(5)]  # on four workers
    for one in (late, *minutely):
        world.put(one)
    for one in minutely:
        world.due(one.id, 60)
    wait_until(lambda: len(Gate.begun) == 4)
    (waiting,) = {one.id for one in minutely} - {context.job_id for context in Gate.begun}
    for one, seconds in (*((one, 100) for one in minutely), (late, 3615)):
        world.now = NOON + timedelta(seconds=seconds)
        if change == "touch":
            world.scheduler.source_changed(one.id, world.now)
        else:
            world.put(replace(one, description="edited"))

    assert logged_pending(world) == [(waiting, 60, False), ("late", 3600, True)]


@pytest.mark.parametrize(
    ("late", "expected"),
    [((), [(180, "MISSED", "down")]), ((("x", NOON),), [(60, "MISSED", "down"), (180, "MISSED", "down")])],
)
def test_a_slot_that_was_due_when_its_file_was_touched_is_accounted_for(
    world: World, late: tuple[tuple[str, datetime], ...], expected: list[tuple[int, str, str | None]]
) -> None:
    """The log knows that it was due; other slots before the file's time do not count."""
    world.now = NOON + timedelta(seconds=200)
    checkpoint = Checkpoint(NOON, "boot-1", lagging=late)
    restart(
        world, job(catch_up=0, modified_at=NOON + timedelta(seconds=130)), checkpoint=checkpoint, full=FullCheckpoint()
    )

    assert world.wait_for_records(len(expected)) == expected


def test_a_start_writes_its_runs_to_a_checkpoint_before_they_begin(world: World) -> None:
    """A crash right after the first line of an `@reboot` run must not repeat it in this boot."""
    checkpoints: list[tuple[Checkpoint, int]] = []
    world.scheduler._accounting.checkpoint = lambda one: checkpoints.append((one, len(world.written)))  # type: ignore[method-assign]
    restart(world, job(schedule=Cron("@reboot", "UTC")), checkpoint=Checkpoint(NOON, "boot-0"), clean_stop=True)

    assert [(one.boot, one.pending, lines) for one, lines in checkpoints] == [("boot-1", (("x", NOON),), 0)]
    world.wait_for_records(1)


def test_a_checkpoint_goes_back_with_the_clock_and_names_slots_decided_ahead(world: World) -> None:
    """A start must not repeat runs: each checkpoint has how far ahead they may be, a full one for which job."""
    checkpoints = world.checkpoints
    checkpoints.clear()
    world.scheduler.start()
    world.put(job())
    world.due("x", 60)
    world.wait_for_records(1)
    for seconds in (60, -7200, -18_000):
        world.now = NOON + timedelta(seconds=seconds)
        world.scheduler.write_checkpoint()

    assert checkpoints[-1].settled == NOON - timedelta(hours=5)
    assert checkpoints[-1].clock_ahead == NOON + timedelta(seconds=60)
    full = [one.full for one in checkpoints if one.full][-1]
    assert full.decided_ahead["x"][-1][1] == NOON + timedelta(seconds=60)


def test_a_checkpoint_after_a_step_back_covers_earlier_runs(world: World) -> None:
    """Otherwise a crash then would repeat that slot."""
    checkpoints = world.checkpoints
    checkpoints.clear()
    restart(world, job(), checkpoint=Checkpoint(NOON - timedelta(seconds=30), "boot-1"))
    world.due("x", 60)
    world.now = NOON - timedelta(hours=2)
    world.scheduler.write_checkpoint()

    assert [one.full.decided_ahead["x"][-1][1] for one in checkpoints[-2:] if one.full] == [
        NOON + timedelta(seconds=60)
    ]


def test_a_one_time_job_that_has_run_does_not_run_again_after_a_step_back(world: World) -> None:
    """Not even if its file is edited then."""
    once = job(schedule=Once(NOON + timedelta(seconds=5)))
    world.put(once)
    world.due("x", 5)
    world.wait_for_records(1)
    world.now = NOON - timedelta(days=1)
    world.scheduler.check_clock()
    world.put(job(schedule=once.schedule, description="edited"))
    world.due("x", 6)

    assert world.records() == [(5, "SUCCESS", None)]


def test_no_further_attempt_is_made_while_the_service_stops() -> None:
    """A run between two attempts ends at once, and no other attempt begins."""
    world = World()
    world.put(job(task={"fails": True}, retry=Retry(2, delay=0.3)))
    world.due("x", 60)
    wait_until(lambda: any(isinstance(one, Event) and one.name == "run.attempt_failed" for one in world.written))
    world.scheduler.stop(10)

    (record,) = [one for one in world.written if isinstance(one, Record)]
    assert (record.reason, "attempts" in dict(record.details)) == ("shutdown", False)


def test_a_pool_that_gets_no_thread_fails_a_run_and_with_one_thread_makes_runs_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host has no thread to give: without any the run fails with its reason, with one it waits for that."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(("run", "ThreadPool")):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    world.put(job())
    world.due("x", 60)
    assert world.wait_for_records(1) == [(60, "FAILURE", "start")]

    monkeypatch.undo()
    Gate.begun, Gate.may_end = [], threading.Event()
    monkeypatch.setitem(tasks._loaded, "gate", Gate)
    world.put(job("y"))
    world.due("y", 120)
    wait_until(lambda: Gate.begun)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    world.put(job("z"))
    world.due("z", 180)
    Gate.may_end.set()
    world.wait_for_records(3)
    assert world.records("z") == [(180, "SUCCESS", None)]


def test_a_lost_thread_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, and a task that ignores its limit: the jobs that wait behind it run all the same."""
    world, hold = World(workers=1), threading.Event()
    world.scheduler._pool.runner.services.grace = 0.05
    run = Gate.run
    monkeypatch.setattr(
        Gate, "run", lambda self, context: hold.wait(30) if self.fields.get("deaf") else run(self, context)
    )
    world.put(job(task={"deaf": True}, timeout=0.05))
    world.put(job("y"))
    world.due("x", 60)
    try:
        world.due("y", 60)
        world.wait_for_records(2)
        assert {(one.job_id, one.reason) for one in world.written if isinstance(one, Record)} == {
            ("x", "timeout"),
            ("y", None),
        }
        events = [dict(one.values) for one in world.written if isinstance(one, Event) and one.name == "pool.lost"]
        assert (events, world.scheduler.runs.lost_threads()) == ([{"lost": 1}], 1)
    finally:
        hold.set()
    wait_until(lambda: world.scheduler._waker._threads._max_workers == 1)
    assert world.scheduler.runs.lost_threads() == 0
    world.scheduler.stop(5)


def test_a_start_after_years_costs_no_more_than_one_after_minutes(world: World) -> None:
    """A thousand jobs, half of them pending and half interrupted by a crash: no list, nothing quadratic."""
    world.now = NOON + timedelta(days=3 * 365, seconds=30)
    slot = NOON - timedelta(seconds=60)
    begun = tuple(InFlightRun(f"x{number}", f"run{number}", slot, slot) for number in range(0, 1000, 2))
    waits = tuple((f"x{number}", slot) for number in range(1, 1000, 2))
    began = time.perf_counter()
    restart(
        world,
        *(job(f"x{number}", Cron(f"{number % 60} * * * *", "Europe/Berlin"), catch_up=0) for number in range(1000)),
        checkpoint=Checkpoint(NOON, "boot-0", begun, waits),
        clean_stop=True,
        in_flight=begun,
        pending=waits,
    )

    assert time.perf_counter() - began < 10
    counted = [dict(one.details) for one in world.written if isinstance(one, Record) and "count" in dict(one.details)]
    assert len(counted) == 1000
    assert {one["count"] for one in counted} <= {26280, 26281}


# -- what was decided before, and what was not


def records_of(world: World, job_to_put: Job, *, starting: bool, log: dict[str, int] | None, **past: Any) -> list[Any]:
    """Put a job at or after a start, and return its records.

    `log` has the latest slots that the log knows (seconds after noon); None: the log does not reach back far enough.
    """

    def decided(job_id: str, after: datetime) -> datetime | None:
        if log is None:
            raise LookupError
        found = NOON + timedelta(seconds=log[job_id]) if job_id in log else None
        return found if found and found > after else None

    restart(world, *([job_to_put] if starting else []), last_decided_slot=decided, full=FullCheckpoint(), **past)
    if not starting:
        world.put(job_to_put)
    world.due(job_to_put.id, (world.now - NOON).total_seconds())
    wait_until(lambda: not world.scheduler.runs.count())
    return world.records()


@pytest.mark.parametrize("file_age", [400, 200, 10])
def test_a_young_one_time_job_runs_at_a_first_start(world: World, file_age: int) -> None:
    """Without a log it cannot have been decided, whether its file is older or newer than its instant."""
    world.now = NOON + timedelta(seconds=300)
    world.scheduler.restore(None, world.now)
    at = NOON + timedelta(seconds=10)
    world.put(job("once", Once(at), catch_up=3600, modified_at=world.now - timedelta(seconds=file_age)))
    world.scheduler.start()

    world.wait_for_records(1)
    assert world.records() == [(10, "SUCCESS", None)]


def test_an_old_one_time_job_is_not_missed_at_a_first_start(world: World) -> None:
    """Without a log nothing was missed; the sync reports that the job is expired."""
    world.now = NOON + timedelta(seconds=300)
    world.scheduler.restore(None, world.now)
    old = job("once", Once(NOON + timedelta(seconds=10)), catch_up=5, modified_at=NOON)
    assert not world.scheduler.expire(old, world.now)
    world.scheduler.start()
    assert world.records() == []


@pytest.mark.parametrize("starting", [True, False])
@pytest.mark.parametrize(
    ("log", "written", "expected"),
    [
        ({}, 12, [(10, "SUCCESS", None)]),
        ({"x": 10}, 12, []),
        ({"x": 5}, 12, [(10, "SUCCESS", None)]),
        (None, 12, [(10, "MISSED", "unknown")]),
    ],
    ids=["never decided", "has run", "an earlier one has run", "the log was rotated away"],
)
def test_a_young_one_time_job_with_a_new_file_runs_unless_it_ran_before(
    world: World, starting: bool, log: dict[str, int] | None, written: int, expected: list[Any]
) -> None:
    """Put while the service was down or just after its start, or moved away and back: it always has a record."""
    world.now = NOON + timedelta(seconds=30)
    once = job(schedule=Once(NOON + timedelta(seconds=10)), modified_at=NOON + timedelta(seconds=written))
    checkpoint = Checkpoint(NOON + timedelta(seconds=20), "boot-1")

    assert records_of(world, once, starting=starting, log=log, checkpoint=checkpoint) == expected
    world.put(replace(once, description="edited"))
    world.due("x", 31)
    wait_until(lambda: not world.scheduler.runs.count())
    assert world.records() == expected


def test_the_log_is_not_searched_for_a_one_time_job_that_was_active_when_due(world: World) -> None:
    """At a start there may be thousands of them, and logs of many months."""
    world.now = NOON + timedelta(seconds=30)
    once = job(schedule=Once(NOON + timedelta(seconds=10)), modified_at=NOON)

    assert (
        records_of(world, once, starting=True, log=None, checkpoint=Checkpoint(NOON + timedelta(seconds=20), "boot-1"))
        == []
    )


@pytest.mark.parametrize("starting", [True, False])
@pytest.mark.parametrize(
    ("log", "following"), [({}, 60), ({"y": 3600}, 60), ({"x": 3600}, 3660), ({"x": 7200}, 7260), (None, 7260)]
)
def test_only_slots_decided_ahead_wait_for_the_clock(
    world: World, starting: bool, log: dict[str, int] | None, following: int
) -> None:
    """The log is two hours ahead: a job that is new has its next slot now, whether it comes at the start or later."""
    checkpoint = Checkpoint(NOON + timedelta(hours=2), "boot-1")

    assert (
        records_of(world, job(), starting=starting, log=log, checkpoint=checkpoint, last_line_at=checkpoint.settled)
        == []
    )
    assert world.scheduler.next_slot("x") == NOON + timedelta(seconds=following)


def test_a_one_time_job_runs_at_its_time_although_the_log_is_ahead_of_it(world: World) -> None:
    """As it would without the restart."""
    checkpoint = Checkpoint(NOON + timedelta(hours=2), "boot-1")
    assert (
        records_of(
            world, job(schedule=Once(NOON + timedelta(seconds=3))), starting=False, log={}, checkpoint=checkpoint
        )
        == []
    )
    world.due("x", 3)

    assert world.wait_for_records(1) == [(3, "SUCCESS", None)]


@pytest.mark.parametrize(("log", "expected"), [({}, [(60, "SUCCESS", None)]), ({"x": 60}, [])])
def test_a_one_time_job_that_was_put_before_the_start_runs_also_if_the_log_is_ahead_of_it(
    world: World, log: dict[str, int], expected: list[tuple[int, str, str | None]]
) -> None:
    """Its instant is to come, and before the end of the log, which was written with a wrong clock."""
    once = job(schedule=Once(NOON + timedelta(seconds=60)), modified_at=NOON - timedelta(seconds=5))
    assert (
        records_of(world, once, starting=True, log=log, checkpoint=Checkpoint(NOON + timedelta(hours=2), "boot-1"))
        == []
    )
    world.due("x", 60)
    wait_until(lambda: not world.scheduler.runs.count())

    assert world.records() == expected


def test_a_one_time_job_that_a_start_caught_up_is_not_run_again_by_an_edit(world: World) -> None:
    """A decision of the start is final."""
    world.now = NOON + timedelta(seconds=30)
    once = job(schedule=Once(NOON + timedelta(seconds=10)), modified_at=NOON)
    restart(world, once)
    world.wait_for_records(1)
    world.put(replace(once, description="edited"))
    world.due("x", 31)
    wait_until(lambda: not world.scheduler.runs.count())

    assert world.records() == [(10, "SUCCESS", None)]


def test_an_at_reboot_job_runs_once_a_boot_although_the_clock_was_set(world: World) -> None:
    """The log is four hours ahead, and of this very boot."""
    restart(world, job(schedule=Cron("@reboot", "UTC")), checkpoint=Checkpoint(NOON + timedelta(hours=4), "boot-1"))

    assert world.records() == []
    assert [one.name for one in world.written if isinstance(one, Event)] == ["clock.accepted"]


@pytest.mark.parametrize(
    ("written", "later", "catch_up", "expected"),
    [
        (0, 30, 60, [(60, "MISSED", "down"), (120, "SUCCESS", None)]),
        (0, 90, 60, [(60, "MISSED", "down")]),
        (0, 90, 100, [(60, "MISSED", "down"), (120, "SUCCESS", None)]),
        (90, 30, 60, [(120, "SUCCESS", None)]),
        (130, 30, 60, []),
    ],
    ids=["healed soon", "too old by then", "not too old", "written in the outage", "written since"],
)
def test_a_job_that_was_refused_at_the_start_is_accounted_for_when_it_is_valid(
    world: World, written: int, later: int, catch_up: int, expected: list[tuple[int, str, str | None]]
) -> None:
    """It was there when the service started; slots while it was refused do not count, and it runs once."""
    world.now = NOON + timedelta(seconds=125)
    restart(world, full=FullCheckpoint())
    world.now += timedelta(seconds=later)
    healed = job(modified_at=NOON + timedelta(seconds=written), catch_up=catch_up)
    world.put(healed)
    wait_until(lambda: not world.scheduler.runs.count())
    world.scheduler.drop("x", world.now)
    world.put(healed)

    assert sorted(world.records()) == expected
    assert world.scheduler.next_slot("x") == NOON + timedelta(minutes=(125 + later) // 60 + 1)


@pytest.mark.parametrize(
    ("later", "catch_up", "expected"),
    [
        (180, 0, [(60, "MISSED", "down")]),
        (180, 60, [(60, "MISSED", "down"), (300, "SUCCESS", None)]),
        (10, 60, [(60, "MISSED", "down"), (120, "SUCCESS", None)]),
    ],
    ids=["none is young enough", "the latest runs", "none since the start"],
)
def test_jobs_of_a_source_unavailable_at_the_start_are_accounted_for_when_it_is_back(
    world: World, later: int, catch_up: int, expected: list[tuple[int, str, str | None]]
) -> None:
    """A database, or a directory on a disk: its slots were unknown, and each gets its record all the same."""
    world.now = NOON + timedelta(seconds=125)
    restart(world)
    world.now += timedelta(seconds=later)
    world.scheduler.put(job(modified_at=NOON, catch_up=catch_up), world.now, is_first_sync=True)
    wait_until(lambda: not world.scheduler.runs.count())

    assert world.records() == expected
    slots = sum(dict(one.details).get("count", 1) for one in world.written if isinstance(one, Record))
    assert slots == (125 + later) // 60
    assert world.scheduler.next_slot("x") == NOON + timedelta(minutes=(125 + later) // 60 + 1)


@pytest.mark.parametrize(
    ("boot", "written", "later", "expected"),
    [
        ("boot-0", 0, 30, [(0, "SUCCESS", None)]),
        ("boot-0", 0, 90, [(0, "MISSED", "down")]),
        ("boot-0", 1, 30, []),
        ("boot-1", 0, 30, []),
        (None, 0, 30, [(0, "SUCCESS", None)]),
    ],
)
def test_an_at_reboot_job_that_was_refused_at_the_start_is_caught_up(
    world: World, boot: str | None, written: int, later: int, expected: list[tuple[int, str, str | None]]
) -> None:
    """Its slot is the start; a job that is new waits for the next boot."""
    world.scheduler.restore(RecoveredState(Checkpoint(NOON, boot), NOON, clean_stop=True) if boot else None, world.now)
    world.scheduler.start()
    world.now += timedelta(seconds=later)
    world.put(job(schedule=Cron("@reboot", "UTC"), modified_at=NOON + timedelta(seconds=written)))
    wait_until(lambda: not world.scheduler.runs.count())

    assert world.records() == expected


def test_a_clock_set_back_repeatedly_is_reported_when_it_is_far_behind(world: World) -> None:
    """Twice two and a half hours: the latest time of the clock counts."""
    world.scheduler.start()
    world.put(job())
    world.due("x", 60)
    world.wait_for_records(1)
    warnings = []
    for hours in (0, 2.5, 5.0, 5.0):
        world.now = NOON - timedelta(hours=hours)
        world.scheduler.write_checkpoint()
        warnings.append(sum(isinstance(one, Event) and one.name == "clock.accepted" for one in world.written))

    assert warnings == [0, 0, 1, 1]


@pytest.mark.parametrize("change", ["gone", "disabled", "old", "young"])
def test_a_pending_slot_that_corrects_its_record_says_so(world: World, change: str) -> None:
    """A wrong clock had missed it; it waited for its turn when the service ended."""
    slot = NOON + timedelta(seconds=60)
    world.now = NOON + timedelta(seconds=90)
    one = job(overlap="queue", catch_up=0.0 if change == "old" else 600.0, enabled=change != "disabled")
    checkpoint = Checkpoint(NOON, "boot-1", corrects=(("x", slot),))
    restart(
        world,
        *([] if change == "gone" else [one]),
        checkpoint=checkpoint,
        pending=(("x", slot),),
        full=full_checkpoint_of(job()),
    )
    if change == "young":
        world.wait_for_records(1)

    records = [one for one in world.written if isinstance(one, Record)]
    assert len(records) == (0 if change == "old" else 1)  # its record is there already
    assert all(("corrects", "clock") in one.details for one in records)


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_slot_whose_jitter_runs_corrects_its_record_when_its_file_changes(world: World, is_gone: bool) -> None:
    """A wrong clock had missed it, and it is started or missed before its time."""
    world.scheduler.start()
    world.put(jittered())
    world.now = NOON + timedelta(hours=3)
    world.scheduler._on_due("x", world.now)
    world.now = NOON
    assert world.scheduler.check_clock()
    slot, start = world.scheduler.upcoming("x", 1)[0]
    assert slot < start
    world.written.clear()
    world.now = slot
    if is_gone:
        world.scheduler.drop("x", world.now)
    else:
        world.put(job(schedule=Cron("30 5 * * *", "UTC")))
    wait_until(lambda: any(isinstance(one, Record) for one in world.written))

    (record,) = [one for one in world.written if isinstance(one, Record)]
    assert (record.scheduled, ("corrects", "clock") in record.details) == (slot, True)
