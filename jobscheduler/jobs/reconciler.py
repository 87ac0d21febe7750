"""One pass brings the schedule in line with the sources: look, parse, compare, apply, and tell what has changed.

Passes come from the Observer's thread (what may have changed), from the file thread (what has settled, everything),
from that of the database, and never overlap: one lock is held from the look to the last word about it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from jobscheduler.jobs.catalog import SETTLE_DELAY, Catalog, ItemState, ItemStatus, StatusChange
from jobscheduler.jobs.parser import ParseContext, id_conflict, parse
from jobscheduler.jobs.plan import is_past, make_plan
from jobscheduler.jobs.problem_wording import reword_problem
from jobscheduler.jobs.sources import ReadResult, Source, SourceUnavailable, SourceView
from jobscheduler.model import EventLogger, Job, Level, Problem, name_sort_key
from jobscheduler.timetable.definition_hash import hash_in_log

MAX_LATENCY_S = timedelta(minutes=1)
"""A file older than this was not what made a pass take its definition."""


WAIT_STEP_S = 0.5
"""How long readers wait for a pass that is being made, in seconds."""


class Schedule(Protocol):
    """As much of the scheduler as a pass needs."""

    def put(self, job: Job, now: datetime, *, is_first_sync: bool) -> datetime | None: ...  # noqa: D102
    def drop(self, job_id: str, now: datetime) -> None: ...  # noqa: D102 - nothing if it is not in force
    def source_changed(self, job_id: str, now: datetime) -> None: ...  # noqa: D102 - the file is another, the job is not
    def expire(self, job: Job, now: datetime) -> bool: ...  # noqa: D102 - whether it just got a record
    def next_slot(self, job_id: str) -> datetime | None: ...  # noqa: D102


class _Stopping(Exception):
    """The service is to end: the rest of a pass would only keep it from that."""


class _SourceState:
    """One source, and how it was found at the last look. `is_told` says that the log has it as lost, for `reason`.

    `is_first` says that it has yet to be looked at, `is_unread` that it could not be read so far, `is_whole` that it
    was looked at to its end.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.is_lost = self.is_reported = False
        self.reason = SourceUnavailable("it cannot be read")
        self.is_first_read = self.is_unread = True
        self.is_complete = False

    def covers(self, name: str) -> bool:
        """Tell whether a name is that of an item of this source."""
        prefix = self.source.prefix
        return name.startswith(prefix) if prefix else "/" not in name


