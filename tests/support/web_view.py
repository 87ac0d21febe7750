"""A fake of the service's view: made-up jobs and records for the page, the metrics and the screenshots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from jobscheduler.model import Cron, Job, KeptOutput, Pause, Problem, Record, Status, StoredAttempt, TaskSpec
from jobscheduler.model.cluster_view import ClusterView, Difference, DriftedJob, NodeView, Role
from jobscheduler.model.selection import Selector
from jobscheduler.status.run_detail import LiveRun, RunDetail
from jobscheduler.status.run_stats import Records, RunStats
from jobscheduler.status.snapshot import ActiveRun, Detail, JobState, JobStatus, ServiceStatus, Snapshot, job_state
from jobscheduler.status.snapshot_json import definition_json, record_json
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


CLUSTER = ClusterView(
    "shop-2",
    Role.STANDBY,
    "shop-1",
    7,
    NOW - timedelta(hours=3),
    (
        NodeView("shop-1", "shop-1.example.org", "0.1.0", 1.2, 0.02),
        NodeView("shop-2", "shop-2", "0.1.0", 2.5, -0.31, differs=True),
        NodeView("shop-3", "shop-3", "0.1.0", 200.0, is_alive=False),
    ),
    (DriftedJob("report-001", Difference.CHANGED),),
    "mysql://db.example.org/cluster",
    NOW,
    queued=1,
    running=4,
)


PAUSE = Pause("5f3c2a9d", Selector("metrics-*"), NOW - timedelta(hours=1), reason="a migration", by="0")


@dataclass
class FakeServiceView:
    """Answers from what it is given; `broken` makes it raise, as a fault in the service would."""

    jobs: list[JobStatus] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    printed: dict[str, bytes] = field(default_factory=dict)
    runs: dict[str, RunDetail] = field(default_factory=dict)
    live: dict[str, LiveRun] = field(default_factory=dict)
    service: ServiceStatus = SERVICE
    results: RunStats = field(default_factory=RunStats)
    wrong: str | None = None
    broken: bool = False
    reads: int = 0
    told: list[Record] = field(default_factory=list)

    def copy(self) -> FakeServiceView:
        """Return a view of its own with the same jobs and records, which takes less than to make them again."""
        own = {"jobs": list(self.jobs), "log": list(self.log), "printed": dict(self.printed), "told": list(self.told)}
        made = replace(self, **own, live=dict(self.live), results=RunStats())
        for record in self.told:
            made.results.observe(record)
        return made

    def snapshot(self) -> Snapshot:
        if self.broken:
            raise RuntimeError("a secret of the service")
        jobs = [self._with_usual(one) if one.active_runs else one for one in self.jobs]
        jobs.sort(key=lambda one: (one.state is JobState.REFUSED, one.id or one.file))
        return Snapshot(NOW, self.service, tuple(jobs))

    def _with_usual(self, job: JobStatus) -> JobStatus:
        recent = self.results.recent_runs(job.id or "")
        return replace(job, usual=recent.usual if recent else None)

    def detail(self, job_id: str) -> Detail | None:
        found = self.snapshot().find(job_id)
        if found is None or found.job is None or not isinstance(found.job.schedule, Cron):
            return None
        schedule = found.job.schedule
        upcoming = tuple(timetable_of(found.job).slots(NOW, NOW + timedelta(days=3650), 10))
        return Detail(definition_json(found.job), describe(parse(schedule.expression)), schedule.timezone, upcoming)

    def upcoming(self, job_ids: Sequence[str], until: datetime, limit: int) -> Mapping[str, Sequence[datetime]]:
        wanted = {one.id: one.job for one in self.jobs if one.id in job_ids and one.job and one.next}
        return {job_id: list(timetable_of(job).slots(NOW, until, limit)) for job_id, job in wanted.items() if job_id}

    def records(
        self,
        since: datetime,
        limit: int,
        statuses: Collection[Status] = tuple(Status),
        check: Callable[[], object] = lambda: None,
    ) -> Records:
        check()
        self.reads += 1
        found = [one for one in self.log if one["time"] >= since.isoformat() and one["status"] in statuses]
        return self._newest(found, limit)

    def history(self, job_id: str, limit: int, check: Callable[[], object] = lambda: None) -> Records:
        check()
        self.reads += 1
        return self._newest([one for one in self.log if one["job_id"] == job_id], limit)

    def _newest(self, found: list[dict[str, Any]], limit: int) -> Records:
        found = sorted(found, key=lambda one: one["time"], reverse=True)[:limit]
        return Records(found, datetime.fromisoformat(found[-1]["time"]) if len(found) == limit else None)

    def run(self, run_id: str) -> RunDetail | None:
        printed = self.printed.get(run_id)
        if printed is None or run_id in self.runs:
            return self.runs.get(run_id)
        kept = KeptOutput(printed, b"", len(printed))
        return RunDetail("a", run_id, attempts=[StoredAttempt(run_id, 1, NOW, NOW, kept)])

    def live_runs(self, run_ids: Sequence[str]) -> Mapping[str, LiveRun]:
        return {run_id: self.live[run_id] for run_id in run_ids if run_id in self.live}

    def outputs(self, job_id: str, runs: Mapping[str, datetime | None]) -> Mapping[str, bytes]:
        return {run_id: self.printed[run_id] for run_id in runs if run_id in self.printed}

    def health(self) -> str | None:
        return self.wrong

    def add(self, expression: str, job_id: str, description: str = "", *, file: str = "", **more: Any) -> Job:
        """Add an active job."""
        own: dict[str, Any] = {"command": more.pop("command", f"/opt/scripts/{job_id}")}
        flags = ("active_runs", "pauses", "stale", "problems", "overdue_since")
        status = {key: more.pop(key) for key in flags if key in more}
        job = Job(job_id, Cron(expression, ZONE), TaskSpec.from_params("execute_command", own), description, **more)
        upcoming = timetable_of(job).next(NOW) if job.enabled else None
        state = job_state(
            enabled=job.enabled,
            active_runs=status.get("active_runs", ()),
            paused=bool(status.get("pauses")),
            stale=status.get("stale", False),
            expired=False,
            upcoming=upcoming is not None,
        )
        status.setdefault("in_force_since", SERVICE.started)
        self.jobs.append(JobStatus(job_id, state, file or f"{job_id}.json", job, upcoming, **status))
        return job

    def refuse(self, file: str, problem: Problem, job_id: str | None = None) -> None:
        """Have a file refused."""
        self.jobs.append(JobStatus(job_id, JobState.REFUSED, file, problems=(replace(problem, file=file),)))

    def tell(self, record: Record) -> None:
        """Write a record."""
        self.told.append(record)
        self.log.append(record_json(record))
        self.results.observe(record)
        self.jobs = [
            _after(record, one) if one.id == record.job_id and _is_newer(record, one.last) else one for one in self.jobs
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
        record = Record(
            end, status, job_id, run_id, at, started, seconds, reason, details, tail, cpu=more.pop("cpu", None)
        )
        if output:
            self.printed[run_id] = output
        self.tell(record)
        return record

    def skipped(self, job_id: str, at: datetime, reason: str = "overlap") -> None:
        self.tell(Record(at, Status.SKIPPED, job_id, scheduled=at, reason=reason))

    def missed(self, job_id: str, at: datetime, last: datetime | None = None, count: int = 1) -> None:
        details = (("last", last), ("count", count)) if last else ()
        self.tell(Record(NOW, Status.MISSED, job_id, scheduled=at, reason="down", details=details))


def a_day_in_a_cluster() -> FakeServiceView:
    """Return the day of a node that stands by."""
    view = a_day()
    view.service = replace(view.service, cluster=CLUSTER)
    return view


def _after(record: Record, job: JobStatus) -> JobStatus:
    """Return the status of a job after a record."""
    if record.status is Status.SUCCESS:
        return replace(job, last=record, last_success=record.at, failures=0, failing_since=None)
    if record.status is Status.FAILURE:
        return replace(job, last=record, failures=job.failures + 1, failing_since=job.failing_since or record.at)
    return replace(job, last=record)


def _is_newer(record: Record, last: Record | None) -> bool:
    return last is None or record.at >= last.at


def local(text: str) -> datetime:
    """An instant of the last day or the next, from its UTC time: `21 23:30`."""
    return datetime.fromisoformat(f"2026-11-{text}:00+00:00")


PG_DUMP = b"""pg_dump: connecting to database "shop"
pg_dump: dumping contents of table "public.orders"
\x1b[31mpg_dump: error: could not write to output file: No space left on device\x1b[0m
"""


def a_day() -> FakeServiceView:
    """A host on a day with some of everything, as in the screenshots."""
    return _a_day().copy()


@cache
def _a_day() -> FakeServiceView:
    fake = FakeServiceView()
    _quiet_jobs(fake)
    _troubled_jobs(fake)
    _bad_files(fake)
    running = sum(run.waiting_for is None for one in fake.jobs for run in one.active_runs)
    fake.service = replace(SERVICE, running=running)
    return fake


def _quiet_jobs(fake: FakeServiceView) -> None:
    fake.add("* * * * *", "heartbeat", "Tell the monitoring that this host is alive.", command="curl -fsS https://…")
    for minute in range(24 * 60):
        fake.ran("heartbeat", NOW.replace(second=0) - timedelta(minutes=minute), 0.12 + minute % 7 / 50)
    fake.add("*/15 * * * *", "mail-queue", "Deliver what the shop has put into its queue.")
    for step in range(96):
        fake.ran("mail-queue", local("22 13:30") - step * timedelta(minutes=15), 20 + step * 37 % 90)
    fake.add("0 1 * * *", "report-daily", "Generate the daily sales report.")
    fake.ran("report-daily", local("22 00:00"), 1260.4, output=b"3,412 orders, 1,118 customers\nreport.pdf written\n")
    fake.add("30 2 * * mon-fri", "exchange-rates", "Fetch the exchange rates of the day.")
    fake.add("0 */6 * * *", "thumbnails", "Make small pictures of new ones.", overlap="allow")
    for hour, seconds in ((17, 8000), (23, 5400), (5, 25000), (11, 3900)):
        fake.ran("thumbnails", local(f"{21 if hour > 13 else 22} {hour:02}:00"), seconds)
    fake.add("20 4 * * sun", "reindex", "Rebuild the search index.", success_within=8 * 86400.0)
    fake.ran("reindex", local("22 03:20"), 9300, cpu=8123.4)
    fake.add("0 3 1 * *", "invoices-monthly", "Send the invoices of the month.")
    fake.add("@hourly", "metrics-rollup", "Roll up an hour of metrics.", pauses=(PAUSE,))
    for hour in range(10):
        fake.ran("metrics-rollup", local("22 06:00") - hour * timedelta(hours=1), 95 + hour * 11 % 40)
    fake.add("0 22 * * *", "cleanup-tmp", "", enabled=False)


def _troubled_jobs(fake: FakeServiceView) -> None:
    started = NOW - timedelta(hours=2, minutes=32, seconds=9)
    going = (ActiveRun("9e1c5a7742d0", local("22 11:00"), started, 1),)
    fake.add("0 */4 * * *", "backup-database", "Dump the shop's database to the second site.")
    for hour in (15, 19, 23, 3):
        fake.ran("backup-database", local(f"{21 if hour > 13 else 22} {hour:02}:00"), 1500 + hour * 20)
    fake.ran("backup-database", local("22 07:00"), 1710.2, reason="exit", output=PG_DUMP)
    fake.ran("backup-database", local("22 11:00"), 64.0, reason="exit", output=PG_DUMP)
    fake.add("*/30 * * * *", "sync-warehouse", "Compare stock with the warehouse.", active_runs=going, timeout=14400.0)
    fake.live[going[0].run_id] = LiveRun("shard 31 of 48: 12,400 rows", 1320.0, 410_000_000)
    for step in range(6, 40):
        fake.ran("sync-warehouse", local("22 13:30") - step * timedelta(minutes=30), 240 + step * 53 % 500)
    for step in range(5):
        fake.skipped("sync-warehouse", local("22 11:30") + step * timedelta(minutes=30))
    fake.add(
        "*/5 * * * *",
        "certificates",
        "Look whether a certificate is about to end.",
        success_within=60.0,
        overdue_since=NOW - timedelta(minutes=1),
    )
    for step in range(288):
        at = local("22 13:30") - step * timedelta(minutes=5)
        if not local("21 20:00") <= at <= local("21 21:55"):
            fake.ran("certificates", at, 1.2)
    fake.missed("certificates", local("21 20:00"), local("21 21:55"), 24)
    fake.add("15 21 * * *", "rotate-keys", "Give the partners new keys.")
    fake.missed("rotate-keys", local("21 20:15"))


def _bad_files(fake: FakeServiceView) -> None:
    unknown = Problem(
        "unknown field `shedule`",
        line=4,
        column=3,
        excerpt='  "shedule": "0 8 * * mon",',
        caret=2,
        width=9,
        help="did you mean `schedule`?",
    )
    fake.refuse("newsletter.json", unknown, "newsletter")
    stale = Problem(
        "`0 0 30 2 *` never happens: February has no day 30",
        "prune-logs.json",
        4,
        15,
        '  "schedule": "0 0 30 2 *",',
        14,
        12,
        help="write a day that the month has, such as `28`",
    )
    fake.add("40 5 * * *", "prune-logs", "Delete what is older than a year.", stale=True, problems=(stale,))
    fake.ran("prune-logs", local("22 04:40"), 44.0)


HOSTILE = "<script>document.title='executed'</script><img src=x onerror=\"document.title='executed'\">"


def hostile() -> FakeServiceView:
    """Everything that a user can name or print is an attempt to be executed."""
    fake = FakeServiceView()
    fake.add("0 * * * *", "hostile", HOSTILE, command=f"echo {HOSTILE!r}", file=f"{HOSTILE}.json")
    every = (",".join(map(str, range(most))) for most in (60, 24))
    fake.add(f"{' '.join(every)} * * *", "long-schedule", "x" * 300)
    fake.ran(
        "hostile",
        local("22 12:00"),
        1.0,
        reason="exit",
        output=HOSTILE.encode() + b"</pre>\x1b]0;t\x07\n" + b"W" * 3000,
    )
    problem = Problem(HOSTILE, line=1, column=1, notes=(HOSTILE,), help=f"javascript:{HOSTILE}")
    fake.refuse(f"{HOSTILE}'\"-\u202e.json", problem, HOSTILE)
    fake.service = replace(SERVICE, issues=(HOSTILE,), jobs_dir=f"/{HOSTILE}", log_file=f"/{HOSTILE}.log")
    fake.wrong = HOSTILE
    return fake


def many(count: int = 10_000) -> FakeServiceView:
    """A host with very many jobs, each with a record."""
    fake = FakeServiceView()
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
        fake.jobs.append(JobStatus(job.id, JobState.SCHEDULED, f"{job.id}.json", job, local("22 14:00"), last=record))
        fake.log.append(record_json(record))
        fake.results.observe(record)
    return fake
