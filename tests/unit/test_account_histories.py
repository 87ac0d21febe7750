"""The account over random histories of a host: its clock is set, the service crashes and starts, jobs come and go.

The real scheduler, the real log and the real reading back, in one process, with clocks that the test moves; nothing
sleeps. Runs may be at work when the service crashes, a power failure may take the last second of the log with it, and
a schedule may change while the service runs or between two starts. What comes out is judged from the log files alone,
against what the test knows of the times that went by.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobscheduler import tasks
from jobscheduler.jobs.plan import is_past
from jobscheduler.model import Cron, Event, Job, Level, LogEntry, Once, RecoveredState, TaskSpec
from jobscheduler.model.selection import selectors
from jobscheduler.runlog import LogFile, LogWriter, recover
from jobscheduler.scheduler import Clocks, Scheduler, SchedulerHost, SchedulerLog
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.tasks.base import Outcome, Task
from jobscheduler.tasks.context import Context
from jobscheduler.timetable.definition_hash import hash_in_log
from jobscheduler.timetable.overlap import Overlap
from jobscheduler.timetable.timetable import Timetable, timetable_of
from tests.support.accounting import REOPENED, TICK, lines_of
from tests.support.in_memory import memory_or_disk
from tests.support.paused_times import TOLD, ModelPause, PausedTimes, judge_pauses
from tests.support.properties import examples
from tests.support.service import parse_line

BASE = datetime(2031, 3, 30, 0, 2, 30, 250_000, tzinfo=UTC)
ENDS = 200  # slots from either end of a stretch of time that are checked
SYNCED = timedelta(seconds=1)  # what was written longer ago survives a power failure
UNSURE = timedelta(seconds=2)  # slots so soon after the last surviving line are not run again
CHANGES = frozenset({"job.added", "job.updated", "job.removed"})
COUNT = int(os.environ.get("TEST_HISTORIES", "10000"))
"""The number of long histories in the deep suite."""


class Nothing(Task):
    """A task that ends at once."""

    def __init__(self, fields: object) -> None:
        pass

    def run(self, context: Context) -> Outcome | None:
        """Do nothing."""
        return None


class Lasting(Task):
    """A task that ends when the test opens its gate, or when its run is stopped."""

    gate = threading.Event()

    def __init__(self, fields: object) -> None:
        pass

    def run(self, context: Context) -> Outcome | None:
        """Wait for the gate."""
        context.on_stop(self.gate.set)
        self.gate.wait()
        return None


@pytest.fixture(autouse=True, scope="module")
def nothing() -> None:
    """The task types of the jobs here."""
    tasks._loaded["nothing"] = Nothing
    tasks._loaded["lasting"] = Lasting


def job(job_id: str, schedule: Cron | Once, **fields: object) -> Job:
    """One that does nothing."""
    return Job(job_id, schedule, TaskSpec("nothing", "{}"), **fields)  # type: ignore[arg-type]


LASTING = TaskSpec("lasting", "{}")
EDITED = tuple(job("edited", Cron(text, "UTC"), catch_up=1200.0) for text in ("*/12 * * * *", "5-59/18 * * * *"))
"""The definitions of a job whose schedule is changed, and changed back."""

JOBS = {
    one.id: one
    for one in (
        job("often", Cron("*/10 * * * *", "UTC")),
        job("hourly", Cron("7 * * * *", "Europe/Berlin"), catch_up=1800.0),
        job("daily", Cron("30 1 * * *", "UTC"), catch_up=7200.0, jitter=600.0),
        job("once", Once(BASE + timedelta(hours=5)), catch_up=600.0),
        job("soon", Once(BASE + timedelta(minutes=20)), catch_up=86_400.0),
        job("brief", Once(BASE + timedelta(minutes=20)), catch_up=600.0),
        Job("long", Cron("*/20 * * * *", "UTC"), LASTING, catch_up=600.0),
        Job("queued", Cron("1-59/25 * * * *", "UTC"), LASTING, catch_up=600.0, overlap=Overlap.QUEUE),
        EDITED[0],
    )
}
LATER = job("later", Cron("*/15 * * * *", "UTC"), catch_up=900.0)
SAME = {
    "often": ["*/10 * * * *", "0,10,20,30,40,50 * * * *", "0-59/10 0-23 * * sun-sat"],
    "hourly": ["7 * * * *", "07 */1 * * *"],
    "daily": ["30 1 * * *", "0 30 01 * * *"],
}
"""Expressions that mean the same."""
EVERY = {**JOBS, "later": LATER}
TIMETABLES = tuple(timetable_of(one, "host") for one in EDITED)


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
    log: LogWriter | None = None
    left: datetime | None = None
    away: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    written: datetime = BASE
    put: dict[str, datetime] = field(default_factory=dict)
    version: int = 0
    moves: list[tuple[float, str, str, datetime]] = field(default_factory=list)
    waited: set[tuple[str, datetime | None]] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    was_unsure: set[str] = field(default_factory=set)
    lost: list[tuple[dict[str, str], datetime]] = field(default_factory=list)
    wants: bool = False
    is_dead: bool = False
    paused: PausedTimes = field(default_factory=PausedTimes)
    is_failed: bool = False
    cause: str = "down"

    # -- the service

    def start(self) -> None:
        """Start the service, if it does not run."""
        if self.service is not None:
            return
        Lasting.gate.set()
        past = recover(self.folder / "s.log", 100)
        file = LogFile(self.folder / "s.log", 40_000, 100, on_beginning=lambda: setattr(self, "wants", True))
        self.log = LogWriter(file, echo=None, clock=lambda: self.wall).__enter__()
        self.is_dead, self.wants = False, False
        service = self.service = Scheduler(
            SchedulerLog(self._alive(self.log.write), self._alive(self.log.checkpoint), self._announce(self.log)),
            max_workers=4,
            host=SchedulerHost("host", self.name, f"boot-{self.boot}"),
            clocks=Clocks(lambda: self.wall, lambda: self.elapsed, lambda: self.cause),
        )
        service._waker.start = lambda: None  # type: ignore[method-assign]
        self._tell("test.defined", version=str(self.version))
        service.restore(past, self.wall)
        self._compare_pauses(service)
        self.written = self.wall if self.is_touched else BASE
        self.expired.clear()
        self._note_what_is_new(past)
        for one in self.jobs.values():
            self._put(replace(one, modified_at=self._written(one.id)))
        service.start()
        self._tell("service.started")
        self._go(self.wall)
        self._wait_until_at_rest()

    def _compare_pauses(self, service: Scheduler) -> None:
        """Check that a start knows every pause; a power failure may have taken the last lines about them."""
        everything = service._engine.registry.pauses.all()
        known = [pause for pause in everything if not pause.is_resumed]
        if self.is_failed:
            self.is_failed = False
            self.paused.pauses = [
                ModelPause(pause.selector.text, pause.end, {one.text for one in pause.exempt}, pause.is_resumed)
                for pause in everything
            ]
        self._tell_pauses()
        found = {
            job_id: max((pause.end for pause in known if pause.covers(job_id, ())), default=None) for job_id in EVERY
        }
        for job_id, one in found.items():
            ends = [
                pause.until
                for pause in self.paused.pauses
                if pause.covers(job_id) and not pause.is_resumed and pause.over_at is None
            ]
            assert one is not None or not ends, f"{job_id} was paused before the start"
            assert not ends or (one is not None and one >= max(ends)), f"{job_id} was paused for longer"

    def _tell_pauses(self) -> None:
        self.paused.clock(self.wall, self.elapsed)
        if self.service is not None:
            self.paused.tell(EVERY, self.elapsed, self._tell)

    def pause(self, text: str, seconds: float | None) -> None:
        """Pause jobs, for a while or until they are resumed."""
        if self.service is None:
            return
        until = None if seconds is None else self.wall + timedelta(seconds=seconds)
        self.paused.pause(text, until)
        for job_id in EVERY:  # what waits is skipped before the model can tell that it surely is
            self._tell(TOLD, job_id=job_id, **self._told_before(job_id))
        self.service.pauses.pause(selectors([text]), until)
        self.paused.told.clear()
        self._tell_pauses()
        self._wait_until_at_rest()

    def _told_before(self, job_id: str) -> dict[str, str]:
        """Return what was told of a job, but that any slot may be skipped now."""
        sure = self.paused.told.get(job_id, (None, None))[0]
        return {"ever": "9999-01-01T00:00:00+00:00", **({"sure": sure.isoformat()} if sure else {})}

    def resume(self, text: str) -> None:
        """Resume jobs."""
        if self.service is None:
            return
        self.paused.resume(text, self.jobs, self.wall)
        self._tell_pauses()
        self.service.pauses.resume(selectors([text]), dict.fromkeys(self.jobs, ()))

    def _written(self, job_id: str) -> datetime:
        return self.wall if self.is_touched else max(self.written, self.put.get(job_id, self.written))

    def _note_what_is_new(self, past: RecoveredState | None) -> None:
        """Take note of jobs that the log does not know as they are now: their slots count from their files on.

        A clock that was ahead before these lines may have settled later slots of all jobs.
        """
        for job_id in self.unsure & self.jobs.keys():
            written = self._written(job_id)
            if past is not None:
                settled = past.checkpoint.settled
                self.away.append((job_id, written, max(settled, past.checkpoint.clock_ahead or settled)))
            if (position := self.position.get(job_id)) is not None and position < written:
                self.away.append((job_id, position, written))
                self.position[job_id] = min(written, self.wall)
        self.was_unsure, self.unsure = self.unsure, set()

    def _alive(self, write: Callable[..., object]) -> Callable[..., None]:
        def write_if_alive(entry: LogEntry) -> None:
            if not self.is_dead:
                write(entry)

        return write_if_alive

    def _announce(self, log: LogWriter) -> Callable[..., object]:
        def announce_if_alive(events: Sequence[Event], then: Callable[[], object]) -> object:
            return then() if self.is_dead else log.write_and_call(events, then)

        return announce_if_alive

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

    def _wait_until_at_rest(self) -> None:
        """Wait until no run goes on that can end, and write the checkpoint that is due."""
        assert self.service is not None
        until = time.monotonic() + 20
        entries = self.service._engine.registry.jobs
        while not all(self._is_at_rest(one) for one in list(entries.values())):
            assert time.monotonic() < until
            time.sleep(0)
        if self.wants:
            self.wants = False
            self.service.write_checkpoint(full=True)

    def _is_at_rest(self, one: JobEntry) -> bool:
        """Return whether a job has no active runs but those that wait for the gate."""
        if one.job.task is not LASTING or Lasting.gate.is_set():
            return one.is_idle
        return all(run.running_attempt is not None and run.started_at is not None for run in one.active_runs)

    def shut_gate(self) -> None:
        """Let runs last from now on."""
        Lasting.gate.clear()

    def open_gate(self) -> None:
        """Let them end."""
        Lasting.gate.set()
        if self.service is not None:
            self._wait_until_at_rest()

    def checkpoint(self) -> None:
        """Write the checkpoint of the minute."""
        if self.service is not None:
            self.service.write_checkpoint()

    def rewrite(self) -> None:
        """Write the files of jobs anew, while the service is down, with other words for the same schedules."""
        if self.service is not None:
            return
        for job_id, texts in SAME.items():
            one = self.jobs[job_id]
            assert isinstance(one.schedule, Cron)
            text = texts[texts.index(one.schedule.expression) - 1]
            self.jobs[job_id] = replace(one, schedule=replace(one.schedule, expression=text))
            self.put[job_id] = self.wall

    def hiccup(self, seconds: int) -> None:
        """Let the clock be wrong for a moment: ahead, and back again."""
        self.set(timedelta(seconds=seconds), is_noticed=True)
        self.live(3)
        self.set(-timedelta(seconds=seconds + 3), is_noticed=True)

    def turn_to_once(self, seconds: int) -> None:
        """Set the clock to shortly before or after the instant of a one-time job."""
        at = BASE + timedelta(minutes=20)
        self.set(at - self.wall + timedelta(seconds=seconds), is_noticed=True)

    def stop(self) -> None:
        """Stop it in order."""
        if self.service is None or self.log is None:
            return
        self.open_gate()
        self._tell("service.stopping")
        self.service.stop(5)
        self.service.write_checkpoint(full=True)
        self.service.write_checkpoint()
        self._tell("service.stopped")
        self._close()

    def crash(self) -> None:
        """End the service without a further line."""
        if self.service is None:
            return
        entries = list(self.service._engine.registry.jobs.values())
        self.waited |= {(one.job.id, one.queued_run.scheduled) for one in entries if one.queued_run is not None}
        self.is_dead = True
        Lasting.gate.set()
        self.service.stop(0)
        self._close()

    def fail(self, share: float, *, is_torn: bool) -> None:
        """Let the power fail: of the lines of the last second a share is lost, and perhaps the end of the line before.

        The first start is spared, since without any checkpoint nothing can be promised.
        """
        if self.service is None:
            return
        self.crash()
        self.is_failed = True
        path = self.folder / "s.log"
        raw = path.read_bytes().splitlines(keepends=True)
        lines = lines_in(raw)
        first = next((n for n, one in enumerate(lines) if one["word"] == "service.started"), len(lines)) + 1
        recent = 0
        for one in reversed(lines[first:]):
            if not self.wall - SYNCED <= instant(one, "time") <= self.wall:
                break
            recent += 1
        count = round(recent * share)
        kept = raw[: len(raw) - count]
        self.lost += [(one, instant(lines[len(kept) - 1], "time")) for one in lines[len(kept) :]]
        self.unsure |= {one["job_id"] for one in lines[len(kept) :] if one["word"] in CHANGES}
        if any(one["word"] == "service.started" for one in lines[len(kept) :]):  # so is the checkpoint before it
            self.unsure |= self.was_unsure
        if count:
            self._unlive()
        torn = raw[len(raw) - count][:20] if is_torn and count else b""
        path.write_bytes(b"".join([*kept, torn]))
        self.boot, self.elapsed = self.boot + 1, 10.0

    def _close(self) -> None:
        assert self.log is not None
        self.log.__exit__(None, None, None)
        self.service = self.log = None

    # -- time

    def _go(self, wall: datetime) -> None:
        """Take note that the clock shows another time: what lies between, going forward, has to be accounted for."""
        self.wall = wall
        self._tell_pauses()
        if self.service is None:
            return
        for job_id in self.jobs:
            if job_id in self.position:
                before = self.position[job_id]
                self.moves.append((self.elapsed, job_id, self._name(job_id), before))
                self.went[self._name(job_id)].append((before, wall))
            self.position[job_id] = wall

    def _unlive(self) -> None:
        """Forget what the clock did in the last second: as far as the log can tell it did nothing."""
        while self.moves and self.moves[-1][0] >= self.elapsed - SYNCED.total_seconds():
            _, job_id, name, before = self.moves.pop()
            after = self.went[name].pop()[1]
            if job_id in self.position:
                self.position[job_id] = before
            if job_id == "edited":
                self.away.append((job_id, before, max(after, self.wall)))

    def _name(self, job_id: str) -> str:
        return f"edited {self.version}" if job_id == "edited" else job_id

    def live(self, seconds: float) -> None:
        """Let time go by, with each slot decided when it is due."""
        until = round(self.elapsed + seconds, 6)
        while self.service is not None and self.elapsed < until:
            starts = [one[0][1] for job_id in self.jobs if (one := self.service.upcoming(job_id, 1))]
            due = [at for at in starts if at > self.wall]
            step = min([until - self.elapsed, 3600.0, *((at - self.wall).total_seconds() for at in due)])
            self._advance(step)
            self._note_lived()
            self.check_clock()
        self._advance(until - self.elapsed)

    def _advance(self, seconds: float) -> None:
        if seconds > 0:
            self.elapsed = round(self.elapsed + seconds, 6)
            self._go(self.wall + timedelta(seconds=seconds))

    def _note_lived(self) -> None:
        """Take note of the slots that are due at this very moment, with the service there to see it."""
        for job_id, one in self.jobs.items():
            timetable = timetable_of(one, "host")
            slot = timetable.slot_started_by(self.wall) if one.jitter else timetable.next(self.wall - TICK)
            if slot is not None and timetable.start_time(slot) == self.wall:
                self.lived.append((self._name(job_id), slot))

    def check_clock(self, *, is_noticed: bool = True) -> None:
        """Check the clock, and decide the due slots."""
        if self.service is None:
            return
        if is_noticed and self.service.check_clock():
            for job_id in [one for one in self.expired if not is_past(self.jobs[one], self.wall)]:
                self._put(replace(self.jobs[job_id], modified_at=self.written))
                self._tell("job.added", job_id=job_id, hash=hash_in_log(self.jobs[job_id]))
        for job_id in self.jobs:
            self.service._on_due(job_id, self.wall)
        self._wait_until_at_rest()

    def set(self, by: timedelta, *, is_noticed: bool) -> None:
        """Set the clock; the service notes it before the due slots are decided, or after."""
        wall = min(max(self.wall + by, datetime(1970, 1, 2, tzinfo=UTC)), datetime(2150, 1, 1, tzinfo=UTC))
        self._go(wall)
        self.cause = "clock"
        self.check_clock(is_noticed=is_noticed)
        self.cause = "down"
        if not is_noticed:
            self.check_clock()

    def come(self) -> None:
        """Put a further job."""
        if self.service is not None and "later" not in self.jobs:
            self.jobs["later"] = LATER
            self.position["later"] = self.wall
            if self.left is not None:
                self.away.append(("later", self.left, self.wall))
            self._put(replace(LATER, modified_at=self.wall))
            self._tell("job.added", job_id="later", hash=hash_in_log(LATER))

    def go_away(self) -> None:
        """Take it away."""
        if self.service is not None and "later" in self.jobs:
            del self.jobs["later"]
            self.position.pop("later", None)
            self.left = self.wall
            self.service.drop("later", self.wall)
            self._tell("job.removed", job_id="later", hash=hash_in_log(LATER))

    def edit(self) -> None:
        """Change a schedule, or change it back."""
        self.version = 1 - self.version
        one = EDITED[self.version]
        self.jobs["edited"] = one
        self.put["edited"] = self.wall
        if self.service is None:
            self.unsure.add("edited")
            return
        self._go(self.wall)
        self._tell("test.defined", version=str(self.version))
        self._put(replace(one, modified_at=self.wall))
        self._tell("job.updated", job_id="edited", hash=hash_in_log(one), changed="schedule")
        self._wait_until_at_rest()


# --- the judgement ---------------------------------------------------------------------------------------


def judge(host: Host) -> list[str]:
    """Return everything that is wrong with the account in a host's log.

    Three things follow from lines that a power failure took, and are no fault. A slot whose lines are all lost may run
    again or be missed, unless it was due within two seconds after the last surviving line: then it must not run again.
    A change of a job of which the line is lost counts from when its file was written, as it does with a new job; slots
    up to a later checkpoint are over. What the clock did in that second did not happen as far as the log can tell.
    """
    finals = {"SUCCESS", "FAILURE", "SKIPPED", "MISSED"}
    records: dict[str, list[VersionedRecord]] = defaultdict(list)
    begun: dict[tuple[str, datetime], int] = defaultdict(int)
    version = 0
    lines = lines_of(host.folder / "s.log")
    for line in lines:
        if line["word"] in finals:
            records[line["job_id"]].append(VersionedRecord(line, version))
        elif line["word"] == "run.started":
            begun[line["job_id"], instant(line, "scheduled")] += 1
        elif line["word"] == "test.defined":
            version = int(line["version"])
    wrong = [f"{job_id} {slot} began {count} times" for (job_id, slot), count in begun.items() if count > 1]
    wrong += judge_pauses(lines)
    wrong += _judge_lost(host, begun)
    for job_id in EVERY.keys() - {"edited"}:
        wrong += _judge_job(job_id, timetable_of(EVERY[job_id], "host"), records[job_id], host)
    for number, one in enumerate(EDITED):
        wrong += _judge_job(f"edited {number}", timetable_of(one, "host"), records["edited"], host)
    return wrong


@dataclass(frozen=True)
class VersionedRecord:
    """A record, and which version of the edited job was active when it was written."""

    line: dict[str, str]
    version: int

    def is_about(self, slot: datetime) -> bool:
        """Return whether it covers a slot; a range covers those of the definition that was active."""
        first = instant(self.line, "scheduled")
        if "last" not in self.line or not first <= slot <= instant(self.line, "last"):
            return slot == first
        return self.line["job_id"] != "edited" or TIMETABLES[self.version].next(slot - TICK) == slot


def _judge_lost(host: Host, begun: dict[tuple[str, datetime], int]) -> list[str]:
    """Return the slots that ran again although the log that survived the power failure had them."""
    lost = [(one["job_id"], instant(one, "scheduled"), at) for one, at in host.lost if one["word"] == "run.started"]
    return [
        f"{job_id} {slot} ran again {slot - survived} after the last line that survived"
        for job_id, slot, survived in lost
        if begun.get((job_id, slot)) and survived < slot <= survived + UNSURE
    ]


def _judge_job(name: str, timetable: Timetable, records: list[VersionedRecord], host: Host) -> list[str]:
    job_id, _, version = name.partition(" ")
    other = f"edited {1 - int(version)}" if version else ""
    single = {instant(one.line, "scheduled") for one in records}
    single = {slot for slot in single if not version or timetable.next(slot - TICK) == slot}
    expected = {slot for span in host.went[name] if span[0] < span[1] for slot in ends(timetable, span)}
    apart = [*((a, b) for known, a, b in host.away if known == job_id), *host.went.get(other, ())]
    wrong = []
    for slot in expected | single:
        found = [one.line for one in records if one.is_about(slot)]
        words = [f"{one['word']} {one.get('reason')} {one.get('corrects')}" for one in found]
        comes_again = slot > host.wall and (job_id, slot) in host.waited  # the clock is set back, and it has no record
        if not found and not comes_again and not any(first <= slot <= last for first, last in apart):
            wrong.append(f"{name} {slot} has no record")  # by choice: where it was not active it counts as decided
        elif len(found) > 1 and not is_corrected(found):
            wrong.append(f"{name} {slot} has {words}")
    for slot in {slot for known, slot in host.lived if known == name}:
        found = [one.line for one in records if one.is_about(slot)]
        if found and all(one["word"] == "MISSED" for one in found) and instant(found[0], "time") == slot:
            wrong.append(f"{name} {slot} came, and was missed: {found}")
    return wrong


def is_corrected(found: list[dict[str, str]]) -> bool:
    """Return whether the second of two records rightly corrects the first."""
    first, *others = found
    return (
        len(others) == 1
        and first["word"] == "MISSED"
        and first["reason"] in REOPENED
        and others[0].get("corrects") == "clock"
        and (others[0]["word"] != "MISSED" or "last" not in others[0])  # a pending slot has its record
    )


def ends(timetable: Timetable, span: tuple[datetime, datetime]) -> set[datetime]:
    """Return the first and the last slots of a stretch of time whose start lies in it."""
    after, until = span
    found = set(timetable.slots(after, until, ENDS))
    late = max(after, until - timedelta(days=3))
    found |= set(timetable.slots(late, until, ENDS))
    return {slot for slot in found if timetable.start_time(slot) <= until}


def lines_in(raw: Sequence[bytes]) -> list[dict[str, str]]:
    """Read each line of a log; one that was cut short by an earlier power failure has no time that matters."""
    cut = {"word": "cut", "time": "1970-01-01T00:00:00Z"}
    return [cut if one.endswith(b"[cut short]\n") else parse_line(one.decode().rstrip("\n")) for one in raw]


def instant(line: dict[str, str], key: str) -> datetime:
    """Return an instant that stands in a line."""
    return datetime.fromisoformat(line[key])


# --- the histories ---------------------------------------------------------------------------------------

PAUSABLE = ["often", "edited", "queued", "soon", "later", "o*", "*"]
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
    st.sampled_from([("come",), ("go_away",), ("touch",), ("boot",), ("edit",), ("shut_gate",), ("open_gate",)]),
    st.sampled_from([("checkpoint",), ("rewrite",), ("hiccup", 300), ("hiccup", 5000)]),
    st.tuples(st.just("pause"), st.sampled_from(PAUSABLE), st.sampled_from([None, 30, 900, 5000, 90_000])),
    st.tuples(st.just("resume"), st.sampled_from(PAUSABLE)),
    st.tuples(st.just("turn_to_once"), st.sampled_from([-4, 2, 100, 7200])),
    st.tuples(st.just("fail"), st.floats(0.0, 1.0), st.booleans(), st.sampled_from([0.5, 20, 1500, 30_000])),
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
            case "fail", [share, is_torn, seconds]:
                host.fail(share, is_torn=is_torn)
                host._advance(seconds)
            case "turn_to_once", [seconds]:
                before = host.wall
                host.turn_to_once(seconds)
                moved += host.wall - before
            case "hiccup", [seconds]:
                host.hiccup(seconds)
            case "boot", []:
                if host.service is None:
                    host.boot, host.elapsed = host.boot + 1, 10.0
            case "touch", []:
                host.is_touched = not host.is_touched
            case _:
                getattr(host, action)(*given_)
    end(host, moved)
    return host


def end(host: Host, moved: timedelta) -> None:
    """Let the last service live a while, also by the right clock if a power failure took lines, and end it in order.

    `moved` is by how much the clock is wrong. Set back, it comes again to slots whose records were lost, and has to
    account for them: those of a clock that was ahead when the power failed, too.
    """
    host.start()
    host.live(100)
    behind = max((instant(line, "time") - host.wall for line, _ in host.lost), default=timedelta(0))
    if host.lost and (by := max(-moved, behind)) > timedelta(0):
        host.set(by, is_noticed=True)
        host.live(100)
    host.stop()


def check(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Live through a history and judge it."""
    with tempfile.TemporaryDirectory(prefix="histories-", dir=memory_or_disk()) as folder:
        wrong = judge(run(Path(folder), history))
        assert not wrong, "\n".join([*map(str, history), *wrong[:10]])


