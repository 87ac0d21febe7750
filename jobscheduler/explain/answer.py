"""The reasoning: from the question and the facts to the answer.

About a time, the first that holds is the answer:

1. The slot has a record: that says it all, whatever the definition is by now.
2. Its run goes on, or began and has no record.
3. There is no definition: the job is refused, was removed, or nobody knows it.
4. By the definition of now it is no slot: outside the bounds, or field by field.
5. It is a slot to come: whether it will run.
6. It is a slot that has no record: the first reason that can be shown from the log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from jobscheduler import crontab
from jobscheduler.crontab import Crontab
from jobscheduler.explain.facts import Answer, Facts, Question
from jobscheduler.explain.story import instant
from jobscheduler.explain.words import background, length, moment, result, time_of, word_of
from jobscheduler.model import Cron, Job
from jobscheduler.timetable import Timetable, timetable_of

SHOWN = 3
"""How many slots to come are told."""

SOON = timedelta(seconds=15)
"""A slot may be decided so much later than it is due, on a host that is busy or has slept."""

_TICK = timedelta(microseconds=1)
_DISABLED = "the job is disabled (`enabled` is false)"


def explain(question: Question, facts: Facts) -> Answer:
    """Say why a job did or did not run at a time, or (without one) when it will run next."""
    answer = _now(question, facts) if question.at is None else _then(question, facts, question.at)
    notes = list(question.notes)
    if not facts.was_asked:
        notes.append("the service was not asked: this is what the log and the file say")
    return replace(answer, sentences=(*answer.sentences, *notes))


# --- about a time ----------------------------------------------------------------------------------------


def _then(question: Question, facts: Facts, at: datetime) -> Answer:
    story, job = facts.story, facts.job
    if story.record is not None and _is_meant(story.record, facts, at):
        return _recorded(question, facts, at, story.record)
    for run in facts.live.going if facts.live else ():
        if instant(run, "scheduled") == at:
            return _going(question, facts, run)
    if story.started is not None:
        return _begun(question, facts, story.started)
    if job is None:
        return _undefined(question, facts)
    timetable = timetable_of(job).nominal
    if not _is_slot(job, at):
        return _not_due(question, facts, job, timetable, at)
    if at + timedelta(seconds=job.jitter) + SOON > question.now:
        return _to_come(question, facts, job, timetable, at)
    return _without_record(question, facts, job, at)


def _is_meant(record: Mapping[str, str], facts: Facts, at: datetime) -> bool:
    """Tell whether a record is about a slot at this time, and not only about slots before and after it."""
    if facts.job is None or facts.story.rescheduled is not None:
        return True
    return at in {instant(record, "scheduled"), instant(record, "last")} or _is_slot(facts.job, at)


def _is_slot(job: Job, at: datetime) -> bool:
    return timetable_of(job).nominal.next(at - _TICK) == at


def _recorded(question: Question, facts: Facts, at: datetime, record: Mapping[str, str]) -> Answer:
    headline = f"`{question.job_id}` {result(record, facts.zone)}"
    more = [*background(record, at, facts.job, facts.zone), *_change_of_clock(facts.job, at)]
    if facts.job is not None and not _is_slot(facts.job, at):
        more.append(_rescheduled(facts) or "by the definition of now it is not due at such a time")
    return Answer(word_of(record), (headline, *more), record, is_settled=True)


def _going(question: Question, facts: Facts, run: Mapping[str, str]) -> Answer:
    return Answer("going", (_said_of_going(question, facts, run),), is_settled=True)


def _said_of_going(question: Question, facts: Facts, run: Mapping[str, str]) -> str:
    waits = run.get("waits", "false")
    waiting = "" if waits == "false" else "it waits" if waits == "true" else f"it waits: {waits}"
    if "started" not in run:
        return f"`{question.job_id}` has not begun yet" + (f": {waiting}" if waiting else "")
    attempt = f"attempt {run['attempt']}" if run.get("attempt", "1") != "1" else ""
    since = f"`{question.job_id}` is going on since {time_of(run, facts.zone, 'started')}"
    return ", ".join(filter(None, (since, attempt, waiting)))


def _begun(question: Question, facts: Facts, started: Mapping[str, str]) -> Answer:
    headline = f"`{question.job_id}` began at {time_of(started, facts.zone)}, and there is no record of its end yet"
    more = []
    if facts.story.failed is not None:
        attempt = facts.story.failed.get("attempt", "?")
        more.append(f"attempt {attempt} failed at {time_of(facts.story.failed, facts.zone)}")
    if facts.live is None:
        more.append("it goes on, or the service ended before it did; then the next start gives it its record")
    return Answer("begun", (headline, *more))


def _undefined(question: Question, facts: Facts) -> Answer:
    """There is no definition, so it cannot be due."""
    changed = facts.story.last_change
    if facts.problems:
        where = f" in `{facts.file}`" if facts.file else ""
        headline = f"`{question.job_id}` is refused: its definition{where} has problems, and there is no earlier one"
        return Answer("refused", (headline,), problems=facts.problems)
    if changed is not None and changed["word"] == "job.removed":
        headline = f"`{question.job_id}` is not there any more: its file was removed at {time_of(changed, facts.zone)}"
        return Answer("removed", (headline, *_last(facts)))
    if not facts.was_asked:
        return Answer("unknown", (f"no job file defines `{question.job_id}`", *_last(facts)))
    if facts.story.is_empty and question.job_id not in facts.known:
        close = difflib.get_close_matches(question.job_id, facts.known, 1)
        help_ = f"did you mean `{close[0]}`?" if close else "`jobscheduler list` shows the jobs that there are"
        return Answer("unknown", (f"there is no job `{question.job_id}`",), help=help_)
    headline = f"there is no job `{question.job_id}` any more"
    return Answer("removed", (headline, *_last(facts)))


def _not_due(question: Question, facts: Facts, job: Job, timetable: Timetable, at: datetime) -> Answer:
    headline = f"`{question.job_id}` {'was' if at <= question.now else 'is'} not due at {moment(at, facts.zone)}"
    reasons = tuple(_why_not_due(job, timetable, facts, at))
    around = tuple(_around(timetable, facts, at))
    changed = _rescheduled(facts) if at <= question.now else None
    following = tuple(filter(None, (timetable.next(at),)))
    return Answer("not_due", (f"{headline}: {'; '.join(reasons)}", *around, *filter(None, (changed,))), next=following)


def _why_not_due(job: Job, timetable: Timetable, facts: Facts, at: datetime) -> Iterator[str]:
    if job.not_before is not None and at < job.not_before:
        yield f"that is before `not_before`, {moment(job.not_before, facts.zone)}"
    elif job.not_after is not None and at > job.not_after:
        yield f"that is after `not_after`, {moment(job.not_after, facts.zone)}"
    if not isinstance(timetable.schedule, Crontab):
        yield f"its only time is {moment(timetable.schedule, facts.zone)}"
        return
    reasons = crontab.why_not(timetable.schedule, at, timetable.zone)
    yield from reasons
    if not reasons and at.microsecond:
        yield "slots are at whole seconds"


def _around(timetable: Timetable, facts: Facts, at: datetime) -> Iterator[str]:
    """Tell the slots before and after."""
    if not isinstance(timetable.schedule, Crontab) or timetable.at_boot:
        return
    before, after = _last_before(timetable, at), timetable.next(at)
    yield f"it is due: {crontab.sentence(timetable.schedule)} ({timetable.zone.key})"
    if before is not None:
        yield f"the slot before is {moment(before, facts.zone)}"
    yield f"the slot after is {moment(after, facts.zone)}" if after else "there is no slot after that"


def _last_before(timetable: Timetable, at: datetime) -> datetime | None:
    for days in (1, 40, 370, 3700):
        found = timetable.last(at - timedelta(days=days), at - _TICK)
        if found is not None:
            return found
    return None


def _to_come(question: Question, facts: Facts, job: Job, timetable: Timetable, at: datetime) -> Answer:
    when = moment(at, facts.zone)
    hindrance = _hindrance(facts, job)
    if hindrance is not None:
        word, why = hindrance
        return Answer(word, (f"`{question.job_id}` has a slot at {when}, which will not run: {why}",), next=(at,))
    verb = "is due" if at > question.now else "has been due since"
    headline = f"`{question.job_id}` {verb} {'at ' if at > question.now else ''}{when}"
    more = [*_change_of_clock(job, at), *_jitter(job), *_state(question, facts)]
    return Answer("due", (headline, *more), next=(at,), problems=facts.problems)


def _hindrance(facts: Facts, job: Job) -> tuple[str, str] | None:
    """Say what keeps a slot of a job from running, if anything does."""
    if not job.enabled:
        return "disabled", _DISABLED
    if facts.live is not None and facts.live.paused:
        return "paused", "the job is paused, until it is resumed or the service restarts"
    return None


def _without_record(question: Question, facts: Facts, job: Job, at: datetime) -> Answer:
    """A slot, by the definition of now, that nothing became of: the first reason that can be shown."""
    headline = f"`{question.job_id}` has no record for {moment(at, facts.zone)}"
    for word, why in _excuses(question, facts, job, at):
        return Answer(word, (f"{headline}: {why}", *_change_of_clock(job, at)))
    return Answer(
        "no_record",
        (f"{headline}, although it was due by the definition of now", *_change_of_clock(job, at)),
        help=f"look at everything about it: `jobscheduler history {question.job_id} --all`",
    )


def _excuses(question: Question, facts: Facts, job: Job, at: datetime) -> Iterator[tuple[str, str]]:
    story, zone = facts.story, facts.zone
    if story.begins is None:
        yield "log_gone", "there is no log to look at"
    elif story.begins > at:
        yield "log_gone", f"the log no longer reaches back so far, it begins at {moment(story.begins, zone)}"
    if story.expired is not None and instant(story.expired, "scheduled") == at:
        yield "expired", f"that was over when its file was read at {time_of(story.expired, zone)}; {_age(job)}"
    first = story.first_change
    if first is not None and first["word"] == "job.added":
        yield "not_there", f"its file was put there at {time_of(first, zone)}, after that time"
    if (changed := _rescheduled(facts)) is not None:
        yield "changed", changed
    if not job.enabled:
        yield "disabled", _DISABLED
    if facts.written is not None and facts.written > at:
        yield "not_there", f"its file was put there at {moment(facts.written, zone)}, after that time"
    yield from _outage(facts)


def _outage(facts: Facts) -> Iterator[tuple[str, str]]:
    """Say whether the service was down: it started after the slot, or has not come back since it ended."""
    story, zone = facts.story, facts.zone
    if story.service is not None and story.service["word"] == "service.started":
        when = time_of(story.service, zone)
        yield "down", f"the service was not running then; it started at {when} and did not know that the slot was due"
    last = story.last_service
    if facts.live is None and last is not None and last["word"] != "service.started":
        when = time_of(last, zone)
        yield "down", f"the service ended at {when}; its next start runs it if it is young enough, else it is missed"


def _age(job: Job) -> str:
    return f"`catch_up` allows {length(job.catch_up)}"


def _rescheduled(facts: Facts) -> str | None:
    """Say that the definition was another one at the time that is asked about."""
    line = facts.story.rescheduled
    if line is None:
        return None
    names = " and ".join(f"`{name}`" for name in line.get("changed", "").split(","))
    return f"{names} changed at {time_of(line, facts.zone)}, and this answer is for the definition of now"


def _change_of_clock(job: Job | None, at: datetime) -> Iterator[str]:
    """Say what a change of the clock does to this slot."""
    if job is None or not isinstance(job.schedule, Cron):
        return
    timetable = timetable_of(job)
    if not isinstance(timetable.schedule, Crontab) or not _is_slot(job, at):
        return
    change = crontab.change_at(timetable.schedule, at, timetable.zone)
    if change is not None:
        yield change.text


def _jitter(job: Job) -> Iterator[str]:
    if job.jitter:
        yield f"it starts up to {length(job.jitter)} later (`jitter`), always the same for one slot on one host"


# --- from now on -----------------------------------------------------------------------------------------


def _now(question: Question, facts: Facts) -> Answer:
    job = facts.job
    if job is None:
        return _undefined(question, facts)
    timetable = timetable_of(job).nominal
    slots = tuple(_upcoming(facts, timetable, question.now))
    word, headline = _headline(question, facts, job, timetable, slots)
    more = [*_rule(timetable), *_listed(facts, job, slots), *_jitter(job), *_state(question, facts), *_last(facts)]
    return Answer(word, (headline, *more), facts.story.last, slots, facts.problems)


def _upcoming(facts: Facts, timetable: Timetable, now: datetime) -> Iterator[datetime]:
    if facts.live is not None and facts.live.next:
        yield from (slot for slot, _ in islice(facts.live.next, SHOWN))
        return
    slot = timetable.next(now)
    for _ in range(SHOWN):
        if slot is None:
            return
        yield slot
        slot = timetable.next(slot)


def _headline(
    question: Question, facts: Facts, job: Job, timetable: Timetable, slots: tuple[datetime, ...]
) -> tuple[str, str]:
    name = f"`{question.job_id}`"
    hindrance = _hindrance(facts, job)
    if hindrance is not None:
        return hindrance[0], f"{name} will not run: {hindrance[1]}"
    if timetable.at_boot:
        return "due", f"{name} runs when the service first starts after the host booted"
    if slots:
        return "due", f"{name} is due next at {moment(slots[0], facts.zone)}"
    if not isinstance(timetable.schedule, Crontab):
        is_done = facts.live is None or facts.live.state != "expired"
        when = moment(timetable.schedule, facts.zone)
        if is_done:
            return "done", f"{name} had its only time at {when}"
        return "expired", f"{name} will not run: its only time, {when}, was over when its file was read; {_age(job)}"
    if job.not_after is not None:
        return "over", f"{name} is not due any more: `not_after` was {moment(job.not_after, facts.zone)}"
    return "over", f"{name} is not due any more before the year 2201"


def _rule(timetable: Timetable) -> Iterator[str]:
    if isinstance(timetable.schedule, Crontab) and not timetable.at_boot:
        yield f"it is due: {crontab.sentence(timetable.schedule)} ({timetable.zone.key})"


def _listed(facts: Facts, job: Job, slots: tuple[datetime, ...]) -> Iterator[str]:
    """Tell the slots after the next one, and what a change of the clock does to any of them."""
    if slots:
        yield from _change_of_clock(job, slots[0])
    for slot in slots[1:]:
        notes = "".join(f": {note}" for note in _change_of_clock(job, slot))
        yield f"then at {moment(slot, facts.zone)}{notes}"


def _state(question: Question, facts: Facts) -> Iterator[str]:
    if facts.live is None:
        return
    if facts.live.stale:
        yield "its file has a problem, so its last good version is in force"
    for run in facts.live.going:
        yield _said_of_going(question, facts, run)


def _last(facts: Facts) -> Iterator[str]:
    last = facts.story.last
    if last is not None:
        slot = f"its slot of {time_of(last, facts.zone, 'scheduled')}" if "scheduled" in last else "its run by hand"
        yield f"the last record: {slot} {result(last, facts.zone)}"
