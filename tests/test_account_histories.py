"""The account over random histories of a host: its clock is set, the service crashes and starts, jobs come and go.

The real scheduler, the real log and the real reading back, in one process, with clocks that the test moves; nothing
sleeps. What comes out is judged from the log files alone, against what the test knows of the times that went by.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobscheduler import tasks
from jobscheduler.fingerprint import in_log
from jobscheduler.model import Cron, Entry, Event, Job, Level, Once, TaskSpec
from jobscheduler.reconcile import is_past
from jobscheduler.runlog import LogFile, RunLog, read_back
from jobscheduler.scheduler import Scheduler
from jobscheduler.tasks.base import Context, Outcome, Task
from jobscheduler.timetable import Timetable, timetable_of
from tests.accounting import REOPENED, TICK, lines_of

BASE = datetime(2031, 3, 30, 0, 2, 30, 250_000, tzinfo=UTC)
ENDS = 200  # so many slots from either end of a stretch of time are looked at


class Nothing(Task):
    """A task that is over at once."""

    def __init__(self, fields: object) -> None:
        pass

    def run(self, context: Context) -> Outcome | None:
        """Do nothing."""
        return None


@pytest.fixture(autouse=True, scope="module")
def nothing() -> None:
    """The task type of the jobs here."""
    tasks._loaded["nothing"] = Nothing


def job(job_id: str, schedule: Cron | Once, **fields: object) -> Job:
    """One that does nothing."""
    return Job(job_id, schedule, TaskSpec("nothing", "{}"), **fields)  # type: ignore[arg-type]


JOBS = {
    one.id: one
    for one in (
        job("often", Cron("*/10 * * * *", "UTC")),
        job("hourly", Cron("7 * * * *", "Europe/Berlin"), catch_up=1800.0),
        job("daily", Cron("30 1 * * *", "UTC"), catch_up=7200.0, jitter=600.0),
        job("once", Once(BASE + timedelta(hours=5)), catch_up=600.0),
        job("soon", Once(BASE + timedelta(minutes=20)), catch_up=86_400.0),
    )
}
LATER = job("later", Cron("*/15 * * * *", "UTC"), catch_up=900.0)
EVERY = {**JOBS, "later": LATER}


@dataclass
class Host:
    """A host whose clock the test moves, with a service on it; `went` are the stretches of time that have gone by."""

    folder: Path
    elapsed: float = 1000.0
    wall: datetime = BASE
    boot: int = 1
    name: str = "host"
    is_touched: bool = False
    jobs: dict[str, Job] = field(default_factory=lambda: dict(JOBS))
    went: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=lambda: defaultdict(list))
    lived: list[tuple[str, datetime]] = field(default_factory=list)
    position: dict[str, datetime] = field(default_factory=dict)
    service: Scheduler | None = None
    log: RunLog | None = None
    left: datetime | None = None
    away: list[tuple[datetime, datetime]] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    written: datetime = BASE
    wants: bool = False
    is_dead: bool = False
    cause: str = "down"

    # -- the service

    def start(self) -> None:
        """Start the service, if it does not run."""
        if self.service is not None:
            return
        past = read_back(self.folder / "s.log", 100)
        file = LogFile(self.folder / "s.log", 40_000, 100, on_beginning=lambda: setattr(self, "wants", True))
        self.log = RunLog(file, echo=None, clock=lambda: self.wall).__enter__()
        self.is_dead, self.wants = False, False
        service = self.service = Scheduler(
            write=self._alive(self.log.write),
            write_mark=self._alive(self.log.mark),
            announce=self.log.write_then,
            max_workers=2,
            host="host",
            host_id=self.name,
            boot=f"boot-{self.boot}",
            clock=lambda: self.wall,
            elapsed=lambda: self.elapsed,
            cause=lambda: self.cause,
        )
        service._wakes.start = lambda: None  # type: ignore[method-assign]
        service.recall(past, self.wall)
        self.written = self.wall if self.is_touched else BASE
        self.expired.clear()
        for one in self.jobs.values():
            self._put(replace(one, written=self.written))
        service.start()
        self._tell("service.started")
        self._go(self.wall)
        self._rest()

    def _alive(self, write: Callable[..., object]) -> Callable[..., None]:
        def write_if_alive(entry: Entry) -> None:
            if not self.is_dead:
                write(entry)

        return write_if_alive

    def _tell(self, name: str, **values: str) -> None:
        assert self.log is not None
        self.log.write(Event(self.wall, Level.INFO, name, tuple(values.items())))

    def _put(self, one: Job) -> None:
        assert self.service is not None
        self.expired.discard(one.id)
        if is_past(one, self.wall):
            self.service.expire(one, self.wall)
            self.expired.add(one.id)
        else:
            self.service.put(one, self.wall)

    def _rest(self) -> None:
        """Wait until what has begun is over; write the mark that is due."""
        assert self.service is not None
        until = time.monotonic() + 20
        entries = self.service._ledger.jobs
        while self.service.running() or not all(one.is_idle for one in list(entries.values())):
            assert time.monotonic() < until
            time.sleep(0)
        if self.wants:
            self.wants = False
            self.service.mark(full=True)

    def stop(self) -> None:
        """Stop it in order."""
        if self.service is None or self.log is None:
            return
        self._tell("service.stopping")
        self.service.stop(5)
        self.service.mark(full=True)
        self.service.mark()
        self._tell("service.stopped")
        self._close()

    def crash(self) -> None:
        """End it without a word."""
        if self.service is None:
            return
        self.is_dead = True
        self.service.stop(0)
        self._close()

    def _close(self) -> None:
        assert self.log is not None
        self.log.__exit__(None, None, None)
        self.service = self.log = None

    # -- time

    def _go(self, wall: datetime) -> None:
        """Take note that the clock shows another time: what lies between, going forward, has to be accounted for."""
        self.wall = wall
        if self.service is None:
            return
        for job_id in self.jobs:
            if job_id in self.position and self.position[job_id] < wall:
                self.went[job_id].append((self.position[job_id], wall))
            self.position[job_id] = wall

    def live(self, seconds: float) -> None:
        """Let time go by, with each slot looked at when it is due."""
        until = round(self.elapsed + seconds, 6)
        while self.service is not None and self.elapsed < until:
            starts = [one[0][1] for job_id in self.jobs if (one := self.service.upcoming(job_id, 1))]
            due = [at for at in starts if at > self.wall]
            step = min([until - self.elapsed, 3600.0, *((at - self.wall).total_seconds() for at in due)])
            self._advance(step)
            self._note_lived()
            self.look()
        self._advance(until - self.elapsed)

    def _advance(self, seconds: float) -> None:
        if seconds > 0:
            self.elapsed = round(self.elapsed + seconds, 6)
            self._go(self.wall + timedelta(seconds=seconds))

    def _note_lived(self) -> None:
        """Take note of the slots that are due at this very moment, with the service there to see it."""
        for job_id, one in self.jobs.items():
            timetable = timetable_of(one, "host")
            slot = timetable.slot_of(self.wall) if one.jitter else timetable.next(self.wall - TICK)
            if slot is not None and timetable.start_of(slot) == self.wall:
                self.lived.append((job_id, slot))

    def look(self, *, is_noticed: bool = True) -> None:
        """Look at the clock, and have decided what is due."""
        if self.service is None:
            return
        if is_noticed and self.service.look_at_clock():
            for job_id in [one for one in self.expired if not is_past(self.jobs[one], self.wall)]:
                self._put(replace(self.jobs[job_id], written=self.written))
        for job_id in self.jobs:
            self.service._on_due(job_id, self.wall)
        self._rest()

    def set(self, by: timedelta, *, is_noticed: bool) -> None:
        """Set the clock; whether the service's look at it comes before what is due or behind."""
        wall = min(max(self.wall + by, datetime(1970, 1, 2, tzinfo=UTC)), datetime(2150, 1, 1, tzinfo=UTC))
        self._go(wall)
        self.cause = "clock"
        self.look(is_noticed=is_noticed)
        self.cause = "down"
        if not is_noticed:
            self.look()

    def come(self) -> None:
        """Put a further job."""
        if self.service is not None and "later" not in self.jobs:
            self.jobs["later"] = LATER
            self.position["later"] = self.wall
            if self.left is not None:
                self.away.append((self.left, self.wall))
            self._put(replace(LATER, written=self.wall))
            self._tell("job.added", job_id="later", hash=in_log(LATER))

    def go_away(self) -> None:
        """Take it away."""
        if self.service is not None and "later" in self.jobs:
            del self.jobs["later"]
            self.position.pop("later", None)
            self.left = self.wall
            self.service.drop("later", self.wall)
            self._tell("job.removed", job_id="later", hash=in_log(LATER))