FOUND = {
    "a slot waited, the clock was set back, and the service crashed": [
        *(("shut_gate",), ("live", 4000, 0.5), ("set", 3500.0, False), ("undo",)),
        *(("crash", 1, False), ("start",), ("live", 4000, 1.0)),
    ],
    "the clock was set back twice, and the power failed when it had come right between": [
        *(("turn_to_once", 100), ("set", -114018.45, True), ("undo",), ("hiccup", 300)),
        *(("fail", 0.768495230554977, False, 20), ("set", -114018.45, True)),
    ],
    "a one-time job was missed far ahead before the last checkpoint": [
        *(("set", 200_000.0, False), ("crash", 1, False), ("start",), ("undo",), ("crash", 1500, True)),
    ],
    "a one-time job ran by a clock ahead whose checkpoint a power failure took": [
        *(("fail", 0.2, False, 20), ("start",), ("set", 4595.628, False)),
        *(("fail", 0.6382816760607805, False, 0.5), ("undo",), ("set", -3110400.0, False)),
        *(("fail", 0.3, False, 20), ("start",), ("stop", 1500, True), ("start",), ("fail", 0.84, True, 20)),
        *(("set", -3455965.44, True), ("live", 5, 0.6), ("stop", 90, False), ("undo",), ("start",)),
        *(("set", -33.581, False), ("crash", 1500, False)),
    ],
    "a slot waited, the clock was set back and ahead again, and the service crashed": [
        *(("crash", 1, False), ("live", 4000, 1.0), ("turn_to_once", -4), ("start",), ("shut_gate",)),
        *(("hiccup", 300), ("undo",), ("set", -600.0, False), ("undo",), ("crash", 1, False)),
    ],
    "a slot waited to correct its record, and was too old after a crash": [
        *(("set", 7200.0, False), ("undo",), ("shut_gate",), ("live", 4000, 1.0), ("crash", 1, False)),
    ],
    "a power failure took half of the checkpoint of a start that runs a one-time job": [
        *(("fail", 0.0, False, 30_000), ("start",), ("fail", 0.5, False, 0.5)),
    ],
    "a job was edited, the clock was set back, and power failures took every line about it": [
        *(("live", 5, 1.0), ("edit",), ("set", -1.0, False), ("undo",), ("fail", 1.0, False, 0.5)),
        *(("set", -600.0, False), ("start",), ("fail", 1.0, False, 1500)),
    ],
    "a one-time job ran, expired, came again with a clock set back, and the service crashed": [
        *(("live", 4000, 0.305), ("stop", 30_000, True), ("start",), ("turn_to_once", -4), ("live", 5, 0.5)),
        *(("crash", 1, False), ("turn_to_once", 100), ("start",)),
    ],
    "a job of a former service came again with a clock set back, and the service crashed": [
        *(("come",), ("live", 4000, 1.0), ("go_away",), ("stop", 90, False), ("start",), ("set", -3500.0, True)),
        *(("come",), ("crash", 1, False), ("start",), ("live", 4000, 1.0)),
    ],
    "a slot waited to correct its record, and ran after a crash": [
        *(("set", 7200.0, False), ("undo",), ("shut_gate",), ("live", 3000, 1.0), ("crash", 1, False)),
    ],
    "a one-time job was missed far ahead, was over at the next start, and came again after a further one": [
        *(("set", 3500.0, False), ("crash", 1, False), ("start",), ("crash", 1, False)),
        *(("turn_to_once", 2), ("start",), ("undo",), ("live", 4000, 1.0)),
    ],
    "a one-time job was to come again, was too old at the next start, and came again after it": [
        *(("set", 3500.0, False), ("undo",), ("fail", 0.0, False, 30000), ("start",), ("turn_to_once", 2)),
    ],
    "a one-time job ran, was over at the next start, and came again after a further one": [
        *(("turn_to_once", 2), ("set", 600.0, False), ("crash", 1, False), ("start",), ("crash", 1, False)),
        *(("turn_to_once", 2), ("start",), ("undo",), ("live", 4000, 1.0)),
    ],
    "a power failure took the line of a job that had come, and the clock was set back to its slots from before": [
        *(("live", 4000, 1.0), ("come",), ("fail", 1.0, False, 0.5), ("start",), ("turn_to_once", -4)),
    ],
    "a schedule was edited right before a crash, and the clock was set back to slots that it had before": [
        *(("live", 20000, 1.0), ("edit",), ("crash", 1, False), ("edit",), ("edit",), ("start",), ("edit",)),
        *(("turn_to_once", -4),),
    ],
    "a job came after a clock was ahead, and a power failure took both lines": [
        *(("touch",), ("turn_to_once", -4), ("checkpoint",), ("undo",), ("come",), ("touch",)),
        *(("fail", 1.0, False, 0.5), ("turn_to_once", -4)),
    ],
    "a start ran slots by a clock ahead, a power failure took their records, and the clock came right": [
        *(("fail", 0.0, False, 30000), ("fail", 0.0, False, 30000), ("set", 3479391.466, False), ("start",)),
        *(("hiccup", 300), ("fail", 0.43456367906745197, False, 0.5), ("undo",)),
    ],
    "files were written with other words for the same schedules": [
        *(("stop", 1500, True), ("rewrite",), ("start",)),
    ],
}
"""Histories that have shown a fault."""

