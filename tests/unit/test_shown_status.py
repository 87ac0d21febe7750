"""One word for each job, the worst that applies, and which jobs a request for the list wants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from jobscheduler.control.job_query import EVERY_JOB, parse_query
from jobscheduler.model import NO_TASK, Cron, Job, Pause, Record, Status
from jobscheduler.model.selection import Selector
from jobscheduler.status.shown_status import KNOWN_WORDS, all_words, is_failing, shown_status
from jobscheduler.status.situation import count_statuses, situation_json
from jobscheduler.status.snapshot import ActiveRun, JobState, JobStatus, ServiceStatus, Snapshot
from jobscheduler.web.job_list import list_jobs
from jobscheduler.web.page_query import PageQuery

AT = datetime(2026, 11, 30, 1, tzinfo=UTC)
RUN = ActiveRun("r", AT, AT, 1)


def record(status: Status = Status.FAILURE, reason: str | None = "exit") -> Record:
    """The last record of a job."""
    return Record(AT, status, "a", reason=reason)


def one(job_id: str = "a", state: JobState = JobState.SCHEDULED, **fields: Any) -> JobStatus:
    """A job that is scheduled unless the fields say otherwise."""
    schedule, task = Cron(fields.pop("schedule", "@daily"), "UTC"), NO_TASK
    is_enabled = state is not JobState.DISABLED
    definition = Job(job_id, schedule, task, tags=fields.pop("tags", ()), enabled=is_enabled)
    return JobStatus(job_id, state, f"{job_id}.json", definition, **fields)


PAUSE = Pause("p", Selector("*"), AT, None, "", "")
REFUSED = JobStatus(None, JobState.REFUSED, "bad.json")


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (one(), "ok"),
        (one(last=record()), "failing"),
        (one(last=record(reason="stopped")), "ok"),
        (one(last=record(Status.MISSED, "down")), "ok"),
        (one(last=record(Status.SUCCESS, None), failures=2), "failing"),
        (one(last=record(), state=JobState.RUNNING, active_runs=(RUN,)), "failing"),
        (one(overdue_since=AT, pauses=(PAUSE,)), "overdue"),
        (REFUSED, "refused"),
        (one(state=JobState.RUNNING, stale=True), "stale"),
        (one(state=JobState.RUNNING, pauses=(PAUSE,)), "running"),
        (one(state=JobState.WAITING), "waiting"),
        (one(state=JobState.PAUSED, pauses=(PAUSE,)), "paused"),
        (one(state=JobState.DISABLED), "disabled"),
        (one(state=JobState.DONE, schedule="@manual"), "manual"),
        (one(state=JobState.DONE), "done"),
        (one(state=JobState.EXPIRED), "expired"),
    ],
)
def test_the_worst_word_that_applies_is_the_status(job: JobStatus, status: str) -> None:
    """A run that a person or the service ended does not make a job failing."""
    assert shown_status(job) == status
    assert is_failing(job) == (status == "failing")


def test_a_job_is_found_by_every_word_that_applies() -> None:
    """It may be running, paused and failing at once."""
    job = one(last=record(), state=JobState.RUNNING, active_runs=(RUN,), pauses=(PAUSE,))
    assert all_words(job) == {"failing", "running", "paused"}
    assert all_words(one()) == {"ok", "scheduled"}


EVERY_KIND = [
    one(
        f"job-{number}",
        state,
        last=last,
        overdue_since=AT if is_overdue else None,
        stale=is_stale,
        pauses=(PAUSE,) if is_paused else (),
        schedule=schedule,
    )
    for number, (state, last, is_overdue, is_stale, is_paused, schedule) in enumerate(
        product(
            [state for state in JobState if state is not JobState.REFUSED],
            (None, record()),
            (False, True),
            (False, True),
            (False, True),
            ("@daily", "@manual"),
        )
    )
]


@pytest.mark.parametrize("word", KNOWN_WORDS)
def test_the_list_and_the_page_find_the_same_jobs_by_a_word(word: str) -> None:
    """Of every state and all that can be true beside it; the number on the page's chip is that of these jobs."""
    jobs = [*EVERY_KIND, REFUSED]
    entries = [(job, all_words(job)) for job in jobs]
    of_verb = {job.id or job.file for job in jobs if parse_query(f"state={word}").wants(job)}
    of_page = list_jobs(entries, PageQuery(state=word))
    assert {job.id or job.file for job in of_page.jobs} == of_verb
    assert dict(of_page.states).get(word, len(of_verb)) == len(of_verb)
    assert of_verb


