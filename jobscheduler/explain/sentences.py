"""Build the sentences that several answers share: no job, blocked, clock changes, current state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from jobscheduler.explain.facts import Answer, Facts, Overdue, Question, RuntimeState
from jobscheduler.explain.phrases import describe_record, format_time_of
from jobscheduler.model import Cron, Job, Pause
from jobscheduler.model.selection import ALL
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.timetable.timezones import zone_note
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_with_zone
from jobscheduler.util.text import did_you_mean, plural

TICK = timedelta(microseconds=1)
_WAITING_FOR = {
    "worker": "it waits for a worker",
    "turn": "it waits for its turn",
    "retry": "it waits for a further attempt",
}
DISABLED = "the job is disabled (`enabled` is false)"


def describe_active_run(question: Question, facts: Facts, run: Mapping[str, str]) -> str:
    """Describe the progress of an active or pending run."""
    waiting = _WAITING_FOR.get(run.get("waiting_for", ""), "")
    if "started" not in run:
        is_further = any("started" in other for other in facts.runtime.active_runs) if facts.runtime else False
        which = f"a further run of `{question.job_id}`" if is_further else f"`{question.job_id}`"
        return f"{which} has not begun yet" + (f": {waiting}" if waiting else "")
    attempt = f"attempt {run['attempt']}" if run.get("attempt", "1") != "1" else ""
    since = f"`{question.job_id}` has been running since {format_time_of(run, facts.zone, 'started')}"
    return ", ".join(filter(None, (since, attempt, waiting)))


def explain_missing_job(question: Question, facts: Facts) -> Answer:
    """Explain why there is no definition."""
    changed = facts.evidence.last_change
    if facts.problems:
        where = f" in `{facts.file}`" if facts.file else ""
        headline = f"`{question.job_id}` is refused: its definition{where} has problems, and no earlier one is active"
        return Answer("refused", (headline, *last_record(facts)), problems=facts.problems)
    if facts.runtime is not None:
        return Answer("unreadable", (f"the service has `{question.job_id}`, and its definition cannot be read here",))
    if changed is not None and changed["word"] == "job.removed":
        headline = (
            f"`{question.job_id}` no longer exists: its file was removed at {format_time_of(changed, facts.zone)}"
        )
        return Answer("removed", (headline, *last_record(facts)))
    if not facts.was_asked:
        return Answer("unknown", (f"no job file defines `{question.job_id}`", *last_record(facts)))
    if facts.evidence.is_empty and question.job_id not in facts.known:
        help_ = did_you_mean(question.job_id, facts.known) or "`jobscheduler list` shows the jobs that there are"
        return Answer("unknown", (f"there is no job `{question.job_id}`",), help=help_)
    headline = f"there is no job `{question.job_id}` any more"
    return Answer("removed", (headline, *last_record(facts)))


def blocker(facts: Facts, job: Job, slot: datetime | None = None) -> tuple[str, str] | None:
    """Return the code and the reason that keep slots of a job, or this slot, from running; None if nothing does."""
    if not job.enabled:
        return "disabled", DISABLED
    pauses = facts.runtime.pauses if facts.runtime is not None else ()
    if pauses and (slot is None or slot < max(pause.end for pause in pauses)):
        return "paused", _pauses_text(pauses, facts)
    return None


def _pauses_text(pauses: Sequence[Pause], facts: Facts) -> str:
    """Describe the pause of a job that lasts longest, and how many others there are."""
    pause = max(pauses, key=lambda pause: pause.end)
    end = f"until {format_with_zone(pause.until, facts.zone)}" if pause.until is not None else "until it is resumed"
    what = "" if pause.selector.job_id is not None else f", with {_selected(pause)}"
    by = f", by {pause.by}" if pause.by else ""
    more = f" (and {plural(len(pauses) - 1, 'further pause')})" if len(pauses) > 1 else ""
    return f"the job is paused{what} {end}{by}{': ' + pause.reason if pause.reason else ''}{more}"


def _selected(pause: Pause) -> str:
    return "all jobs" if pause.selector.text == ALL else f"`{pause.selector.text}`"


def schedule_changed(facts: Facts) -> str | None:
    """Describe a change of the schedule after the time in question; None without one."""
    line = facts.evidence.rescheduled
    if line is None:
        return None
    fields = line.get("changed", "").split(",")
    names = " and ".join("the rules of its zone" if name == "zone_rules" else f"`{name}`" for name in fields)
    return f"{names} changed at {format_time_of(line, facts.zone)}, and this answer is for the present definition"


def dst_note(job: Job | None, at: datetime) -> Iterator[str]:
    """Yield the effect of a clock change on a slot."""
    if job is None or not isinstance(job.schedule, Cron):
        return
    timetable = timetable_of(job)
    if not isinstance(timetable.schedule, Crontab) or not is_slot(job, at):
        return
    effect = crontab.dst_effect_at(timetable.schedule, at, timetable.zone)
    if effect is not None:
        yield effect.text


def decided_ahead(facts: Facts, slot: datetime | None) -> str | None:
    """Explain why a future slot does not run again: it was decided before the clock was set back. None if it runs."""
    for first, last in facts.runtime.decided if facts.runtime else ():
        if slot is not None and first <= slot <= last:
            return (
                f"the clock was set back: the slot of {format_with_zone(slot, facts.zone)} was decided before that "
                f"and does not run again, like all slots up to {format_with_zone(last, facts.zone)}"
            )
    return None


def jitter(job: Job) -> Iterator[str]:
    """Yield a note that jitter delays the start of slots."""
    if job.jitter:
        until = f"up to {format_compact_duration(job.jitter)} later, but before the next slot"
        yield f"it starts {until} (`jitter`), always the same for one slot on one host"


def current_state(question: Question, facts: Facts) -> Iterator[str]:
    """Yield the state of the job in the service, except its slots."""
    if facts.runtime is None:
        return
    yield from _troubles(facts, facts.runtime)
    if facts.runtime.stale:
        yield "its file has a problem, so its last good version is active"
    for run in facts.runtime.active_runs:
        yield describe_active_run(question, facts, run)


def _troubles(facts: Facts, runtime: RuntimeState) -> Iterator[str]:
    if runtime.failures and runtime.failing_since is not None:
        times = "once" if runtime.failures == 1 else f"{runtime.failures} times in a row"
        yield f"it has been failing since {format_with_zone(runtime.failing_since, facts.zone)}, {times}"
    if runtime.overdue is not None:
        yield (
            f"it has been overdue since {format_with_zone(runtime.overdue.since, facts.zone)}: "
            f"{_why_overdue(runtime.overdue, facts)}"
        )


def _why_overdue(overdue: Overdue, facts: Facts) -> str:
    """Return from when the time without success counts, and how long it may be."""
    limit = "" if overdue.within is None else f" {format_compact_duration(overdue.within)}"
    allowed = f"`success_within` allows{limit or ' less'} without a success"
    if overdue.last_success is not None:
        return f"{allowed}, and the last one was at {format_with_zone(overdue.last_success, facts.zone)}"
    if overdue.in_force_since is not None:
        since = format_with_zone(overdue.in_force_since, facts.zone)
        return f"{allowed}, and there has been none since it came into force at {since}"
    return f"{allowed}, and none is known"


def last_record(facts: Facts) -> Iterator[str]:
    """Yield a description of the latest record."""
    last = facts.evidence.last
    if last is not None:
        slot = (
            f"its slot of {format_time_of(last, facts.zone, 'scheduled')}" if "scheduled" in last else "its run by hand"
        )
        yield f"the last record: {slot} {describe_record(last, facts.zone)}"


def catch_up_text(job: Job) -> str:
    """Describe the age limit of a slot."""
    return f"`catch_up` allows {format_compact_duration(job.catch_up)}"


def is_slot(job: Job, at: datetime) -> bool:
    """Return whether a job has a slot at this very instant."""
    return timetable_of(job).without_jitter.next(at - TICK) == at


def describe_schedule(timetable: Timetable) -> Iterator[str]:
    """Yield a description of a schedule."""
    if isinstance(timetable.schedule, Crontab) and timetable.has_slots:
        yield f"it is due: {crontab.describe(timetable.schedule)} ({timetable.zone.key})"
        if note := zone_note(timetable.zone.key):
            yield note
