"""What the control socket offers on outputs: those of a run at work, part by part as they come, and of former runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from jobscheduler.control.outputs import StoredOutputs
from jobscheduler.control.run_finder import FoundRun, RunFinder
from jobscheduler.model import KeptOutput, Problem, StoredAttempt
from jobscheduler.output.names import is_run_id
from jobscheduler.runner import Run
from jobscheduler.status.snapshot import Conflict, NotFound
from jobscheduler.status.snapshot_json import instant
from jobscheduler.tasks.command.output_buffer import trim_end
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.text import did_you_mean

MAX_PART_BYTES = 16 * 1024  # of an output in one answer
MAX_FOLLOWERS, MAX_FOLLOWERS_OF_USER = 64, 24  # requests that wait for output at once; further ones do not wait
POLL_S = 0.15  # seconds between two looks at what a run has printed


class OutputService:
    """Answers requests for outputs.

    Thread: any. Each request is bounded: one part of an output, one search.
    """

    def __init__(self, finder: RunFinder, stored: StoredOutputs, job_ids: Callable[[], list[str]]) -> None:
        """`job_ids` returns the ids of all jobs."""
        self._finder = finder
        self._stored = stored
        self._job_ids = job_ids
        self._followers = _Followers()

    def output(self, name: str, *, failed: bool) -> Mapping[str, Any]:
        """Describe the output of a run: that of this id, or the last one of a job. An empty name is any job.

        Raises:
            NotFound: there is no such job or run.
            Conflict: the log or the output directory does not answer.

        """
        try:
            found = self._find(name, failed=failed)
            return self._described(found)
        except (OSError, CallHung) as error:
            _unanswered(error)

    def part(self, run_id: str, attempt: int, offset: int, wait: float, by: str) -> Mapping[str, Any]:
        """Return what an attempt has printed from `offset` on. Wait up to `wait` seconds if that is nothing yet.

        Raises:
            NotFound: there is no such run.
            Conflict: the log or the output directory does not answer.

        """
        try:
            found = self._finder.run(run_id)
            with self._followers.waiting(by) as may_wait:
                deadline = time.monotonic() + (wait if may_wait else 0.0)
                while True:
                    part = self._part(found, attempt, offset)
                    if part is not None or time.monotonic() >= deadline:
                        return self._part_json(found, attempt, offset, part)
                    time.sleep(POLL_S)
        except (OSError, CallHung) as error:
            _unanswered(error)

    # -- the run

    def _find(self, name: str, *, failed: bool) -> FoundRun:
        if not name:
            return self._known(self._finder.last(None, failed=True), "no run has failed, as far back as the log goes")
        is_job = name in self._job_ids()
        if not is_job and is_run_id(name) and not failed:
            try:
                return self._finder.run(name)
            except NotFound:
                pass  # it may be a job that is gone
        found = self._finder.last(name, failed=failed)
        if found is None and not is_job:
            help_ = did_you_mean(name, self._job_ids()) or "`jobscheduler list` shows all jobs"
            raise NotFound(Problem(f"there is no job or run `{name}`", help=help_))
        what = "failed" if failed else "run"
        return self._known(found, f"`{name}` has not {what}, as far back as the log goes")

    def _known(self, found: FoundRun | None, message: str) -> FoundRun:
        if found is None:
            raise NotFound(Problem(message, help="`jobscheduler history` shows what the log has"))
        return found

    def _described(self, found: FoundRun) -> Mapping[str, Any]:
        attempts = [_attempt_json(attempt, is_running=False) for attempt in self._ended(found)]
        live = _live(found.run)
        if live is not None:
            attempts.append(_attempt_json(live, is_running=True))
        return {
            "job_id": found.job_id,
            "run_id": found.run_id,
            "state": _state(found.run),
            "running_attempt": _running_attempt(found.run),
            "record": found.known_record(),
            "attempts": attempts,
        }

    # -- its output

    def _ended(self, found: FoundRun) -> list[StoredAttempt]:
        """Return the ended attempts. Memory has to do while the directory fails, if it has any."""
        place = found.known_place()
        try:
            attempts = self._stored.recent(found.run_id) if place is None else self._stored.attempts(place)
        except (OSError, CallHung):
            attempts = self._stored.recent(found.run_id)
            if not attempts:
                raise
        live = _running_attempt(found.run)
        return [attempt for attempt in attempts if attempt.attempt != live]

    def _ended_or_none(self, found: FoundRun) -> list[StoredAttempt]:
        """Return the ended attempts; none of a run of this service while the directory fails: its end counts more."""
        try:
            return self._ended(found)
        except (OSError, CallHung):
            if found.run is None:
                raise
            return []

    def _part(self, found: FoundRun, attempt: int, offset: int) -> _Part | None:
        """Return the next part, None while there is nothing new to say."""
        running = _running_attempt(found.run)
        is_over = _state(found.run) == "ended"  # before the output is read: later there is no more of it
        if running == attempt and not is_over:
            live = _live(found.run, offset)
            return None if live is None else _Part.of(live.kept, offset, is_last=False)
        began = 0 if found.run is None else found.run.attempts
        if not is_over and attempt > began:
            return None
        ended = self._ended_or_none(found)
        kept = next((one.kept for one in ended if one.attempt == attempt), KeptOutput())
        part = _Part.of(kept, offset, is_last=True)
        following = [one.attempt for one in ended if one.attempt > attempt]
        if part is not None:
            return part
        if not is_over:
            return _Part("", offset, offset, attempt + 1) if began > attempt else None
        return _Part("", offset, max(offset, kept.total), min(following, default=None), is_over=True)

    def _part_json(self, found: FoundRun, attempt: int, offset: int, part: _Part | None) -> Mapping[str, Any]:
        part = part or _Part("", offset, offset)
        return {
            "job_id": found.job_id,
            "run_id": found.run_id,
            "attempt": attempt,
            "offset": part.offset,
            "missing": part.offset - offset,
            "text": part.text,
            "next": part.next,
            "next_attempt": part.next_attempt,
            "is_over": part.is_over and part.next_attempt is None,
            "state": _state(found.run),
            "record": found.known_record() if part.is_over else None,
        }


class _Part:
    """A part of an output: text from `offset` to `next`. `next_attempt` goes on when this attempt has no more."""

    __slots__ = ("is_over", "next", "next_attempt", "offset", "text")

    def __init__(
        self, text: str, offset: int, next_: int, next_attempt: int | None = None, *, is_over: bool = False
    ) -> None:
        self.text = text
        self.offset = offset
        self.next = next_
        self.next_attempt = next_attempt
        self.is_over = is_over

    @classmethod
    def of(cls, kept: KeptOutput, offset: int, *, is_last: bool) -> _Part | None:
        """Return the bytes from `offset` on; None if there are none, or only a part of a character.

        Bytes that are not UTF-8 become half surrogates (`surrogateescape`), so that no byte is lost.
        """
        part = kept.since(offset, MAX_PART_BYTES)
        may_go_on = len(part.data) == MAX_PART_BYTES or (not is_last and part.end >= kept.total)
        data = trim_end(part.data) if may_go_on else part.data
        if not data:
            return None
        return cls(data.decode("utf-8", "surrogateescape"), part.offset, part.offset + len(data))


class _Followers:
    """Counts the requests that wait, of all users and of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @contextmanager
    def waiting(self, user: str) -> Iterator[bool]:
        """Take a place among those that wait; yield whether there was one."""
        with self._lock:
            has_room = self._counts.total() < MAX_FOLLOWERS and self._counts[user] < MAX_FOLLOWERS_OF_USER
            self._counts[user] += has_room
        try:
            yield has_room
        finally:
            with self._lock:
                self._counts[user] -= has_room
                if not self._counts[user]:
                    del self._counts[user]


