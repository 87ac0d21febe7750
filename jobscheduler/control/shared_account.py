"""What a node of a cluster says of the jobs beside what it has done itself: as the account has it.

On the leader its own scheduler knows all that is to come. What other nodes have run, also before they lost the lead, is
in the account alone. On a node that stands by, so are the runs at work, the pauses and how the jobs stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from jobscheduler.model import Job, Pause, PauseIndex, Record
from jobscheduler.model.account_news import AccountNews, SharedRun
from jobscheduler.model.standing import Standing
from jobscheduler.status.run_stats import RecentRuns, RunStats
from jobscheduler.status.snapshot import ActiveRun
from jobscheduler.status.standings import Standings
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now


class SharedRecords:
    """The records of all nodes that were read from the account. Thread: any."""

    def __init__(self) -> None:
        self.results = RunStats()
        self.standings = Standings(uptime)

    def observe(self, record: Record) -> None:
        """Take a record, each once and the oldest first."""
        self.results.restore(record)
        self.standings.observe(record)


class SharedResults:
    """The last results of jobs, by this node's own records and by those of all nodes. Thread: any."""

    def __init__(self, own: RunStats, shared: SharedRecords) -> None:
        self._own = own
        self._shared = shared.results

    def recent_runs(self, job_id: str) -> RecentRuns | None:
        """Return what is known of a job's last runs; the account has them a moment later than the node that ran."""
        own, shared = self._own.recent_runs(job_id), self._shared.recent_runs(job_id)
        if own is None or shared is None:
            return own or shared
        if own.last.at > shared.last.at:
            return replace(own, usual=own.usual if shared.usual is None else shared.usual)
        same = own.last.run_id == shared.last.run_id
        return replace(shared, last_line=own.last_line or shared.last_line) if same else shared

    def last_record(self, job_id: str) -> Record | None:
        """Return a job's last record, without its output."""
        recent = self.recent_runs(job_id)
        return None if recent is None else recent.last

    def last_success(self, job_id: str) -> datetime | None:
        """Return the time of a job's last success, None if none is known."""
        found = (self._own.last_success(job_id), self._shared.last_success(job_id))
        return max((at for at in found if at is not None), default=None)


class SharedStandings:
    """How jobs stand: on the leader as it knows, elsewhere by the account. Thread: any."""

    def __init__(
        self, own: Standings, shared: SharedRecords, news: Callable[[], AccountNews], decides: Callable[[], bool]
    ) -> None:
        """`news` returns the account as it was last read, and does not wait."""
        self._own = own
        self._shared = shared.standings
        self._news = news
        self._decides = decides

    def of(self, job_id: str) -> Standing:
        """Return how a job stands."""
        if self._decides():
            return self._own.of(job_id)
        by_records, written = self._shared.of(job_id), self._news().results.standings.get(job_id)
        if written is None:
            return by_records
        # The leader writes now and then; records are newer, and may not reach back to the first failure.
        is_longer = bool(by_records.failures) and written.failures > by_records.failures
        known = written if is_longer else by_records
        return replace(known, overdue_since=written.overdue_since)

    def last_success(self, job_id: str) -> datetime | None:
        """Return the time of a job's last success that is known."""
        if self._decides():
            return self._own.last_success(job_id)
        found = (self._shared.last_success(job_id), self._news().results.successes.get(job_id))
        return max((at for at in found if at is not None), default=None)

    def in_force_since(self, job_id: str) -> datetime | None:
        """Return when a job came into force here."""
        return self._own.in_force_since(job_id)


class SharedRuns:
    """The runs without a record and the pauses of all nodes. Thread: any."""

    def __init__(self, news: Callable[[], AccountNews], node: str, decides: Callable[[], bool]) -> None:
        """`news` returns the account as it was last read, and does not wait; `node` is this one."""
        self._news = news
        self._node = node
        self._decides = decides

    def active(self, job_id: str, own: Iterable[ActiveRun]) -> tuple[ActiveRun, ...]:
        """Return the runs of a job, given those that this node knows of, each with the node that it is on."""
        shared = {run.run_id: run for run in self._news().runs.get(job_id, ())}
        known = tuple(_with_node(run, shared.pop(run.run_id, None), self._node) for run in own)
        return known if self._decides() else (*known, *map(_active, shared.values()))

    def pauses(self) -> PauseIndex | None:
        """Return all pauses; None if this node decides, and knows them."""
        return None if self._decides() else PauseIndex(self._news().pauses)

    def pauses_of(self, job: Job, own: tuple[Pause, ...]) -> tuple[Pause, ...]:
        """Return the pauses of a job that are in force, given those that this node has."""
        index = self.pauses()
        return own if index is None else index.in_force(job.id, job.tags, utc_now())

    def in_force(self, own: tuple[Pause, ...]) -> tuple[Pause, ...]:
        """Return all pauses that are in force, given those that this node has."""
        now = utc_now()
        return own if self._decides() else tuple(pause for pause in self._news().pauses if pause.is_in_force(now))


def _with_node(run: ActiveRun, shared: SharedRun | None, here: str) -> ActiveRun:
    is_elsewhere = shared is not None and shared.node not in {None, here}
    return replace(run, node=shared.node) if shared is not None and is_elsewhere else run


def _active(run: SharedRun) -> ActiveRun:
    waiting_for = None if not run.waits else "worker" if run.attempt <= 1 else "retry"
    return ActiveRun(run.run_id, run.scheduled, run.started, max(1, run.attempt), waiting_for, node=run.node)