PAUSES = {
    "a pause was resumed before a crash": [
        *(("pause", "often", None), ("live", 4000, 1.0), ("resume", "often"), ("crash", 1, False), ("start",)),
        ("live", 4000, 1.0),
    ],
    "a pause ended while the service was down": [
        *(("pause", "*", 5000), ("stop", 30_000, True), ("start",), ("live", 4000, 1.0)),
    ],
    "a pause went on while the service was down, without one job": [
        *(("pause", "*", None), ("resume", "often"), ("crash", 30_000, True), ("start",), ("live", 4000, 1.0)),
    ],
    "a slot waited for its turn when its job was paused": [
        *(("shut_gate",), ("live", 4000, 1.0), ("pause", "queued", None), ("open_gate",), ("live", 4000, 1.0)),
    ],
    "a wrong clock ended a pause": [
        *(("pause", "o*", 90_000), ("hiccup", 5000), ("set", 200_000.0, True), ("undo",), ("live", 4000, 1.0)),
        *(("crash", 1500, True), ("start",), ("live", 4000, 1.0)),
    ],
    "the clock was set back to before a pause that was resumed": [
        *(("live", 20_000, 1.0), ("pause", "*", None), ("live", 4000, 1.0), ("resume", "*"), ("stop", 1, False)),
        *(("set", -20_000.0, True), ("edit",), ("start",), ("come",), ("live", 20_000, 1.0)),
    ],
    "a one-time job was paused beyond its time": [
        *(("pause", "soon", 5000), ("crash", 1500, True), ("start",), ("live", 20_000, 1.0)),
    ],
}
"""Histories that a pause makes different."""


@pytest.mark.parametrize("history", PAUSES.values(), ids=PAUSES.keys())
def test_nothing_of_a_pause_runs_and_nothing_else_is_skipped(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Each covers a rule of pauses; the random histories below have pauses, too."""
    check(history)


@pytest.mark.parametrize("history", FOUND.values(), ids=FOUND.keys())
def test_no_slot_is_lost_or_doubled_where_it_once_was(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Each shows a fault that was mended."""
    check(history)


@given(st.lists(actions, min_size=1, max_size=14))
@examples(100)
def test_no_slot_is_lost_or_doubled_whatever_the_clock_and_the_service_do(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """A small part of what the next test does."""
    check(history)


@pytest.mark.deep
@given(st.lists(actions, min_size=1, max_size=30))
@settings(max_examples=COUNT)
def test_no_slot_is_lost_or_doubled_in_thousands_of_histories(history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Long ones, and many."""
    check(history)


def test_at_reboot_is_once_a_boot_although_the_log_was_on_another_host_meanwhile(tmp_path: Path) -> None:
    """The log is not trusted when it comes back, but it shows that its service ran in this boot."""
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
