"""The account when the clock is set: by minutes, hours and years, forward and back, once simulated and once for real.

For real means the whole service under libfaketime (Debian's package `faketime`), whose wall clock the test sets while
its other clocks go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Checkpoint, Cron, Event, Job, LogEntry, Record, TaskSpec
from jobscheduler.scheduler import Clocks, Scheduler, SchedulerLog
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.job_files import unavailable
from tests.support.service import Service, job, wait_until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTICED = 10.0


class Simulated:
    """The real scheduler, whose clock the test sets, with a job each minute and one each hour that do nothing."""

    def __init__(self) -> None:
        self.now = NOON
        self.written: list[LogEntry] = []
        self.marks: list[Checkpoint] = []
        self.scheduler = Scheduler(
            SchedulerLog(self.written.append, self.marks.append),
            max_workers=2,
            clocks=Clocks(now=lambda: self.now, late_reason=lambda: "clock"),
        )
        self.scheduler._waker.start = lambda: None  # the host's clock is not the test's
        self.jobs = {
            name: Job(name, Cron(text, "UTC"), TaskSpec("none", "{}"))
            for name, text in (("minute", "* * * * *"), ("hour", "0 * * * *"))
        }
        self.scheduler.start()
        for one in self.jobs.values():
            self.scheduler.put(one, self.now)

    def live(self, seconds: int, step: int = 10) -> None:
        """Let so much time pass, with a check every few seconds."""
        for _ in range(seconds // step):
            self.now += timedelta(seconds=step)
            self.look()

    def look(self) -> None:
        """Have everything decided that is due, and wait until what that began has ended."""
        for name in self.jobs:
            self.scheduler._on_due(name, self.now)
        self.scheduler.check_clock()
        wait_until(lambda: not self.scheduler.runs.count())

    def set(self, by: timedelta) -> None:
        """Set the clock, and do what the service does when it notices."""
        self.now += by
        self.scheduler.check_clock()
        self.look()

    def slots(self, name: str) -> list[datetime]:
        """Every slot that has an account, ranges expanded, in the order in which they got it."""
        timetable = timetable_of(self.jobs[name])
        found: list[datetime] = []
        for one in self.written:
            if isinstance(one, Record) and one.job_id == name and one.scheduled:
                last = dict(one.details).get("last", one.scheduled)
                found += timetable.slots(one.scheduled - timedelta(microseconds=1), last, 10**6)  # type: ignore[arg-type]
        return found


@pytest.fixture
def simulated() -> Iterator[Simulated]:
    """One that has lived for a while."""
    made = Simulated()
    made.live(7200, step=60)
    yield made
    made.scheduler.stop(0)


@pytest.mark.parametrize(
    "by",
    [
        *(timedelta(minutes=minutes) for minutes in (90, -90)),
        *(pytest.param(timedelta(minutes=minutes), marks=pytest.mark.deep) for minutes in (5, -5, -179)),
    ],
    ids=lambda by: f"{by.total_seconds() / 60:+.0f}min",
)
def test_a_clock_set_by_minutes_or_hours_doubles_and_loses_nothing(simulated: Simulated, by: timedelta) -> None:
    """Every slot from the first to the last has exactly one account, whichever way the clock went."""
    simulated.set(by)
    simulated.live(3600 - min(0, round(by.total_seconds())), step=60)

    for name in simulated.jobs:
        slots = sorted(simulated.slots(name))  # runs may end in another order than they began
        first = min(NOON, NOON + timedelta(hours=2) + by)
        assert slots == list(timetable_of(simulated.jobs[name]).slots(first, slots[-1], 10**6))
        assert slots[-1] >= NOON + timedelta(hours=3)


@pytest.mark.parametrize("hours", [-4, -24 * 365 * 40])
def test_a_clock_set_far_back_runs_what_was_never_due_and_nothing_twice(simulated: Simulated, hours: int) -> None:
    """The slots of the new time are from before the jobs were put."""
    before = len(simulated.slots("minute"))
    simulated.set(timedelta(hours=hours))
    simulated.live(600)

    again = sorted(simulated.slots("minute")[before:])
    assert again == [NOON + timedelta(hours=2 + hours, minutes=minute) for minute in range(1, 11)]


def test_a_clock_set_forward_by_decades_is_one_line_and_back_again_nothing_hangs(simulated: Simulated) -> None:
    """Counting stops at a hundred thousand, and costs milliseconds."""
    began = time.perf_counter()
    simulated.set(timedelta(days=365 * 60))
    assert time.perf_counter() - began < 2
    (missed,) = [
        one
        for one in simulated.written
        if isinstance(one, Record) and one.job_id == "minute" and one.status == "MISSED"
    ]
    assert dict(missed.details) | {"count": 100_000, "more": True} == dict(missed.details)
    simulated.set(timedelta(days=-365 * 60))
    before = len([one for one in simulated.written if not isinstance(one, Event)])
    simulated.live(300)
    assert len([one for one in simulated.written if not isinstance(one, Event)]) == before + 5


# --- the whole service ------------------------------------------------------------------------------------


PATIENT_SLEEP = """
import time
sleep = time.sleep
def sleep_or_return(seconds):
    try:
        sleep(seconds)
    except OSError:
        pass
