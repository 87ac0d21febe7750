"""A day back and a day ahead, laid out: what ran, failed, was skipped or missed, and what is due. Pure.

1. Places are percent of the width, so the drawing stretches to any screen. Now is in the middle.
2. A job has one row. Its runs are bars; ones that overlap go on two lanes. Runs that succeeded, one close behind the
   other, become one bar: at this scale a job of every minute is a line.
3. What went wrong gets a mark of its own shape on top, and is never merged with what went well. Marks too close to be
   told apart become one, which says how many.
4. Rows with trouble come first, then what ran, then what is due; beyond `MOST_ROWS` they are only counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from jobscheduler.model import Status
from jobscheduler.status.snapshot import JobStatus
from jobscheduler.web.formatting import format_duration, pluralize
from jobscheduler.web.log_record import LoggedRun
from jobscheduler.web.time_axis import WINDOW, Concurrency, HourLine, TimeAxis, concurrency, hours

MAX_ROWS = 40
"""How many jobs are shown."""

MAX_SLOTS = 100
"""How many slots ahead are shown of one job."""

MERGE_BARS_PCT = 0.1
"""What is less than this apart (percent; three minutes) is one bar."""

MERGE_MARKERS_PCT = 1.2
"""What is less than this apart is one mark."""

MIN_WIDTH_PCT = 0.06
"""The least width of a bar: one without any would not be drawn."""

WORDS = {
    Status.SUCCESS: "succeeded",
    Status.FAILURE: "failed",
    Status.SKIPPED: "skipped",
    Status.MISSED: "missed",
}
ISSUE_KINDS = (Status.FAILURE, Status.MISSED, Status.SKIPPED)
"""What needs to be seen, the worst first."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on a row; `kind` is a status in lower case, `going` or `more` (slots too many to show)."""

    left: float
    width: float
    kind: str
    title: str
    lane: int = 0


@dataclass(frozen=True, slots=True)
class Marker:
    """An instant on a row: of trouble (`failure`, `skipped`, `missed`), or a `slot` ahead, `idle` if it is paused."""

    at: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One job. `summary` says in words what is drawn."""

    job_id: str
    spans: tuple[Span, ...]
    marks: tuple[Marker, ...]
    summary: str
    lanes: int
    has_issue: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that is drawn. `unread` is up to where (percent) only trouble was read, 0 if all was.

    `left_out` counts jobs beyond the last row, `left_out_trouble` those of them that had trouble.
    """

    rows: tuple[Row, ...]
    hours: tuple[HourLine, ...]
    load: tuple[Concurrency, ...]
    peak: int
    unread: float
    omitted: int
    omitted_issues: int


def rank_jobs(records: Sequence[LoggedRun], jobs: Iterable[JobStatus], now: datetime) -> list[str]:
    """Give the ids of the jobs that have a row, in order, and of those beyond the last row."""
    worst: dict[str, tuple[int, float]] = {}
    for one in records:
        rank = (ISSUE_KINDS.index(one.status) if one.status in ISSUE_KINDS else len(ISSUE_KINDS), -one.at.timestamp())
        worst[one.job_id] = min(worst.get(one.job_id, rank), rank)
    troubled = sorted((one for one, rank in worst.items() if rank[0] < len(ISSUE_KINDS)), key=worst.__getitem__)
    busy = {one.id for one in jobs if one.id and one.active_runs}
    ran = sorted(busy.union(worst).difference(troubled))
    known = {*troubled, *ran}
    due = [
        (one.next, one.id) for one in jobs if one.next and one.next <= now + WINDOW and one.id and one.id not in known
    ]
    return [*troubled, *ran, *(job_id for _, job_id in sorted(due))]


def timeline(
    view: TimeAxis,
    records: Sequence[LoggedRun],
    jobs: Mapping[str, JobStatus],
    order: Sequence[str],
    upcoming: Mapping[str, Sequence[datetime]],
    read_from: datetime,
) -> Timeline:
    """Lay it out: `records` newest first, `order` from `chosen`, `upcoming` for those that have a row.

    `read_from` is from when on the records are complete.
    """
    shown = order[:MAX_ROWS]
    mine: dict[str, list[LoggedRun]] = {job_id: [] for job_id in shown}
    troubled = set()
    for one in reversed(records):
        if one.status in ISSUE_KINDS:
            troubled.add(one.job_id)
        if one.job_id in mine:
            mine[one.job_id].append(one)
    at_once, peak = concurrency(view, records)
    rest = order[MAX_ROWS:]
    return Timeline(
        rows=tuple(layout_row(view, one, mine[one], jobs.get(one), upcoming.get(one, ())) for one in shown),
        hours=tuple(hours(view)),
        load=at_once,
        peak=peak,
        unread=view.percent(read_from),
        omitted=len(rest),
        omitted_issues=sum(job_id in troubled for job_id in rest),
    )


def layout_row(
    view: TimeAxis, job_id: str, records: Sequence[LoggedRun], job: JobStatus | None, upcoming: Sequence[datetime]
) -> Row:
    """Lay out one job; `records` oldest first."""
    begin = view.now - WINDOW
    records = [one for one in records if one.end >= begin]
    runs = sorted((one for one in records if one.started is not None), key=lambda one: one.begin)
    spans = [*_runs(view, runs), *_active_runs(view, job), *_missed(view, records), *_outside(view, upcoming)]
    is_paused = job is not None and job.paused
    marks = [*_slots(view, upcoming, is_paused=is_paused), *_issues(view, records)]
    lanes = 2 if any(one.lane for one in spans) else 1
    has_trouble = any(one.status in ISSUE_KINDS for one in records)
    return Row(job_id, tuple(spans), tuple(marks), _summary(job_id, records, upcoming), lanes, has_trouble)