REPORT = one("report", tags=("shop", "night"))
JOBS = (one("billing-1", tags=("shop",)), one("billing-2", last=record()), REPORT, REFUSED)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["billing-1", "billing-2", "report", None]),
        ("job=report", ["report"]),
        ("job=billing-*", ["billing-1", "billing-2"]),
        ("job=billing-1&job=report", ["billing-1", "report"]),
        ("job=tag%3Anight", ["report"]),
        ("tag=shop", ["billing-1", "report"]),
        ("job=billing-*&tag=shop", ["billing-1"]),
        ("state=failing&state=refused", ["billing-2", None]),
        ("tag=shop&state=failing", []),
        ("job=bad", [None]),
        ("job=bad.json", [None]),
    ],
)
def test_a_query_selects_by_job_tag_and_word(query: str, ids: list[str | None]) -> None:
    """Conditions of one kind add up, those of different kinds restrict each other."""
    wanted = parse_query(query)
    assert [job.id for job in JOBS if wanted.wants(job)] == ids


def test_what_selects_nothing_is_told() -> None:
    """Jobs and tags, but no words: a list of failing jobs may be empty."""
    unmatched = parse_query("job=nope&job=report&tag=x&state=paused").unmatched(JOBS)
    assert [selector.text for selector in unmatched] == ["nope", "tag:x"]


def test_only_ids_need_no_look_at_all_jobs() -> None:
    """A pattern or a tag does."""
    assert parse_query("job=a&job=b&state=failing").ids == {"a", "b"}
    assert parse_query("job=a&job=b*").ids is None
    assert EVERY_JOB.ids is None


def test_a_query_leaves_out_jobs_that_are_due_later_or_never() -> None:
    """The instant itself still counts; it has an offset."""
    jobs = [one("now", next=AT), one("later", next=AT + timedelta(seconds=1)), one("never"), REFUSED]
    wanted = parse_query("due_by=2026-11-30T01%3A00%3A00Z")
    assert [job.id for job in jobs if wanted.wants(job)] == ["now"]
    for text in ("2026-11-30T01:00:00", "tomorrow", "%00"):
        with pytest.raises(ValueError, match=r"isoformat|offset"):
            parse_query(f"due_by={text}")


def test_a_query_with_too_many_fields_is_refused() -> None:
    """Reading it would cost more than it is worth."""
    with pytest.raises(ValueError, match="fields"):
        parse_query("&".join(["job=a"] * 2000))


def test_the_situation_names_the_worst_of_each_group() -> None:
    """And how many there are; jitter counts for what comes next."""
    later = datetime(2026, 11, 30, 2, tzinfo=UTC)
    jobs = (
        one("old", failures=3, failing_since=AT, last=record(), last_line="why"),
        one("new", failures=1, failing_since=later, last=record()),
        one("late", overdue_since=AT),
        one("busy", state=JobState.RUNNING, active_runs=(RUN,), usual=2.5),
        one("quiet", state=JobState.PAUSED, pauses=(PAUSE,)),
        one("jitter", next=AT, start=later),
    )
    service = ServiceStatus("1", 1, AT, "UTC", "", "", 1, 0, 0, 0, 0.0)
    answer = situation_json(Snapshot(AT, service, jobs))
    assert [job["job_id"] for job in answer["failing"]["jobs"]] == ["old", "new"]
    assert answer["failing"]["jobs"][0]["last_line"] == "why"
    assert answer["overdue"]["count"] == 1
    assert answer["running_jobs"]["jobs"][0]["usual"] == 2.5
    assert answer["paused"]["jobs"] == [{"job_id": "quiet"}]
    assert answer["upcoming"] == [
        {"job_id": "jitter", "scheduled": "2026-11-30T01:00:00Z", "start": "2026-11-30T02:00:00Z"}
    ]
    assert count_statuses(map(shown_status, jobs)) == {"failing": 2, "overdue": 1, "running": 1, "paused": 1, "ok": 1}