# --- the judgement ---------------------------------------------------------------------------------------


def judge(host: Host) -> list[str]:
    """Say everything that is wrong with the account in a host's log."""
    lines = lines_of(host.folder / "s.log")
    finals = {"SUCCESS", "FAILURE", "SKIPPED", "MISSED"}
    records: dict[str, list[dict[str, str]]] = defaultdict(list)
    begun: dict[tuple[str, datetime], int] = defaultdict(int)
    for line in lines:
        if line["word"] in finals:
            records[line["job_id"]].append(line)
        elif line["word"] == "run.started":
            begun[line["job_id"], instant(line, "scheduled")] += 1
    wrong = [f"{job_id} {slot} began {count} times" for (job_id, slot), count in begun.items() if count > 1]
    for job_id, one in EVERY.items():
        timetable = timetable_of(one, "host")
        wrong += _judge_job(job_id, timetable, records[job_id], host)
    return wrong


def _judge_job(job_id: str, timetable: Timetable, records: list[dict[str, str]], host: Host) -> list[str]:
    spans = [(instant(line, "scheduled"), instant(line, "last") if "last" in line else None, line) for line in records]
    single = {first: [] for first, _, _ in spans}  # type: dict[datetime, list[dict[str, str]]]
    expected = {slot for span in host.went[job_id] for slot in ends(timetable, span)}
    wrong = []
    for slot in expected | set(single):
        found = [line for first, last, line in spans if first <= slot <= (last or first)]
        words = [f"{one['word']} {one.get('reason')} {one.get('corrects')}" for one in found]
        is_away = job_id == "later" and any(first <= slot <= last for first, last in host.away)
        if not found and not is_away:  # by choice: where it was not in force it counts as decided
            wrong.append(f"{job_id} {slot} has no record")
        elif len(found) > 1 and not is_corrected(found):
            wrong.append(f"{job_id} {slot} has {words}")
    lived = {slot for name, slot in host.lived if name == job_id}
    for slot in lived:
        found = [line for first, last, line in spans if first <= slot <= (last or first)]
        if found and all(one["word"] == "MISSED" for one in found) and instant(found[0], "time") == slot:
            wrong.append(f"{job_id} {slot} came, and was missed: {found}")
    return wrong