def _runs(view: TimeAxis, runs: Iterable[LoggedRun]) -> Iterator[Span]:
    """Draw runs, in the order of their starts: each on the first lane that is free, close ones together."""
    lanes: list[list[list[LoggedRun]]] = [[], []]
    for one in runs:
        lane = lanes[0] if not lanes[0] or lanes[0][-1][-1].end <= one.begin else lanes[1]
        if lane and _is_close(view, lane[-1][-1], one):
            lane[-1].append(one)
        else:
            lane.append([one])
    for number, groups in enumerate(lanes):
        for group in groups:
            left, right = view.percent(group[0].begin), view.percent(max(one.end for one in group))
            kind = group[0].status.value.lower()
            yield Span(left, _width(left, right), kind, _of_group(view, group), number)


def _width(left: float, right: float) -> float:
    return max(MIN_WIDTH_PCT, round(right - left, 2))


def _is_close(view: TimeAxis, before: LoggedRun, after: LoggedRun) -> bool:
    return before.status is after.status and view.percent(after.begin) - view.percent(before.end) < MERGE_BARS_PCT


def _of_group(view: TimeAxis, group: Sequence[LoggedRun]) -> str:
    first, last = group[0], group[-1]
    if first is last:
        took = "" if first.duration is None else f", {format_duration(first.duration)}"
        why = f": {first.reason}" if first.reason else ""
        return f"{view.clock(first.begin)} {WORDS[first.status]}{why}{took}"
    longest = format_duration(max(one.duration or 0.0 for one in group))
    runs = pluralize(len(group), "run")
    return f"{view.clock(first.begin)} to {view.clock(last.end)}: {runs} {WORDS[first.status]}, up to {longest}"


def _active_runs(view: TimeAxis, job: JobStatus | None) -> Iterator[Span]:
    for run in job.active_runs if job else ():
        if run.started is not None:
            left = view.percent(run.started)
            since = format_duration((view.now - run.started).total_seconds())
            yield Span(left, _width(left, 50), "going", f"{view.clock(run.started)} running for {since}")


def _missed(view: TimeAxis, records: Iterable[LoggedRun]) -> Iterator[Span]:
    for one in records:
        if one.status is Status.MISSED and one.last is not None:
            left = view.percent(one.begin)
            yield Span(left, _width(left, view.percent(one.last)), "missed", _issue_mark(view, one))


def _outside(view: TimeAxis, upcoming: Sequence[datetime]) -> Iterator[Span]:
    """Say that there are more slots than are shown."""
    if len(upcoming) >= MAX_SLOTS:
        left = view.percent(upcoming[-1])
        yield Span(left, _width(left, 100), "more", f"after {view.clock(upcoming[-1])} it goes on")


def _issues(view: TimeAxis, records: Iterable[LoggedRun]) -> Iterator[Marker]:
    for status in reversed(ISSUE_KINDS):
        marks = [(view.percent(_instant_of(one)), one) for one in records if one.status is status]
        group: list[tuple[float, LoggedRun]] = []
        for found in sorted(marks, key=lambda mark: mark[0]):
            if group and found[0] - group[0][0] >= MERGE_MARKERS_PCT:
                yield _mark(view, group)
                group = []
            group.append(found)
        if group:
            yield _mark(view, group)


def _instant_of(one: LoggedRun) -> datetime:
    """Give where the mark of trouble is: where a run failed, else where its slot was."""
    return one.end if one.status is Status.FAILURE else one.begin


def _mark(view: TimeAxis, group: Sequence[tuple[float, LoggedRun]]) -> Marker:
    first, last = group[0][1], group[-1][1]
    count = sum(one.count - one.corrected for _, one in group)
    kind = first.status.value.lower()
    at = round((group[0][0] + group[-1][0]) / 2, 2)
    if first is last:
        return Marker(at, kind, _issue_mark(view, first))
    reasons = ", ".join(sorted({one.reason for _, one in group if one.reason}))
    title = f"{view.clock(first.begin)} to {view.clock(last.begin)}: {count:,} {WORDS[first.status]}"
    return Marker(at, kind, f"{title}: {reasons}" if reasons else title)


def _issue_mark(view: TimeAxis, one: LoggedRun) -> str:
    why = f": {one.reason}" if one.reason else ""
    if one.count > 1 and one.last:
        slots = pluralize(one.count, "slot")
        return f"{view.clock(one.begin)} to {view.clock(one.last)}: {slots} {WORDS[one.status]}{why}"
    return f"{view.clock(one.begin)} {WORDS[one.status]}{why}"


def _slots(view: TimeAxis, upcoming: Sequence[datetime], *, is_paused: bool) -> Iterator[Marker]:
    """Draw the slots ahead; those at one place are one line."""
    for place, slots in groupby(upcoming[:MAX_SLOTS], key=lambda slot: round(view.percent(slot) / MERGE_BARS_PCT)):
        first, *more = slots
        count = f" and {len(more)} more" if more else ""
        kind, paused = ("idle", ", but paused") if is_paused else ("slot", "")
        yield Marker(round(place * MERGE_BARS_PCT, 2), kind, f"due {view.clock(first)}{count}{paused}")


def _summary(job_id: str, records: Sequence[LoggedRun], upcoming: Sequence[datetime]) -> str:
    counts = {status: sum(one.count - one.corrected for one in records if one.status is status) for status in Status}
    parts = [f"{count:,} {WORDS[status]}" for status, count in counts.items() if count]
    due = f"{len(upcoming)}{' or more' if len(upcoming) >= MAX_SLOTS else ''} due"
    return f"{job_id}: {', '.join(parts) or 'nothing ran'}, {due}"
