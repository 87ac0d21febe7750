"""What `status` prints: what needs somebody first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler.cli.situation_lines import Screen, needs_operator, situation_lines
from tests.support.answers import at_work, problem, situation

NOW = datetime(2026, 11, 30, 0, 4, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
FAILED = {"status": "FAILURE", "reason": "exit", "exit_code": 1}

FAILING = {
    "count": 2,
    "jobs": [
        {
            "job_id": "backup-db",
            "failing_since": "2026-11-29T23:30:00Z",
            "failures": 4,
            "last": FAILED,
            "last_line": "pg_dump: connection refused",
        },
        {
            "job_id": "certs",
            "failing_since": "2026-11-28T09:15:00Z",
            "failures": 1,
            "last": {**FAILED, "exit_code": 2},
            "last_line": "rate limit",
        },
    ],
}
REINDEX = {"job_id": "reindex", "usual": 720.0, "active_runs": [at_work("2026-11-29T23:26:00Z")]}
RUNNING = {"count": 1, "jobs": [REINDEX]}
UPCOMING = [
    {"job_id": "heartbeat", "scheduled": "2026-11-30T00:04:00Z", "start": "2026-11-30T00:04:03Z"},
    {"job_id": "report", "scheduled": "2026-11-30T07:00:00Z", "start": "2026-11-30T07:00:00Z"},
]


def shown(answer: dict[str, Any], width: int | None = 80, *, with_service: bool = False, colour: bool = False) -> str:
    """The text of an answer."""
    screen = Screen(NOW, "shop-1", width, colour, BERLIN)
    return "\n".join(situation_lines(answer, screen, with_service=with_service))


def test_a_running_job_shows_its_process_and_which_attempt_it_is() -> None:
    """So that it can be looked at with the tools of the host."""
    job = {**REINDEX, "active_runs": [at_work("2026-11-29T23:26:00Z", attempt=2, pid=4711)]}
    text = shown(situation(running_jobs={"count": 1, "jobs": [job]}))
    assert "running     1  reindex  38m (usually 12m), attempt 2, pid 4711" in text


def test_nothing_to_report_is_one_line() -> None:
    """With the clock and its zone, and what comes next."""
    assert shown(situation(upcoming=UPCOMING), None) == (
        "shop-1: the service is well, 3 jobs, Mon 30 Nov 01:04 CET; next: heartbeat in 3s, report in 6h"
    )


def test_the_service_is_shown_when_asked_for() -> None:
    """Where its files are, and how busy it is."""
    assert shown(situation(queued=2, running=32), with_service=True).splitlines() == [
        "shop-1: the service is well, 3 jobs, Mon 30 Nov 01:04 CET",
        "",
        "service    jobscheduler 1.0, process 7, up for 2h04m",
        "workers    32 of 32 busy, 2 waiting",
        "directory  /etc/scheduler/jobs.d",
        "log        /var/log/scheduler/scheduler.log",
        "zone       Europe/Berlin",
    ]


def test_what_needs_an_operator_comes_first() -> None:
    """Failing jobs with since when, how often and the end of their output; then files, runs and pauses."""
    overdue = {"job_id": "sync", "overdue_since": "2026-11-29T23:00:00Z", "last_success": None}
    pause = {"jobs": "billing-*", "until": "2026-11-30T05:00:00Z", "by": "anna", "reason": "move", "except": []}
    answer = situation(
        failing=FAILING,
        overdue={"count": 1, "jobs": [overdue]},
        problems=[problem("prune.json", help_="did you mean `schedule`?")],
        running_jobs=RUNNING,
        paused={"count": 2, "jobs": [{"job_id": "billing-1"}, {"job_id": "billing-2"}]},
        pauses=[pause],
        upcoming=UPCOMING,
    )
    assert shown(answer).splitlines()[:12] == [
        "shop-1: the service is well, 3 jobs, Mon 30 Nov 01:04 CET",
        "",
        "failing     2  backup-db  since 00:30, 4 times   pg_dump: connection refused",
        "               certs      since Sat 10:15, once  exit 2: rate limit",
        "overdue     1  sync  since 00:00  no success yet",
        "files       1  prune.json:4:15  unknown field `shedule` - did you mean",
        "                                `schedule`?",
        "running     1  reindex  38m (usually 12m)",
        "paused      2  billing-*  until 06:00 by anna: move",
        "",
        "next: heartbeat in 3s, report in 6h",
        "",
    ]


def test_trouble_of_the_service_comes_before_all() -> None:
    """And the head says so."""
    lines = shown(situation(issues=["the log cannot be written"], failing=FAILING)).splitlines()
    assert lines[0].startswith("shop-1: the service has a problem, ")
    assert lines[2] == "service     1  the log cannot be written"
    assert shown(situation(late_part="the watcher")).splitlines()[2] == "service     1  the watcher is not on time"


def test_equal_problems_are_merged() -> None:
    """With the first files by name."""
    problems = [problem(f"{name}.json", help_="did you mean `schedule`?") for name in "abcde"]
    assert shown(situation(problems=problems), None).splitlines()[2] == (
        "files       5  5 files  unknown field `shedule` - did you mean `schedule`? (a.json, b.json, c.json and 2 more)"
    )


def test_a_group_has_at_most_eight_rows() -> None:
    """And then the verb that shows all."""
    jobs = [{**FAILING["jobs"][0], "job_id": f"job-{number}"} for number in range(20)]  # type: ignore[index]
    lines = shown(situation(failing={"count": 20, "jobs": jobs})).splitlines()
    assert lines[10] == "               and 12 more: `jobscheduler list --failing`"


def test_colour_is_for_words_and_a_run_that_is_long() -> None:
    """What a job is called or prints stays harmless."""
    jobs = [{**FAILING["jobs"][0], "last_line": "\x1b[2Jgone"}]  # type: ignore[index]
    text = shown(situation(failing={"count": 1, "jobs": jobs}, running_jobs=RUNNING), colour=True)
    assert "\x1b[31mfailing\x1b[0m" in text
    assert "\x1b[33m38m (usually 12m)\x1b[0m" in text
    assert "\\x1b[2Jgone" in text


def test_lines_fit_the_terminal_and_break_at_words() -> None:
    """At any width that has room for the names."""
    answer = situation(failing=FAILING, notes=["a note that is much longer than a terminal of forty columns is wide"])
    for width in (60, 80, 200):
        assert max(map(len, shown(answer, width).splitlines())) <= width


def test_a_long_name_has_a_line_of_its_own_on_a_terminal() -> None:
    """It is never cut, and what is said about it is where that of the others is; a pipe gets one line."""
    long = {**FAILING["jobs"][0], "job_id": "a" * 100}  # type: ignore[index]
    answer = situation(failing={"count": 2, "jobs": [long, FAILING["jobs"][0]]})  # type: ignore[index]
    first, second, third = shown(answer).splitlines()[2:5]
    assert first == f"failing     2  {'a' * 100}"
    assert second.index("since") == third.index("since")
    assert len(shown(answer, None).splitlines()[2:5][1]) > 0
    assert f"{'a' * 100}  since" in shown(answer, None)


def test_only_the_service_and_files_need_somebody_as_a_check_of_health() -> None:
    """A job that fails is the job's."""
    assert not needs_operator(situation(failing=FAILING))
    assert needs_operator(situation(problems=[problem("a.json")]))
    assert needs_operator(situation(issues=["x"]))
