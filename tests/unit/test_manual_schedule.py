"""`@manual`: a job that is never due by itself, wherever schedules count."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import cli, tasks
from jobscheduler.control.redact import redacted_definition
from jobscheduler.explain import Facts, LogEvidence, Question, RuntimeState, explain
from jobscheduler.jobs.parser import Defaults, ParseContext, parse
from jobscheduler.model import Cron, Job, Problem
from jobscheduler.model.hash_digits import has_same_slots
from jobscheduler.status.snapshot import JobState, job_state
from jobscheduler.timetable import crontab
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.timetable.timetable import timetable_of
from tests.support.service import job as definition
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, World, gate, world
from tests.unit.test_scheduler import job as scheduled
from tests.unit.test_scheduler_manual_runs import manual_records
from tests.unit.test_scheduler_pauses import LoggedWorld

__all__ = ["gate", "world"]

BERLIN = ZoneInfo("Europe/Berlin")
RULES = ParseContext(BERLIN, tasks.task_type, tasks.task_names())
MANUAL = Cron("@manual", "Europe/Berlin")


def parsed(rules: ParseContext = RULES, **fields: object) -> Job | tuple[Problem, ...]:
    """Parse a job with this schedule."""
    return parse(json.dumps(definition("m", "@manual", **fields)).encode(), "m.json", rules)


def manual_job(**fields: object) -> Job:
    """Return such a job; it has to be right."""
    found = parsed(**fields)
    assert isinstance(found, Job), found
    return found


def test_it_is_a_schedule_without_slots() -> None:
    """In words, in numbers, and beside others."""
    schedule = crontab.parse("@manual")
    assert (schedule.manual, schedule.has_slots, schedule.at_boot) == (True, False, False)
    assert schedule != crontab.parse("@reboot")
    assert crontab.describe(schedule) == "Never by itself, only when a person or a program runs it"
    assert schedule.next(NOON, BERLIN) is None
    assert crontab.count_slots(schedule, BERLIN, 0, 10**9) == 0
    assert crontab.why_not_due(schedule, NOON, BERLIN) == ("it is never due by itself",)
    table = timetable_of(manual_job())
    assert (table.next(NOON), table.next_start(NOON), table.last_between(NOON, NOON + timedelta(days=9))) == (None,) * 3
    assert table.summarize(NOON, NOON + timedelta(days=9), 10) is None


@pytest.mark.parametrize("text", ["@manul", "manual", "@Manual"])
def test_a_mistyped_one_gets_the_right_one(text: str) -> None:
    """As other macros do."""
    with pytest.raises(crontab.ScheduleError) as refused:
        crontab.parse(text)
    assert refused.value.help == "write `@manual`"


@pytest.mark.parametrize("field", ["catch_up", "jitter", "not_before", "not_after"])
def test_what_is_about_slots_is_refused_with_it(field: str) -> None:
    """At its place, and with the way out."""
    value = "2027-01-01T00:00Z" if field.startswith("not_") else "5m"
    found = parsed(**{field: value})
    assert isinstance(found, tuple)
    assert [(one.message, one.help) for one in found] == [
        (
            f"`{field}` means nothing with `@manual`",
            "leave it out: such a job is never due by itself, so it has no slots",
        )
    ]
    assert found[0].line


def test_what_is_about_runs_or_comes_from_the_defaults_is_accepted() -> None:
    """And `null`, which says nothing."""
    fields = {"timeout": "5m", "overlap": "queue", "retry": {"attempts": 2}, "tags": ["ops"], "timezone": "UTC"}
    assert manual_job(**fields, catch_up=None).overlap == "queue"
    rules = ParseContext(BERLIN, tasks.task_type, tasks.task_names(), Defaults({"catch_up": "1h", "jitter": "1m"}))
    assert isinstance(parsed(rules), Job)


def test_its_definition_as_shown_is_one_that_is_accepted() -> None:
    """Without the defaults of what means nothing: `explain` parses it again."""
    shown = redacted_definition(manual_job())
    assert shown["schedule"] == "@manual"
    assert isinstance(parse(json.dumps(shown).encode(), "m.json", RULES), Job)


def test_it_has_other_slots_than_any_other_schedule() -> None:
    """The hash of the definition says so, also beside `@reboot`."""
    digits = [definition_hash(scheduled(schedule=Cron(text, "UTC"))) for text in ("@manual", "@reboot", "@daily")]
    assert not any(has_same_slots(one, other) for one, other in pairwise(digits))


def test_it_is_known_never_due_and_run_by_hand(world: World) -> None:
    """However long the service runs."""
    assert world.put(scheduled(schedule=MANUAL)) is None
    world.due("x", 86_400)
    (found,) = world.scheduler.runtimes()
    assert (found.next, world.scheduler.upcoming("x", 3), world.records()) == (None, [], [])
    world.scheduler.run_now(scheduled(schedule=MANUAL), "0")
    wait_until(lambda: manual_records(world))
    assert manual_records(world)[0][0] == "SUCCESS"


def test_an_outage_misses_nothing_of_it_and_a_new_schedule_counts_from_its_edit(tmp_path: Path) -> None:
    """Neither before nor after a restart, in whichever direction the file changed."""
    first = LoggedWorld(tmp_path).start(scheduled("stays", MANUAL), scheduled("was", MANUAL), scheduled("becomes"))
    first.stop()
    world = LoggedWorld(tmp_path, 301)
    edited = NOON + timedelta(seconds=200)
    for one, at in ((scheduled("stays", MANUAL), NOON), (scheduled("was", catch_up=0), edited),
                    (scheduled("becomes", MANUAL), edited)):  # fmt: skip
        world.scheduler.put(Job(**{name: getattr(one, name) for name in ("id", "schedule", "task", "catch_up")},
                                modified_at=at), world.now)  # fmt: skip
    world.scheduler.start()
    assert [(one, status) for one, status, _ in world.records()] == [(240, "MISSED")]
    world.crash()


@pytest.mark.parametrize(
    ("state", "expected"),
    [({}, JobState.MANUAL), ({"enabled": False}, JobState.DISABLED), ({"paused": True}, JobState.PAUSED)],
)
def test_its_state_says_that_it_waits_for_nothing(state: dict[str, bool], expected: JobState) -> None:
    """It is neither scheduled nor done."""
    rest = {"enabled": True, "paused": False, "stale": False, "expired": False, "upcoming": False, **state}
    assert job_state(active_runs=(), manual=True, **rest) is expected


def test_explain_says_how_it_is_run() -> None:
    """And that it was not due at a time."""
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    facts = Facts(LogEvidence(), BERLIN, manual_job(), RuntimeState("manual"))
    answer = explain(Question("m", now), facts)
    assert (answer.code, answer.sentences[0]) == (
        "manual",
        "`m` is never due by itself (`@manual`): `jobscheduler run m` runs it",
    )
    past = explain(Question("m", now, now - timedelta(hours=1)), facts)
    assert past.code == "not_due"
    assert past.sentences == ("`m` was not due at Sun 2026-11-22 12:00:00 CET: it is never due by itself",)


def test_next_and_validate_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a file and as an expression."""
    file = tmp_path / "m.json"
    file.write_text(json.dumps(definition("m", "@manual")))
    assert cli.main(["validate", str(file)]) == 0
    capsys.readouterr()
    assert cli.main(["next", "--timezone", "UTC", str(file)]) == 0
    assert cli.main(["next", "--timezone", "UTC", "--cron", "@manual"]) == 0
    sentence = "Never by itself, only when a person or a program runs it"
    assert capsys.readouterr().out == f"m: @manual (UTC)\n  {sentence}\ncrontab: @manual (UTC)\n  {sentence}\n"
