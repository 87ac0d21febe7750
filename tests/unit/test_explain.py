"""Why a job did or did not run: one fact each, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.explain import Answer, Facts, LogEvidence, Overdue, Question, RuntimeState, collect_evidence, explain
from jobscheduler.model import Cron, Job, Once, Pause, Problem, TaskSpec
from jobscheduler.model.selection import Selector
from jobscheduler.timetable.timetable import timetable_of

BERLIN = ZoneInfo("Europe/Berlin")
SLOT = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)  # 01:00 in Berlin
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
TASK = TaskSpec.from_params("execute_command", {"command": "true"})
JOB = Job("report", Cron("0 1 * * *", "Europe/Berlin"), TASK)
IN_FORCE = RuntimeState("scheduled")


def text(at: datetime) -> str:
    """Return an instant as the log writes it."""
    return at.isoformat().replace("+00:00", "Z")


def line(word: str, at: datetime = SLOT, **pairs: str) -> Mapping[str, str]:
    """A line of the log."""
    return {"time": text(at), "word": word, "job_id": "report", **pairs}


def record(status: str, at: datetime = SLOT, **pairs: str) -> Mapping[str, str]:
    """Return the record of the slot."""
    return line(status, at, scheduled=text(SLOT), **pairs)


def facts(*lines: Mapping[str, str], job: Job | None = JOB, live: RuntimeState | None = IN_FORCE, **more: Any) -> Facts:
    """Return facts with these lines (newest first) in the log."""
    at, service = more.pop("at", SLOT), more.pop("service", ())
    story = collect_evidence(at, lines, service, more.pop("begins", LONG_AGO))
    return Facts(story, BERLIN, job, live, **more)


def then(known: Facts, at: datetime = SLOT) -> Answer:
    """Return the answer about a time."""
    return explain(Question("report", NOW, at), known)


HOUR = timedelta(hours=1)
BRIEF = Pause("1", Selector("report"), SLOT, SLOT + 24 * HOUR)
PAUSED = RuntimeState("paused", (Pause("1", Selector("report"), SLOT),))


@pytest.mark.parametrize(
    ("known", "word", "said"),
    [
        # 1: it has a record
        (
            facts(record("SUCCESS", started=text(SLOT), duration="1.204")),
            "ran",
            "`report` ran and succeeded; began Sun",
        ),
        (facts(record("FAILURE", reason="exit", exit_code="3")), "failed", "the command failed (exit code 3)"),
        (facts(record("FAILURE", reason="exit", signal="SIGKILL")), "failed", "the command failed (signal SIGKILL)"),
        (facts(record("FAILURE", reason="timeout")), "failed", "it was stopped at its time limit"),
        (facts(record("FAILURE", reason="replaced")), "failed", "its next slot was due and took its place"),
        (facts(record("FAILURE", reason="interrupted")), "failed", "the service or the host went down while it ran"),
        (facts(record("FAILURE", reason="start", error="no such user")), "failed", "not be started (no such user)"),
        (facts(record("SKIPPED", reason="overlap")), "skipped", "was skipped: its last run was still in progress"),
        (facts(record("SKIPPED", reason="overlap")), "skipped", "`queue`, `replace` or `allow`; it is `skip` now"),
        (
            facts(record("SKIPPED", reason="overlap"), job=replace(JOB, overlap="queue")),
            "skipped",
            "another slot was waiting already",
        ),
        (facts(record("SKIPPED", reason="paused")), "skipped", "was skipped: the job was paused"),
        (facts(record("MISSED", reason="asleep")), "missed", "was missed: the host was asleep"),
        (facts(record("MISSED", reason="down")), "missed", "was missed: the service was not running"),
        (facts(record("MISSED", SLOT + HOUR, reason="down")), "missed", "was 1h old"),
        (facts(record("MISSED", SLOT + HOUR, reason="down")), "missed", "`catch_up` allows 1m"),
        (
            facts(record("MISSED", SLOT + HOUR, reason="down"), job=replace(JOB, catch_up=0)),
            "missed",
            "`catch_up` is 0",
        ),
        (facts(record("MISSED", SLOT, reason="down")), "missed", "only the latest may still run"),
        (facts(record("MISSED", reason="deleted"), job=None), "missed", "the file was deleted before it could begin"),
        (facts(record("MISSED", reason="unknown")), "missed", "so it may have begun"),
        (facts(record("MISSED", reason="of the future")), "missed", "was missed: of the future"),
        (facts(record("FAILURE", reason="exit", output="no\nspace\n")), "failed", "the end of its output:\nno\nspace"),
        (facts(record("SUCCESS", attempts="3")), "ran", "it took 3 attempts"),
        # ... whatever the definition is by now
        (facts(record("SUCCESS"), job=replace(JOB, enabled=False)), "ran", "ran and succeeded"),
        (facts(record("SUCCESS"), job=None, live=None), "ran", "ran and succeeded"),
        (
            facts(record("SUCCESS"), job=replace(JOB, schedule=Cron("0 2 * * *", "UTC"))),
            "ran",
            "by its present definition it is not due at such a time",
        ),
        # 2: it goes on, or began
        (
            facts(
                live=RuntimeState(
                    "running", active_runs=({"scheduled": text(SLOT), "started": text(SLOT), "attempt": "2"},)
                )
            ),
            "running",
            "has been running since Sun 2026-11-22 01:00:00 CET, attempt 2",
        ),
        (
            facts(live=RuntimeState("waiting", active_runs=({"scheduled": text(SLOT), "waiting_for": "turn"},))),
            "waiting",
            "has not begun yet: it waits for its turn",
        ),
        (facts(line("run.started", scheduled=text(SLOT))), "started", "there is no record of its end yet"),
        (
            facts(
                line("run.attempt_failed", SLOT + HOUR, scheduled=text(SLOT), attempt="1"),
                line("run.started", scheduled=text(SLOT)),
                live=None,
            ),
            "started",
            "attempt 1 failed at Sun 2026-11-22 02:00:00 CET",
        ),
        # 3: there is no definition
        (facts(job=None, live=None), "unknown", "there is no job `report`"),
        (
            facts(line("job.removed", SLOT - HOUR), job=None, live=None),
            "removed",
            "its file was removed at Sun 2026-11-22 00:00:00 CET",
        ),
        (facts(job=None, live=None, known=("report",)), "removed", "there is no job `report` any more"),
        (
            facts(job=None, live=RuntimeState("refused"), problems=(Problem("unknown field `x`"),), file="r.json"),
            "refused",
            "`report` is refused: its definition in `r.json` has problems",
        ),
        # 6: a slot without a record
        (facts(begins=SLOT + HOUR), "log_missing", "the log does not reach back so far, it begins at Sun"),
        (facts(begins=None), "log_missing", "there is no log to read"),
        (
            facts(line("job.added", SLOT + HOUR)),
            "added_later",
            "was put there at Sun 2026-11-22 02:00:00 CET, after that",
        ),
        (
            facts(line("job.added", SLOT + 2 * HOUR), line("job.removed", SLOT + HOUR), line("job.added", SLOT - HOUR)),
            "no_record",
            "although it was due by its present definition",
        ),
        (facts(written=SLOT + HOUR), "added_later", "its file was put there or changed at Sun 2026-11-22 02:00:00"),
        (
            facts(line("job.updated", SLOT + HOUR, changed="schedule,catch_up")),
            "changed",
            "`schedule` and `catch_up` changed at Sun 2026-11-22 02:00:00 CET, and this answer is for the present",
        ),
        (
            facts(line("job.updated", SLOT + HOUR, changed="zone_rules")),
            "changed",
            "the rules of its zone changed at Sun 2026-11-22 02:00:00 CET, and this answer is for the present",
        ),
        (
            facts(line("job.updated", SLOT + HOUR, changed="description")),
            "no_record",
            "although it was due by its present definition",
        ),
        (facts(line("job.updated", SLOT + HOUR, changed="task"), written=SLOT + HOUR), "no_record", "it was due"),
        (facts(job=replace(JOB, enabled=False)), "disabled", "the job is disabled"),
        (
            facts(service=(line("service.started", SLOT + HOUR), line("service.stopped", SLOT - HOUR))),
            "down",
            "the service was not running then; it started at Sun 2026-11-22 02:00:00 CET",
        ),
        (
            facts(service=(line("service.stopped", SLOT - HOUR),), live=None),
            "down",
            "the service ended at Sun 2026-11-22 00:00:00 CET; its next start runs it if",
        ),
        (facts(), "no_record", "`report` has no record for Sun 2026-11-22 01:00:00 CET"),
    ],
)
def test_the_first_fact_that_explains_a_slot_is_the_answer(known: Facts, word: str, said: str) -> None:
    """In the order of the numbered reasoning."""
    answer = then(known)

    assert answer.code == word
    assert said in "\n".join(answer.sentences)


@pytest.mark.parametrize(
    ("job", "at", "said"),
    [
        (JOB, SLOT + HOUR, "`report` was not due at Sun 2026-11-22 02:00:00 CET: the hour is 2, not 1"),
        (JOB, SLOT + HOUR, "the slot before is Sun 2026-11-22 01:00:00 CET"),
        (JOB, SLOT + HOUR, "the slot after is Mon 2026-11-23 01:00:00 CET"),
        (JOB, SLOT + HOUR, "it is due: At 01:00 every day (Europe/Berlin)"),
        (JOB, SLOT + timedelta(microseconds=5), "slots are at whole seconds"),
        (JOB, NOW + HOUR, "`report` is not due at"),
        (replace(JOB, not_before=NOW), SLOT, "that is before `not_before`, Sun 2026-11-22 13:00:00 CET"),
        (replace(JOB, not_after=LONG_AGO), SLOT, "that is after `not_after`, Thu 2026-01-01 01:00:00 CET"),
        (replace(JOB, not_after=LONG_AGO), SLOT, "there is no slot after that"),
        (replace(JOB, schedule=Once(NOW)), SLOT, "its only time is Sun 2026-11-22 13:00:00 CET"),
        (replace(JOB, schedule=Cron("@reboot", "UTC")), SLOT, "only when the service first starts after a boot"),
        (replace(JOB, schedule=Cron("0 1 * * mon", "Europe/Berlin")), SLOT, "Sunday 2026-11-22 is not one of its days"),
    ],
)
def test_a_time_that_is_not_a_slot_is_explained_field_by_field(job: Job, at: datetime, said: str) -> None:
    """With the slots before and after it."""
    answer = then(facts(job=job, at=at), at)

    assert answer.code == "not_due"
    assert said in "\n".join(answer.sentences)


def test_a_time_between_the_slots_of_a_missed_group_was_not_missed() -> None:
    """Only slots of the group were, also those that no line names."""
    missed = line(
        "MISSED", NOW, scheduled=text(SLOT - 48 * HOUR), last=text(SLOT + 24 * HOUR), count="4", reason="down"
    )

    assert then(facts(missed)).code == "missed"
    assert "one of 4 slots from Fri" in "\n".join(then(facts(missed)).sentences)
    assert then(facts(missed, at=SLOT + HOUR), SLOT + HOUR).code == "not_due"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({"by": "anna", "reason": "a migration"}, "it was paused at Sun 2026-11-22 01:00:00 CET by anna: a migration"),
        ({"jobs": "*"}, "it was paused at Sun 2026-11-22 01:00:00 CET, with all jobs"),
        ({"jobs": "tag:shop", "by": "7"}, "it was paused at Sun 2026-11-22 01:00:00 CET, with `tag:shop` by 7"),
    ],
)
def test_a_slot_that_a_pause_skipped_is_explained_by_its_begin(pairs: dict[str, str], said: str) -> None:
    """Who paused what, when and why."""
    known = facts(record("SKIPPED", reason="paused"))
    known = replace(known, evidence=replace(known.evidence, paused=line("job.paused", **pairs)))
    assert then(known).sentences[-1] == said


def test_the_record_of_a_slot_counts_more_than_one_of_a_group_around_it() -> None:
    """Whichever is newer."""
    missed = line("MISSED", NOW, scheduled=text(SLOT - 48 * HOUR), last=text(SLOT + 24 * HOUR), reason="down")

    assert then(facts(missed, record("SUCCESS"))).code == "ran"
    assert then(facts(record("SUCCESS"), missed)).code == "ran"


@pytest.mark.parametrize(
    ("known", "word", "said"),
    [
        (facts(), "due", "`report` is due at Mon 2026-11-23 01:00:00 CET"),
        (facts(job=replace(JOB, jitter=300)), "due", "it starts up to 5m later"),
        (facts(job=replace(JOB, enabled=False)), "disabled", "which will not run: the job is disabled"),
        (
            facts(live=RuntimeState("paused", (Pause("1", Selector("*"), SLOT, None, "a migration", "anna"),))),
            "paused",
            "which will not run: the job is paused, with all jobs until it is resumed, by anna: a migration",
        ),
        (
            facts(live=RuntimeState("paused", (BRIEF, Pause("2", Selector("rep*"), SLOT, SLOT + 25 * HOUR)))),
            "paused",
            "the job is paused, with `rep*` until Mon 2026-11-23 02:00:00 CET (and 1 further pause)",
        ),
        (facts(live=RuntimeState("paused", (BRIEF,))), "due", "`report` is due at Mon 2026-11-23 01:00:00 CET"),
        (
            facts(live=RuntimeState("stale", stale=True)),
            "due",
            "its file has a problem, so its last good version is active",
        ),
    ],
)
def test_a_future_slot_is_explained_by_whether_it_will_run(known: Facts, word: str, said: str) -> None:
    """As things are now."""
    answer = then(known, SLOT + 24 * HOUR)

    assert answer.code == word
    assert said in "\n".join(answer.sentences)


def test_a_job_that_waits_for_the_clock_says_so_and_until_when() -> None:
    """Slots decided before the clock was set back do not run again; other slots do."""
    next_ = timetable_of(JOB).next(NOW)
    assert next_ is not None
    later = next_ + 3 * HOUR
    waiting = facts(live=RuntimeState("scheduled", next=((later, later),), decided=((NOW - HOUR, next_ + HOUR),)))
    said = explain(Question("report", NOW), waiting).sentences

    assert "`report` is due next at" in said[0]
    assert "the clock was set back: the slot of" in said[1]
    assert "was decided before that and does not run again, like all slots up to" in said[1]
    assert then(waiting, next_).code == "decided"
    assert not any("set back" in one for one in explain(Question("report", NOW), facts()).sentences)


def test_an_active_run_outranks_the_record_it_corrects() -> None:
    """The record that a wrong clock missed the slot is not the answer any more."""
    going = RuntimeState("running", active_runs=({"scheduled": text(SLOT), "started": text(SLOT)},))
    assert then(facts(record("MISSED", reason="clock"), live=going)).code == "running"


def test_a_slot_that_is_just_due_needs_no_explanation_yet() -> None:
    """Also while its jitter has not passed."""
    at = NOW - timedelta(seconds=2)
    job = replace(JOB, schedule=Cron(f"{at:%S %M} * * * *", "UTC"))
    assert explain(Question("report", NOW, at), facts(job=job, at=at)).code == "due"
    at = NOW - timedelta(seconds=120)
    job = replace(JOB, schedule=Cron(f"{at:%S %M} * * * *", "UTC"), jitter=300)
    assert explain(Question("report", NOW, at), facts(job=job, at=at)).code == "due"


def berlin(expression: str) -> Facts:
    """Return facts about a job in Berlin, and a log without records."""
    return facts(job=replace(JOB, schedule=Cron(expression, "Europe/Berlin")))


@pytest.mark.parametrize(
    ("expression", "at", "word", "said"),
    [
        ("30 2 * * *", datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "no_record", "the clock skips 02:30; runs right after"),
        ("30 2 * * *", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "no_record", "runs the first time only"),
        ("30 2 * * *", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "not_due", "the clock has shown 02:30 before"),
        ("*/30 2 * * *", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "no_record", "this is the second time"),
        ("*/30 2 * * *", datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "not_due", "the hour is 3, not 2"),
    ],
)
def test_changes_of_the_wall_clock_are_explained(expression: str, at: datetime, word: str, said: str) -> None:
    """In the gap and in the repeated hour, as the schedule has it."""
    answer = then(berlin(expression), at)

    assert answer.code == word
    assert said in "\n".join(answer.sentences)


@pytest.mark.parametrize(
    ("known", "word", "said"),
    [
        (facts(), "due", "`report` is due next at Mon 2026-11-23 01:00:00 CET"),
        (facts(), "due", "it is due: At 01:00 every day (Europe/Berlin)"),
        (facts(), "due", "then at Wed 2026-11-25 01:00:00 CET"),
        (
            facts(live=RuntimeState("scheduled", next=((NOW + HOUR, NOW + HOUR),))),
            "due",
            "`report` is due next at Sun 2026-11-22 14:00:00 CET",
        ),
        (facts(record("SKIPPED", reason="overlap")), "due", "the last record: its slot of Sun 2026-11-22 01:00:00 CET"),
        (facts(line("SUCCESS", trigger="manual")), "due", "the last record: its run by hand ran and succeeded"),
        (facts(job=replace(JOB, enabled=False)), "disabled", "`report` will not run: the job is disabled"),
        (facts(live=PAUSED), "paused", "`report` will not run: the job is paused until it is resumed"),
        (
            facts(live=RuntimeState("paused", (BRIEF,), next=((SLOT + 24 * HOUR, SLOT + 24 * HOUR),))),
            "paused",
            "`report` is due next at Mon 2026-11-23 01:00:00 CET: the job is paused until Mon 2026-11-23 01:00:00 CET",
        ),
        (
            facts(live=RuntimeState("running", active_runs=({"started": text(NOW)},))),
            "due",
            "has been running since Sun",
        ),
        (facts(live=RuntimeState("stale", stale=True)), "due", "its last good version is active"),
        (facts(job=replace(JOB, schedule=Once(SLOT))), "done", "had its only time at Sun 2026-11-22 01:00:00 CET"),
        (
            facts(job=replace(JOB, schedule=Once(SLOT)), live=RuntimeState("expired")),
            "expired",
            "had passed when its file was",
        ),
        (facts(job=replace(JOB, schedule=Once(NOW + HOUR))), "due", "is due next at Sun 2026-11-22 14:00:00 CET"),
        (facts(job=replace(JOB, not_after=LONG_AGO)), "done", "`not_after` was Thu 2026-01-01 01:00:00 CET"),
        (facts(job=replace(JOB, schedule=Cron("@reboot", "UTC"))), "due", "first starts after the host booted"),
        (facts(job=None, live=None, known=("reports",)), "unknown", "there is no job `report`"),
        (facts(live=None, was_asked=False), "due", "the service was not asked"),
        (facts(live=None, was_asked=False, job=None), "unknown", "no job file defines `report`"),
    ],
)
def test_without_a_time_the_next_slots_are_the_answer(known: Facts, word: str, said: str) -> None:
    """The next slots, what prevents them, and the last record."""
    answer = explain(Question("report", NOW), known)

    assert answer.code == word
    assert said in "\n".join(answer.sentences)


@pytest.mark.parametrize("known", [facts(live=PAUSED), facts(job=replace(JOB, enabled=False))])
def test_the_answer_about_an_inactive_job_has_its_next_slot(known: Facts) -> None:
    """The first slot too, which no headline names."""
    told = explain(Question("report", NOW), known).sentences

    assert told[2:4] == ("its next slot would be Mon 2026-11-23 01:00:00 CET", "then at Tue 2026-11-24 01:00:00 CET")


def test_an_unknown_id_gets_the_nearest_known_one() -> None:
    """Of those that occur."""
    assert then(facts(job=None, live=None, known=("reports", "x"))).help == "did you mean `reports`?"
    assert "jobscheduler list" in str(then(facts(job=None, live=None)).help)


def test_a_one_time_job_whose_file_came_too_late_is_expired() -> None:
    """As the log says for that time."""
    expired = line("job.expired", SLOT + HOUR, scheduled=text(SLOT))
    answer = then(facts(expired, job=replace(JOB, schedule=Once(SLOT)), written=SLOT + HOUR))

    assert answer.code == "expired"
    assert "`catch_up` allows 1m" in answer.sentences[0]


def test_evidence_counts_also_for_times_before_the_beginning_of_the_log() -> None:
    """A note says that the log does not reach back so far, where that may be another reason."""
    young, once = {"begins": SLOT + HOUR}, replace(JOB, schedule=Once(SLOT))
    expired = then(facts(line("job.expired", SLOT + HOUR, scheduled=text(SLOT)), job=once, **young))
    added = then(facts(line("job.added", SLOT + 2 * HOUR), **young))
    written = then(facts(written=SLOT + HOUR / 2, **young))

    assert (expired.code, "the log" in expired.sentences[0]) == ("expired", False)
    assert added.code == "added_later"
    assert "put there at Sun 2026-11-22 03:00:00 CET, after that time; the log does not" in added.sentences[0]
    assert written.code == "log_missing"
    assert "it begins at Sun 2026-11-22 02:00:00 CET; its file was put there or changed at" in written.sentences[0]


def test_the_problems_of_a_file_go_with_the_answer() -> None:
    """For a refused job and for a stale one."""
    problem = Problem("unknown field `x`")

    assert explain(Question("report", NOW), facts(live=RuntimeState("stale", stale=True), problems=(problem,))).problems
    assert then(facts(job=None, live=RuntimeState("refused"), problems=(problem,))).problems == (problem,)


def test_only_a_record_makes_the_service_unnecessary() -> None:
    """A record is final; all else the service may know differently."""
    assert then(facts(record("SUCCESS"), live=None, was_asked=False)).is_final
    assert not then(facts(live=None, was_asked=False)).is_final


def test_evidence_is_collected_without_keeping_the_lines() -> None:
    """However many there are."""
    lines = (line("SUCCESS", NOW, scheduled=text(SLOT + number * HOUR)) for number in range(10, -1, -1))
    story = collect_evidence(SLOT, lines)

    assert story == LogEvidence(record=story.record, last=story.last)
    assert (story.record or {})["scheduled"] == text(SLOT)
    assert (story.last or {})["scheduled"] == text(SLOT + 10 * HOUR)


def test_a_zone_with_a_surprising_sign_is_explained() -> None:
    """`Etc/GMT+3` is behind UTC; other zones need no note."""
    turned = replace(JOB, schedule=Cron("0 1 * * *", "Etc/GMT+3"))
    note = "`Etc/GMT+3` is 3 hours behind UTC: the sign in these names is reversed"

    def told(job: Job) -> tuple[str, ...]:
        return explain(Question("report", NOW), facts(job=job)).sentences

    assert note in told(turned)
    assert not any("reversed" in sentence for sentence in told(JOB))


def test_the_next_start_is_that_with_jitter_and_says_how_far_it_is() -> None:
    """The slot is named beside it, and may have passed."""
    live = RuntimeState("scheduled", next=((NOW - HOUR, NOW + HOUR),))
    answer = explain(Question("report", NOW), facts(job=replace(JOB, jitter=10800), live=live))
    assert answer.sentences[0] == (
        "`report` starts next at Sun 2026-11-22 14:00:00 CET (in 60m), for its slot of Sun 2026-11-22 12:00:00 CET"
    )


@pytest.mark.parametrize(
    ("overdue", "why"),
    [
        (
            Overdue(SLOT + HOUR, 3600.0, SLOT, LONG_AGO),
            "`success_within` allows 1h without a success, and the last one was at Sun 2026-11-22 01:00:00 CET",
        ),
        (
            Overdue(SLOT + HOUR, 86400.0, None, SLOT - 23 * HOUR),
            "`success_within` allows 1d without a success, and there has been none since it came into force at "
            "Sat 2026-11-21 02:00:00 CET",
        ),
        (Overdue(SLOT + HOUR), "`success_within` allows less without a success, and none is known"),
    ],
)
def test_an_overdue_job_says_why(overdue: Overdue, why: str) -> None:
    """How long it may be without a success, and from when that counts."""
    sentences = explain(Question("report", NOW), facts(live=RuntimeState("scheduled", overdue=overdue))).sentences
    assert f"it has been overdue since Sun 2026-11-22 02:00:00 CET: {why}" in sentences


def test_a_run_that_waits_behind_another_one_is_a_further_one() -> None:
    """The job itself has begun."""
    runs = ({"started": text(SLOT)}, {"scheduled": text(SLOT), "waiting_for": "turn"})
    sentences = explain(Question("report", NOW), facts(live=RuntimeState("running", active_runs=runs))).sentences
    assert "a further run of `report` has not begun yet: it waits for its turn" in sentences


def test_a_failing_and_overdue_job_says_since_when() -> None:
    """And how often in a row."""
    live = RuntimeState("scheduled", failures=4, failing_since=SLOT, overdue=Overdue(SLOT + HOUR))
    sentences = explain(Question("report", NOW), facts(live=live)).sentences
    assert "it has been failing since Sun 2026-11-22 01:00:00 CET, 4 times in a row" in sentences
    assert any(one.startswith("it has been overdue since Sun 2026-11-22 02:00:00 CET: ") for one in sentences)


def test_a_record_says_how_long_ago_it_was() -> None:
    """As people ask for it."""
    assert then(facts(record("SUCCESS"))).sentences[0].endswith("(12h ago)")
