"""What the control socket gives and does: questions about jobs and the service; run, pause, resume."""

from __future__ import annotations

import difflib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from jobscheduler.control.snapshot_builder import MAX_SHOWN_SLOTS, JobHolder, SnapshotBuilder
from jobscheduler.model import EventLogger, Job, Level, Problem
from jobscheduler.runner import Run, tail
from jobscheduler.scheduler import ChainTooLong, Scheduler
from jobscheduler.status.snapshot import (
    Conflict,
    JobState,
    NotFound,
    Snapshot,
    detail_json,
    instant,
    job_json,
    record_json,
    service_json,
)
from jobscheduler.timetable.slots import Action, Overlap

MAX_MANUAL_RUNS = 1000
"""How many runs by hand are kept to be asked about."""

_POLL_S = 0.02  # seconds between two looks whether a run has ended


class ControlService:
    """Answers for the service. Everything may be called from any thread."""

    def __init__(
        self, snapshots: SnapshotBuilder, scheduler: Scheduler, holder: JobHolder, log_event: EventLogger
    ) -> None:
        self._snapshots = snapshots
        self._scheduler = scheduler
        self._reconciler = holder
        self._log_event = log_event
        self._manual_runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    def status(self) -> Mapping[str, Any]:
        """The service itself."""
        return service_json(self._snapshots.build())

    def jobs(self) -> Mapping[str, Any]:
        """All jobs, and the files that are refused."""
        return {"jobs": [job_json(one) for one in self._snapshots.build().jobs]}

    def job(self, job_id: str) -> Mapping[str, Any]:
        """One job, with its definition and its next slots.

        Raises:
            Unknown: there is none of this id.

        """
        snapshot = self._snapshots.build()
        found = snapshot.find(job_id)
        if found is None:
            raise _unknown(job_id, snapshot)
        upcoming = self._scheduler.upcoming(job_id, MAX_SHOWN_SLOTS)
        ahead = self._scheduler.decided_ahead(job_id)[:MAX_SHOWN_SLOTS]
        return detail_json(found, self._snapshots.job_detail(job_id), upcoming, ahead)

    # -- what people want done

    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """Run a job by hand. `within` are the runs from within which that is asked for, the innermost first.

        Raises:
            Unknown: there is none of this id.
            Impossible: it is refused, the service is stopping, or the job would start itself by way of others.

        """
        job = self._active_job(job_id)
        try:
            act, run = self._scheduler.run_now(job, by, within)
        except ChainTooLong as endless:
            raise Conflict(Problem(str(endless), help=endless.help)) from None
        except RuntimeError as error:
            raise Conflict(Problem(str(error))) from None
        if run is not None:
            with self._lock:
                self._manual_runs[run.run_id] = run
                while len(self._manual_runs) > MAX_MANUAL_RUNS:
                    self._manual_runs.popitem(last=False)
        return {
            "job_id": job_id,
            "act": act.value,
            "run_id": run.run_id if run else None,
            "note": _remember(act),
            "next_note": self._next_note(job_id) if run else None,
        }

    def _next_note(self, job_id: str) -> str | None:
        """Say what becomes of the next slot of a job, or of the run, if the run still goes on then."""
        standing = next(iter(self._scheduler.runtimes([job_id])), None)
        if standing is None or standing.next is None or standing.paused:
            return None
        slot = f"the next slot, {instant(standing.next)},"
        match Overlap(standing.job.overlap):
            case Overlap.SKIP:
                return f"{slot} is skipped if this run still goes on then"
            case Overlap.QUEUE:
                return f"{slot} waits until this run has ended"
            case Overlap.REPLACE:
                return f"{slot} ends this run if it still goes on then"
        return None

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any]:
        """Tell how a run by hand ended; wait for that up to `wait` seconds. `record` is null while it goes on.

        Raises:
            Unknown: there is no such run.

        """
        with self._lock:
            run = self._manual_runs.get(run_id)
        if run is None:
            raise NotFound(
                Problem(f"no run `{run_id}` was asked for lately", help="`jobscheduler history` has its record")
            )
        until = time.monotonic() + wait
        while run.record is None and not run.is_cancelled and time.monotonic() < until:
            time.sleep(_POLL_S)
        record, output = run.record, self._scheduler.outputs.get(run_id)
        return {
            "run_id": run_id,
            "record": record_json(record) if record else None,
            "withdrawn": run.is_cancelled,
            "output": None if output is None else tail(output, len(output)),
        }

    def pause(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Let no slot of a job run until it is resumed or the service restarts.

        Raises:
            Unknown: there is none of this id.

        """
        self._active_job(job_id)
        is_new = self._scheduler.pause(job_id)
        if is_new:
            self._log_event(Level.INFO, "job.paused", job_id=job_id, by=by)
        return {"job_id": job_id, "changed": is_new}

    def resume(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Let slots of a job run again.

        Raises:
            Unknown: there is none of this id.

        """
        self._active_job(job_id)
        was = self._scheduler.resume(job_id)
        if was:
            self._log_event(Level.INFO, "job.resumed", job_id=job_id, by=by)
        return {"job_id": job_id, "changed": was}

    def _active_job(self, job_id: str) -> Job:
        job = self._reconciler.job(job_id)
        if job is None:
            raise _unknown(job_id, self._snapshots.build())
        return job


def _unknown(job_id: str, snapshot: Snapshot) -> NotFound:
    """What to say about an id that no valid definition has; a refused file may be why."""
    refused = [one for one in snapshot.jobs if one.state is JobState.REFUSED]
    meant = [one for one in refused if one.file in {job_id, f"{job_id}.json", f"jm_jobs/{job_id}"}]
    if meant:
        problem = meant[0].problems[0] if meant[0].problems else Problem("")
        place = f":{problem.line}:{problem.column}" if problem.line else ""
        return NotFound(Problem(f"the file `{meant[0].file}` is refused: {problem.message} ({meant[0].file}{place})"))
    near = difflib.get_close_matches(job_id[:128], [one.id for one in snapshot.jobs if one.id], n=1)
    help_ = f"did you mean `{near[0]}`?" if near else "`jobscheduler list` shows all jobs"
    if refused and not near:
        help_ += f"; {len(refused)} files are refused, perhaps its own"
    return NotFound(Problem(f"there is no job `{job_id}`", help=help_))


def _remember(act: Action) -> str:
    match act:
        case Action.SKIP:
            return "skipped: its last run is still going on (overlap)"
        case Action.WAIT:
            return "waits until its last run has ended (overlap=queue)"
        case Action.REPLACE:
            return "takes the place of its last run, which is being ended (overlap=replace)"
    return ""