class Reconciler:
    """Keeps one schedule in line with its sources. Each of them may be lost; that hinders none of the others.

    At a start, of two items with one id that of the source named first has it. A pass does not go on when `is_ending`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        schedule: Schedule,
        rules: ParseContext,
        log_event: EventLogger,
        *,
        took: Callable[[float], object] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source_states = [_SourceState(source) for source in sources]
        self._schedule = schedule
        self._rules = rules
        self._log_event = log_event
        self._on_latency = took
        self._now = now
        self._monotonic = monotonic
        self._is_stopping = is_ending
        self._lock = threading.Lock()
        self._catalog = Catalog(is_unknown=lambda name: self._source_of(name).is_lost)
        self._applied: dict[str, Job] = {}
        self._unapplied: set[str] = set()
        self._expired: set[str] = set()
        self.changes = 0
        self._is_whole = False
        self._settles: float | None = None

    def sync_items(self, names: Iterable[str]) -> None:
        """Look at these items, and at what has settled; at all of a source if that is another place than before."""
        with self._lock:
            self._sync(set(names))

    def sync_all(self) -> None:
        """Look at every item that is not, by its signature, as it was."""
        with self._lock:
            self._sync(None)

    def reload(self, rules: ParseContext) -> None:
        """Hold every definition against other rules (the service's zone may have changed); look at everything."""
        with self._lock:
            self._rules = rules
            self._catalog.invalidate_all()
            self._sync(None)

    def reconsider(self) -> None:
        """Put one-time jobs that were over and are not any more: the clock was set back."""
        with self._lock:
            now = self._now()
            for job_id in [one for one in self._expired if not is_past(self._applied[one], now)]:
                self._expired.discard(job_id)
                del self._applied[job_id]
                self._unapplied.add(job_id)
            if self._unapplied:
                self._sync(set())

    def verify_sources(self) -> None:
        """See whether each source is there and the same, and the last pass was whole; if not, look at everything."""
        with self._lock:
            found = [self._is_unchanged(place) for place in self._source_states]
            if not all(found):
                self._sync(None)
            else:
                self._settles = self._catalog.next_settle_at()

    def is_complete(self) -> bool:
        """Tell whether the last pass found every source, and came to its end. Any thread may ask; nobody waits."""
        return self._is_whole and all(place.is_complete for place in self._source_states)

    def _is_unchanged(self, place: _SourceState) -> bool:
        """Tell whether a source needs no look; one that cannot be had now needs none."""
        try:
            with place.source.open() as view:
                return self._is_whole and place.is_complete and view.is_same_place()
        except SourceUnavailable as reason:
            self._set_unavailable(place, reason)
            return True

    def next_settle_at(self) -> float | None:
        """Say when bad news will have settled and `look_at(())` should be called, on the monotonic clock.

        Nothing settles of a source that is lost, until it is looked at again. Any thread may ask at any time.
        """
        return self._settles

    def counts(self) -> tuple[int, int]:
        """Return how many definitions are in force, and how many items are refused. Never waits for a pass."""
        refused = sum(condition.state is ItemState.REFUSED for condition in self._catalog.bad_items().values())
        return len(self._applied), refused

    def active_state(self) -> tuple[dict[str, Job], dict[str, ItemStatus]]:
        """Return the definitions that are known to be valid, by id, and the items that are stale or refused.

        A pass that is being made is waited for, `MOMENT` at most: after that they are as it has left them so far.
        Copying a dictionary is one step of the interpreter, so that no pass can change it meanwhile.
        """
        is_quiet = self._lock.acquire(timeout=WAIT_STEP_S)
        try:
            return dict(self._applied), self._catalog.bad_items()
        finally:
            if is_quiet:
                self._lock.release()

    def unavailable(self) -> dict[str, SourceUnavailable]:
        """Give the reason for each source that cannot be read at present, by its kind."""
        return {place.source.kind: place.reason for place in self._source_states if place.is_lost}

    def job(self, job_id: str) -> Job | None:
        """Return the definition that was applied last under this id, if any. Any thread may ask; nobody waits."""
        return self._applied.get(job_id)

    # -- one pass

    def _sync(self, names: set[str] | None) -> None:
        """Make a pass; after one that failed or ended half-way, the next one looks at everything."""
        everything = names is None or not self._is_whole
        self._is_whole, self._settles = False, None
        now = self._monotonic()
        try:
            seen = [
                place
                for place in self._source_states
                if self._observe_source(place, None if everything else names, now)
            ]
        except _Stopping:
            return
        self._catalog.apply_settled(now)
        try:
            self._apply(everything=everything)
        except _Stopping:
            return
        finally:
            self._report(now)
        self._settles = self._catalog.next_settle_at()
        for place in seen:
            place.is_first_read = place.is_unread = False
        self._is_whole = True

    def _observe_source(self, place: _SourceState, names: set[str] | None, now: float) -> bool:
        """Look at these items of a source, at all of them if it was lost or is another; tell whether it is there."""
        everything = names is None or not place.is_complete
        place.is_complete = False
        try:
            with place.source.open() as view:
                self._observe_items(place, view, None if everything else names, now)
        except SourceUnavailable as reason:
            self._set_unavailable(place, reason)
            return False
        place.is_complete = True
        self._set_available(place)
        return True

    def _observe_items(self, place: _SourceState, view: SourceView, names: set[str] | None, now: float) -> None:
        if place.is_lost:  # what comes back may be another that looks the same: another image on the same mount
            self._catalog.invalidate_all(place.covers)
        if names is None or not view.is_same_place():
            names = self._changed_items(place, view)
        place.is_lost = False  # what had not settled when it was lost is looked at, and then may
        wanted = names | set(self._catalog.due_for_recheck(now))
        for found in view.read_all(sorted(filter(place.covers, wanted), key=name_sort_key)):
            if self._is_stopping():
                raise _Stopping
            age = self._age(place, found)
            self._catalog.observe(
                found.name, found.fingerprint, self._parse_result(found), now, age=age, again=found.reread
            )

    def _age(self, place: _SourceState, found: ReadResult) -> float:
        """Say for how long an item has been as it was found, as far as that counts, in seconds.

        What is there at the start is old news; what comes later is given its quiet second, whatever its age.
        """
        if place.source.is_atomic:
            return SETTLE_DELAY
        return max(0.0, self._now().timestamp() - found.modified_at) if place.is_first_read else 0.0

    def _changed_items(self, place: _SourceState, view: SourceView) -> set[str]:
        listing, known = view.list_items(), self._catalog.fingerprints()
        rejudged = set(self._catalog.host_dependent_items())
        if listing == known:  # the usual answer, for thousands of files, and quickly found
            return rejudged
        differing = {name for name, signature in listing.items() if known.get(name) != signature}
        gone = {name for name, signature in known.items() if name not in listing and signature is not None}
        return differing | set(filter(place.covers, gone)) | rejudged

    def _source_of(self, name: str) -> _SourceState:
        return next(place for place in self._source_states if place.covers(name))

    def _parse_result(self, found: ReadResult) -> Job | tuple[Problem, ...] | None:
        """Judge one item. A fault of ours, or of a task type from elsewhere, is a problem of this item alone."""
        if found.problem is not None:
            return (found.problem,)
        if found.raw is None:
            return None
        try:
            verdict = parse(found.raw, found.name, self._rules)
        except Exception as fault:
            message = f"the definition cannot be judged: {type(fault).__name__}: {fault}"
            help_ = "this is a fault of the scheduler or of the task type, not of the file; please report it"
            return (Problem(message, file=found.name, help=help_, host_dependent=True),)
        if isinstance(verdict, Job):
            return replace(verdict, modified_at=datetime.fromtimestamp(found.modified_at, UTC))
        noun = self._source_of(found.name).source.noun
        return tuple(reword_problem(noun, problem) for problem in verdict)

    def _apply(self, *, everything: bool) -> None:
        """Apply the difference. Only what succeeded goes into the ledger, so what failed is seen again.

        Raises:
            Exception: the first of those that kept a job from being put or dropped; the other jobs were.

        """
        now = self._now()
        self._unapplied |= self._catalog.pop_changed_ids()
        desired, ids = self._catalog.desired, self._unapplied
        if everything:
            ids = set() if desired == self._applied else desired.keys() | self._applied.keys()
        todo = make_plan(desired, self._applied, now, ids)
        steps = [
            *(partial(self._drop, job_id, now) for job_id in todo.drop),
            *(partial(self._put, job, now) for job in todo.put),
            *(partial(self._expire, job, now) for job in todo.expire),
        ]
        faults: list[Exception] = []
        for step in steps:
            if self._is_stopping():
                raise _Stopping
            try:
                step()
            except Exception as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        self._update_source_names(self._unapplied, now)
        self._unapplied.clear()

    def _update_source_names(self, ids: Iterable[str], now: datetime) -> None:
        """Take note of the files that definitions are from now: a file that was renamed changes nothing else."""
        for job_id in ids:
            job = self._catalog.desired.get(job_id)
            if job is not None and job is not (known := self._applied.get(job_id)):
                self._applied[job_id] = job
                if known is not None and job.modified_at != known.modified_at:
                    self._schedule.source_changed(job_id, now)

    def _put(self, job: Job, now: datetime) -> None:
        before = self._applied.get(job.id)
        next_before = self._schedule.next_slot(job.id) if before else None
        place = self._source_of(job.source_name)
        upcoming = self._schedule.put(job, now, is_first_sync=place.is_unread)
        self._applied[job.id] = job
        self._expired.discard(job.id)
        self.changes += 1
        if not place.is_first_read and job.modified_at is not None:
            self._observe_latency(self._now() - job.modified_at)
        if before is not None:
            self._log_event(
                Level.INFO,
                "job.updated",
                job_id=job.id,
                file=job.source_name,
                changed=",".join(job.changed_fields(before)),
                next_before=next_before,
                next_after=upcoming,
                hash=hash_in_log(job),
            )
        elif not place.is_first_read:
            self._log_event(
                Level.INFO, "job.added", job_id=job.id, file=job.source_name, next=upcoming, hash=hash_in_log(job)
            )

    def _observe_latency(self, since: timedelta) -> None:
        """Say how long a change took; what was put there long ago, and had its turn only now, tells nothing."""
        if timedelta(0) <= since < MAX_LATENCY_S:
            self._on_latency(since.total_seconds())

    def _expire(self, job: Job, now: datetime) -> None:
        """Take note of a one-time job that is over. It is told once, and not at all if it is one that was in force."""
        before = self._applied.get(job.id)
        if before is not None:
            self._schedule.drop(job.id, now)
        is_told = self._schedule.expire(job, now)
        self._applied[job.id] = job
        self._expired.add(job.id)
        self.changes += 1
        if not is_told and (before is None or before.schedule != job.schedule):
            self._log_event(Level.WARNING, "job.expired", job_id=job.id, file=job.source_name, scheduled=_instant(job))

    def _drop(self, job_id: str, now: datetime) -> None:
        self._schedule.drop(job_id, now)
        gone = self._applied.pop(job_id)
        self._expired.discard(job_id)
        self.changes += 1
        self._log_event(Level.INFO, "job.removed", job_id=job_id, file=gone.source_name, hash=hash_in_log(gone))

    # -- what is told

    def _report(self, now: float) -> None:
        for report in self._catalog.pop_changes(now):
            if report.after.state in {ItemState.GOOD, ItemState.GONE}:
                job_id = report.job.id if report.job else None
                how = "deleted" if report.after.state is ItemState.GONE else None
                self._log_event(Level.INFO, "job.mended", job_id=job_id, file=report.name, how=how)
            else:
                self._report_problems(report)

    def _report_problems(self, report: StatusChange) -> None:
        problems = report.after.problems or self._conflict_problem(report)
        stale = report.after.state is ItemState.STALE
        first, *rest = problems
        self._log_event(
            Level.ERROR,
            "job.stale" if stale else "job.refused",
            job_id=report.job.id if report.job and (stale or report.after.incumbent) else None,
            file=report.name,
            line=first.line,
            column=first.column,
            problem=first.message,
            help=first.help,
            also="; ".join(_brief(problem) for problem in rest) or None,
        )

    def _conflict_problem(self, report: StatusChange) -> tuple[Problem, ...]:
        """Say that an id is taken, at its place in the file as that is now."""
        assert report.job is not None  # noqa: S101 - only a valid definition can lack nothing but its id
        incumbent = report.after.incumbent or ""
        try:
            with self._source_of(report.name).source.open() as view:
                raw = view.read(report.name).raw
        except SourceUnavailable:
            raw = None
        return (id_conflict(raw or b"", report.name, report.job.id, incumbent),)

    def _set_unavailable(self, place: _SourceState, reason: SourceUnavailable) -> None:
        if not place.is_reported:
            jobs = sum(place.covers(job.source_name) for job in self._applied.values())
            self._log_event(Level.ERROR, f"{place.source.kind}.lost", problem=str(reason), help=reason.help, jobs=jobs)
        place.is_lost = place.is_reported = True
        place.reason = reason
        place.is_complete = place.is_first_read = False

    def _set_available(self, place: _SourceState) -> None:
        if place.is_reported:
            self._log_event(Level.INFO, f"{place.source.kind}.found")
        place.is_reported = False


def _instant(job: Job) -> datetime | None:
    return getattr(job.schedule, "at", None)


def _brief(problem: Problem) -> str:
    place = f"line {problem.line}, column {problem.column}: " if problem.line else ""
    return place + problem.message