def _state(run: Run | None) -> str:
    """Return how far a run is: `waiting`, `running`, `retrying` or `ended`."""
    if run is None or run.record is not None or run.is_cancelled:
        return "ended"
    if run.running_attempt is not None:
        return "running"
    return "retrying" if run.waits_for_attempt else "waiting"


def _running_attempt(run: Run | None) -> int | None:
    attempt = None if run is None else run.running_attempt
    return None if attempt is None else attempt.number


def _live(run: Run | None, offset: int = 0) -> StoredAttempt | None:
    """Return what the running attempt of a run has printed, if that is more than `offset` bytes."""
    attempt = None if run is None else run.running_attempt
    return None if attempt is None or attempt.printed <= offset else attempt.live_output()


def _attempt_json(attempt: StoredAttempt, *, is_running: bool) -> Mapping[str, Any]:
    return {
        "attempt": attempt.attempt,
        "began": instant(attempt.began),
        "ended": instant(attempt.ended),
        "is_running": is_running,
        "total": attempt.kept.total,
        "missing": attempt.kept.missing,
    }


def _unanswered(error: Exception) -> NoReturn:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    problem = Problem(f"the output cannot be read now: {text.lower()}", help="`jobscheduler status` says what is wrong")
    raise Conflict(problem) from None
