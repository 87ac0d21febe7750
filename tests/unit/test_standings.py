"""How jobs stand: which failures count, for how long they are without success, and what survives a start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import AlertRule, Checkpoint, Cron, Event, FullCheckpoint, Job, Level, Record, Status, TaskSpec
from jobscheduler.model.standing import NO_STANDING, Standing
from jobscheduler.runlog import encode_line, format_json, format_text, last_record, recover, to_events
from jobscheduler.scheduler.former_service import FormerService
from jobscheduler.status.standings import Standings
from jobscheduler.status.success_deadlines import HOLD_CHECK_S

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
S, F, K, M = Status.SUCCESS, Status.FAILURE, Status.SKIPPED, Status.MISSED
HOUR = 3600.0


def job(job_id: str = "a", within: float | None = HOUR, **fields: Any) -> Job:
    return Job(job_id, Cron("@daily", "UTC"), TaskSpec("none", "{}"), success_within=within, **fields)


class World:
    """Standings with a clock and an uptime that the test moves, and the jobs that are held."""

    def __init__(self, uptime: float = 10_000.0) -> None:
        self.seconds = 0.0
        self.clock_set_by = 0.0
        self.began = uptime
        self.held: set[str] = set()
        self.standings = Standings(lambda: self.uptime)

    @property
    def uptime(self) -> float:
        return self.began + self.seconds

    @property
    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds + self.clock_set_by)

    def put(self, one: Job) -> None:
        self.standings.define(one, self.now, self.now)

    def ends(self, status: Status = S, job_id: str = "a", reason: str | None = None) -> Record:
        record = Record(self.now, status, job_id, reason=reason)
        self.standings.observe(record)
        return record

    def after(self, seconds: float) -> list[str]:
        """Let time pass in steps of a check; return the jobs that have become overdue."""
        found, end = [], self.seconds + seconds
        while self.seconds < end:
            self.seconds = min(end, self.seconds + HOLD_CHECK_S)
            found += [one.job_id for one in self.standings.check(self.now, self.held.__contains__)]
        return found


@pytest.fixture
def world() -> World:
    """One at noon."""
    return World()


# --- overdue ---------------------------------------------------------------------------------------------


def test_a_job_without_success_for_so_long_is_overdue_once(world: World) -> None:
    """From when it came into force, then from each success; failures and skipped slots make no difference."""
    world.put(job())
    assert world.after(HOUR - 5) == []
    world.ends(F)
    world.ends(K)
    assert world.after(5) == ["a"]
    assert world.after(10 * HOUR) == []
    assert world.standings.of("a").overdue_since == NOON + timedelta(hours=1)

    world.ends(S)
    assert world.standings.of("a").overdue_since is None
    assert world.after(HOUR - 5) == []
    assert world.after(5) == ["a"]


def test_a_success_in_time_is_no_news(world: World) -> None:
    """However often; and a job without `success_within` is never overdue."""
    world.put(job())
    world.put(job("b", within=None))
    for _ in range(5):
        assert world.after(HOUR - 5) == []
        world.ends(S)


@pytest.mark.parametrize("seconds", [-86400.0 * 400, -30.0, 30.0, 86400.0 * 400])
def test_a_clock_that_is_set_makes_no_job_overdue_and_none_young_again(world: World, seconds: float) -> None:
    """The time is counted by a clock that is never set."""
    world.put(job())
    world.ends(S)
    assert world.after(HOUR / 2) == []
    world.clock_set_by = seconds
    assert world.after(HOUR / 2 - 5) == []
    assert world.after(5) == ["a"]


def test_the_time_of_a_held_job_does_not_count(world: World) -> None:
    """Paused or disabled, from the check that sees it; a job that is overdue already stays so."""
    world.put(job())
    assert world.after(HOUR / 2) == []
    world.held.add("a")
    assert world.after(100 * HOUR) == []
    world.held.clear()
    assert world.after(HOUR / 2 - HOLD_CHECK_S) == []
    assert world.after(2 * HOLD_CHECK_S) == ["a"]
    world.held.add("a")
    world.after(HOUR)
    assert world.standings.of("a").overdue_since is not None


def test_nothing_is_told_of_a_held_job(world: World) -> None:
    """Neither that a shorter limit has passed, nor a reminder; both come when it is held no more."""
    world.put(job("late", HOUR / 10))
    world.put(job())
    assert world.after(HOUR / 2) == ["late"]
    world.held.update(("a", "late"))
    world.after(HOLD_CHECK_S)
    world.put(job(within=HOUR / 4))
    assert world.after(HOUR) == []
    assert world.standings.alerted() == []
    world.held.clear()
    assert world.after(2 * HOLD_CHECK_S) == ["a"]
    assert {job_id for job_id, _ in world.standings.alerted()} == {"a", "late"}


def test_a_recovery_is_told_once(world: World) -> None:
    """By the first success after an alert."""
    world.put(job())
    world.after(HOUR + HOLD_CHECK_S)
    world.ends(S)
    assert [world.standings.take_alert("a") for _ in range(3)] == [True, False, False]


def test_a_success_while_the_job_is_held_counts_from_its_end(world: World) -> None:
    """As of a run by hand."""
    world.put(job())
    world.held.add("a")
    world.after(HOUR)
    world.ends(S)
    world.after(HOUR)
    world.held.clear()
    assert world.after(HOUR) == []
    assert world.after(2 * HOLD_CHECK_S) == ["a"]


def test_an_edit_keeps_the_time_without_success(world: World) -> None:
    """Whichever field it changes; a longer limit ends that the job is overdue, without a success."""
    world.put(job())
    world.after(HOUR / 2)
    world.put(job(description="other words"))
    assert world.after(HOUR / 2) == ["a"]
    world.put(job(within=2 * HOUR))
    assert world.standings.of("a").overdue_since is None
    assert world.after(HOUR) == ["a"]
    world.put(job(within=None))
    assert world.standings.of("a").overdue_since is None


def test_a_limit_that_comes_later_counts_from_the_last_success(world: World) -> None:
    """Else from when the job came into force."""
    for name in ("a", "b"):
        world.put(job(name, within=None))
    world.after(HOUR / 2)
    world.ends(S, "a")
    world.after(HOUR / 4)
    for name in ("a", "b"):
        world.put(job(name))
    assert world.after(HOUR / 4) == ["b"]
    assert world.after(HOUR / 2) == ["a"]


def test_a_job_that_was_removed_begins_anew(world: World) -> None:
    """It was not in force meanwhile, and what was known of it is forgotten."""
    world.put(job())
    world.ends(F)
    world.after(HOUR / 2)
    world.standings.observe(Event.of(NOON, Level.INFO, "job.removed", job_id="a"))
    assert world.standings.of("a") is NO_STANDING
    assert world.after(5 * HOUR) == []
    world.put(job())
    assert world.after(HOUR - 5) == []


def test_ten_thousand_jobs_are_looked_through_only_when_one_may_be_due(world: World) -> None:
    """A check in between asks for nothing but the time."""
    for number in range(100):
        world.put(job(f"j{number}"))
    world.after(HOLD_CHECK_S)
    asked: list[str] = []
    world.seconds += 1
    world.standings.check(world.now, lambda job_id: bool(asked.append(job_id)))
    assert asked == []


# --- failures --------------------------------------------------------------------------------------------


def test_failures_in_a_row_are_counted_with_the_time_of_the_first(world: World) -> None:
    """Up to the next success; missed slots are counted beside them."""
    world.put(job(within=None))
    world.seconds = 10
    world.ends(M, reason="down")
    world.seconds = 20
    world.ends(F)
    world.ends(F, reason="stopped")
    world.seconds = 30
    world.ends(F)
    standing = world.standings.of("a")
    assert standing.streak(with_missed=False) == (2, NOON + timedelta(seconds=20))
    assert standing.streak(with_missed=True) == (3, NOON + timedelta(seconds=10))
    world.ends(S)
    assert world.standings.of("a") is NO_STANDING
    assert world.standings.last_success("a") == world.now


# --- the log ---------------------------------------------------------------------------------------------


class Log:
    """The log of a service, and the next service that reads it."""

    def __init__(self, path: Path, form: str) -> None:
        self.path = path / "log"
        self.format = format_json if form == "json" else format_text

    def write(self, *entries: Event | Record) -> None:
        with self.path.open("ab") as file:
            file.writelines(encode_line(entry, self.format) for entry in entries)

    def checkpoint(self, world: World, *active: str) -> None:
        """Write a checkpoint of now, a full one if it names active jobs."""
        state = world.standings.for_checkpoint(active or None)
        full = FullCheckpoint("h", NOON, dict.fromkeys(active, "abcdefabcdef")) if active else None
        mark = Checkpoint(world.now, "boot-1", uptime=world.uptime, full=full, results=state)
        self.write(*to_events(mark, world.now))

    def next_service(self, world: World, *, later: float, uptime: float | None = None) -> World:
        """Return a service that starts `later` seconds after now; with an `uptime` after another boot."""
        made = World(world.uptime + later if uptime is None else uptime)
        made.clock_set_by = world.clock_set_by + world.seconds + later
        state = recover(self.path, 0)
        assert state is not None
        former = FormerService(state, "boot-1" if uptime is None else "boot-2", made.now, made.uptime)
        made.standings.restore(former.full.results, state.results, former.clock.up_at, former.clock.moved_by())
        return made


@pytest.fixture(params=["text", "json"])
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Log:
    """An empty one, in either format."""
    return Log(tmp_path, request.param)


@pytest.mark.parametrize("boot", [None, 50.0], ids=["same boot", "another boot"])
def test_the_time_without_success_survives_a_start(world: World, log: Log, boot: float | None) -> None:
    """The outage counts as well: after another boot by the clock."""
    world.put(job())
    world.after(HOUR / 4)
    log.checkpoint(world, "a")
    later = log.next_service(world, later=HOUR / 4, uptime=boot)
    later.put(job())

    assert later.after(HOUR / 2 - 5) == []
    assert later.after(10) == ["a"]


def test_a_quick_restart_ends_no_overdue_job(world: World, log: Log) -> None:
    """Although the log keeps whole seconds only."""
    world.began += 0.6
    world.put(job())
    assert world.after(HOUR) == ["a"]
    log.checkpoint(world, "a")
    later = log.next_service(world, later=0.1)
    later.put(job())
    assert later.standings.of("a").overdue_since is not None
    assert later.after(HOUR) == []


def test_what_lines_after_the_last_checkpoint_say_counts(world: World, log: Log) -> None:
    """After a crash: a success, failures in a row, that it was told, and that a job is overdue."""
    jobs = [job("a"), job("b"), job("c", HOUR / 2)]
    for one in jobs:
        world.put(one)
    log.checkpoint(world, "a", "b", "c")
    world.after(HOUR / 2)
    log.write(world.ends(S, "a"), world.ends(F, "b"), world.ends(F, "b"))
    log.write(Event.of(world.now, Level.INFO, "alert.sent", job_id="b", on="failure"))
    log.write(Event.of(world.now, Level.WARNING, "job.overdue", job_id="c"))
    log.write(Event.of(world.now, Level.INFO, "alert.sent", job_id="a", on="test"))
    success, overdue_at = world.now, world.now
    later = log.next_service(world, later=60)
    for one in jobs:
        later.put(one)

    assert later.standings.last_success("a") == success
    assert later.standings.of("a").alerted_at is None, "a test tells nothing"
    assert later.standings.of("b").streak(with_missed=False)[0] == 2
    assert later.standings.of("b").is_failing
    assert later.standings.of("c").overdue_since == overdue_at
    assert later.after(HOUR / 2 - 60) == ["b"]
    assert later.after(HOUR / 2) == ["a"]


def test_a_failure_whose_alert_a_crash_prevented_is_told_at_the_next_one(world: World, log: Log) -> None:
    """Rather twice than never."""
    one = job(alert=AlertRule(2))
    world.put(one)
    log.checkpoint(world, "a")
    log.write(world.ends(F), world.ends(F))
    assert world.standings.begins_to_fail(one)
    later = log.next_service(world, later=1)
    later.put(one)
    later.ends(F)

    assert later.standings.begins_to_fail(one)
    assert not later.standings.begins_to_fail(one)


def test_each_checkpoint_says_what_has_changed_since_the_one_before(world: World, log: Log) -> None:
    """A start puts them together, back to the last full one; what is untouched stands in no other."""
    for name in ("a", "b", "c"):
        world.put(job(name))
    world.ends(F, "c")
    log.checkpoint(world, "a", "b", "c")
    for _ in range(3):
        world.after(60)
        log.write(world.ends(F, "a"))
        log.checkpoint(world)
    log.write(world.ends(S, "a"), world.ends(F, "b"))
    log.checkpoint(world)
    log.write(world.ends(F, "a"))

    (*_, last) = [line for line in log.path.read_text().splitlines() if "standing" in line]
    assert "c," not in last
    later = log.next_service(world, later=1)
    assert [later.standings.of(name).failures for name in ("a", "b", "c")] == [1, 1, 1]


def test_a_checkpoint_whose_end_is_lost_counts_for_nothing(world: World, log: Log) -> None:
    """Its failures would be counted twice: here, and in the records before it."""
    world.put(job())
    log.checkpoint(world, "a")
    log.write(world.ends(F), world.ends(F))
    mark = Checkpoint(world.now, "boot-1", uptime=world.uptime, results=world.standings.for_checkpoint())
    log.write(*to_events(mark, world.now)[:-1])

    assert log.next_service(world, later=1).standings.of("a").failures == 2


def test_a_full_checkpoint_names_jobs_whose_files_cannot_be_read_yet(world: World, log: Log) -> None:
    """A directory may be away at a start and at the next one; how a job stands is known all the same."""
    world.put(job())
    log.write(world.ends(F))
    state = world.standings.for_checkpoint(active=["a"])
    later = Standings(lambda: world.uptime)
    later.restore(state, [], lambda at: 0.0, 0.0)
    again = later.for_checkpoint(active=["b"])
    assert again.standings == state.standings
    assert again.standings["a"].failures == 1


def test_a_removed_job_is_not_restored(world: World, log: Log) -> None:
    """Neither from the checkpoint nor from lines after its removal."""
    world.put(job())
    world.put(job("b"))
    log.checkpoint(world, "a", "b")
    log.write(Event.of(world.now, Level.INFO, "job.removed", job_id="a", hash="abcdefabcdef"))
    later = log.next_service(world, later=1)
    assert later.standings.of("a") is NO_STANDING
    log.checkpoint(world)
    log.write(Event.of(world.now, Level.INFO, "job.removed", job_id="b", hash="abcdefabcdef"))
    log.checkpoint(world)
    assert log.next_service(world, later=1).standings.of("b") is NO_STANDING


def test_every_value_comes_back_from_the_log(world: World, log: Log) -> None:
    """To the second; and one that is plain is not written."""
    at = NOON + timedelta(days=1)
    full = Standing(3, at, 2, NOON, True, 17.0, -3600.0, 40.0, at)
    world.standings.restore(
        type(world.standings.for_checkpoint())({"a": full, "b": Standing(overdue_since=at)}, {"c": at}),
        [],
        lambda _: 0,
        0,
    )
    log.checkpoint(world, "a", "b", "c", "plain")

    later = log.next_service(world, later=0)
    assert (later.standings.of("a"), later.standings.of("b")) == (full, Standing(overdue_since=at))
    assert later.standings.last_success("c") == at
    assert "plain" not in "".join(line for line in log.path.read_text().splitlines() if "standing" in line)


def test_the_last_record_of_a_job_is_read_with_its_output(world: World, log: Log) -> None:
    """Of the wanted statuses, for an alert that no record has caused."""
    failed = Record(NOON, F, "a", "r1", NOON, NOON, 1.0, "exit", (("exit_code", 3),), "no\nspace")
    log.write(failed, world.ends(K), Record(NOON, F, "b", "r2"))
    found = last_record(log.path, 0, "a", {F})
    assert found is not None
    assert (found.run_id, found.output, dict(found.details)["exit_code"]) == ("r1", "no\nspace", "3")
    assert (last_record(log.path, 0, "a", {*Status}) or failed).status is K
    assert last_record(log.path, 0, "c", {*Status}) is None
