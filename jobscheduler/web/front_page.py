"""Collect the values of the first page. Pure, apart from reading the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobscheduler.status.run_detail import LiveRun
from jobscheduler.status.run_stats import LAST_RUNS
from jobscheduler.status.snapshot import JobStatus, Snapshot
from jobscheduler.util.text import plural
from jobscheduler.web.activity import Activity, Check
from jobscheduler.web.job_list import JobList, list_jobs, list_page
from jobscheduler.web.overview import (
    MAX_ROWS,
    MIN_FILE_ROWS,
    Overview,
    mistakes,
    needs,
    overview,
)
from jobscheduler.web.page_query import ORDERS, ZOOMS, PageQuery
from jobscheduler.web.run_strip import Strip, logged, strip
from jobscheduler.web.view import ServiceView

MAX_LISTS = 8  # lists of different queries kept while nothing changes


@dataclass(frozen=True, slots=True)
class Verdict:
    """How everything is: `mark` and `icon` of the worst, and the figures in words, each with the state that it counts.

    `mark` stands before the host's name in the title of the page; it is empty if nothing is wrong.
    """

    mark: str
    icon: str
    figures: tuple[tuple[str, str], ...]


def verdict(seen: Overview, has_issues: bool) -> Verdict:
    """Sum up what is wrong."""
    counts = need_counts(seen)
    figures = [(f"{count:,} {word}", state) for count, word, state in counts]
    if seen.bad:
        figures.append((f"{plural(len(seen.bad), 'file')} with problems", "files"))
    needy = sum(count for count, _, _ in counts)
    mark = "!" if has_issues else f"✕{needy}" if needy else f"⚠{len(seen.bad)}" if seen.bad else ""
    icon = "failure" if has_issues or needy else "warning" if seen.bad else ""
    return Verdict(mark, icon, tuple(figures))


def need_counts(seen: Overview) -> list[tuple[int, str, str]]:
    """Return how many jobs need an operator, in words, with the state that selects them; only those that there are."""
    counts = (
        (seen.count("failing"), "failing", "failing"),
        (seen.count("overdue"), "overdue", "overdue"),
        (len(seen.long_runs), "running long", "running"),
    )
    return [entry for entry in counts if entry[0]]


class FrontPage:
    """The values of the first page, for its template."""

    def __init__(self, view: ServiceView, activity: Activity) -> None:
        self._view = view
        self._activity = activity
        self._last: tuple[Snapshot, Overview] | None = None
        self._live: tuple[Snapshot, Mapping[str, LiveRun]] | None = None
        self._lists: tuple[Overview, dict[PageQuery, JobList]] | None = None

    def values(self, snapshot: Snapshot, query: PageQuery, check: Check) -> dict[str, Any]:
        """Return the values. `check` and `Busy` are as for `Activity.recent`."""
        seen = self.overview(snapshot)
        found = self._list(seen, query)
        sheet = list_page(found.jobs, query.page)
        recent, drawn = self._activity.recent(snapshot, found.jobs, query, check)
        wrong = mistakes(seen.bad)
        file_rows = min(len(wrong), max(MIN_FILE_ROWS, MAX_ROWS - len(seen.troubled) - len(seen.long_runs)))
        rows = needs(seen, MAX_ROWS - file_rows, recent.failures)
        is_cut = len(seen.troubled) + len(seen.long_runs) > len(rows)
        return {
            "seen": seen,
            "needs": rows,
            "hidden_needs": need_counts(seen) if is_cut else [],
            "mistakes": wrong[:file_rows],
            "mistake_count": len(wrong),
            "running": seen.running[:MAX_ROWS],
            "live": self._live_runs(snapshot, seen),
            "found": found,
            "sheet": sheet,
            "strips": {job.id: self._strip(job, recent.runs) for job in sheet.jobs if job.id},
            "timeline": drawn,
            "orders": ORDERS,
            "zooms": ZOOMS,
        }

    def _list(self, seen: Overview, query: PageQuery) -> JobList:
        """Return the list of a query: the former one for its other pages, and while the summary is the same."""
        lists = self._lists
        if lists is None or lists[0] is not seen or len(lists[1]) >= MAX_LISTS:
            lists = self._lists = seen, {}
        key = PageQuery(q=query.q, state=query.state, tag=query.tag, sort=query.sort)
        found = lists[1].get(key)
        if found is None:
            found = lists[1][key] = list_jobs(seen.entries, query)
        return found

    def overview(self, snapshot: Snapshot) -> Overview:
        """Return the summary of a snapshot; the former one while the snapshot is the same."""
        last = self._last
        if last is None or last[0] is not snapshot:
            last = self._last = snapshot, overview(snapshot, None if last is None else last[1])
        return last[1]

    def _live_runs(self, snapshot: Snapshot, seen: Overview) -> Mapping[str, LiveRun]:
        """Return how the runs that are shown are; asked once for a snapshot, however many requests there are."""
        live = self._live
        if live is None or live[0] is not snapshot:
            live = self._live = snapshot, self._view.live_runs([run.run_id for run in seen.running[:MAX_ROWS]])
        return live[1]

    def _strip(self, job: JobStatus, runs: Mapping[str, Sequence[Any]]) -> Strip:
        """Lay out the last runs of a job: those since the start, or those in the log if there are more."""
        since_start = self._view.results.last_runs(job.id or "")
        in_log = runs.get(job.id or "", ())
        return strip(since_start if len(since_start) >= len(in_log) else logged(in_log), LAST_RUNS)


def issues_of(snapshot: Snapshot, health_issue: str | None) -> list[str]:
    """Return what is wrong with the service itself."""
    return list(dict.fromkeys(_issues(snapshot, health_issue)))


def _issues(snapshot: Snapshot, health_issue: str | None) -> Iterator[str]:
    if health_issue:
        yield health_issue
    if snapshot.service.overdue and snapshot.service.overdue not in (health_issue or ""):
        yield f"{snapshot.service.overdue} is not on time"
    yield from snapshot.service.issues
