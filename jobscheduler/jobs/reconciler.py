"""Bring the schedule in line with the sources: read what changed, parse, plan, apply, log the changes.

A sync is asked for by the Observer's thread (items that may have changed), by the file thread (settled items, all
items), and by the thread of the database. Lock: one sync at a time holds it from the first read to the last log line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from jobscheduler.jobs.catalog import SETTLE_DELAY_S, Catalog, ItemState, ItemStatus
from jobscheduler.jobs.item_events import log_status_change
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.jobs.problem_wording import reword_problem
from jobscheduler.jobs.schedule_updater import Schedule, ScheduleUpdater, Stopping
from jobscheduler.jobs.sources import ReadResult, Source, SourceUnavailable, SourceView
from jobscheduler.jobs.tracked_source import TrackedSource
from jobscheduler.model import EventLogger, Job, Problem, name_sort_key

QUERY_WAIT_S = 0.5  # a query waits this long for a running sync, then answers with what is known so far


class Reconciler:
    """Keeps one schedule in line with its sources. A source that is unavailable does not hinder the others.

    At the start, if two items have one id, the item of the source named first has it. A sync ends early when
    `is_stopping`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        schedule: Schedule,
        context: ParseContext,
        log_event: EventLogger,
        *,
        observe_latency: Callable[[float], object] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sources = [TrackedSource(source, log_event) for source in sources]
        self._context = context
        self._log_event = log_event
        self._now = now
        self._monotonic = monotonic
        self._is_stopping = is_stopping
        self._lock = threading.Lock()
        self._catalog = Catalog(is_unknown=lambda name: self._source_of(name).is_unavailable)
        self._updater = ScheduleUpdater(
            schedule, log_event, self._source_of, observe_latency=observe_latency, now=now, is_stopping=is_stopping
        )
        self._ended_early = True
        self._next_settle_at: float | None = None

    # --- syncs

    def sync_items(self, names: Iterable[str]) -> None:
        """Sync these items and those that have settled, or all of a source that is another place than before."""
        with self._lock:
            self._sync(set(names))

    def sync_all(self) -> None:
        """Sync every item whose fingerprint has changed."""
        with self._lock:
            self._sync(None)

    def reload(self, context: ParseContext) -> None:
        """Judge every definition anew: the service's zone or the task types may have changed."""
        with self._lock:
            self._context = context
            self._catalog.invalidate_all()
            self._sync(None)

    def reconsider(self) -> None:
        """Make expired one-time jobs active whose slot is in the future again: the clock was set back."""
        with self._lock:
            if self._updater.forget_unexpired():
                self._sync(set())

    def verify_sources(self) -> None:
        """Sync everything unless each source is where it was and the last sync was complete."""
        with self._lock:
            are_unchanged = [self._is_unchanged(source) for source in self._sources]  # each of them is looked at
            if all(are_unchanged):
                self._next_settle_at = self._catalog.next_settle_at()
            else:
                self._sync(None)

    def _is_unchanged(self, source: TrackedSource) -> bool:
        """Tell whether a source needs no sync. One that is unavailable needs none."""
        try:
            with source.source.open() as view:
                return not self._ended_early and source.is_complete and view.is_same_place()
        except SourceUnavailable as reason:
            self._set_unavailable(source, reason)
            return True

    # --- queries: any thread may call them

    @property
    def changes(self) -> int:
        """How often a job was put, expired or dropped since the start."""
        return self._updater.changes

    def is_complete(self) -> bool:
        """Tell whether the last sync read every source and came to its end. Does not wait."""
        return not self._ended_early and all(source.is_complete for source in self._sources)

    def next_settle_at(self) -> float | None:
        """Return when `sync_items(())` should be called because bad news will have settled, on the monotonic clock.

        News about an unavailable source does not settle before the source was read again.
        """
        return self._next_settle_at

    def counts(self) -> tuple[int, int]:
        """Return the number of active definitions and of refused items. Does not wait for a sync."""
        refused = sum(status.state is ItemState.REFUSED for status in self._catalog.bad_items().values())
        return len(self._updater.applied), refused

    def active_state(self) -> tuple[dict[str, Job], dict[str, ItemStatus]]:
        """Return the applied definitions by id, and the items that are stale or refused.

        Waits for a running sync, at most `QUERY_WAIT_S`. After that the answer is what the sync has done so far.
        Copying a dictionary is one step of the interpreter, so a sync cannot change it meanwhile.
        """
        is_locked = self._lock.acquire(timeout=QUERY_WAIT_S)
        try:
            return dict(self._updater.applied), self._catalog.bad_items()
        finally:
            if is_locked:
                self._lock.release()

    def unavailable(self) -> dict[str, SourceUnavailable]:
        """Return why each unavailable source cannot be read, by its kind."""
        return {source.source.kind: source.reason for source in self._sources if source.is_unavailable}

    def job(self, job_id: str) -> Job | None:
        """Return the definition that was applied last under this id, if any. Does not wait."""
        return self._updater.applied.get(job_id)

    # --- one sync

    def _sync(self, names: set[str] | None) -> None:
        """Observe, settle, apply, report. After a sync that failed or ended early the next one reads everything."""
        everything = names is None or self._ended_early
        self._ended_early, self._next_settle_at = True, None
        now = self._monotonic()
        try:
            wanted = None if everything else names
            read = [source for source in self._sources if self._observe_source(source, wanted, now)]
        except Stopping:
            return
        self._catalog.apply_settled(now)
        try:
            self._updater.apply(self._catalog.desired, self._catalog.pop_changed_ids(), everything=everything)
        except Stopping:
            return
        finally:
            for change in self._catalog.pop_changes(now):
                log_status_change(change, self._log_event, self._read_raw)
        self._next_settle_at = self._catalog.next_settle_at()
        for source in read:
            source.set_applied()
        self._ended_early = False

    def _observe_source(self, source: TrackedSource, names: set[str] | None, now: float) -> bool:
        """Read these items of a source, or all if it was incomplete or is another; return whether it is available."""
        everything = names is None or not source.is_complete
        source.begin_sync()
        try:
            with source.source.open() as view:
                self._observe_items(source, view, None if everything else names, now)
        except SourceUnavailable as reason:
            self._set_unavailable(source, reason)
            return False
        source.set_complete()
        return True

    def _observe_items(self, source: TrackedSource, view: SourceView, names: set[str] | None, now: float) -> None:
        if source.is_unavailable:  # another image on the same mount may look the same
            self._catalog.invalidate_all(source.covers)
        if names is None or not view.is_same_place():
            names = self._changed_items(source, view)
        source.set_listed()
        wanted = names | set(self._catalog.due_for_recheck(now))
        for item in view.read_all(sorted(filter(source.covers, wanted), key=name_sort_key)):
            if self._is_stopping():
                raise Stopping
            age = self._age(source, item)
            self._catalog.observe(
                item.name, item.fingerprint, self._parse_item(source, item), now, age=age, reread=item.reread
            )

    def _age(self, source: TrackedSource, item: ReadResult) -> float:
        """Return for how many seconds an item has been as it is now, as far as that counts.

        At the first sync an old file is old news. Later every change has to settle, whatever the time of its file.
        """
        if source.source.is_atomic:
            return SETTLE_DELAY_S
        return max(0.0, self._now().timestamp() - item.modified_at) if source.is_new else 0.0

    def _changed_items(self, source: TrackedSource, view: SourceView) -> set[str]:
        """Return the items that were added, changed or removed, and those whose problems may have healed."""
        listed, known = view.list_items(), self._catalog.fingerprints()
        may_have_healed = set(self._catalog.host_dependent_items())
        if listed == known:  # the usual case, quickly found for thousands of files
            return may_have_healed
        differing = {name for name, fingerprint in listed.items() if known.get(name) != fingerprint}
        removed = {name for name, fingerprint in known.items() if name not in listed and fingerprint is not None}
        return differing | set(filter(source.covers, removed)) | may_have_healed

    def _parse_item(self, source: TrackedSource, item: ReadResult) -> Job | tuple[Problem, ...] | None:
        """Parse one item. An error of ours, or of a plug-in's task type, is a problem of this item alone."""
        if item.problem is not None:
            return (item.problem,)
        if item.raw is None:
            return None
        try:
            result = parse(item.raw, item.name, self._context)
        except Exception as error:
            message = f"the definition cannot be checked: {type(error).__name__}: {error}"
            help_ = "this is a fault of the scheduler or of the task type, not of the file; please report it"
            return (Problem(message, file=item.name, help=help_, host_dependent=True),)
        if isinstance(result, Job):
            return replace(result, modified_at=datetime.fromtimestamp(item.modified_at, UTC))
        return tuple(reword_problem(source.source.noun, problem) for problem in result)

    def _source_of(self, name: str) -> TrackedSource:
        return next(source for source in self._sources if source.covers(name))

    def _set_unavailable(self, source: TrackedSource, reason: SourceUnavailable) -> None:
        source.set_unavailable(reason, (job.source_name for job in self._updater.applied.values()))

    def _read_raw(self, name: str) -> bytes:
        """Return the text of an item as it is now; empty if it cannot be read."""
        try:
            with self._source_of(name).source.open() as view:
                return view.read(name).raw or b""
        except SourceUnavailable:
            return b""
