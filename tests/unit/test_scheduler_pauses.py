"""Pauses: which slots are skipped, how long, what a resume changes, and what a restart makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Checkpoint, Cron, Job, Once, Pause
from jobscheduler.model.selection import Selector, selectors
from jobscheduler.runlog import LogFile, LogWriter, recover
from jobscheduler.scheduler import MAX_PAUSES, SchedulerLog, TooManyPauses
from jobscheduler.scheduler.pauses import Pauses
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, Gate, World, gate, job, world

__all__ = ["gate", "world"]

MINUTE = 60


def test_slots_of_a_paused_job_are_skipped_until_it_is_resumed(world: World) -> None:
    """Each has its record, an edit does not change that, and a slot due before the resume does not run."""
    world.put(job())
    assert world.pause("x")
    assert not world.pause("x")
    world.due("x", 60)
    world.put(job(description="edited"))
    world.due("x", 120)
    world.now = NOON + timedelta(seconds=180)
    assert world.resume("x")
    assert not world.resume("x")
    world.due("x", 180)
    world.wait_for_records(3)  # the next slot must not overlap with this run
    world.due("x", 240)

    world.wait_for_records(4)
    assert world.records() == [
        (60, "SKIPPED", "paused"),
        (120, "SKIPPED", "paused"),
        (180, "SUCCESS", None),
        (240, "SUCCESS", None),
    ]


def test_a_slot_before_the_resume_is_skipped_however_late_it_is_decided(world: World) -> None:
    """The scheduling thread may come to it afterwards; also where its jitter is still running."""
    world.put(job())
    world.put(job("late", jitter=50))
    world.pause("*")
    world.now = NOON + timedelta(seconds=60.001)
    world.resume("*")
    world.due("x", 60.002)
    world.due("late", 119)

    assert world.records() == [(60, "SKIPPED", "paused")] * 2


def test_a_pause_with_an_end_is_over_at_that_instant(world: World) -> None:
    """The slot of that very instant runs; the log tells of the end, by its time, before it begins."""
    world.put(job())
    world.pause("x", seconds=120, reason="a migration", by="1000")
    world.due("x", 60)
    world.due("x", 120)

    world.wait_for_records(2)
    assert world.records() == [(60, "SKIPPED", "paused"), (120, "SUCCESS", None)]
    (begun,) = world.events("job.paused")
    (ended,) = world.events("job.resumed")
    assert begun == {
        "job_id": "x",
        "pause": begun["pause"],
        "until": NOON + timedelta(seconds=120),
        "reason": "a migration",
        "by": "1000",
    }
    assert ended == {"job_id": "x", "pause": begun["pause"], "until": NOON + timedelta(seconds=120)}


def test_the_end_of_a_pause_is_told_without_a_slot(world: World) -> None:
    """By the check of the clock, once."""
    world.scheduler.start()
    world.pause("tag:none", seconds=60)
    for seconds in (59.9, 60, 61):
        world.now = NOON + timedelta(seconds=seconds)
        world.scheduler.check_clock()
    assert [one["jobs"] for one in world.events("job.resumed")] == ["tag:none"]
    assert world.scheduler.pauses.in_force() == ()


def test_a_pattern_a_tag_and_all_cover_jobs_that_come_later(world: World) -> None:
    """And no others; what a job is called and how it is tagged when its slot is due counts."""
    world.pause("billing-*", "tag:shop")
    for one in (job("billing-a"), job("b", tags=("shop", "z")), job("free", tags=("shops",)), job("turns")):
        world.put(one)
    for job_id in ("billing-a", "b", "free", "turns"):
        world.due(job_id, 60)
    world.put(job("turns", tags=("shop",)))
    world.put(job("b", tags=("z",)))
    for job_id in ("turns", "b"):
        world.due(job_id, 120)

    world.wait_for_records(6)
    states = {(job_id, at): status for job_id in ("billing-a", "b", "free", "turns")
              for at, status, _ in world.records(job_id)}  # fmt: skip
    assert states == {
        ("billing-a", 60): "SKIPPED",
        ("b", 60): "SKIPPED",
        ("free", 60): "SUCCESS",
        ("turns", 60): "SUCCESS",
        ("turns", 120): "SKIPPED",
        ("b", 120): "SUCCESS",
    }


def test_pauses_add_up(world: World) -> None:
    """A job runs again when the last of its pauses is over."""
    world.put(job(tags=("t",)))
    world.pause("x", seconds=90)
    world.pause("tag:t", seconds=150)
    world.pause("*", seconds=100)
    for seconds in (60, 120, 180):
        world.due("x", seconds)

    world.wait_for_records(3)
    assert [status for _, status, _ in world.records()] == ["SKIPPED", "SKIPPED", "SUCCESS"]
    assert len(world.events("job.resumed")) == 3


def test_a_further_pause_of_the_same_jobs_counts_if_it_lasts_longer(world: World) -> None:
    """It then takes the place of the former, with its reason; a shorter one changes nothing."""
    (first,) = world.pause("x", seconds=100, reason="one")
    assert world.pause("x", seconds=100, reason="two") == []
    (longer,) = world.pause("x", seconds=200, reason="three", by="7")
    (endless,) = world.pause("x", reason="four")
    assert world.pause("x", seconds=300) == []
    assert first.id == longer.id == endless.id
    (left,) = world.scheduler.pauses.in_force()
    assert (left.since, left.until, left.reason, left.by) == (first.since, None, "four", "")


def test_a_resume_exempts_a_job_from_everything_that_pauses_it(world: World) -> None:
    """Also from a pause of all; other jobs stay paused, and its own pause is over."""
    for job_id in ("a", "b"):
        world.put(job(job_id, tags=("t",)))
    world.pause("a", "tag:t", "*")
    changes = world.resume("a")
    assert [(str(one.pause.selector), one.exempt and one.exempt.text) for one in changes] == [
        ("a", None),
        ("tag:t", "a"),
        ("all jobs", "a"),
    ]
    for job_id in ("a", "b"):
        world.due(job_id, 60)
    world.wait_for_records(2)
    assert (world.records("a"), world.records("b")) == ([(60, "SUCCESS", None)], [(60, "SKIPPED", "paused")])
    assert [{key: one.get(key) for key in ("job_id", "jobs", "except")} for one in world.events("job.resumed")] == [
        {"job_id": "a", "jobs": None, "except": None},
        {"job_id": "a", "jobs": "tag:t", "except": "a"},
        {"job_id": "a", "jobs": "*", "except": "a"},
    ]


def test_a_resume_changes_nothing_about_a_pause_whose_time_is_over(world: World) -> None:
    """The log has told of its end already."""
    world.put(job())
    world.pause("x", seconds=60)
    world.now = NOON + timedelta(seconds=70)
    assert world.resume("x") == world.resume("*") == []


def test_a_new_pause_covers_what_was_exempt_from_a_former_one(world: World) -> None:
    """Exemptions are from the pauses that were in force, and no others."""
    world.put(job())
    world.pause("*")
    world.resume("x")
    assert len(world.pause("*", seconds=90)) == 1
    for seconds in (60, 120):
        world.due("x", seconds)
    world.wait_for_records(2)
    assert [status for _, status, _ in world.records()] == ["SKIPPED", "SUCCESS"]


@pytest.mark.parametrize(
    ("paused", "resumed", "ended", "runs"),
    [
        ("x", "*", True, True),
        ("x", "tag:t", True, True),
        ("x", "x*", True, True),
        ("x*", "x*", True, True),
        ("tag:t", "tag:t", True, True),
        ("x*", "*", True, True),
        ("x*", "tag:t", False, True),
        ("tag:t", "x", False, True),
        ("x", "tag:other", False, False),
        ("tag:t", "y", False, False),
    ],
)
def test_what_is_resumed_is_over_or_goes_on_without_it(
    world: World, paused: str, resumed: str, ended: bool, runs: bool
) -> None:
    """By the selector itself, by all, and by whatever selects the one job that was paused."""
    world.put(job(tags=("t",)))
    world.pause(paused)
    world.resume(resumed)
    assert (world.scheduler.pauses.in_force() == ()) == ended
    world.due("x", 60)
    world.wait_for_records(1)
    assert world.records()[0][1] == ("SUCCESS" if runs else "SKIPPED")


def test_a_resume_by_tag_lets_later_jobs_run_too(world: World) -> None:
    """All stays paused but for what has the tag, whenever it comes."""
    world.put(job("a", tags=("t",)))
    world.pause("*")
    world.resume("tag:t")
    world.put(job("later", tags=("t",)))
    world.put(job("other"))
    for job_id in ("later", "other"):
        world.due(job_id, 60)
    world.wait_for_records(2)
    assert (world.records("later")[0][1], world.records("other")[0][1]) == ("SUCCESS", "SKIPPED")


def test_a_pause_skips_pending_slots_and_lets_active_runs_go_on(world: World) -> None:
    """Whether they wait for their turn or for a worker; nothing begins after the pause."""
    Gate.may_end.clear()
    world.put(job(overlap="queue"))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    world.due("x", 120)
    world.pause("*")
    assert world.records() == [(120, "SKIPPED", "paused")]
    Gate.may_end.set()

    world.wait_for_records(2)
    assert world.records() == [(120, "SKIPPED", "paused"), (60, "SUCCESS", None)]
    assert len(Gate.begun) == 1


def test_a_manual_run_begins_when_a_pause_skips_the_slot_before_it() -> None:
    """One worker is busy with another job; the slot waits for it, and the manual run for the slot."""
    Gate.may_end.clear()
    world = World(workers=1)
    world.put(job("busy"))
    world.put(job(overlap="queue"))
    world.due("busy", 60)
    wait_until(lambda: Gate.begun)
    world.due("x", 60)
    world.scheduler.run_now(job(overlap="queue"), "0")
    world.pause("x")
    Gate.may_end.set()

    wait_until(lambda: sum(name == "SUCCESS" for name in statuses(world, "x")) == 1)
    assert world.records("x") == [(60, "SKIPPED", "paused")]
    world.scheduler.stop(5)


def statuses(world: World, job_id: str) -> list[str]:
    """Return the status of each record of a job."""
    return [one.status.value for one in world.written if hasattr(one, "status") and one.job_id == job_id]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (None, [(60, 300, "SKIPPED", 5)]),
        (170, [(60, 120, "SKIPPED", 2), (180, 240, "MISSED", 2), (300, 300, "SUCCESS", 1)]),
        (180, [(60, 120, "SKIPPED", 2), (180, 240, "MISSED", 2), (300, 300, "SUCCESS", 1)]),
        (299, [(60, 240, "SKIPPED", 4), (300, 300, "SUCCESS", 1)]),
        (30, [(60, 240, "MISSED", 4), (300, 300, "SUCCESS", 1)]),
    ],
)
def test_slots_of_a_pause_are_skipped_in_an_outage_and_those_after_it_are_caught_up(
    world: World, end: float | None, expected: list[tuple[int, int, str, int]]
) -> None:
    """The host was asleep: one record with first, last and count for the pause, and the rest as ever."""
    world.put(job(catch_up=3600))
    world.pause("x", seconds=end)
    world.due("x", 301)
    world.wait_for_records(len(expected))
    assert ranges(world) == expected


def ranges(world: World) -> list[tuple[int, int, str, int]]:
    """Return each record of slots: seconds after noon of the first and the last, status, count."""
    found = []
    for one in world.written:
        if hasattr(one, "status") and one.scheduled is not None:
            details = dict(one.details)
            last = details.get("last", one.scheduled)
            assert isinstance(last, datetime)
            count = details.get("count", 1)
            seconds = [int((at - NOON).total_seconds()) for at in (one.scheduled, last)]
            found.append((seconds[0], seconds[1], one.status.value, int(str(count))))
    return found


# --- the clock -----------------------------------------------------------------------------------------------


def set_clock(world: World, seconds: float) -> None:
    """Set the clock, and have that noticed."""
    world.now = NOON + timedelta(seconds=seconds)
    world.scheduler.check_clock()


def test_a_pause_that_only_a_wrong_clock_ended_is_in_force_again(world: World) -> None:
    """The clock was a day ahead for a moment; what was skipped stays skipped, and the log tells of it."""
    world.scheduler.start()
    world.put(job(schedule=Cron("*/10 * * * *", "UTC")))
    world.pause("x", seconds=3600)
    set_clock(world, 86_400)
    assert world.scheduler.pauses.in_force() == ()
    set_clock(world, 30)
    assert len(world.scheduler.pauses.in_force()) == 1
    world.due("x", 600)
    world.due("x", 3600)
    world.wait_for_records(3)
    assert ranges(world) == [(600, 600, "SKIPPED", 1), (1200, 3000, "SKIPPED", 4), (3600, 3600, "SUCCESS", 1)]
    assert [one.get("cause") for one in world.events("job.paused")] == [None, "clock"]
    assert len(world.events("job.resumed")) == 2


def test_a_clock_set_ahead_skips_the_slots_of_the_pause_and_misses_those_after_it(world: World) -> None:
    """An outage with an end of a pause in it."""
    world.scheduler.start()
    world.put(job(catch_up=0))
    world.pause("x", seconds=150)
    world.late_reason = "clock"
    world.due("x", 1000)
    assert ranges(world) == [(60, 120, "SKIPPED", 2), (180, 960, "MISSED", 14)]


def test_a_pause_that_was_resumed_does_not_come_back_with_the_clock(world: World) -> None:
    """Set back to before the resume: slots that come again anew run."""
    world.scheduler.start()
    world.put(job())
    set_clock(world, 10)
    world.pause("x")
    set_clock(world, 3000)
    world.resume("x")
    set_clock(world, 20)
    world.put(job("new"))
    world.pause("other")
    world.due("new", 60)
    world.put(job(schedule=Cron("30 * * * * *", "UTC")))
    world.wait_for_records(2)
    world.due("x", 90)
    world.wait_for_records(3)
    assert {status for _, status, _ in world.records()} == {"SUCCESS"}


# --- what is shown -------------------------------------------------------------------------------------------


def test_the_next_slot_of_a_paused_job_is_the_first_that_will_run(world: World) -> None:
    """None without an end; the page sees the skipped ones too."""
    world.put(job())
    world.put(job("endless"))
    world.pause("x", seconds=170, reason="r")
    world.pause("endless")
    found = {one.job.id: one for one in world.scheduler.runtimes()}
    assert found["x"].next == NOON + timedelta(seconds=180)
    assert found["endless"].next is None
    assert [pause.reason for pause in found["x"].pauses] == ["r"]
    assert world.scheduler.upcoming("x", 1)[0][0] == NOON + timedelta(seconds=180)
    assert world.scheduler.upcoming("endless", 1) == []
    assert world.scheduler.upcoming("endless", 1, with_paused=True)[0][0] == NOON + timedelta(seconds=60)
    assert world.scheduler.pauses.of(job("x"))
    assert not world.scheduler.pauses.of(job("y"))


def test_there_is_a_limit_of_pauses(world: World) -> None:
    """Beyond it nothing changes, and one of all still fits when others have ended."""
    world.pause(*(f"job-{number}" for number in range(MAX_PAUSES)))
    with pytest.raises(TooManyPauses):
        world.pause("one-more")
    assert len(world.scheduler.pauses.in_force()) == MAX_PAUSES
    world.resume("*")
    world.scheduler.write_checkpoint()
    assert world.pause("*")


def test_a_service_that_stops_pauses_nothing_more(world: World) -> None:
    """Its account is closed."""
    world.scheduler.stop(0)
    with pytest.raises(RuntimeError, match="stopping"):
        world.pause("x")
    with pytest.raises(RuntimeError, match="stopping"):
        world.resume("x")


# --- restarts ------------------------------------------------------------------------------------------------


class LoggedWorld(World):
    """A scheduler with a log on disk, which is started from what the log says."""

    def __init__(self, folder: Path, seconds: float = 0, form: str = "text") -> None:
        past = recover(folder / "log", 7)
        self.log = LogWriter(
            LogFile(folder / "log", 10**8, 7), form=form, echo=None, clock=lambda: self.now
        ).__enter__()
        super().__init__(log=SchedulerLog(self._write, self._write_checkpoint))
        self.now = NOON + timedelta(seconds=seconds)
        self.scheduler.restore(past, self.now)

    def _write(self, *entries: object) -> None:
        self.written.extend(entries)  # type: ignore[arg-type]
        self.log.write(*entries)  # type: ignore[arg-type]

    def _write_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.log.checkpoint(checkpoint)

    def start(self, *jobs: Job) -> LoggedWorld:
        """Put jobs, with files from long ago, and start."""
        for one in jobs:
            self.scheduler.put(replace(one, modified_at=NOON - timedelta(days=1)), self.now)
        self.scheduler.start()
        return self

    def crash(self) -> None:
        """End without a further line."""
        self.log.flush(5)
        self.log.write = self.log.checkpoint = lambda *_: None  # type: ignore[method-assign]
        self.scheduler.stop(0)
        self.log.__exit__(None, None, None)

    def stop(self) -> None:
        """Stop in order."""
        self.scheduler.stop(0)
        self.scheduler.write_checkpoint(full=True)
        self.log.__exit__(None, None, None)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("end", ["crash", "stop"])
def test_a_pause_survives_a_restart(tmp_path: Path, form: str, end: str) -> None:
    """From the lines after a checkpoint, and from a full checkpoint; with end, reason, user and exemptions."""
    first = LoggedWorld(tmp_path, form=form).start(job("a"), job("b", tags=("t",)), job("c"))
    first.pause("*", reason='ä, "b"; 100%', by="1000", seconds=3600)
    first.pause("tag:t", "[a,b]*")
    first.resume("c")
    first.resume("tag:t")
    expected = first.scheduler.pauses.in_force()
    assert len(expected) == 2
    for seconds in (60, 120):
        getattr(first, end)()
        first = LoggedWorld(tmp_path, seconds, form).start(job("a"), job("b", tags=("t",)), job("c"))
        assert first.scheduler.pauses.in_force() == expected
        assert first.events("job.paused") == first.events("job.resumed") == []
    first.crash()


@pytest.mark.parametrize("end", ["crash", "stop"])
def test_slots_of_a_pause_are_skipped_while_the_service_is_down(tmp_path: Path, end: str) -> None:
    """With one record; a slot after the end is caught up, one before it never, however young it is."""
    first = LoggedWorld(tmp_path).start(job("endless", catch_up=3600), job("brief", catch_up=3600), job("free"))
    first.pause("endless")
    first.pause("brief", seconds=200)
    getattr(first, end)()
    world = LoggedWorld(tmp_path, 301).start(job("endless", catch_up=3600), job("brief", catch_up=3600), job("free"))
    world.wait_for_records(6)
    assert sorted(ranges(world)) == [
        (60, 180, "SKIPPED", 3),
        (60, 240, "MISSED", 4),
        (60, 300, "SKIPPED", 5),
        (240, 240, "MISSED", 1),
        (300, 300, "SUCCESS", 1),
        (300, 300, "SUCCESS", 1),
    ]
    assert [one["job_id"] for one in world.events("job.resumed")] == ["brief"]
    world.crash()


@pytest.mark.parametrize("drained", [30, 90])
def test_the_end_of_a_pause_is_told_once_also_when_it_falls_into_a_drain(tmp_path: Path, drained: float) -> None:
    """By the service that stops, for its last lines are later; else by the next one."""
    first = LoggedWorld(tmp_path).start(job("a"))
    first.pause("a", seconds=60)
    first.scheduler.stop(0)
    first.now += timedelta(seconds=drained)
    first.scheduler.write_checkpoint(full=True)
    first.log.__exit__(None, None, None)
    world = LoggedWorld(tmp_path, 200).start(job("a"))
    told = [len(one.events("job.resumed")) for one in (first, world)]
    assert told == ([0, 1] if drained < 60 else [1, 0])
    world.crash()


def test_a_slot_that_a_crash_left_undecided_before_the_resume_is_skipped(tmp_path: Path) -> None:
    """The checkpoint is from before it, and the job was resumed since."""
    first = LoggedWorld(tmp_path).start(job(catch_up=3600))
    first.pause("x")
    first.now = NOON + timedelta(seconds=70)
    first.resume("x")
    first.crash()
    world = LoggedWorld(tmp_path, 130).start(job(catch_up=3600))
    world.wait_for_records(2)
    assert ranges(world) == [(60, 60, "SKIPPED", 1), (120, 120, "SUCCESS", 1)]
    world.crash()


def test_a_one_time_job_that_is_paused_never_runs(tmp_path: Path) -> None:
    """Neither in its time nor after a restart in its time, nor when it is resumed."""
    once = job("once", Once(NOON + timedelta(seconds=60)), catch_up=3600)
    first = LoggedWorld(tmp_path).start(once)
    first.pause("once")
    first.stop()
    world = LoggedWorld(tmp_path, 90).start(once)
    world.resume("once")
    world.due("once", 100)
    assert ranges(world) == [(60, 60, "SKIPPED", 1)]
    world.crash()


def test_reboot_is_skipped_by_a_pause(tmp_path: Path) -> None:
    """The host was booted while the job was paused."""
    boot = job("boot", Cron("@reboot", "UTC"))
    first = LoggedWorld(tmp_path).start(boot)
    wait_until(first.records)
    first.pause("boot")
    first.stop()
    world = LoggedWorld(tmp_path, 90)
    world.scheduler._engine.recovery._outage.former.clock.is_same_boot = False  # type: ignore[union-attr]
    world.start(boot)
    assert [status for _, status, _ in world.records()] == ["SKIPPED"]
    world.crash()


def test_a_job_that_was_refused_at_the_start_keeps_the_pause_of_the_outage(tmp_path: Path) -> None:
    """Its file becomes valid after the pause was resumed; what fell into the outage was paused all the same."""
    first = LoggedWorld(tmp_path).start(job(catch_up=3600))
    first.pause("x")
    first.stop()
    world = LoggedWorld(tmp_path, 130).start()
    world.resume("*")
    world.now = NOON + timedelta(seconds=140)
    world.scheduler.put(replace(job(catch_up=3600), modified_at=NOON - timedelta(days=1)), world.now)
    assert ranges(world) == [(60, 120, "SKIPPED", 2)]
    world.crash()


def test_a_pause_whose_time_is_over_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """The clock was wrong when it ended, and is right after the start."""
    first = LoggedWorld(tmp_path).start(job())
    first.pause("x", seconds=600)
    set_clock(first, 5000)
    first.stop()
    world = LoggedWorld(tmp_path, 30).start(job())
    assert [one.get("cause") for one in world.events("job.paused")] == ["clock"]
    world.due("x", 60)
    assert world.records() == [(60, "SKIPPED", "paused")]
    world.crash()


def test_what_is_over_is_forgotten(world: World) -> None:
    """What was resumed when every slot before is decided, and what was over a day ago."""
    seconds = [0.0]
    world.scheduler._engine.registry.pauses._elapsed = lambda: seconds[0]
    world.scheduler.start()
    world.put(job())
    pauses = world.scheduler._engine.registry.pauses
    world.pause("a")
    world.pause("b", seconds=60)
    world.resume("a")
    assert len(pauses.all()) == 2
    set_clock(world, 90)
    world.due("x", 90)
    world.scheduler.write_checkpoint()
    assert [pause.selector.text for pause in pauses.all()] == ["b"]
    seconds[0] = 86_000
    world.scheduler.write_checkpoint()
    assert pauses.all()
    seconds[0] = 87_000
    world.scheduler.write_checkpoint()
    assert not pauses.all()


def test_a_longer_pause_of_the_same_jobs_is_the_former_one_made_longer() -> None:
    """With its beginning."""
    pauses = Pauses(lambda: 0.0)
    (first,) = pauses.add(selectors(["x"]), NOON + timedelta(hours=1), "", "0", NOON)
    later = NOON + timedelta(minutes=30)
    assert pauses.add(selectors(["x"]), NOON + timedelta(hours=1), "", "0", later) == []
    (second,) = pauses.add(selectors(["x"]), None, "more", "1", later)
    assert (second.id, second.since, second.until) == (first.id, NOON, None)
    assert pauses.all() == (second,)


def test_a_pause_that_a_wrong_clock_resumed_in_the_future_holds_no_slot_to_come() -> None:
    """After a start whose clock is right."""
    resumed = Pause("aa", Selector("x"), NOON, NOON + timedelta(days=9), is_resumed=True)
    pauses = Pauses(lambda: 0.0)
    pauses.restore([resumed], NOON + timedelta(days=9), NOON)
    assert pauses.index.paused_until("x", ()) == NOON
    assert pauses.in_force(NOON) == ()


FORMER_LOG = """\
2026-11-30T16:45:00.808Z INFO service.alive jobs=brief,08d51fb8255a,tpbqcs;one,f20b5f5145c4,tpbqcs
2026-11-30T16:45:00.808Z INFO service.alive pauses="de7cab1e,one,2026-11-30T16:41:23.565Z,,0,migration"
2026-11-30T16:45:00.808Z INFO service.alive settled=2026-11-30T16:45:00.787937Z boot=70b19ba6-57c3-4413-bb3a-e8272913cd87 uptime=47841.470 full=2 host=e4060d5b2b768048 since=2026-11-30T16:41:13.117427Z parts=2
2026-11-30T16:45:01.565Z INFO job.paused jobs=tag:t pause=0badcafe reason="two words" by=1000
2026-11-30T16:45:02.884Z INFO job.paused job_id=brief pause=39b32c1f until=2026-11-30T17:43:49.151Z by=0
2026-11-30T16:45:03.565Z INFO job.paused jobs=* pause=11111111 by=0
2026-11-30T16:45:08.416Z INFO job.resumed job_id=brief pause=39b32c1f by=0
"""  # noqa: E501 - as they are


def test_pauses_that_the_first_version_with_pauses_logged_are_in_force(tmp_path: Path) -> None:
    """An upgrade starts from its checkpoint and the lines after it; keys and forms stay as they were released."""
    (tmp_path / "log").write_text(FORMER_LOG)
    now = datetime(2026, 11, 30, 17, tzinfo=UTC)
    pauses = Pauses(lambda: 0.0)
    pauses.restore(recover(tmp_path / "log", 7).full.pauses, now, now)
    assert [(one.id, one.selector.text, one.until, one.reason, one.by) for one in pauses.in_force(now)] == [
        ("de7cab1e", "one", None, "migration", "0"),
        ("0badcafe", "tag:t", None, "two words", "1000"),
        ("11111111", "*", None, "", "0"),
    ]
    assert pauses.index.of("brief", ()) != ()
