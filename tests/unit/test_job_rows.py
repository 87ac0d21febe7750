"""The rows of `list`: one status, relative times, and what one wants to know next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobscheduler.cli.job_rows import COLUMNS, plain_rows, rows, sorted_jobs, summary_text
from jobscheduler.cli.table import table
from tests.support.answers import at_work, listed, problem

NOW = datetime(2026, 11, 30, 0, 4, tzinfo=UTC)
FAILED = {"time": "2026-11-29T23:30:00Z", "status": "FAILURE", "reason": "exit", "exit_code": 1, "duration": 4.02}
DONE = {"time": "2026-11-30T00:03:56Z", "status": "SUCCESS", "duration": 0.058}

JOBS = [
    listed("mail-queue", last=DONE, usual=0.06, next="2026-11-30T00:04:00Z", next_start="2026-11-30T00:04:56Z"),
    listed("report", "overdue", overdue_since="2026-11-29T23:30:00Z", last_success="2026-11-28T22:00:00Z"),
    listed("reindex", "running", state="running", active_runs=[at_work("2026-11-29T23:26:00Z")], usual=720.0),
    listed("export", "paused", state="paused", paused=True),
    listed("old", "disabled", state="disabled"),
    listed("backup-db", "failing", failures=4, last=FAILED, last_line="pg_dump: connection refused"),
    listed(None, "refused", state="refused", file="prune.json", problems=[problem("prune.json")]),
    listed("rotten", "stale", state="stale", stale=True, problems=[problem("rotten.json")]),
]


def shown(width: int | None, jobs: list[dict[str, Any]] = JOBS, order: str = "status") -> list[str]:
    """The table as it is printed."""
    return list(table(COLUMNS, rows(sorted_jobs(jobs, order), NOW), width=width))


def test_a_job_at_work_shows_its_process_and_which_attempt_it_is() -> None:
    """The attempt only if it is not the first; a run that waits has no process."""
    begun = "2026-11-29T23:26:00Z"
    runs = [at_work(begun, pid=4711), at_work(begun, attempt=2, pid=4712), at_work(begun, "retry", attempt=2)]
    line = shown(100, [listed("a", "running", state="running", active_runs=runs)])[1]
    assert line.endswith("pid 4711; attempt 2, pid 4712")
    failing = listed("a", "failing", last=FAILED, last_line="no route", active_runs=[at_work(begun, pid=4711)])
    assert shown(100, [failing])[1].endswith("pid 4711; no route")


def test_the_worst_comes_first_and_says_why() -> None:
    """At 100 columns; the next start of a job with jitter is later than its slot."""
    assert shown(100) == [
        "JOB         STATUS          LAST  TOOK  USUAL  NEXT",
        "backup-db   failing x4   34m ago  4.0s      -  -       pg_dump: connection refused",
        "report      overdue 34m        -     -      -  -       last success 26h ago",
        "prune.json  refused            -     -      -  -       4:15: unknown field `shedule`",
        "rotten      stale              -     -      -  -       4:15: unknown field `shedule`",
        "reindex     running 38m        -     -    12m  -",
        "export      paused             -     -      -  -",
        "mail-queue  ok            4s ago  58ms   60ms  in 56s",
        "old         disabled           -     -      -  -",
    ]


def test_a_narrow_terminal_gets_fewer_columns_and_whole_ids() -> None:
    """What is left out is left out of each line."""
    assert shown(60)[0].split() == ["JOB", "STATUS", "LAST", "TOOK", "NEXT"]
    assert shown(45)[:2] == ["JOB         STATUS          LAST  NEXT", "backup-db   failing x4   34m ago  -"]
    assert shown(25)[:2] == ["JOB         STATUS", "backup-db   failing x4"]


def test_a_pipe_gets_everything() -> None:
    """However long it is."""
    long = listed("x" * 128, "failing", last=FAILED, last_line="y" * 120)
    line = shown(None, [long])[1]
    assert "x" * 128 in line
    assert line.endswith("y" * 120)


def test_a_long_id_stands_on_a_line_of_its_own() -> None:
    """So it neither is cut nor moves the other rows."""
    lines = shown(80, [*JOBS, listed("x" * 70)])
    assert "x" * 70 in lines
    assert lines[1].startswith("backup-db   failing x4")


@pytest.mark.parametrize(
    ("order", "first"),
    [("name", "backup-db"), ("next", "mail-queue"), ("last", "mail-queue"), ("took", "backup-db")],
)
def test_a_list_is_sorted_as_asked(order: str, first: str) -> None:
    """The soonest start, the latest result, the longest run."""
    assert shown(100, order=order)[1].split()[0] == first


@pytest.mark.parametrize(
    ("last", "line", "text"),
    [
        ({"reason": "exit", "exit_code": 1}, None, "exit 1"),
        ({"reason": "exit", "exit_code": 2}, "rate limit", "exit 2: rate limit"),
        ({"reason": "exit", "exit_code": 1}, "\x1b[31mno\x1b[0m \x1b]0;pwn\x07", "no \\x1b]0;pwn\\x07"),
        ({"reason": "exit", "signal": "SIGSEGV"}, None, "ended by SIGSEGV"),
        ({"reason": "timeout", "duration": 300.02}, None, "timed out after 5m"),
        ({"reason": "http", "http_status": 503}, None, "HTTP 503"),
        ({"reason": "start", "error": "there is no program `x`"}, None, "there is no program `x`"),
        ({"reason": "interrupted"}, None, "the service ended during the run"),
    ],
)
def test_a_failure_is_told_once(last: dict[str, Any], line: str | None, text: str) -> None:
    """By its last line of output, and by its reason where that says more than that it failed."""
    job = listed("a", "failing", last={"time": "2026-11-29T23:30:00Z", "status": "FAILURE", **last}, last_line=line)
    assert shown(None, [job])[1].endswith(f"  {text}")


def test_a_missed_slot_is_no_failure_and_is_told() -> None:
    """With its reason in words."""
    missed = {"time": "2026-11-29T23:30:00Z", "status": "MISSED", "reason": "down"}
    assert shown(None, [listed("a", last=missed)])[1].endswith("missed: the service was not running")


def test_a_job_that_fails_and_runs_says_both() -> None:
    """And that it is paused."""
    job = listed(
        "a", "failing", state="running", failures=2, last=FAILED, active_runs=[at_work(FAILED["time"])], paused=True
    )
    assert "failing x2, running, paused" in shown(None, [job])[1]


def test_a_pause_says_how_long_it_lasts_and_why() -> None:
    """One without an end lasts until somebody resumes the job."""
    pause = {"jobs": "a*", "until": "2026-11-30T05:04:00Z", "by": "anna", "reason": "database migration"}
    job = listed("a", "paused", state="paused", paused=True, pauses=[pause])
    assert "paused for 5h" in shown(None, [job])[1]
    assert shown(None, [job])[1].endswith("by anna: database migration")
    assert " for " not in shown(None, [{**job, "pauses": [pause, {**pause, "until": None, "reason": ""}]}])[1]


def test_the_summary_counts_what_matters() -> None:
    """Jobs are jobs; files with problems are counted beside them."""
    assert summary_text(JOBS) == "7 jobs: 1 failing, 1 overdue, 1 running, 1 paused, 2 files with problems"
    assert summary_text([listed("a")]) == "1 job"


def test_fields_for_programs_have_absolute_times_and_seconds() -> None:
    """Seven in each line, empty where there is nothing."""
    fields = {row[0]: list(row) for row in plain_rows(JOBS)}
    assert fields["mail-queue"] == [
        *("mail-queue", "ok", "SUCCESS", "2026-11-30T00:03:56Z", "0.058", "2026-11-30T00:04:56Z", "")
    ]
    assert fields["export"] == ["export", "paused", "", "", "", "", ""]
