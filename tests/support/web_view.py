"""A service that is only a face: made-up jobs and records for the page, the metrics and the screenshots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobscheduler.model import Cron, Job, Problem, Record, Status, TaskSpec
from jobscheduler.status.run_stats import Records, RunStats
from jobscheduler.status.snapshot import (
    ActiveRun,
    Detail,
    JobState,
    JobStatus,
    ServiceStatus,
    Snapshot,
    definition_json,
    job_state,
    record_json,
)
from jobscheduler.timetable.crontab import describe, parse
from jobscheduler.timetable.timetable import timetable_of

NOW = datetime(2026, 11, 22, 13, 32, 10, tzinfo=UTC)
ZONE = "Europe/Berlin"
DAY = timedelta(days=1)

SERVICE = ServiceStatus(
    version="0.1.0",
    pid=4711,
    started=NOW - timedelta(days=12, hours=3),
    timezone=ZONE,
    jobs_dir="/etc/scheduler/jobs.d",
    log_file="/var/log/scheduler/scheduler.log",
    workers=32,
    running=0,
    queued=0,
    lost_threads=0,
    last_tick_age=0.4,
)


@dataclass
class FakeFace:
    """Answers from what it is given; `broken` makes it raise, as a fault in the service would."""

    jobs: list[JobStatus] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)
    service: ServiceStatus = SERVICE
    results: RunStats = field(default_factory=RunStats)
    wrong: str | None = None
    broken: bool = False
    reads: int = 0

    def snapshot(self) -> Snapshot:
        if self.broken:
            raise RuntimeError("a secret of the service")
        jobs = sorted(self.jobs, key=lambda one: (one.state is JobState.REFUSED, one.id or one.file))
        return Snapshot(NOW, self.service, tuple(jobs))

    def detail(self, job_id: str) -> Detail | None:
        found = self.snapshot().find(job_id)
        if found is None or found.job is None or not isinstance(found.job.schedule, Cron):
            return None
        schedule = found.job.schedule
        upcoming = tuple(timetable_of(found.job).slots(NOW, NOW + timedelta(days=3650), 10))
        return Detail(definition_json(found.job), describe(parse(schedule.expression)), schedule.timezone, upcoming)

    def upcoming(self, job_ids: Sequence[str], until: datetime, most: int) -> Mapping[str, Sequence[datetime]]:
        wanted = {one.id: one.job for one in self.jobs if one.id in job_ids and one.job and one.next}
        return {job_id: list(timetable_of(job).slots(NOW, until, most)) for job_id, job in wanted.items() if job_id}

    def records(
        self,
        since: datetime,
        most: int,
        statuses: Collection[Status] = tuple(Status),
        check: Callable[[], object] = lambda: None,
    ) -> Records:
        check()
        self.reads += 1
        found = [one for one in self.log if one["time"] >= since.isoformat() and one["status"] in statuses]
        return self._newest(found, most)

    def history(self, job_id: str, most: int, check: Callable[[], object] = lambda: None) -> Records:
        check()
        self.reads += 1
        return self._newest([one for one in self.log if one["job_id"] == job_id], most)

    def _newest(self, found: list[dict[str, Any]], most: int) -> Records:
        found = sorted(found, key=lambda one: one["time"], reverse=True)[:most]
        return Records(found, datetime.fromisoformat(found[-1]["time"]) if len(found) == most else None)

    def output(self, run_id: str) -> bytes | None:
        return self.outputs.get(run_id)

    def health(self) -> str | None:
        return self.wrong

    def add(self, expression: str, job_id: str, description: str = "", *, file: str = "", **more: Any) -> Job:
        """Put a job in force."""
        own: dict[str, Any] = {"command": more.pop("command", f"/opt/scripts/{job_id}")}
        status = {key: more.pop(key) for key in ("active_runs", "paused", "stale", "problems") if key in more}
        job = Job(job_id, Cron(expression, ZONE), TaskSpec.from_params("execute_command", own), description, **more)
        upcoming = timetable_of(job).next(NOW) if job.enabled else None
        state = job_state(
            enabled=job.enabled,
            active_runs=status.get("active_runs", ()),
            paused=status.get("paused", False),
            stale=status.get("stale", False),
            expired=False,
            upcoming=upcoming is not None,
        )
        self.jobs.append(JobStatus(job_id, state, file or f"{job_id}.json", job, upcoming, **status))
        return job

    def refuse(self, file: str, problem: Problem, job_id: str | None = None) -> None:
        """Have a file refused."""
        self.jobs.append(JobStatus(job_id, JobState.REFUSED, file, problems=(replace(problem, file=file),)))

    def tell(self, record: Record) -> None:
        """Write a record."""
        self.log.append(record_json(record))
        self.results.observe(record)
        self.jobs = [
            replace(one, last=record) if one.id == record.job_id and _is_newer(record, one.last) else one
            for one in self.jobs
        ]

    def ran(self, job_id: str, at: datetime, seconds: float, *, output: bytes = b"", **more: Any) -> Record:
        """Write the record of a run that began at its slot, and keep its output."""
        reason = more.pop("reason", None)
        status = Status.FAILURE if reason else Status.SUCCESS
        run_id = f"{abs(hash((job_id, at))) % 16**12:012x}"
        started = at + timedelta(milliseconds=more.pop("late", 4))
        code = {"exit": 1, None: 0}.get(reason)
        details = () if code is None else (("exit_code", code),)
        tail = output.decode("utf-8", "backslashreplace")[-2048:] if reason and output else None
        end = started + timedelta(seconds=seconds)
        record = Record(end, status, job_id, run_id, at, started, seconds, reason, details, tail)
        if output:
            self.outputs[run_id] = output
        self.tell(record)
        return record

    def skipped(self, job_id: str, at: datetime, reason: str = "overlap") -> None:
        self.tell(Record(at, Status.SKIPPED, job_id, scheduled=at, reason=reason))

    def missed(self, job_id: str, at: datetime, last: datetime | None = None, count: int = 1) -> None:
        details = (("last", last), ("count", count)) if last else ()
        self.tell(Record(NOW, Status.MISSED, job_id, scheduled=at, reason="down", details=details))


def _is_newer(record: Record, last: Record | None) -> bool:
    return last is None or record.at >= last.at


def local(text: str) -> datetime:
    """An instant of the last day or the next, from its UTC time: `21 23:30`."""
    return datetime.fromisoformat(f"2026-11-{text}:00+00:00")


PG_DUMP = b"""pg_dump: connecting to database "shop"
pg_dump: dumping contents of table "public.orders"
\x1b[31mpg_dump: error: could not write to output file: No space left on device\x1b[0m
"""


def a_day() -> FakeFace:
    """A host on a day with some of everything, as in the screenshots."""
    face = FakeFace()
    _quiet_jobs(face)
    _troubled_jobs(face)
    _bad_files(face)
    running = sum(run.waiting_for is None for one in face.jobs for run in one.active_runs)
    face.service = replace(SERVICE, running=running)
    return face


def _quiet_jobs(face: FakeFace) -> None:
    face.add("* * * * *", "heartbeat", "Tell the monitoring that this host is alive.", command="curl -fsS https://…")
    for minute in range(24 * 60):
        face.ran("heartbeat", NOW.replace(second=0) - timedelta(minutes=minute), 0.12 + minute % 7 / 50)
    face.add("*/15 * * * *", "mail-queue", "Deliver what the shop has put into its queue.")
    for step in range(96):
        face.ran("mail-queue", local("22 13:30") - step * timedelta(minutes=15), 20 + step * 37 % 90)
    face.add("0 1 * * *", "report-daily", "Generate the daily sales report.")
    face.ran("report-daily", local("22 00:00"), 1260.4, output=b"3,412 orders, 1,118 customers\nreport.pdf written\n")
    face.add("30 2 * * mon-fri", "exchange-rates", "Fetch the exchange rates of the day.")
    face.add("0 */6 * * *", "thumbnails", "Make small pictures of new ones.", overlap="allow")
    for hour, seconds in ((17, 8000), (23, 5400), (5, 25000), (11, 3900)):
        face.ran("thumbnails", local(f"{21 if hour > 13 else 22} {hour:02}:00"), seconds)
    face.add("20 4 * * sun", "reindex", "Rebuild the search index.")
    face.ran("reindex", local("22 03:20"), 9300)
    face.add("0 3 1 * *", "invoices-monthly", "Send the invoices of the month.")
    face.add("@hourly", "metrics-rollup", "Roll up an hour of metrics.", paused=True)
    for hour in range(10):
        face.ran("metrics-rollup", local("22 06:00") - hour * timedelta(hours=1), 95 + hour * 11 % 40)
    face.add("0 22 * * *", "cleanup-tmp", "", enabled=False)


def _troubled_jobs(face: FakeFace) -> None:
    started = NOW - timedelta(hours=2, minutes=32, seconds=9)
    going = (ActiveRun("9e1c5a7742d0", local("22 11:00"), started, 1),)
    face.add("0 */4 * * *", "backup-database", "Dump the shop's database to the second site.")
    for hour in (15, 19, 23, 3):
        face.ran("backup-database", local(f"{21 if hour > 13 else 22} {hour:02}:00"), 1500 + hour * 20)
    face.ran("backup-database", local("22 07:00"), 1710.2, reason="exit", output=PG_DUMP)
    face.ran("backup-database", local("22 11:00"), 64.0, reason="exit", output=PG_DUMP)
    face.add("*/30 * * * *", "sync-warehouse", "Compare stock with the warehouse.", active_runs=going, timeout=14400.0)
    for step in range(6, 40):
        face.ran("sync-warehouse", local("22 13:30") - step * timedelta(minutes=30), 240 + step * 53 % 500)
    for step in range(5):
        face.skipped("sync-warehouse", local("22 11:30") + step * timedelta(minutes=30))
    face.add("*/5 * * * *", "certificates", "Look whether a certificate is about to end.")
    for step in range(288):
        at = local("22 13:30") - step * timedelta(minutes=5)
        if not local("21 20:00") <= at <= local("21 21:55"):
            face.ran("certificates", at, 1.2)
    face.missed("certificates", local("21 20:00"), local("21 21:55"), 24)
    face.add("15 21 * * *", "rotate-keys", "Give the partners new keys.")
    face.missed("rotate-keys", local("21 20:15"))


def _bad_files(face: FakeFace) -> None:
    unknown = Problem("unknown field `shedule`", line=4, column=3, help="did you mean `schedule`?")
    face.refuse("newsletter.json", unknown, "newsletter")
    stale = Problem(
        "`0 0 30 2 *` never happens: February has no day 30",
        "prune-logs.json",
        4,
        15,
        help="write a day that the month has, such as `28`",
    )
    face.add("40 5 * * *", "prune-logs", "Delete what is older than a year.", stale=True, problems=(stale,))
    face.ran("prune-logs", local("22 04:40"), 44.0)


HOSTILE = "<script>document.title='executed'</script><img src=x onerror=\"document.title='executed'\">"


def hostile() -> FakeFace:
    """Everything that somebody can name or print is an attempt to be executed."""
    face = FakeFace()
    face.add("0 * * * *", "hostile", HOSTILE, command=f"echo {HOSTILE!r}", file=f"{HOSTILE}.json")
    every = (",".join(map(str, range(most))) for most in (60, 24))
    face.add(f"{' '.join(every)} * * *", "long-schedule", "x" * 300)
    face.ran(
        "hostile",
        local("22 12:00"),
        1.0,
        reason="exit",
        output=HOSTILE.encode() + b"</pre>\x1b]0;t\x07\n" + b"W" * 3000,
    )
    problem = Problem(HOSTILE, line=1, column=1, notes=(HOSTILE,), help=f"javascript:{HOSTILE}")
    face.refuse(f"{HOSTILE}'\"-\u202e.json", problem, HOSTILE)
    face.service = replace(SERVICE, issues=(HOSTILE,), jobs_dir=f"/{HOSTILE}", log_file=f"/{HOSTILE}.log")
    face.wrong = HOSTILE
    return face


def many(count: int = 10_000) -> FakeFace:
    """A host with very many jobs, each with a record."""
    face = FakeFace()
    template = Job(
        "x", Cron("0 * * * *", ZONE), TaskSpec.from_params("execute_command", {"command": "true"}), "One of many."
    )
    slot = local("22 13:00")
    for number in range(count):
        job = replace(template, id=f"job-{number:05}")
        status = Status.FAILURE if number % 1000 == 7 else Status.SUCCESS
        started = slot + timedelta(microseconds=4000 + number)
        details = (("exit_code", int(status is Status.FAILURE)),)
        ended = started + timedelta(seconds=2)
        record = Record(ended, status, job.id, f"{number:012x}", slot, started, 2.0, None, details)
        face.jobs.append(JobStatus(job.id, JobState.SCHEDULED, f"{job.id}.json", job, local("22 14:00"), last=record))
        face.log.append(record_json(record))
        face.results.observe(record)
    return face
