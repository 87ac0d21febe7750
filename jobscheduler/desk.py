"""Where people's questions and requests meet the running service: how all of it stands, run, pause, resume.

Nothing in here is a rule of scheduling: it asks the scheduler, the last pass and the log, and puts together what they
say. Everything may be called from any thread.
"""

from __future__ import annotations

import difflib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from jobscheduler import __version__, crontab, tasks
from jobscheduler.catalog import Condition
from jobscheduler.catalog import State as FileState
from jobscheduler.config import Settings
from jobscheduler.model import Job, Level, Once, Problem, Record, Status, Value
from jobscheduler.runner import BLOT, Run, tail
from jobscheduler.scheduler import Scheduler
from jobscheduler.slots import Act
from jobscheduler.status import (
    Detail,
    Impossible,
    JobStatus,
    ServiceStatus,
    Snapshot,
    Standing,
    State,
    Unknown,
    definition_json,
    detail_json,
    job_json,
    record_json,
    service_json,
    state_of,
)

KEPT = 1000
"""How many runs by hand are kept to be asked about."""

_LOOK = 0.02  # seconds between two looks whether a run has ended


class Holder(Protocol):
    """Who knows the definitions (see `passes.Reconciler`)."""

    def holdings(self) -> tuple[dict[str, Job], dict[str, Condition]]: ...  # noqa: D102


class Tell(Protocol):
    """Writes an event to the log (see `runlog.RunLog.event`)."""

    def __call__(self, level: Level, name: str, /, **values: Value | None) -> None: ...  # noqa: D102


