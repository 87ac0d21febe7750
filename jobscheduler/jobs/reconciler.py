"""Bring the schedule in line with the sources: read what changed, parse, plan, apply, log the changes.

A sync is asked for by the Observer's thread (items that may have changed), by the file thread (settled items, all
items), and by the thread of the database. Lock: one sync at a time holds it from the first read to the last log line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime

from jobscheduler.jobs.catalog import SETTLE_DELAY_S, Catalog, ItemState, ItemStatus
from jobscheduler.jobs.item_events import log_status_change
from jobscheduler.jobs.job_change_log import JobChangeLog
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.schedule_updater import Schedule, ScheduleUpdater, Stopping
from jobscheduler.jobs.source_observer import SourceObserver
from jobscheduler.jobs.source_state import TrackedSource
from jobscheduler.jobs.sources import Source, SourceUnavailable
from jobscheduler.model import EventLogger, Job
from jobscheduler.util.exposure_log import ExposureLog
from jobscheduler.util.instants import utc_now

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
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sources = [TrackedSource(source, log_event) for source in sources]
        self._log_event = log_event
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._catalog = Catalog(is_unknown=lambda name: self._observer.source_of(name).is_unavailable)
        self._exposures = ExposureLog(log_event, SETTLE_DELAY_S)
        self._observer = SourceObserver(
            self._sources,
            self._catalog,
            context,
            self._active_items,
            exposures=self._exposures,
            now=now,
            is_stopping=is_stopping,
        )
        changes = JobChangeLog(log_event, observe_latency=observe_latency, now=now)
        self._updater = ScheduleUpdater(schedule, changes, self._observer.source_of, now=now, is_stopping=is_stopping)
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

    def reload(self, context: ParseContext, new_rules: Collection[str] = ()) -> None:
        """Judge every definition anew: the service's zone or the task types may have changed.

        `new_rules` are the zones whose rules have changed: the slots of their jobs are computed anew.
        """
        with self._lock:
            self._observer.replace_context(context)
            self._updater.note_new_rules(new_rules)
            self._sync(None)

    def reconsider(self) -> None:
        """Make expired one-time jobs active whose slot is in the future again: the clock was set back."""
        with self._lock:
            if self._updater.forget_unexpired():
                self._sync(set())

    def follow_seed(self) -> None:
        """Compute the starts of slots with `jitter` anew: their seed is another one."""
        with self._lock:
            self._updater.put_jittered()

    def lead(self, begin: Callable[[list[Job]], object]) -> None:
        """Have the schedule decide, after another service did; `begin` gets the one-time jobs that are over.

        No sync runs beside that.
        """
        with self._lock:
            begin(self._updater.expired())

    def verify_sources(self) -> None:
        """Sync everything unless each source is where it was and the last sync was complete."""
        with self._lock:
            if self._observer.are_unchanged(has_synced=not self._ended_early):
                self._note_next_settle()
            else:
                self._sync(None)

    # --- queries: any thread may call them

    @property
    def changes(self) -> int:
        """How often a job was put, expired or dropped since the start."""
        return self._updater.changes

    @property
    def moved(self) -> int:
        """How many jobs have got another next slot by new rules of their zone since the start."""
        return self._updater.moved

    def is_complete(self) -> bool:
        """Return whether the last sync read every source and came to its end. Does not wait."""
        return not self._ended_early and all(source.is_complete for source in self._sources)

    def next_settle_at(self) -> float | None:
        """Return when `sync_items(())` should be called because bad news will have settled, on the monotonic clock.

        News about an unavailable source does not settle before the source was read again.
        """
        return self._next_settle_at

    def counts(self, *, is_settled: bool = True) -> tuple[int, int, int]:
        """Return the number of active definitions, of refused items and of stale ones. Does not wait for a sync.

        Without `is_settled` bad news counts that has not settled, too; that waits for a sync, at most `QUERY_WAIT_S`.
        """
        bad = self._catalog.bad_items()
        if not is_settled and self._lock.acquire(timeout=QUERY_WAIT_S):
            try:
                bad = self._catalog.bad_now()
            finally:
                self._lock.release()
        states = [status.state for status in bad.values()]
        return len(self._updater.applied), states.count(ItemState.REFUSED), states.count(ItemState.STALE)

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

    def items(self) -> list[tuple[str, Job | None, ItemStatus]]:
        """Return every item of every source, with its last good definition and its status.

        Raises:
            TimeoutError: a sync goes on for longer than `QUERY_WAIT_S`.

        """
        if not self._lock.acquire(timeout=QUERY_WAIT_S):
            raise TimeoutError
        try:
            return self._catalog.items()
        finally:
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
            read = self._observer.observe(wanted, now)
        except Stopping:  # the next start syncs again
            return
        self._catalog.apply_settled(now)
        try:
            self._updater.apply(self._catalog.desired, self._catalog.pop_changed_ids(), everything=everything)
        except Stopping:  # the next start syncs again
            return
        finally:
            for change in self._catalog.pop_changes(now):
                log_status_change(change, self._log_event, self._observer.read_raw)
        self._exposures.report(now)
        self._note_next_settle()
        for source in read:
            source.set_applied()
        self._ended_early = False

    def _note_next_settle(self) -> None:
        times = [self._catalog.next_settle_at(), self._exposures.next_settle_at()]
        self._next_settle_at = min((time for time in times if time is not None), default=None)

    def _active_items(self) -> Iterator[str]:
        return (job.source_name for job in self._updater.applied.values())
