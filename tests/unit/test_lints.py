"""What is legal in a definition and odd: each warning has a place, a reason and what to write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import tasks
from jobscheduler.jobs.parser import ParseContext, definition_warnings, parse
from jobscheduler.model import Job, Problem
from tests.support.service import job

RULES = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def warnings(definition: dict[str, Any], rules: ParseContext = RULES) -> tuple[Problem, ...]:
    raw = json.dumps(definition, indent=1).encode()
    accepted = parse(raw, "a.json", rules)
    assert isinstance(accepted, Job), accepted
    return definition_warnings(raw, "a.json", accepted, rules, NOW)


def told(definition: dict[str, Any]) -> list[tuple[str, str | None]]:
    found = warnings(definition)
    assert all(one.is_lint and one.line for one in found)
    return [(one.message, one.help) for one in found]


def of_schedule(schedule: str, **fields: Any) -> list[tuple[str, str | None]]:
    return told({**job("a", schedule, "true"), **fields})


UNEVEN = {
    "*/7 * * * *": (
        "`*/7` does not divide the hour: from minute 56 to 0 it is 4",
        "write `*/6 * * * *` or `*/10 * * * *` for even distances",
    ),
    "*/45 * * * * *": (
        "`*/45` does not divide the minute: from second 45 to 0 it is 15",
        "write `*/30 * * * * *` for even distances",
    ),
    "0 */5 * * *": (
        "`*/5` does not divide the day: from hour 20 to 0 it is 4",
        "write `0 */4 * * *` or `0 */6 * * *` for even distances",
    ),
    "0-59/7 * * * *": (
        "`0-59/7` does not divide the hour: from minute 56 to 0 it is 4",
        "write `0-59/6 * * * *` or `0-59/10 * * * *` for even distances",
    ),
    "0 0 1 */5 *": (
        "`*/5` does not divide the year: from month 11 to 1 it is 2",
        "write `0 0 1 */4 *` or `0 0 1 */6 *` for even distances",
    ),
    "*/90 * * * *": ("`*/90` is longer than the field: it matches only 0", "write `0 * * * *` if that is meant"),
    "0 0 */2 * *": (
        "`*/2` begins anew in each month: day 31 is followed by day 1",
        "write the days, such as `1,15`; crontab cannot count days over months",
    ),
    "0 0 */31 * *": ("`*/31` is longer than the field: it matches only 1", "write `0 0 1 * *` if that is meant"),
    "0 0 */2 * mon": (  # a field that begins with a star is no restricted one: both have to match
        "`*/2` begins anew in each month: day 31 is followed by day 1",
        "write the days, such as `1,15`; crontab cannot count days over months",
    ),
    "0 0 * * */2": (
        "`*/2` begins anew on Sunday: from Saturday to Sunday the steps are not even",
        "write the weekdays, such as `mon,wed,fri`",
    ),
}


@pytest.mark.parametrize("schedule", UNEVEN)
def test_a_step_that_does_not_divide_is_odd(schedule: str) -> None:
    assert of_schedule(schedule) == [UNEVEN[schedule]]


@pytest.mark.parametrize("schedule", ["*/5 * * * *", "0 */6 * * *", "0 9-17/3 * * *", "*/7,30 * * * *", "@hourly"])
def test_a_step_that_divides_or_ends_within_the_field_is_not(schedule: str) -> None:
    assert of_schedule(schedule) == []


def test_the_place_of_an_odd_step_is_the_step() -> None:
    (found,) = warnings(job("a", "0 */5 * * *", "true"))
    assert found.excerpt is not None
    assert found.excerpt[found.caret : found.caret + found.width] == "*/5"


@pytest.mark.parametrize(
    ("schedule", "help_"),
    [
        ("0 0 13 * fri", "write `*` for the one that does not matter; crontab cannot ask for both"),
        ("0 0 1-7 * fri", "write `0 0 * * fri#1` for that one day of each month"),
        ("0 0 1-7 * 05", "write `*` for the one that does not matter; crontab cannot ask for both"),
        ("0 0 25-31 * 5", "write `0 0 * * 5L` for that one day of each month"),
    ],
)
def test_two_restricted_day_fields_are_odd(schedule: str, help_: str) -> None:
    day, weekday = schedule.split()[2], schedule.split()[4]
    message = f"both day fields are restricted, and either is enough: `{day}` or `{weekday}`"
    assert of_schedule(schedule) == [(message, help_)]


def test_an_hour_that_the_clock_skips_or_repeats_is_odd() -> None:
    """With the dates of the next two years, what then happens, and another hour."""
    definition = {**job("a", "30 2 * * *", "true"), "timezone": "Europe/Berlin"}
    (found,) = warnings(definition)
    assert found.message == (
        "the clock of Europe/Berlin skips 02:30 on Sun 2027-03-28 and shows 02:30 twice on Sun 2027-10-31"
    )
    assert found.notes == (
        "when it is skipped the run comes at 03:00",
        "when it is shown twice the run comes the first time only",
    )
    assert found.help == (
        'write another hour, such as `30 3 * * *`, or set `"timezone": "UTC"`, whose clock is never changed'
    )
    assert of_schedule("30 3 * * *", timezone="Europe/Berlin") == []
    assert of_schedule("0 3 * * *", timezone="Europe/Berlin") == []  # the first instant after the gap
    assert of_schedule("30 2 * * *") == []


def test_an_hour_of_a_job_that_follows_real_time_is_skipped_or_comes_twice() -> None:
    """One of every hour has no certain hour, and nothing is odd about it."""
    (found,) = warnings({**job("a", "*/10 2 * * *", "true"), "timezone": "Europe/Berlin"})
    assert found.notes == (
        "none of its times in that hour comes on the first of these days",
        "its times in the repeated hour come in both passes",
    )
    assert of_schedule("*/10 * * * *", timezone="Europe/Berlin") == []


def test_a_job_that_is_not_due_for_long_or_never_again_is_odd() -> None:
    past, later = "2020-01-01T00:00:00Z", "2027-01-02T00:00:00Z"
    assert of_schedule("0 0 29 2 *") == [("it is not due before 2028-02-29, in 455 days", "is that what is meant?")]
    assert of_schedule("@daily", not_after=past) == [
        ("`not_after` has passed: it is never due again", "delete the file, or the field")
    ]
    assert of_schedule("0 0 1 5 *", not_before="2027-01-01T00:00:00Z", not_after=later) == [
        ("no slot lies between `not_before` and `not_after`, so it is never due", "is one of the two mistyped?")
    ]
    assert of_schedule(past) == [
        ("its only slot is over: it is reported as expired and never run", "delete the file, or write a later time")
    ]
    only_slot = {"not_before": "2026-11-01T00:00:00Z", "not_after": "2026-11-01T00:00:30Z"}
    assert of_schedule("@daily", **only_slot)[0][0] == "`not_after` has passed: it is never due again"
    assert of_schedule("@daily", not_after=past, enabled=False) == []
    assert of_schedule("@yearly") == []
    assert of_schedule("@reboot") == []
    assert of_schedule("@manual", timeout="10m") == []


def test_a_time_limit_longer_than_the_interval_is_odd_where_slots_are_skipped() -> None:
    assert of_schedule("*/5 * * * *", timeout="10m") == [
        (
            "a run may take longer than the 5 min between two slots, and slots meanwhile are skipped",
            'write at most 300 seconds, or say `"overlap": "queue"` or `"replace"`',
        )
    ]
    assert of_schedule("*/5 * * * *", timeout="10m", overlap="queue") == []
    assert of_schedule("*/5 * * * *", timeout="5m") == []


def test_a_jitter_longer_than_the_interval_is_odd() -> None:
    assert of_schedule("*/2 * * * *", jitter="10m") == [
        ("no start is put off beyond the following slot, which comes after 2 min", "write at most 120 seconds")
    ]
    assert of_schedule("*/2 * * * *", jitter="2m") == []


# --- programs and directories ---------------------------------------------------------------------------------


def of_task(**fields: Any) -> list[tuple[str, str | None]]:
    definition = job("a", "@hourly", "true")
    definition["task"] |= fields
    found = warnings(definition)
    assert all(one.host_dependent and one.is_lint for one in found)
    return [(one.message, one.help) for one in found]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with a program, and with a file that is none."""
    for name, mode in (("there", 0o755), ("text", 0o644)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    return tmp_path


def test_a_program_that_is_not_there_is_odd(programs: Path) -> None:
    """As the `PATH` of the job finds it, in a list and as the first word of each command of a text."""
    env = {"PATH": str(programs)}
    absent = (f"the program `absent` is not in `{programs}`", "install it, or write its path")
    assert of_task(command=["absent", "x"], env=env) == [absent]
    assert of_task(command="there | absent > /dev/null 2>&1", env=env) == [absent]
    assert of_task(command="A=b there && absent", env=env) == [absent]
    assert of_task(command=["there"], env=env) == []
    assert of_task(command=f"{programs}/absent") == [
        (f"the program `{programs}/absent` does not exist", "install it, or write its path")
    ]
    assert of_task(command=[f"{programs}/text"])[0][0].startswith(f"the program `{programs}/text` is there, and `")


@pytest.mark.parametrize(
    "command",
    [
        "$PROGRAM x",
        "for f in absent; do absent; done",
        "absent() { true; }; absent",
        "cd /nowhere && ./absent",
        "PATH=/elsewhere absent",
        "if test -x /absent; then exec /absent; fi",
        'true; "absent"',
        "true # ; absent",
    ],
)
def test_what_only_a_shell_understands_is_left_alone(command: str) -> None:
    assert of_task(command=command) == []


def test_a_search_path_that_is_not_known_here_is_not_judged() -> None:
    assert of_task(command=["absent"], pass_env=["PATH"]) == []


def test_a_script_and_a_directory_that_are_not_there_are_odd(programs: Path) -> None:
    assert of_task(command=f"/bin/sh {programs}/absent.sh") == [
        (f"the file `{programs}/absent.sh` does not exist", "install it, or write its path")
    ]
    assert of_task(command=["there"], cwd=f"{programs}/nowhere") == [
        (f"the directory `{programs}/nowhere` does not exist", "make it, or write another one")
    ]
    assert of_task(command="./there", cwd=str(programs)) == []
    assert of_task(command="true", shell="/bin/nosh") == [
        ("the shell `/bin/nosh` does not exist", "install it, or write its path")
    ]


def test_a_portable_check_does_not_look_at_this_host() -> None:
    definition = {**job("a", "*/7 * * * *", "true")}
    definition["task"] |= {"command": ["absent"], "user": "nobody-knows-this-user"}
    rules = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names(), is_portable=True)
    assert [one.message for one in warnings(definition, rules)] == [UNEVEN["*/7 * * * *"][0]]
