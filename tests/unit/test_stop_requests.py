"""Requests to stop: what a name means, and what a request is told that stops nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from jobscheduler.control.stop_requests import StopRequests
from jobscheduler.model import Cron, Job, Problem, Record, Status, TaskSpec
from jobscheduler.scheduler import Scheduler, StoppedRun, StopTargets
from jobscheduler.status.snapshot import ActiveRun, Conflict, JobRuntime, NotFound

AT = datetime(2026, 11, 22, 1, tzinfo=UTC)


def runtime(job_id: str, *run_ids: str, tags: tuple[str, ...] = ()) -> JobRuntime:
    job = Job(job_id, Cron("@daily", "UTC"), TaskSpec.from_params("execute_command", {"command": "true"}), tags=tags)
    return JobRuntime(job, None, tuple(ActiveRun(run_id, AT, AT, 1) for run_id in run_ids))


class FakeRun:
    """What an answer says of a run."""

    def __init__(self, job: Job, run_id: str) -> None:
        self.job, self.run_id, self.scheduled, self.started_at = job, run_id, AT, AT
        self.pid, self.attempts = 7, 1


class FakeScheduler:
    """Has runs, and remembers which it was asked to stop."""

    def __init__(self, *runtimes: JobRuntime, survivors: str = "") -> None:
        self.known = runtimes
        self.survivors = survivors
        self.runs = self
        self.asked: StopTargets = {}

    def runtimes(self) -> Collection[JobRuntime]:
        return self.known

    def unkillable_processes(self, job_id: str) -> str:
        return self.survivors

    def stop_runs(self, targets: StopTargets, by: str) -> list[StoppedRun]:
        self.asked = targets
        stopped = []
        for one in self.known:
            wanted = targets.get(one.job.id, ())
            runs = [run for run in one.active_runs if wanted is None or run.run_id in wanted]
            stopped += [StoppedRun.of(cast("Any", FakeRun(one.job, run.run_id)), is_skipped=False) for run in runs]
        return stopped


SCHEDULER = (
    runtime("billing-a", "5f3c2a9d41b7", tags=("money",)),
    runtime("billing-b", "5f3c00000000", "9e1c5a7742d0", tags=("money",)),
    runtime("report", tags=("quiet",)),
    runtime("deadbeef", "cafe00000000"),
)
LAST = {"report": Record(AT, Status.FAILURE, "report", "77b01c3e9a42", AT, AT, 2.0, reason="exit")}


def requests(scheduler: FakeScheduler) -> StopRequests:
    def unknown(job_id: str) -> NotFound:
        return NotFound(Problem(f"there is no job `{job_id}`", help="did you mean `report`?"))

    return StopRequests(cast("Scheduler", scheduler), lambda: {"once": ()}, LAST.get, unknown)


def asked(*texts: str) -> StopTargets:
    scheduler = FakeScheduler(*SCHEDULER)
    requests(scheduler).stop(texts, "0")
    return scheduler.asked


def idle(*texts: str, survivors: str = "") -> list[dict[str, Any]]:
    return list(requests(FakeScheduler(*SCHEDULER, survivors=survivors)).stop(texts, "0")[1]["idle"])


def test_a_job_a_pattern_and_a_tag_mean_all_runs_of_the_jobs() -> None:
    """Each job once, however often it is named; also a job whose file is gone while a run of it goes on."""
    assert asked("billing-a") == {"billing-a": None}
    assert asked("billing-*") == asked("tag:money") == {"billing-a": None, "billing-b": None}
    assert asked("tag:money", "billing-a", "9e1c") == {"billing-a": None, "billing-b": None}


def test_a_run_is_named_by_its_id_or_the_beginning_of_it() -> None:
    """If that is the beginning of one id only. A job of that name comes first."""
    assert asked("9e1c") == asked("9e1c5a7742d0") == {"billing-b": {"9e1c5a7742d0"}}
    assert asked("9e1c", "5f3c0", "billing-a") == {"billing-b": {"9e1c5a7742d0", "5f3c00000000"}, "billing-a": None}
    assert asked("deadbeef") == {"deadbeef": None}


def test_the_answer_names_each_run() -> None:
    """With its process, and what becomes of it."""
    stopped, answer = requests(FakeScheduler(*SCHEDULER)).stop(["9e1c"], "0")
    assert [one.run.run_id for one in stopped] == ["9e1c5a7742d0"]
    assert answer == {
        "runs": [
            {
                "job_id": "billing-b",
                "run_id": "9e1c5a7742d0",
                "scheduled": "2026-11-22T01:00:00Z",
                "started": "2026-11-22T01:00:00Z",
                "action": "stop",
                "attempt": 1,
                "pid": 7,
            }
        ],
        "idle": [],
    }


@pytest.mark.parametrize(
    ("text", "message", "help_"),
    [
        ("reprot", "there is no job `reprot`", "did you mean `report`?"),
        ("nothing-*", "no job matches `nothing-*`", "`jobscheduler list` shows all jobs"),
        ("tag:mony", "no job has the tag `mony`", "did you mean `tag:money`?"),
        ("9e1", "there is no job `9e1`", "did you mean `report`?"),
        (
            "0123456789ab",
            "there is no job `0123456789ab`, and no run at work has this id",
            "`jobscheduler list` shows what runs, `jobscheduler history` has the runs that have ended",
        ),
    ],
)
def test_what_means_nothing_stops_nothing(text: str, message: str, help_: str) -> None:
    """Also not what else was named: it may be a mistake."""
    scheduler = FakeScheduler(*SCHEDULER)
    with pytest.raises(NotFound) as no:
        requests(scheduler).stop(["billing-a", text], "0")
    assert (no.value.problem.message, no.value.problem.help) == (message, help_)
    assert scheduler.asked == {}


def test_a_beginning_of_several_ids_is_refused_with_all_of_them() -> None:
    """More of the id tells them apart."""
    with pytest.raises(Conflict) as no:
        asked("5f3c")
    message = "the ids of 2 runs begin with `5f3c`: `5f3c2a9d41b7` of `billing-a`, `5f3c00000000` of `billing-b`"
    assert (no.value.problem.message, no.value.problem.help) == (message, "write more of the id")


def test_what_has_no_run_at_work_is_told_with_its_last_record() -> None:
    """A run that has just ended, and a job. The others that were named are stopped all the same."""
    last = "its last record is FAILURE (exit), of 2026-11-22T01:00:00Z"
    assert idle("77b0", "billing-a") == [
        {"message": "run `77b01c3e9a42` of `report` has ended already", "help": last},
    ]
    assert idle("report") == [{"message": "`report` has no run at work", "help": last}]
    assert idle("once") == [{"message": "`once` has no run at work", "help": None}]
    assert idle("tag:quiet") == [{"message": "no job that `tag:quiet` selects has a run at work", "help": None}]
    assert idle("billing-*") == []


def test_processes_that_survived_kill_are_named() -> None:
    """There is nothing more to do about them here."""
    (told,) = idle("report", survivors="4711 (`cp`, waits for a device)")
    assert "processes of an ended one survived KILL: 4711 (`cp`, waits for a device)" in told["message"]
