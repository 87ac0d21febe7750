"""Lay out a timeline around now: runs, failures, skipped and missed slots, and due slots. Pure.

1. Positions are percent of the width, so the drawing fits any screen. Now is in the middle.
2. Each job has one row. Runs are bars; overlapping runs use two lanes. Successful runs in close succession are merged
   into one bar: at this scale a job of every minute is a line. Slots ahead in close succession are one bar, too.
3. Failed, skipped and missed slots get a marker of their own shape on top, never merged with success. Markers too
   close to be distinguished become one, which gives their number.
4. Rows with issues come first, then jobs that ran, then due jobs; beyond `MAX_ROWS` they are only counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from jobscheduler.model import Status
from jobscheduler.status.snapshot import JobStatus
from jobscheduler.util.durations import format_duration
from jobscheduler.util.text import plural
from jobscheduler.web.log_record import LoggedRun
from jobscheduler.web.prepared_records import ISSUE_KINDS, Past
from jobscheduler.web.time_axis import Concurrency, HourLine, TimeAxis, concurrency, hours

MAX_ROWS = 20  # jobs that have a row

MAX_SLOTS = 100  # future slots shown of one job

MERGE_BARS_PCT = 0.1  # bars closer than this are merged (percent; three minutes)

MIN_DENSE_SLOTS = 4  # fewer slots ahead are always drawn one by one

DENSE_PCT = 0.45  # slots ahead that are on average closer than this are one bar (percent)

MERGE_MARKERS_PCT = 1.2  # markers closer than this are merged (percent)

MIN_WIDTH_PCT = 0.06  # the narrowest bar: without any width it would not be drawn (percent)

WORDS = {
    Status.SUCCESS: "succeeded",
    Status.FAILURE: "failed",
    Status.SKIPPED: "skipped",
    Status.MISSED: "missed",
}


@dataclass(frozen=True, slots=True)
class TimelineBar:
    """A period on a row; `kind` is a status in lower case, `running` or `more` (too many slots to show)."""

    left: float
    width: float
    kind: str
    title: str
    lane: int = 0


@dataclass(frozen=True, slots=True)
class Marker:
    """An instant on a row: an issue (`failure`, `skipped`, `missed`), or a future `slot`, `idle` if paused."""

    at: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One job. `summary` describes in words what is drawn."""

    job_id: str
    bars: tuple[TimelineBar, ...]
    marks: tuple[Marker, ...]
    summary: str
    lanes: int
    has_issue: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that is drawn. Before `unread` (percent) only issues were read; 0 if everything was.

    `omitted` counts jobs beyond the last row, `omitted_issues` those of them that have issues.
    """

    rows: tuple[Row, ...]
    hours: tuple[HourLine, ...]
    load: tuple[Concurrency, ...]
    peak: int
    unread: float
    omitted: int
    omitted_issues: int


def timeline(
    view: TimeAxis,
    known: Past,
    jobs: Mapping[str, JobStatus],
    order: Sequence[str],
    upcoming: Mapping[str, Sequence[datetime]],
    read_from: datetime,
) -> Timeline:
    """Lay out the timeline of what is known: `order` from `rank_jobs`, `upcoming` for the jobs that have a row.

    From `read_from` on the records are complete.
    """
    at_once, peak = concurrency(view, known.spans)
    omitted = order[MAX_ROWS:]
    return Timeline(
        rows=tuple(
            layout_row(view, job_id, known.of_job.get(job_id, ()), jobs.get(job_id), upcoming.get(job_id, ()))
            for job_id in order[:MAX_ROWS]
        ),
        hours=tuple(hours(view)),
        load=at_once,
        peak=peak,
        unread=view.percent(read_from),
        omitted=len(omitted),
        omitted_issues=sum(map(known.has_issue, omitted)),
    )


def layout_row(
    view: TimeAxis, job_id: str, records: Sequence[LoggedRun], job: JobStatus | None, upcoming: Sequence[datetime]
) -> Row:
    """Lay out one job; `records` oldest first."""
    records = [run for run in records if run.end >= view.begin]
    runs = sorted((run for run in records if run.started is not None), key=lambda run: run.begin)
    bars = [*_runs(view, runs), *_active_runs(view, job), *_missed(view, records), *_outside(view, upcoming)]
    marks = [*_slots(view, upcoming, None if job is None else job.paused_until), *_issues(view, records)]
    lanes = 2 if any(bar.lane for bar in bars) else 1
    has_issue = any(run.status in ISSUE_KINDS for run in records)
    return Row(job_id, tuple(bars), tuple(marks), _summary(job_id, records, upcoming), lanes, has_issue)


def _runs(view: TimeAxis, runs: Iterable[LoggedRun]) -> Iterator[TimelineBar]:
    """Draw runs, in the order of their starts: each on the first free lane, close ones merged."""
    lanes: list[list[list[LoggedRun]]] = [[], []]
    for run in runs:
        lane = lanes[0] if not lanes[0] or lanes[0][-1][-1].end <= run.begin else lanes[1]
        if lane and _is_close(view, lane[-1][-1], run):
            lane[-1].append(run)
        else:
            lane.append([run])
    for number, groups in enumerate(lanes):
        for group in groups:
            left, right = view.percent(group[0].begin), view.percent(max(run.end for run in group))
            kind = group[0].status.value.lower()
            yield TimelineBar(left, _width(left, right), kind, _of_group(view, group), number)


def _width(left: float, right: float) -> float:
    return max(MIN_WIDTH_PCT, round(right - left, 2))


def _is_close(view: TimeAxis, before: LoggedRun, after: LoggedRun) -> bool:
    return before.status is after.status and view.percent(after.begin) - view.percent(before.end) < MERGE_BARS_PCT


def _of_group(view: TimeAxis, group: Sequence[LoggedRun]) -> str:
    first, last = group[0], group[-1]
    if first is last:
        duration = "" if first.duration is None else f", {format_duration(first.duration)}"
        reason = f": {first.reason}" if first.reason else ""
        return f"{view.clock(first.begin)} {WORDS[first.status]}{reason}{duration}"
    longest = format_duration(max(r.duration or 0.0 for r in group))
    runs = plural(len(group), "run")
    return f"{view.clock(first.begin)} to {view.clock(last.end)}: {runs} {WORDS[first.status]}, up to {longest}"


def _active_runs(view: TimeAxis, job: JobStatus | None) -> Iterator[TimelineBar]:
    for run in job.active_runs if job else ():
        if run.started is not None:
            left = view.percent(run.started)
            since = format_duration((view.now - run.started).total_seconds())
            yield TimelineBar(left, _width(left, 50), "running", f"{view.clock(run.started)} running for {since}")


def _missed(view: TimeAxis, records: Iterable[LoggedRun]) -> Iterator[TimelineBar]:
    for record in records:
        if record.status is Status.MISSED and record.last is not None:
            left = view.percent(record.begin)
            yield TimelineBar(left, _width(left, view.percent(record.last)), "missed", _issue_mark(view, record))


def _outside(view: TimeAxis, upcoming: Sequence[datetime]) -> Iterator[TimelineBar]:
    """Draw a bar for slots that are too close to be distinguished, or for further ones than are shown."""
    is_cut = len(upcoming) >= MAX_SLOTS
    if is_dense(view, upcoming):
        left, right = view.percent(upcoming[0]), 100.0 if is_cut else view.percent(upcoming[-1])
        gap = format_duration((upcoming[-1] - upcoming[0]).total_seconds() / (len(upcoming) - 1))
        yield TimelineBar(left, _width(left, right), "dense", f"due about every {gap}")
    elif is_cut:
        left = view.percent(upcoming[-1])
        yield TimelineBar(left, _width(left, 100), "more", f"more slots after {view.clock(upcoming[-1])}")


def is_dense(view: TimeAxis, upcoming: Sequence[datetime]) -> bool:
    """Return whether slots ahead are too close to be distinguished."""
    if len(upcoming) < MIN_DENSE_SLOTS:
        return False
    return view.percent(upcoming[-1]) - view.percent(upcoming[0]) < DENSE_PCT * (len(upcoming) - 1)


def _issues(view: TimeAxis, records: Iterable[LoggedRun]) -> Iterator[Marker]:
    for status in reversed(ISSUE_KINDS):
        marks = [(view.percent(_instant_of(record)), record) for record in records if record.status is status]
        group: list[tuple[float, LoggedRun]] = []
        for mark in sorted(marks, key=lambda mark: mark[0]):
            if group and mark[0] - group[0][0] >= MERGE_MARKERS_PCT:
                yield _mark(view, group)
                group = []
            group.append(mark)
        if group:
            yield _mark(view, group)


def _instant_of(record: LoggedRun) -> datetime:
    """Return where the marker of an issue is: where a run failed, else where its slot was."""
    return record.end if record.status is Status.FAILURE else record.begin


def _mark(view: TimeAxis, group: Sequence[tuple[float, LoggedRun]]) -> Marker:
    first, last = group[0][1], group[-1][1]
    count = sum(record.count - record.corrected for _, record in group)
    kind = first.status.value.lower()
    at = round((group[0][0] + group[-1][0]) / 2, 2)
    if first is last:
        return Marker(at, kind, _issue_mark(view, first))
    reasons = ", ".join(sorted({record.reason for _, record in group if record.reason}))
    title = f"{view.clock(first.begin)} to {view.clock(last.begin)}: {count:,} {WORDS[first.status]}"
    return Marker(at, kind, f"{title}: {reasons}" if reasons else title)


def _issue_mark(view: TimeAxis, record: LoggedRun) -> str:
    reason = f": {record.reason}" if record.reason else ""
    if record.count > 1 and record.last:
        slots = plural(record.count, "slot")
        return f"{view.clock(record.begin)} to {view.clock(record.last)}: {slots} {WORDS[record.status]}{reason}"
    return f"{view.clock(record.begin)} {WORDS[record.status]}{reason}"


def _slots(view: TimeAxis, upcoming: Sequence[datetime], paused_until: datetime | None) -> Iterator[Marker]:
    """Draw the future slots; those at one position are one line, and those of a pause are faint."""
    if is_dense(view, upcoming):
        return
    for position, slots in groupby(upcoming[:MAX_SLOTS], key=lambda slot: round(view.percent(slot) / MERGE_BARS_PCT)):
        first, *others = slots
        count = f" and {len(others)} more" if others else ""
        is_paused = paused_until is not None and first < paused_until
        kind, paused = ("idle", ", but paused") if is_paused else ("slot", "")
        yield Marker(round(position * MERGE_BARS_PCT, 2), kind, f"due {view.clock(first)}{count}{paused}")


def _summary(job_id: str, records: Sequence[LoggedRun], upcoming: Sequence[datetime]) -> str:
    counts = {status: sum(r.count - r.corrected for r in records if r.status is status) for status in Status}
    parts = [f"{count:,} {WORDS[status]}" for status, count in counts.items() if count]
    due = f"{len(upcoming)}{' or more' if len(upcoming) >= MAX_SLOTS else ''} due"
    return f"{job_id}: {', '.join(parts) or 'nothing ran'}, {due}"
