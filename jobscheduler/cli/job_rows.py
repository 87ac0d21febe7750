"""Say how jobs are, as cells of a table: from the service's answer to texts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from jobscheduler.cli.table import Column
from jobscheduler.status.reasons import failure_text, process_text, reason_text
from jobscheduler.status.shown_status import SEVERITY, ShownStatus
from jobscheduler.util.durations import format_age, format_compact_duration
from jobscheduler.util.instants import format_relative
from jobscheduler.util.text import plural
from jobscheduler.util.user_names import name_of_user

JobJson = Mapping[str, Any]  # a job of the service's answer

NONE = "-"  # the cell of what does not exist
MAX_ID_COLUMNS = 40  # a longer id stands on a line of its own
PAINT = {
    **dict.fromkeys(("failing", "overdue", "refused", "stale", "FAILURE"), "red"),
    **dict.fromkeys(("waiting", "paused", "MISSED", "SKIPPED"), "yellow"),
    **dict.fromkeys(("running", "SUCCESS"), "green"),
    **dict.fromkeys(("disabled", "done", "expired", "manual"), "dim"),
}
_NO_START = frozenset({"disabled", "refused", "expired", "done"})
_WAITS_FOR = {"worker": "waits for a worker", "turn": "waits for its turn", "retry": "waits for a further attempt"}


def paint(text: str) -> str | None:
    """Return the colour of a status from its first word."""
    return PAINT.get(text.partition(" ")[0])


COLUMNS = (
    Column("JOB", own_line=MAX_ID_COLUMNS),
    Column("STATUS", keep_whole=True, colour_of=paint),
    Column("LAST", right=True, keep_whole=True, drop=4),
    Column("TOOK", right=True, keep_whole=True, drop=2),
    Column("USUAL", right=True, keep_whole=True, drop=1),
    Column("NEXT", keep_whole=True, drop=5),
    Column("", fills=True, drop=3),
)

ORDERS = ("status", "name", "next", "last", "took")  # by which a list can be sorted


def sorted_jobs(jobs: Iterable[JobJson], order: str) -> list[JobJson]:
    """Return the jobs in an order: the worst, soonest, latest or longest first. What has no such value comes last."""
    keys: dict[str, Callable[[JobJson], Any]] = {
        "status": _severity_key,
        "name": _name,
        "next": lambda job: (next_start(job) is None, next_start(job), _name(job)),
        "last": lambda job: (-_seconds(_last(job).get("time")), _name(job)),
        "took": lambda job: (-(_last(job).get("duration") or 0.0), _name(job)),
    }
    return sorted(jobs, key=keys[order])


def _severity_key(job: JobJson) -> tuple[int, float, str]:
    """Sort by status, and those that fail by how short they have been failing: the news come first."""
    status = ShownStatus(job["status"])
    since = job.get("failing_since") or _last(job).get("time")
    return SEVERITY[status], -_seconds(since) if status is ShownStatus.FAILING else 0.0, _name(job)


def _seconds(text: str | None) -> float:
    return 0.0 if text is None else datetime.fromisoformat(text).timestamp()


def _name(job: JobJson) -> str:
    return str(job["job_id"] or job["file"])


def _last(job: JobJson) -> JobJson:
    return job["last"] or {}


def rows(jobs: Iterable[JobJson], now: datetime) -> Iterator[Sequence[str]]:
    """Yield the cells of each job."""
    for job in jobs:
        last = _last(job)
        yield (
            _name(job),
            status_text(job, now),
            _relative(last.get("time"), now),
            _duration(last.get("duration")),
            _duration(job.get("usual")),
            _relative(next_start(job), now),
            detail_text(job, now),
        )


def plain_rows(jobs: Iterable[JobJson]) -> Iterator[Sequence[str]]:
    """Yield the fields of each job for programs: id, status, last result, its time, seconds, next start, details."""
    for job in jobs:
        last = _last(job)
        took = last.get("duration")
        result = (last.get("status"), last.get("time"), None if took is None else f"{took:g}", next_start(job))
        yield (_name(job), job["status"], *(value or "" for value in result), _first_text(job) or "")


def next_start(job: JobJson) -> str | None:
    """Return when the next slot starts that is not paused, later by its jitter; None if there is none."""
    if job["state"] in _NO_START:
        return None
    start: str | None = job.get("next_start") or job["next"]
    return start


def _relative(text: str | None, now: datetime) -> str:
    return NONE if text is None else format_relative(datetime.fromisoformat(text), now)


def _duration(seconds: float | None) -> str:
    return NONE if seconds is None else format_compact_duration(seconds)


def status_text(job: JobJson, now: datetime) -> str:
    """Return the status with how often or for how long, and the further words that matter: `failing x4, paused`."""
    status = ShownStatus(job["status"])
    running = _running_for(job, now)
    text = status.value
    if status is ShownStatus.FAILING and (job.get("failures") or 0) > 1:
        text = f"failing x{job['failures']}"
    elif status is ShownStatus.OVERDUE and job.get("overdue_since"):
        text = f"overdue {format_age((now - datetime.fromisoformat(job['overdue_since'])).total_seconds())}"
    elif status is ShownStatus.PAUSED and (left := _pause_left(job, now)):
        text = f"paused {left}"
    elif status is ShownStatus.RUNNING and running is not None:
        text = f"running {format_compact_duration(running)}"
    further = [word for word in ("stale", "paused") if job[word] and word != status]
    if status not in {ShownStatus.RUNNING, ShownStatus.WAITING} and job["state"] in {"running", "waiting"}:
        further.insert(0, str(job["state"]))
    return ", ".join((text, *further))


def _pause_left(job: JobJson, now: datetime) -> str | None:
    """Return for how much longer a job is paused; None without an end."""
    ends = [pause["until"] for pause in job.get("pauses") or ()]
    if not ends or None in ends:
        return None
    return f"for {format_age((datetime.fromisoformat(max(ends)) - now).total_seconds())}"


def _running_for(job: JobJson, now: datetime) -> float | None:
    """Return for how many seconds the oldest run at work has been going on."""
    begun = [run["started"] for run in job["active_runs"] if run["started"] and not run["waiting_for"]]
    return (now - datetime.fromisoformat(min(begun))).total_seconds() if begun else None


def detail_text(job: JobJson, now: datetime) -> str:
    """Return what one wants to know next: the last line of a failure, the problem of a file, what a run waits for."""
    return "; ".join(filter(None, (_process_text(job), _first_text(job) or _overdue_text(job, now))))


def _first_text(job: JobJson) -> str | None:
    status, last = ShownStatus(job["status"]), _last(job)
    if status is ShownStatus.FAILING and last.get("status") == "FAILURE":
        return failure_text(last, job.get("last_line"))
    if job["problems"]:
        return problem_text(job["problems"][0], with_file=False)
    if status is ShownStatus.PAUSED and job.get("pauses"):
        return _pause_text(job["pauses"][-1])
    waiting = next((run for run in job["active_runs"] if run["waiting_for"]), None)
    if status is ShownStatus.WAITING and waiting is not None:
        return _WAITS_FOR.get(waiting["waiting_for"])
    if last.get("status") in {"MISSED", "SKIPPED"} and status is ShownStatus.OK:
        return f"{last['status'].lower()}: {reason_text(last)}"
    return None


def _process_text(job: JobJson) -> str:
    """Return the process and the attempt of the runs at work."""
    return "; ".join(filter(None, (process_text(run) for run in job["active_runs"] if not run["waiting_for"])))


def _overdue_text(job: JobJson, now: datetime) -> str | None:
    if ShownStatus(job["status"]) is not ShownStatus.OVERDUE:
        return None
    success = job.get("last_success")
    return "no success yet" if success is None else f"last success {_relative(success, now)}"


def _pause_text(pause: JobJson) -> str:
    """Return by whom and why a job is paused."""
    by = f"by {name_of_user(pause['by'])}" if pause.get("by") else ""
    return ": ".join(filter(None, (by, pause.get("reason"))))


def problem_text(problem: JobJson, *, with_file: bool = True) -> str:
    """Return a problem on one line: place and message."""
    place = f"{problem['line']}:{problem['column']}" if problem["line"] else ""
    where = ":".join(filter(None, (problem["file"] if with_file else "", place)))
    return f"{where}: {problem['message']}" if where else str(problem["message"])


def summary_text(jobs: Iterable[JobJson]) -> str:
    """Return how many jobs there are, and how many of them fail, run or are paused."""
    counted = list(jobs)
    known = [job for job in counted if job["state"] != "refused"]
    words = [*(word for word in ("failing", "overdue", "stale", "running", "waiting", "paused") if _count(known, word))]
    parts = [f"{_count(known, word):,} {word}" for word in words if word != "stale"]
    bad = [str(job["file"]) for job in counted if job["problems"]]
    in_rows = sum("/" in name for name in bad)
    parts += [
        f"{plural(count, noun)} with problems"
        for count, noun in ((len(bad) - in_rows, "file"), (in_rows, "row"))
        if count
    ]
    return plural(len(known), "job") + (f": {', '.join(parts)}" if parts else "")


def _count(jobs: Iterable[JobJson], word: str) -> int:
    return sum(job["status"] == word or job["state"] == word or bool(job.get(word)) for job in jobs)
