"""Services over one account of slots, in the log of a host or in the memory of a database; every step is the test's."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from jobscheduler.model import Checkpoint, Cron, Job, LogEntry, Record, RecoveredState, TaskSpec
from jobscheduler.model.log_line import slot_range
from jobscheduler.model.selection import selectors
from jobscheduler.runlog import format_text, recover, to_events
from jobscheduler.runner import Attempt, Run
from jobscheduler.runner.attempt_result import AttemptResult
from jobscheduler.scheduler import Accounting, Clocks, Scheduler, SchedulerHost, SchedulerLog
from tests.support.memory_account import NOON, Door, MemoryAccount
from tests.support.service import parse_line

MINUTE = timedelta(minutes=1)


def job(job_id: str = "x", **fields: Any) -> Job:
    """Return a job that is due each minute, with a definition from long ago."""
    fields = {"catch_up": 60.0, "modified_at": NOON - timedelta(days=1)} | fields
    return Job(job_id, Cron("* * * * *", "UTC"), TaskSpec.from_params("nothing", {}), **fields)


class Store(Protocol):
    """Where it is kept what was decided."""

    def open(self, node: str) -> tuple[SchedulerLog, Accounting | None]:
        """Return what a service of this node writes to."""

    def recovered(self, now: datetime) -> RecoveredState | None:
        """Return what is known of the time before."""

    def crash(self, node: str) -> None:
        """Keep nothing more of what this node does."""

    def records(self) -> list[Record]:
        """Return all records that are kept."""

    def answer(self, node: str, count: int | None) -> None:
        """Answer what a node has asked, or so much of it."""

    def take_lease(self, node: str) -> None:
        """Let a node lead."""


class SharedStore(Store, Protocol):
    """The account of several services."""

    def is_fenced(self, node: str) -> bool:
        """Return whether a node could know that another one leads."""

    def at_work(self) -> set[str]:
        """Return the ids of all runs at work."""

    def to_stop(self) -> set[str]:
        """Return the ids of the runs that were asked to end."""


class LogStore:
    """The log of one host: each line is kept at once, and a service that died writes none."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log"
        self._records: list[Record] = []
        self._living = ""

    def open(self, node: str) -> tuple[SchedulerLog, Accounting | None]:
        """Return the log."""
        self._living = node

        def write(entry: LogEntry) -> None:
            if self._living == node:
                self._append([entry])
                self._records += [entry] if isinstance(entry, Record) else []

        def write_checkpoint(checkpoint: Checkpoint) -> None:
            if self._living == node:
                self._append(to_events(checkpoint, checkpoint.settled))

        return SchedulerLog(write, write_checkpoint), None

    def _append(self, entries: Iterable[LogEntry]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{format_text(entry)}\n" for entry in entries)

    def recovered(self, now: datetime) -> RecoveredState | None:
        """Read the log back."""
        return recover(self._path, 1)

    def crash(self, node: str) -> None:
        """Write no more lines."""
        self._living = ""

    def records(self) -> list[Record]:
        """Return all records."""
        return self._records

    def answer(self, node: str, count: int | None) -> None:
        """Nothing: nobody asks the log."""

    def take_lease(self, node: str) -> None:
        """Nothing: the host has one service."""


class AccountStore:
    """An account in memory, with a door for each node. Of each node the latest service is the one that lives."""

    def __init__(self) -> None:
        self.account = MemoryAccount()
        self.doors: dict[str, Door] = {}

    def open(self, node: str) -> tuple[SchedulerLog, Accounting | None]:
        """Return a door."""
        self.account.dead.discard(node)
        door = self.doors[node] = Door(self.account, node)
        return SchedulerLog(lambda _: None), door

    def recovered(self, now: datetime) -> RecoveredState | None:
        """Ask the account."""
        return self.account.recovered(now)

    def crash(self, node: str) -> None:
        """Lose every request that was not performed."""
        self.account.dead.add(node)
        self.doors.pop(node)

    def records(self) -> list[Record]:
        """Return the final records."""
        return self.account.records()

    def answer(self, node: str, count: int | None) -> None:
        """Answer in the order of the questions."""
        self.doors[node].answer(count)

    def take_lease(self, node: str) -> None:
        """Let a node lead."""
        self.doors[node].take_lease()

    def is_fenced(self, node: str) -> bool:
        """Return whether a request of a node was refused."""
        return self.doors[node].is_fenced

    def at_work(self) -> set[str]:
        """Return the ids of all runs at work."""
        return self.account.at_work()

    def to_stop(self) -> set[str]:
        """Return the ids of the runs that were asked to end."""
        return self.account.to_stop


class World:
    """Time, what has begun of each slot, and the services."""

    def __init__(self, store: Store, *jobs: Job) -> None:
        self.now = NOON
        self.store = store
        self.jobs = {one.id: one for one in jobs or (job(),)}
        self.began: Counter[tuple[str, datetime | None]] = Counter()
        self._nodes = 0

    def service(self, **options: Any) -> Service:
        """Make a service that has recovered, put its jobs and started."""
        self._nodes += 1
        made = Service(self, f"node-{self._nodes}", **options)
        made.start()
        return made

    def standby(self) -> Service:
        """Make a service that stands by, with its jobs put."""
        self._nodes += 1
        made = Service(self, f"node-{self._nodes}", stands_by=True)
        made.put()
        made.scheduler.start()
        return made

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def elapsed(self) -> float:
        """Return the seconds since noon."""
        return (self.now - NOON).total_seconds()

    def judge(self) -> None:
        """Check that each slot since noon has one record, and has begun at most once, and once if it succeeded."""
        for job_id in self.jobs:
            slot = NOON + MINUTE
            while slot <= self.now:
                found = [one for one in self.store.records() if one.job_id == job_id and _has(one, slot)]
                assert len(found) == 1, f"{job_id} at {slot:%H:%M:%S}: {found}"
                begun = self.began[job_id, slot]
                expected = {"SUCCESS": {1}, "FAILURE": {0, 1}}.get(found[0].status.value, {0})
                assert begun in expected, f"{job_id} at {slot:%H:%M:%S} has begun {begun} times: {found}"
                slot += MINUTE

    def told(self, job_id: str = "x") -> list[tuple[int, str, str | None]]:
        """Return each record: minutes after noon, status and reason, in the order of the slots."""
        found = [one for one in self.store.records() if one.job_id == job_id and one.scheduled]
        made = ((one.scheduled, one.status.value, one.reason) for one in found if one.scheduled)
        return [(int((slot - NOON) / MINUTE), *rest) for slot, *rest in sorted(made, key=lambda one: one[0])]


class Service:
    """One service. Its runs begin and end when the test says so; no thread is at work."""

    def __init__(
        self,
        world: World,
        node: str,
        *,
        workers: int = 4,
        stands_by: bool = False,
        late_reason: Callable[[], str] = lambda: "down",
    ) -> None:
        log, accounting = world.store.open(node)
        self.node = node
        self.at_work: dict[Run, Attempt] = {}
        self._world = world
        self._works: deque[Callable[[], None]] = deque()
        self.scheduler = Scheduler(
            log,
            max_workers=workers,
            host=SchedulerHost(f"seed-{node}", boot=f"boot-{node}", shared_seed=lambda: "shared"),
            clocks=Clocks(now=lambda: world.now, elapsed=world.elapsed, late_reason=late_reason),
            accounting=accounting,
            stands_by=stands_by,
        )
        self.scheduler._waker.start = lambda: None  # type: ignore[method-assign]
        self.scheduler._waker.submit = self._works.append  # type: ignore[method-assign]
        self.scheduler._pool.warm_up = lambda: None  # type: ignore[method-assign]

    def start(self) -> None:
        """Recover, put all jobs, and start."""
        world = self._world
        world.store.take_lease(self.node)
        self.scheduler.restore(world.store.recovered(world.now), world.now)
        self.put()
        self.scheduler.start()

    def put(self) -> None:
        """Put all jobs."""
        for one in self._world.jobs.values():
            self.scheduler.put(one, self._world.now)

    def lead(self) -> None:
        """Lead instead of standing by."""
        world = self._world
        world.store.take_lease(self.node)
        self.scheduler.leadership.lead(world.store.recovered(world.now), world.now)

    def due(self) -> None:
        """Decide what is due now."""
        for job_id in self._world.jobs:
            self.scheduler._on_due(job_id, self._world.now)

    def answer(self, count: int | None = None) -> None:
        """Answer what this service has asked, or so much of it."""
        self._world.store.answer(self.node, count)

    @property
    def stands_by(self) -> bool:
        """Whether another service leads, as far as this one knows."""
        return not self.scheduler.leadership.decides

    def pause(self, job_id: str) -> None:
        """Pause a job, if this service leads."""
        if not self.stands_by:
            self.scheduler.pauses.pause(selectors([job_id]), by="1000")

    def resume(self, job_id: str) -> None:
        """Resume a job, if this service leads."""
        if not self.stands_by:
            self.scheduler.pauses.resume(selectors([job_id]), dict.fromkeys(self._world.jobs, ()), "1000")

    def begin(self) -> None:
        """Have the runs begin that have a worker."""
        while self._works:
            run: Run = self._works.popleft().args[0]  # type: ignore[attr-defined]
            attempt = run.next_attempt()
            if attempt is None:
                self.scheduler._pool._attempt_ended(run, run.record)
                continue
            self.scheduler._pool.runner.log.log_and_wait(attempt.event())
            attempt.begin()
            self._world.began[run.job.id, run.scheduled] += 1
            self.at_work[run] = attempt

    def end(self) -> None:
        """End the runs that are at work."""
        while self.at_work:
            run, attempt = self.at_work.popitem()
            self.scheduler._pool._attempt_ended(run, attempt.end(AttemptResult()))

    def settle(self) -> None:
        """Do all that can be done without time passing."""
        for _ in range(4):
            for step in (self.due, self.answer, self.begin, self.end, self.answer):
                step()

    def crash(self) -> None:
        """Die: nothing that it does from now on is kept, and its commands end."""
        self._world.store.crash(self.node)
        self.end()
        self._works.clear()
        self.scheduler.stop(0.0)


def _has(record: Record, slot: datetime) -> bool:
    """Return whether a record is about a slot, alone or in a range."""
    found = slot_range(parse_line(format_text(record)))
    return found is not None and found[0] <= slot <= found[1]
