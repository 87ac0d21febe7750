"""Explain the future: the next slots, and the reasons that may keep them from running."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from jobscheduler.explain.facts import Answer, Facts, Question
from jobscheduler.explain.sentences import (
    blocker,
    catch_up_text,
    current_state,
    decided_ahead,
    describe_schedule,
    dst_note,
    explain_missing_job,
    jitter,
    last_record,
)
from jobscheduler.model import Job
from jobscheduler.timetable.crontab import Crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.util.instants import format_relative, format_with_zone

MAX_SHOWN_SLOTS = 3  # future slots in an answer


def explain_next(question: Question, facts: Facts) -> Answer:
    """Explain when a job will run next, and its current state."""
    job = facts.job
    if job is None:
        return explain_missing_job(question, facts)
    timetable = timetable_of(job).without_jitter
    slots = tuple(_upcoming(facts, timetable, question.now))
    code, headline = _headline(question, facts, job, timetable, slots)
    decided = decided_ahead(facts, timetable.next(question.now)) if blocker(facts, job) is None else None
    notes = [
        *filter(None, (decided,)),
        *describe_schedule(timetable),
        *_listed(facts, job, slots),
        *jitter(job),
        *current_state(question, facts),
        *last_record(facts),
    ]
    return Answer(code, (headline, *notes), facts.evidence.last, slots, facts.problems)


def _upcoming(facts: Facts, timetable: Timetable, now: datetime) -> Iterator[datetime]:
    if facts.runtime is not None and facts.runtime.next:
        yield from (slot for slot, _ in islice(facts.runtime.next, MAX_SHOWN_SLOTS))
        return
    slot = timetable.next(now)
    for _ in range(MAX_SHOWN_SLOTS):
        if slot is None:
            return
        yield slot
        slot = timetable.next(slot)


def _headline(
    question: Question, facts: Facts, job: Job, timetable: Timetable, slots: tuple[datetime, ...]
) -> tuple[str, str]:
    name = f"`{question.job_id}`"
    blocked = blocker(facts, job)
    if blocked is not None:
        ends = blocker(facts, job, slots[0]) is None if slots else False
        when = f"is due next at {format_with_zone(slots[0], facts.zone)}" if ends else "will not run"
        return blocked[0], f"{name} {when}: {blocked[1]}"
    if timetable.at_boot:
        return "due", f"{name} runs when the service first starts after the host booted"
    if not timetable.has_slots:
        return "manual", f"{name} is never due by itself (`@manual`): `jobscheduler run {question.job_id}` runs it"
    if slots:
        return "due", f"{name} {_due_next(question, facts, slots[0])}"
    if not isinstance(timetable.schedule, Crontab):
        return _finished(name, facts, job, timetable.schedule)
    if job.not_after is not None:
        return "done", f"{name} is not due any more: `not_after` was {format_with_zone(job.not_after, facts.zone)}"
    return "done", f"{name} is not due any more before the year 2201"


def _due_next(question: Question, facts: Facts, slot: datetime) -> str:
    """Return when the next slot starts: later than its time with jitter."""
    start = next((start for known, start in facts.runtime.next if known == slot), slot) if facts.runtime else slot
    when = f"{format_with_zone(start, facts.zone)} ({format_relative(start, question.now)})"
    if start == slot:
        return f"is due next at {when}"
    return f"starts next at {when}, for its slot of {format_with_zone(slot, facts.zone)}"


def _finished(name: str, facts: Facts, job: Job, only: datetime) -> tuple[str, str]:
    """Explain that a one-time job is over: its time has passed, or its file came too late."""
    when = format_with_zone(only, facts.zone)
    if facts.runtime is None or facts.runtime.state != "expired":
        return "done", f"{name} had its only time at {when}"
    return (
        "expired",
        f"{name} will not run: its only time, {when}, had passed when its file was read; {catch_up_text(job)}",
    )


def _listed(facts: Facts, job: Job, slots: tuple[datetime, ...]) -> Iterator[str]:
    """Yield the slots after the one in the headline, with the effect of clock changes."""
    if slots and blocker(facts, job, slots[0]) is not None:
        yield f"its next slot would be {format_with_zone(slots[0], facts.zone)}"
    if slots:
        yield from dst_note(job, slots[0])
    for slot in slots[1:]:
        notes = "".join(f": {note}" for note in dst_note(job, slot))
        yield f"then at {format_with_zone(slot, facts.zone)}{notes}"
