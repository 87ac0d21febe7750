"""Explain one time. The first case that applies is the answer.

1. The run of this slot is active.
2. The slot has a record, which counts whatever the definition is now. Or its run began and has no record.
3. There is no definition: the job is refused, was removed, or is unknown.
4. The current definition has no slot at this time: outside the bounds, or a field does not match.
5. The slot is in the future or just due: explain whether it will run.
6. The slot has no record: explain the first reason that the log shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from jobscheduler.explain.evidence import instant
from jobscheduler.explain.facts import Answer, Facts, Question
from jobscheduler.explain.phrases import describe_pause_line, describe_record, format_time_of, record_notes, result_code
from jobscheduler.explain.sentences import (
    DISABLED,
    TICK,
    blocker,
    catch_up_text,
    current_state,
    decided_ahead,
    describe_active_run,
    describe_schedule,
    dst_note,
    explain_missing_job,
    is_slot,
    jitter,
    schedule_changed,
)
from jobscheduler.model import Job
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.util.instants import format_relative, format_with_zone

SOON_S = timedelta(seconds=15)  # a busy host, or one that was asleep, may decide a slot this much later than it is due


def explain_at(question: Question, facts: Facts, at: datetime) -> Answer:
    """Explain the past or future result of a job at a time."""
    evidence, job = facts.evidence, facts.job
    for run in facts.runtime.active_runs if facts.runtime else ():
        if instant(run, "scheduled") == at:  # the slot may have a record that this run corrects
            return _active(question, facts, run)
    if evidence.record is not None and _is_meant(evidence.record, facts, at):
        return _recorded(question, facts, at, evidence.record)
    if evidence.started is not None:
        return _started(question, facts, evidence.started)
    if job is None:
        return explain_missing_job(question, facts)
    timetable = timetable_of(job).without_jitter
    if not is_slot(job, at):
        return _not_due(question, facts, job, timetable, at)
    excuse = next(_excuses(facts, job, at), None) if at <= question.now else None
    if excuse is None and at + timedelta(seconds=job.jitter) + SOON_S > question.now:
        return _upcoming_slot(question, facts, job, timetable, at)
    return _without_record(question, facts, job, at, excuse)


def _is_meant(record: Mapping[str, str], facts: Facts, at: datetime) -> bool:
    """Return whether a record is about a slot at exactly this time. A summary may hold only slots around it."""
    if facts.job is None or facts.evidence.rescheduled is not None:
        return True
    return at in {instant(record, "scheduled"), instant(record, "last")} or is_slot(facts.job, at)


def _recorded(question: Question, facts: Facts, at: datetime, record: Mapping[str, str]) -> Answer:
    headline = f"`{question.job_id}` {describe_record(record, facts.zone)}{_ago(question, record)}"
    notes = [*record_notes(record, at, facts.job, facts.zone), *dst_note(facts.job, at)]
    if facts.evidence.paused is not None:
        notes.append(describe_pause_line(facts.evidence.paused, facts.zone))
    if facts.job is not None and not is_slot(facts.job, at):
        notes.append(schedule_changed(facts) or "by its present definition it is not due at such a time")
    return Answer(result_code(record), (headline, *notes), record, is_final=True)


def _ago(question: Question, record: Mapping[str, str]) -> str:
    """Return how long ago a record was written."""
    at = instant(record, "time")
    return "" if at is None else f" ({format_relative(at, question.now)})"


def _active(question: Question, facts: Facts, run: Mapping[str, str]) -> Answer:
    code = "running" if "started" in run and "waiting_for" not in run else "waiting"
    return Answer(code, (describe_active_run(question, facts, run),), is_final=True)


def _started(question: Question, facts: Facts, started: Mapping[str, str]) -> Answer:
    headline = (
        f"`{question.job_id}` began at {format_time_of(started, facts.zone)}, and there is no record of its end yet"
    )
    notes = []
    if facts.evidence.failed is not None:
        attempt = facts.evidence.failed.get("attempt", "?")
        notes.append(f"attempt {attempt} failed at {format_time_of(facts.evidence.failed, facts.zone)}")
    if facts.runtime is None:
        notes.append("it is still running, or the service ended first; then the next start writes its record")
    return Answer("started", (headline, *notes))


def _not_due(question: Question, facts: Facts, job: Job, timetable: Timetable, at: datetime) -> Answer:
    headline = (
        f"`{question.job_id}` {'was' if at <= question.now else 'is'} not due at {format_with_zone(at, facts.zone)}"
    )
    reasons = tuple(_why_not_due(job, timetable, facts, at))
    schedule_notes = tuple(_around(timetable, facts, at))
    changed = schedule_changed(facts) if at <= question.now else None
    following = tuple(filter(None, (timetable.next(at),)))
    return Answer(
        "not_due", (f"{headline}: {'; '.join(reasons)}", *schedule_notes, *filter(None, (changed,))), next=following
    )


def _why_not_due(job: Job, timetable: Timetable, facts: Facts, at: datetime) -> Iterator[str]:
    if job.not_before is not None and at < job.not_before:
        yield f"that is before `not_before`, {format_with_zone(job.not_before, facts.zone)}"
    elif job.not_after is not None and at > job.not_after:
        yield f"that is after `not_after`, {format_with_zone(job.not_after, facts.zone)}"
    if not isinstance(timetable.schedule, Crontab):
        yield f"its only time is {format_with_zone(timetable.schedule, facts.zone)}"
        return
    reasons = crontab.why_not_due(timetable.schedule, at, timetable.zone)
    yield from reasons
    if not reasons and at.microsecond:
        yield "slots are at whole seconds"


def _around(timetable: Timetable, facts: Facts, at: datetime) -> Iterator[str]:
    """Yield the schedule and the slots before and after a time."""
    if not isinstance(timetable.schedule, Crontab) or not timetable.has_slots:
        return
    before, after = _last_before(timetable, at), timetable.next(at)
    yield from describe_schedule(timetable)
    if before is not None:
        yield f"the slot before is {format_with_zone(before, facts.zone)}"
    yield f"the slot after is {format_with_zone(after, facts.zone)}" if after else "there is no slot after that"


def _last_before(timetable: Timetable, at: datetime) -> datetime | None:
    for days in (1, 40, 370, 3700):
        slot = timetable.last_between(at - timedelta(days=days), at - TICK)
        if slot is not None:
            return slot
    return None


def _upcoming_slot(question: Question, facts: Facts, job: Job, timetable: Timetable, at: datetime) -> Answer:
    when = format_with_zone(at, facts.zone)
    blocked = blocker(facts, job, at)
    if blocked is not None:
        code, reason = blocked
        return Answer(code, (f"`{question.job_id}` has a slot at {when}, which will not run: {reason}",), next=(at,))
    decided = decided_ahead(facts, at) if at > question.now else None
    if decided is not None:
        return Answer("decided", (f"`{question.job_id}` will not run at {when}: {decided}",))
    verb = "is due" if at > question.now else "has been due since"
    headline = f"`{question.job_id}` {verb} {'at ' if at > question.now else ''}{when}"
    notes = [*dst_note(job, at), *jitter(job), *current_state(question, facts)]
    return Answer("due", (headline, *notes), next=(at,), problems=facts.problems)


def _without_record(question: Question, facts: Facts, job: Job, at: datetime, excuse: tuple[str, str] | None) -> Answer:
    """Explain a slot of the current definition that has no record."""
    headline = f"`{question.job_id}` has no record for {format_with_zone(at, facts.zone)}"
    notes = tuple(dst_note(job, at))
    if excuse is not None:
        code, reason = excuse
        return Answer(code, (f"{headline}: {reason}", *notes))
    return Answer(
        "no_record",
        (f"{headline}, although it was due by its present definition", *notes),
        help=f"look at everything about it: `jobscheduler history {question.job_id} --all`",
    )


def _excuses(facts: Facts, job: Job, at: datetime) -> Iterator[tuple[str, str]]:
    """Yield proven reasons for a missing record, the surest first: an answer code and a sentence each."""
    evidence, zone = facts.evidence, facts.zone
    if evidence.expired is not None and instant(evidence.expired, "scheduled") == at:
        yield (
            "expired",
            f"that had passed when its file was read at {format_time_of(evidence.expired, zone)}; {catch_up_text(job)}",
        )
    first, log_gap = evidence.first_change, _out_of_reach(facts, at)
    if first is not None and first["word"] == "job.added":
        yield (
            "added_later",
            _joined(f"its file was put there at {format_time_of(first, zone)}, after that time", log_gap),
        )
    written_later = _written_later(facts, at) if first is None else None
    if log_gap is not None:
        yield "log_missing", _joined(log_gap, written_later)
    if (changed := schedule_changed(facts)) is not None:
        yield "changed", changed
    if not job.enabled:
        yield "disabled", DISABLED
    if written_later is not None:
        yield "added_later", written_later
    yield from _outage(facts)


def _out_of_reach(facts: Facts, at: datetime) -> str | None:
    """Explain that the log does not reach back to a time; None if it does. Lost lines may hold another reason."""
    begins = facts.evidence.begins
    if begins is None:
        return "there is no log to read"
    return (
        f"the log does not reach back so far, it begins at {format_with_zone(begins, facts.zone)}"
        if begins > at
        else None
    )


def _written_later(facts: Facts, at: datetime) -> str | None:
    if facts.written is None or facts.written <= at:
        return None
    return f"its file was put there or changed at {format_with_zone(facts.written, facts.zone)}, after that time"


def _joined(*clauses: str | None) -> str:
    return "; ".join(filter(None, clauses))


def _outage(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield an outage of the service: it started after the slot, or has not started again since it ended."""
    evidence, zone = facts.evidence, facts.zone
    if evidence.service is not None and evidence.service["word"] == "service.started":
        when = format_time_of(evidence.service, zone)
        yield "down", f"the service was not running then; it started at {when}"
    last = evidence.last_service
    if facts.runtime is None and last is not None and last["word"] != "service.started":
        when = format_time_of(last, zone)
        yield "down", f"the service ended at {when}; its next start runs it if it is recent enough, else it is missed"