def is_corrected(found: list[dict[str, str]]) -> bool:
    """Tell whether of two records the second rightly takes the place of the first."""
    first, *others = found
    return (
        len(others) == 1
        and first["word"] == "MISSED"
        and first["reason"] in REOPENED
        and others[0].get("corrects") == "clock"
        and others[0]["word"] != "MISSED"
    )


def ends(timetable: Timetable, span: tuple[datetime, datetime]) -> set[datetime]:
    """Return the first and the last slots of a stretch of time whose start lies in it."""
    after, until = span
    found = set(timetable.slots(after, until, ENDS))
    late = max(after, until - timedelta(days=3))
    found |= set(timetable.slots(late, until, ENDS))
    return {slot for slot in found if timetable.start_of(slot) <= until}


def instant(line: dict[str, str], key: str) -> datetime:
    """Return an instant that stands in a line."""
    return datetime.fromisoformat(line[key])


# --- the histories ---------------------------------------------------------------------------------------

AMOUNTS = [1, 30, 600, 3500, 7200, 10_900, 40_000, 86_400, 200_000, 86_400 * 40, 86_400 * 365 * 9, 86_400 * 365 * 61]

steps = st.builds(
    lambda amount, share, sign, is_noticed: ("set", sign * round(amount * share, 3), is_noticed),
    st.sampled_from(AMOUNTS),
    st.floats(0.5, 1.5),
    st.sampled_from([-1, 1]),
    st.booleans(),
)
actions = st.one_of(
    st.tuples(st.just("live"), st.sampled_from([5, 100, 700, 4000, 20_000]), st.floats(0.5, 1.5)),
    steps,
    st.just(("undo",)),
    st.tuples(st.sampled_from(["crash", "stop"]), st.sampled_from([1, 90, 1500, 30_000]), st.booleans()),
    st.just(("start",)),
    st.sampled_from([("come",), ("go_away",), ("touch",), ("boot",)]),
)