time.sleep = sleep_or_return
"""
"""libfaketime makes `clock_nanosleep` fail with EINVAL if the clock is set during the call. No kernel does that."""


class Faked(Service):
    """The service with a wall clock of its own."""

    def __init__(self, base: Path, library: Path) -> None:
        self.clock = base / "clock"
        super().__init__(
            base,
            env={
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            },
        )
        self.patched(PATIENT_SLEEP)
        self.offset = 0
        self.set(0)

    def set(self, by: int) -> float:
        """Set the clock by so many seconds more; return when that was, on a clock that goes on."""
        self.offset += by
        new = self.clock.with_suffix(".new")
        new.write_text(f"{self.offset:+d}s\n", "ascii")
        new.rename(self.clock)
        return time.monotonic()

    def noticed(self, word: str, count: int) -> float:
        """Wait until so many lines of a kind are there; return when that was."""
        self.wait_for(word, count)
        return time.monotonic()

    def resident(self) -> int:
        """How much memory the process has, in MiB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


@pytest.fixture
def faked(tmp_path: Path) -> Iterator[Faked]:
    """A service under libfaketime; skipped where that is not installed, unless it has to be tested here."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    if library is None:
        unavailable("libfaketime is not here (Debian: apt-get install faketime)")
    marks = tmp_path / "marks"
    marks.touch()
    made = Faked(tmp_path, library)
    for name, text in (("tick", "* * * * * *"), ("minute", "* * * * *")):
        made.write(f"{name}.json", job(name, text, MARKING.format(marks)))
    yield made
    made.close()


def ticks(service: Faked) -> list[str]:
    """The slots that `tick` has run."""
    return [line["scheduled"] for line in service.words("run.started", job_id="tick")]


def test_a_clock_that_is_set_is_noticed_in_time_and_no_slot_is_lost_or_doubled(faked: Faked) -> None:
    """Forward by an hour, back again, a crash meanwhile, and once more forward: the account is whole.

    What the clock only missed runs when its time really comes, also after the crash.
    """
    faked.start()
    faked.wait_for("SUCCESS", 2, job_id="tick")

    at = faked.set(3600)
    (missed,) = faked.wait_for("MISSED", job_id="tick")
    assert faked.noticed("clock.stepped", 1) - at < NOTICED
    assert (missed["reason"], 3590 <= int(missed["count"]) <= 3610) == ("clock", True)
    faked.wait_for("SUCCESS", len(ticks(faked)) + 1, job_id="tick")

    at = faked.set(-3600)
    assert faked.noticed("clock.stepped", 2) - at < NOTICED
    faked.wait_for("SUCCESS", 2, job_id="tick", corrects="clock")
    faked.process.kill()
    faked.process.wait()
    faked.start()
    faked.wait_for("SUCCESS", 4, job_id="tick", corrects="clock")

    at = faked.set(3600)
    faked.wait_for("SUCCESS", len(faked.words("SUCCESS", job_id="tick")) + 2, job_id="tick")
    assert time.monotonic() - at < NOTICED
    assert faked.stop() == 0
    timetables = {
        name: timetable_of(Job(name, Cron(text, "UTC"), TaskSpec("x", "{}")))
        for name, text in (("tick", "* * * * * *"), ("minute", "* * * * *"))
    }
    Account(lines_of(faked.log), timetables).check()


def test_a_clock_that_is_set_by_years_is_survived(faked: Faked) -> None:
    """Forward by fifty years and back: the new time is believed, within ten seconds, and memory does not grow."""
    faked.start()
    faked.wait_for("SUCCESS", 2, job_id="tick")
    resident = faked.resident()

    for number, years in enumerate((50, -50), 1):
        before = len(faked.words("SUCCESS", job_id="tick"))
        at = faked.set(years * 365 * 86_400)
        assert faked.noticed("clock.stepped", number) - at < NOTICED
        faked.wait_for("SUCCESS", before + 2, job_id="tick")
        assert time.monotonic() - at < NOTICED + 3
    (accepted,) = faked.words("clock.accepted")
    assert float(accepted["set_by"]) < -49 * 365 * 86_400
    (missed,) = faked.words("MISSED", job_id="tick", reason="clock")
    assert (missed["count"], missed["more"]) == ("100000", "true")

    faked.set(-5 * 3600)
    faked.wait_for("clock.accepted", 2)
    before = len(faked.words("SUCCESS", job_id="tick"))
    faked.wait_for("SUCCESS", before + 2, job_id="tick")
    assert faked.resident() < resident + 40
    assert faked.stop() == 0
