"""Say in one word how a job is, the worst first, for lists that people read. Pure."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

from jobscheduler.model.standing import is_failure
from jobscheduler.status.snapshot import JobState, JobStatus


class ShownStatus(StrEnum):
    """How a job is. If several apply, the first of these: what needs an operator comes first."""

    FAILING = "failing"
    OVERDUE = "overdue"
    REFUSED = "refused"
    STALE = "stale"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    OK = "ok"
    MANUAL = "manual"
    DISABLED = "disabled"
    EXPIRED = "expired"
    DONE = "done"


SEVERITY = {status: number for number, status in enumerate(ShownStatus)}  # the worst has the smallest number
KNOWN_WORDS = (*ShownStatus, JobState.SCHEDULED)  # what a list can be filtered by

_OF_STATE = {JobState.SCHEDULED: ShownStatus.OK}
_MANUAL = "@manual"  # the schedule of a job that only people run


def is_failing(job: JobStatus) -> bool:
    """Return whether a job has failures in a row: its last run failed by itself."""
    last = job.last
    return job.failures > 0 or (last is not None and is_failure(last.status, last.reason))


def all_words(job: JobStatus) -> frozenset[str]:
    """Return every word that applies to a job: it may run, be paused and be failing at once."""
    return _words(
        job.state,
        is_failing(job),
        job.overdue_since is not None,
        job.stale,
        job.paused,
        _is_manual(job),
        job.job is not None and not job.job.enabled,
    )


@lru_cache(maxsize=1024)
def _words(
    state: JobState, is_failing: bool, is_overdue: bool, is_stale: bool, is_paused: bool, is_manual: bool, is_off: bool
) -> frozenset[str]:
    """Return the words of these facts: few combinations occur, and a list may have ten thousand jobs."""
    flags = (
        (ShownStatus.FAILING, is_failing),
        (ShownStatus.OVERDUE, is_overdue),
        (ShownStatus.STALE, is_stale),
        (ShownStatus.PAUSED, is_paused),
        (ShownStatus.MANUAL, is_manual),
        (ShownStatus.DISABLED, is_off),
    )
    is_idle_manual = is_manual and state in {JobState.SCHEDULED, JobState.DONE}
    of_state = ShownStatus.MANUAL if is_idle_manual else _OF_STATE.get(state) or ShownStatus(state.value)
    words = {of_state.value, *(word.value for word, applies in flags if applies)}
    return frozenset(words | ({JobState.SCHEDULED.value} if state is JobState.SCHEDULED else set()))


def has_word(words: frozenset[str], word: str) -> bool:
    """Return whether a list of this status or state has a job with these words. What needs an operator is not `ok`."""
    return word in words and (word != ShownStatus.OK.value or worst(words) is ShownStatus.OK)


def shown_status(job: JobStatus) -> ShownStatus:
    """Return the worst word that applies to a job."""
    return worst(all_words(job))


@lru_cache(maxsize=1024)
def worst(words: frozenset[str]) -> ShownStatus:
    """Return the worst of these words."""
    return next(status for status in ShownStatus if status.value in words)


def _is_manual(job: JobStatus) -> bool:
    return job.job is not None and getattr(job.job.schedule, "expression", "") == _MANUAL