def run(folder: Path, history: list[tuple]) -> Host:  # type: ignore[type-arg]
    """Live through a history, and end it in order."""
    host = Host(folder)
    moved = timedelta(0)
    host.start()
    for action, *given_ in history:
        match action, given_:
            case "live", [seconds, share]:
                host.live(round(seconds * share, 3))
            case "set", [seconds, is_noticed]:
                before = host.wall
                host.set(timedelta(seconds=seconds), is_noticed=is_noticed)
                moved += host.wall - before
            case "undo", []:
                host.set(-moved, is_noticed=True)
                moved = timedelta(0)
            case ("crash" | "stop") as how, [seconds, is_long]:
                getattr(host, how)()
                host._advance(seconds if is_long else 0.5)
            case "boot", []:
                if host.service is None:
                    host.boot, host.elapsed = host.boot + 1, 10.0
            case "touch", []:
                host.is_touched = not host.is_touched
            case _:
                getattr(host, action)()
    host.start()
    host.live(100)
    host.stop()
    return host


def check(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Live through a history and judge it."""
    with tempfile.TemporaryDirectory(prefix="histories-") as folder:
        wrong = judge(run(Path(folder), history))
        assert not wrong, "\n".join([*map(str, history), *wrong[:10]])


@given(st.lists(actions, min_size=1, max_size=14))
@settings(max_examples=60)
def test_no_slot_is_lost_or_doubled_whatever_the_clock_and_the_service_do(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """A small part of what the next test does."""
    check(history)


@pytest.mark.deep
@given(st.lists(actions, min_size=1, max_size=30))
@settings(max_examples=5000)
def test_no_slot_is_lost_or_doubled_in_thousands_of_histories(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Long ones, and many."""
    check(history)


def test_at_reboot_is_once_a_boot_although_the_log_was_on_another_host_meanwhile(tmp_path: Path) -> None:
    """The log is not believed when it comes back, but it shows that this boot was seen before."""
    host = Host(tmp_path, jobs={"boot": job("boot", Cron("@reboot", "UTC"))})
    for name, boot in (("a", 1), ("b", 2), ("a", 1), ("a", 3)):
        host.name, host.boot = name, boot
        host.start()
        host.live(100)
        host.stop()
        host.live(100)

    begun = [line["time"] for line in lines_of(tmp_path / "s.log") if line["word"] == "run.started"]
    assert len(begun) == 3  # on a, on b, and on a after its next boot
    assert len([line for line in lines_of(tmp_path / "s.log") if line["word"] == "log.foreign"]) == 2
