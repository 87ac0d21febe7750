"""Pause and resume jobs on request: which jobs are meant, until when, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar

from jobscheduler.control.routes import BadRequest
from jobscheduler.model import Pause, Problem
from jobscheduler.model.selection import ALL, MAX_SELECTOR_CHARS, selectors
from jobscheduler.scheduler import MAX_PAUSES, Pausing, Resumed, StandsBy, TooManyPauses
from jobscheduler.status.selection import no_job_problem, select_jobs
from jobscheduler.status.snapshot import Conflict, NotFound
from jobscheduler.status.snapshot_json import pause_json
from jobscheduler.util import durations
from jobscheduler.util.durations import parse_duration
from jobscheduler.util.text import did_you_mean, quote

MAX_REASON_CHARS = 200  # of a pause
MAX_REASON_BYTES = 400  # of a pause, as UTF-8

JobTags = Mapping[str, Collection[str]]  # the tags of each job, by id

_FLUSH_TIMEOUT_S = 1.0  # seconds that an answer waits for the log
_Changes = TypeVar("_Changes", list[Pause], list[Resumed])


@dataclass(frozen=True, slots=True)
class PauseRequest:
    """A request to pause: what selects jobs, and the pause."""

    texts: tuple[str, ...]
    until: datetime | None
    reason: str


class PauseRequests:
    """Pauses and resumes jobs.

    Thread: any.
    """

    def __init__(
        self,
        pauses: Pausing,
        known_jobs: Callable[[], JobTags],
        flush: Callable[[float], bool],
        unknown: Callable[[str], NotFound],
    ) -> None:
        """`known_jobs` returns the jobs that have a valid definition, `unknown` the error for an id of none.

        `flush` waits until the log is written, at most so many seconds, and returns whether it is: then what was
        answered outlives a crash.
        """
        self._pauses = pauses
        self._known_jobs = known_jobs
        self._flush = flush
        self._unknown = unknown

    def select(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the ids that `jobs` of a request selects, in its order.

        Raises:
            BadRequest: the request is malformed.
            NotFound: a selector selects no job.

        """
        _require_known(request, ("jobs",))
        texts, jobs = _parse_selectors(request), self._known_jobs()
        self._require_jobs(texts, jobs)
        return {"jobs": list(select_jobs(texts, jobs).ids)}

    def pause(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Pause the selected jobs; `request` has `jobs`, and perhaps `until` or `for`, and `reason`.

        Raises:
            BadRequest: the request is malformed.
            NotFound: a selector selects no job. Nothing was paused.
            Conflict: the service is stopping, or has too many pauses.

        """
        now = datetime.now(UTC)
        wanted = _parse_pause(request, now)
        if wanted.until is not None and wanted.until <= now:
            raise _refused("a pause ends in the future", "leave the end out, or write a later one")
        jobs = self._known_jobs()
        self._require_jobs(wanted.texts, jobs)
        added = self._change(lambda: self._pauses.pause(selectors(wanted.texts), wanted.until, wanted.reason, by))
        is_written = self._flush(_FLUSH_TIMEOUT_S)
        ids = select_jobs(wanted.texts, jobs).ids
        pauses = self._pauses.in_force()
        return {
            "changed": bool(added),
            "note": None if is_written else "the log does not have it now: a restart would forget this pause",
            "jobs": list(ids),
            "pauses": [pause_json(pause) for pause in added],
            "in_force": [pause_json(pause) for pause in pauses if _covers_any(pause, ids, jobs)],
        }

    def resume(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Let the selected jobs run again; `request` has `jobs`.

        Raises:
            BadRequest: the request is malformed.
            NotFound: a selector selects neither a job nor a pause. Nothing was resumed.
            Conflict: the service is stopping, or has too many pauses.

        """
        _require_known(request, ("jobs",))
        texts, jobs = _parse_selectors(request), self._known_jobs()
        paused = {pause.selector.text for pause in self._pauses.in_force()}
        self._require_jobs([text for text in texts if text not in paused], jobs)
        before = self._pauses.in_force()
        changes = self._change(lambda: self._pauses.resume(selectors(texts), jobs, by))
        is_written = self._flush(_FLUSH_TIMEOUT_S)
        ids = select_jobs(texts, jobs).ids
        resumed = [job_id for job_id in ids if any(pause.covers(job_id, jobs[job_id]) for pause in before)]
        return {
            "changed": bool(changes),
            "note": None if is_written else "the log does not have it now: a restart would forget it",
            "jobs": resumed,
            "ended": [pause_json(change.pause) for change in changes if change.exempt is None],
            "exempt": [
                {**pause_json(change.pause), "except": [change.exempt.text]}
                for change in changes
                if change.exempt is not None
            ],
        }

    def _require_jobs(self, texts: Iterable[str], jobs: JobTags) -> None:
        for selector in select_jobs(texts, jobs).unmatched:
            if selector.job_id is not None:
                raise self._unknown(selector.job_id)
            if selector.text != ALL:
                raise NotFound(no_job_problem(selector, jobs))

    def _change(self, change: Callable[[], _Changes]) -> _Changes:
        try:
            return change()
        except TooManyPauses:
            help_ = "pause by a pattern such as `billing-*`, by a tag, or `--all`: one pause for any number of jobs"
            raise Conflict(Problem(f"there can be no more than {MAX_PAUSES:,} pauses", help=help_)) from None
        except StandsBy:
            raise
        except RuntimeError as error:
            raise Conflict(Problem(str(error))) from None


def _covers_any(pause: Pause, ids: Iterable[str], jobs: JobTags) -> bool:
    return any(pause.covers(job_id, jobs[job_id]) for job_id in ids)


# --- what a request says -----------------------------------------------------------------------------------


def _parse_pause(request: Mapping[str, Any], now: datetime) -> PauseRequest:
    _require_known(request, ("jobs", "until", "for", "reason"))
    reason = _text(request, "reason") or ""
    if len(reason) > MAX_REASON_CHARS or len(reason.encode("utf-8", "replace")) > MAX_REASON_BYTES:
        raise _refused(f"the reason of a pause has at most {MAX_REASON_CHARS} characters")
    if not reason.isprintable():
        raise _refused("the reason of a pause is one line of text")
    return PauseRequest(_parse_selectors(request), _parse_end(request, now), reason)


def _require_known(request: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in request:
        if key not in known:
            raise _refused(f"unknown key {quote(key)}", did_you_mean(key, known))


def _parse_selectors(request: Mapping[str, Any]) -> tuple[str, ...]:
    texts = request.get("jobs")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        help_ = 'write `"jobs": ["report-001", "billing-*", "tag:backup"]`, or `["*"]` for all'
        raise _refused("`jobs` must be a list of ids, patterns or tags", help_)
    too_long = next((text for text in texts if len(text) > MAX_SELECTOR_CHARS), None)
    if too_long is not None:
        raise _refused(f"{quote(too_long)} is longer than {MAX_SELECTOR_CHARS} characters")
    odd = next((text for text in texts if not text.isprintable() or not text), None)
    if odd is not None:
        raise _refused(f"{quote(odd)} cannot select a job")
    return tuple(dict.fromkeys(texts))


def _parse_end(request: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return the end of a pause; None if it has none."""
    until, seconds = _text(request, "until"), request.get("for")
    if seconds is not None:
        if until is not None:
            raise _refused("a pause has either `until` or `for`")
        try:
            return now + timedelta(seconds=parse_duration(seconds))
        except (ValueError, TypeError, OverflowError):
            raise _refused("`for` is not a duration", durations.HELP) from None
    if until is None:
        return None
    try:
        end = datetime.fromisoformat(until).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _refused(f"{quote(until)} is not an instant", "write it like `2026-12-01T06:00:00Z`") from None
    return end


def _text(request: Mapping[str, Any], key: str) -> str | None:
    value = request.get(key)
    if value is not None and not isinstance(value, str):
        raise _refused(f"`{key}` must be text")
    return value


def _refused(message: str, help_: str | None = None) -> BadRequest:
    return BadRequest(HTTPStatus.BAD_REQUEST, Problem(message, help=help_))