class Desk:
    """Answers for the service."""

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        holder: Holder,
        tell: Tell,
        *,
        zone: Callable[[], str],
        health: Callable[[], tuple[str | None, tuple[str, ...]]],
        last: Callable[[str], Record | None] = lambda _: None,
    ) -> None:
        """`zone` names the service's time zone, `health` a part that is late and all troubles in words.

        `last` gives the last record of a job, as far as that is known.
        """
        self._settings = settings
        self._scheduler = scheduler
        self._holder = holder
        self._tell = tell
        self._zone = zone
        self._health = health
        self._last = last
        self._started = datetime.now(UTC)
        self._by_hand: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    # -- what there is

    def snapshot(self) -> Snapshot:
        """Say how everything stands now."""
        jobs, conditions = self._holder.holdings()
        standings = {one.job.id: one for one in self._scheduler.standings()}
        stale = {name: one for name, one in conditions.items() if one.state is FileState.STALE}
        known = [
            *(self._status_of(jobs[job_id], standings.get(job_id), stale) for job_id in sorted(jobs)),
            *(self._deleted(standings[job_id]) for job_id in sorted(standings.keys() - jobs.keys())),
        ]
        refused = [_refused(name, one) for name, one in sorted(conditions.items()) if name not in stale]
        return Snapshot(datetime.now(UTC), self._service(), (*known, *refused))

    def _status_of(self, job: Job, standing: Standing | None, stale: Mapping[str, Condition]) -> JobStatus:
        condition = stale.get(job.origin)
        last = self._last(job.id)
        going = standing.going if standing else ()
        paused = standing.paused if standing else False
        upcoming = standing.next if standing else None
        state = state_of(
            enabled=job.enabled,
            going=going,
            paused=paused,
            stale=condition is not None,
            expired=standing is None and not _has_run(job, last),
            upcoming=upcoming is not None,
        )
        problems = condition.problems if condition else ()
        return JobStatus(
            job.id,
            state,
            job.origin,
            job,
            upcoming,
            going,
            last,
            paused,
            stale=condition is not None,
            problems=problems,
        )

    def _deleted(self, standing: Standing) -> JobStatus:
        """A job whose file is gone, and of which a run goes on."""
        state = state_of(enabled=True, going=standing.going, paused=False, stale=False, expired=False, upcoming=False)
        last = self._last(standing.job.id)
        return JobStatus(standing.job.id, state, "", standing.job, going=standing.going, last=last)

    def _service(self) -> ServiceStatus:
        late, trouble = self._health()
        queued = self._scheduler.queued()
        return ServiceStatus(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            timezone=self._zone(),
            jobs_dir=str(self._settings.jobs_dir.absolute()),
            log_file=str(self._settings.log_file.absolute()),
            workers=self._settings.max_workers,
            running=max(0, self._scheduler.running() - queued),
            queued=queued,
            lost_threads=self._scheduler.lost_threads(),
            ticked=self._scheduler.idle_for(),
            late=late,
            trouble=trouble,
        )

    def detail(self, job_id: str) -> Detail | None:
        """Tell more about a job that has a valid definition; None for any other."""
        jobs, _ = self._holder.holdings()
        job = jobs.get(job_id)
        if job is None:
            return None
        upcoming = tuple(self._scheduler.upcoming(job_id, 10))
        if isinstance(job.schedule, Once):
            return Detail(_without_secrets(job), "once, at this instant", None, upcoming)
        sentence = crontab.sentence(crontab.parse(job.schedule.expression))
        return Detail(_without_secrets(job), sentence, job.schedule.timezone, upcoming)

    # -- as the control socket gives it

    def status(self) -> Mapping[str, Any]:
        """The service itself."""
        return service_json(self.snapshot())

    def jobs(self) -> Mapping[str, Any]:
        """All jobs, and the files that are refused."""
        snapshot = self.snapshot()
        return {"jobs": [job_json(one) for one in snapshot.jobs]}

    def job(self, job_id: str) -> Mapping[str, Any]:
        """One job, with its definition and its next slots.

        Raises:
            Unknown: there is none of this id.

        """
        snapshot = self.snapshot()
        found = snapshot.find(job_id)
        if found is None:
            raise _unknown(job_id, snapshot)
        return detail_json(found, self.detail(job_id))

    # -- what people want done

    def run(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Run a job by hand.

        Raises:
            Unknown: there is none of this id.
            Impossible: it is refused, or the service is stopping.

        """
        job = self._definition(job_id)
        try:
            act, run = self._scheduler.run_now(job, by)
        except RuntimeError as error:
            raise Impossible(Problem(str(error))) from None
        if run is not None:
            with self._lock:
                self._by_hand[run.run_id] = run
                while len(self._by_hand) > KEPT:
                    self._by_hand.popitem(last=False)
        return {"job_id": job_id, "act": act.value, "run_id": run.run_id if run else None, "note": _note(act)}

    def outcome(self, run_id: str, wait: float) -> Mapping[str, Any]:
        """Tell how a run by hand ended; wait for that up to `wait` seconds. `record` is null while it goes on.

        Raises:
            Unknown: there is no such run.

        """
        with self._lock:
            run = self._by_hand.get(run_id)
        if run is None:
            raise Unknown(
                Problem(f"no run `{run_id}` was asked for lately", help="`jobscheduler history` has its record")
            )
        until = time.monotonic() + wait
        while run.record is None and not run.is_withdrawn and time.monotonic() < until:
            time.sleep(_LOOK)
        record, output = run.record, self._scheduler.outputs.get(run_id)
        return {
            "run_id": run_id,
            "record": record_json(record) if record else None,
            "withdrawn": run.is_withdrawn,
            "output": None if output is None else tail(output, len(output)),
        }

    def pause(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Let no slot of a job run until it is resumed or the service restarts.

        Raises:
            Unknown: there is none of this id.

        """
        self._definition(job_id)
        is_new = self._scheduler.pause(job_id)
        if is_new:
            self._tell(Level.INFO, "job.paused", job_id=job_id, by=by)
        return {"job_id": job_id, "changed": is_new}

    def resume(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Let slots of a job run again.

        Raises:
            Unknown: there is none of this id.

        """
        self._definition(job_id)
        was = self._scheduler.resume(job_id)
        if was:
            self._tell(Level.INFO, "job.resumed", job_id=job_id, by=by)
        return {"job_id": job_id, "changed": was}

    def _definition(self, job_id: str) -> Job:
        jobs, _ = self._holder.holdings()
        if job_id in jobs:
            return jobs[job_id]
        raise _unknown(job_id, self.snapshot())


def _has_run(job: Job, last: Record | None) -> bool:
    """Whether the last record is of the one slot of a one-time job."""
    if last is None or not isinstance(job.schedule, Once) or last.scheduled is None:
        return False
    return abs((last.scheduled - job.schedule.at).total_seconds()) < 1 and last.status in {
        Status.SUCCESS,
        Status.FAILURE,
    }


def _refused(name: str, condition: Condition) -> JobStatus:
    problems = condition.problems
    if condition.incumbent is not None:
        problems = (Problem(f"its `job_id` belongs to the file `{condition.incumbent}`", file=name),)
    return JobStatus(None, State.REFUSED, name, problems=problems)


def _unknown(job_id: str, snapshot: Snapshot) -> Unknown:
    """What to say about an id that no valid definition has; a refused file may be why."""
    refused = [one for one in snapshot.jobs if one.state is State.REFUSED]
    meant = [one for one in refused if one.file in {job_id, f"{job_id}.json"}]
    if meant:
        problem = meant[0].problems[0] if meant[0].problems else Problem("")
        place = f":{problem.line}:{problem.column}" if problem.line else ""
        return Unknown(Problem(f"the file `{meant[0].file}` is refused: {problem.message} ({meant[0].file}{place})"))
    near = difflib.get_close_matches(job_id[:128], [one.id for one in snapshot.jobs if one.id], n=1)
    help_ = f"did you mean `{near[0]}`?" if near else "`jobscheduler list` shows all jobs"
    if refused and not near:
        help_ += f"; {len(refused)} files are refused, perhaps its own"
    return Unknown(Problem(f"there is no job `{job_id}`", help=help_))


def _note(act: Act) -> str:
    match act:
        case Act.SKIP:
            return "skipped: its last run is still going on (overlap)"
        case Act.WAIT:
            return "waits until its last run has ended (overlap=queue)"
        case Act.REPLACE:
            return "takes the place of its last run, which is being ended (overlap=replace)"
    return ""


def _without_secrets(job: Job) -> dict[str, Any]:
    """A definition that anybody may see who may see the jobs."""
    task = tasks.task_type(job.task.type)(job.task.fields)
    try:
        secrets = {one for one in task.secrets() if one}
    except Exception:  # the class of another package
        return {**definition_json(job), "task": {"type": job.task.type}}
    return {key: _blotted(value, secrets) for key, value in definition_json(job).items()}


def _blotted(value: Any, secrets: Iterable[str]) -> Any:
    if isinstance(value, dict):
        return {key: _blotted(one, secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_blotted(one, secrets) for one in value]
    if not isinstance(value, str):
        return value
    if value in secrets:
        return BLOT
    for secret in secrets:
        if len(secret) > 3:
            value = value.replace(secret, BLOT)
    return value
