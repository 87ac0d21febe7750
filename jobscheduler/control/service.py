"""What the control socket gives and does: questions about jobs and the service; run, pause, resume."""

from __future__ import annotations

import difflib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from jobscheduler.control.snapshot_builder import SHOWN, Holder, Snapshots
from jobscheduler.model import Job, Level, Problem, Tell
from jobscheduler.runner import Run, tail
from jobscheduler.scheduler import Endless, Scheduler
from jobscheduler.status.snapshot import (
    Impossible,
    Snapshot,
    State,
    Unknown,
    detail_json,
    instant,
    job_json,
    record_json,
    service_json,
)
from jobscheduler.timetable.slots import Act, Overlap

KEPT = 1000
"""How many runs by hand are kept to be asked about."""

_LOOK = 0.02  # seconds between two looks whether a run has ended


class Desk:
    """Answers for the service. Everything may be called from any thread."""

    def __init__(self, snapshots: Snapshots, scheduler: Scheduler, holder: Holder, tell: Tell) -> None:
        self._snapshots = snapshots
        self._scheduler = scheduler
        self._holder = holder
        self._tell = tell
        self._by_hand: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    def status(self) -> Mapping[str, Any]:
        """The service itself."""
        return service_json(self._snapshots.take())

    def jobs(self) -> Mapping[str, Any]:
        """All jobs, and the files that are refused."""
        return {"jobs": [job_json(one) for one in self._snapshots.take().jobs]}

    def job(self, job_id: str) -> Mapping[str, Any]:
        """One job, with its definition and its next slots.

        Raises:
            Unknown: there is none of this id.

        """
        snapshot = self._snapshots.take()
        found = snapshot.find(job_id)
        if found is None:
            raise _unknown(job_id, snapshot)
        upcoming = self._scheduler.upcoming(job_id, SHOWN)
        ahead = self._scheduler.decided_ahead(job_id)[:SHOWN]
        return detail_json(found, self._snapshots.detail(job_id), upcoming, ahead)

    # -- what people want done

    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """Run a job by hand. `within` are the runs from within which that is asked for, the innermost first.

        Raises:
            Unknown: there is none of this id.
            Impossible: it is refused, the service is stopping, or the job would start itself by way of others.

        """
        job = self._definition(job_id)
        try:
            act, run = self._scheduler.run_now(job, by, within)
        except Endless as endless:
            raise Impossible(Problem(str(endless), help=endless.help)) from None
        except RuntimeError as error:
            raise Impossible(Problem(str(error))) from None
        if run is not None:
            with self._lock:
                self._by_hand[run.run_id] = run
                while len(self._by_hand) > KEPT:
                    self._by_hand.popitem(last=False)
        return {
            "job_id": job_id,
            "act": act.value,
            "run_id": run.run_id if run else None,
            "note": _note(act),
            "next_note": self._next_note(job_id) if run else None,
        }

    def _next_note(self, job_id: str) -> str | None:
        """Say what becomes of the next slot of a job, or of the run, if the run still goes on then."""
        standing = next(iter(self._scheduler.standings([job_id])), None)
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
        job = self._holder.definition(job_id)
        if job is None:
            raise _unknown(job_id, self._snapshots.take())
        return job


def _unknown(job_id: str, snapshot: Snapshot) -> Unknown:
    """What to say about an id that no valid definition has; a refused file may be why."""
    refused = [one for one in snapshot.jobs if one.state is State.REFUSED]
    meant = [one for one in refused if one.file in {job_id, f"{job_id}.json", f"jm_jobs/{job_id}"}]
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
