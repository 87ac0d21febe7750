"""Lay out the situation: what needs an operator, what runs, is paused and comes next, and the service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from jobscheduler.cli.pause_text import describe_end, describe_without
from jobscheduler.cli.table import colourize, display_width
from jobscheduler.cli.wrapping import wrap
from jobscheduler.model.selection import ALL
from jobscheduler.status.reasons import failure_text, process_text, reason_text
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_moment, format_relative
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural

Answer = Mapping[str, Any]

MAX_ROWS = 8  # jobs or files that a group shows; the rest is counted
MAX_FILES = 3  # files that are named where several have the same problem

_LABEL = 9  # columns of the words at the left
_MAX_ID = 40  # columns for names; on a terminal a longer one has a line of its own
_GAP = "  "
_LONG = 2  # times its usual duration after which a run is long
_LONG_FROM_S = 60.0  # seconds beyond its usual duration below which no run is long


@dataclass(frozen=True, slots=True)
class Screen:
    """How to write: the time, the zone of the clock, the width (None: a pipe) and whether in colour."""

    now: datetime
    host: str
    width: int | None = None
    colour: bool = False
    zone: tzinfo | None = None

    def moment(self, text: str) -> str:
        """Write an instant of the answer."""
        return format_moment(datetime.fromisoformat(text), self.now, self.zone)

    def age(self, text: str) -> float:
        """Return how many seconds ago an instant of the answer was."""
        return (self.now - datetime.fromisoformat(text)).total_seconds()


class _Row(NamedTuple):
    """A name, since when, and what is to say about it, in a colour."""

    name: str
    since: str
    text: str
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows below one word: each a name, since when, and what is to say about it."""

    word: str
    colour: str | None
    count: int
    rows: Sequence[_Row]
    more: str = ""


def situation_lines(answer: Answer, screen: Screen, *, with_service: bool = False) -> Iterator[str]:
    """Yield the lines. Where nothing is to report there is one, unless the service itself is asked for."""
    groups = [group for group in _groups(answer, screen) if group.count]
    head = _head(answer, screen)
    if not groups and not with_service:
        coming = _coming(answer, screen)
        yield from wrap(f"{head}; {coming}" if coming else head, screen.width)
        yield from _remarks(answer, screen)
        return
    yield from wrap(head, screen.width)
    if groups:
        yield ""
    for group in groups:
        yield from _group_lines(group, screen)
    if coming := _coming(answer, screen):
        yield ""
        yield from wrap(coming, screen.width)
    yield ""
    yield from _service_lines(answer, screen)


def needs_operator(answer: Answer) -> bool:
    """Return whether the service or a file has a problem."""
    return bool(answer["issues"] or answer["late_part"] or answer["problems"])


def _head(answer: Answer, screen: Screen) -> str:
    is_well = not answer["issues"] and not answer["late_part"]
    word = "the service is well" if is_well else "the service has a problem"
    jobs = sum(count for state, count in answer["jobs"].items() if state != "refused")
    local = screen.now.astimezone(screen.zone)
    clock = f"{local:%a} {local.day} {local:%b %H:%M %Z}"
    shown = colourize(word, (None if is_well else "red") if screen.colour else None)
    return f"{printable(screen.host)}: {shown}{_part_in_cluster(answer)}, {plural(jobs, 'job')}, {clock}"


def _part_in_cluster(answer: Answer) -> str:
    """Return what the service does in its cluster; nothing for one that is alone."""
    cluster = answer.get("cluster")
    if not cluster:
        return ""
    if cluster["role"] == "leader":
        return ", leads"
    leader = cluster["leader"]
    return ", stands by" if leader is None else f", stands by for {printable(str(leader))}"


def _groups(answer: Answer, screen: Screen) -> Iterator[_Group]:
    issues = [*([f"{answer['late_part']} is not on time"] if answer["late_part"] else ()), *answer["issues"]]
    yield _Group("service", "red", len(issues), [_Row("", "", issue) for issue in issues])
    failing, overdue = answer["failing"], answer["overdue"]
    yield _Group("failing", "red", failing["count"], _failing_rows(failing["jobs"], screen), "list --failing")
    yield _Group("overdue", "red", overdue["count"], _overdue_rows(overdue["jobs"], screen), "list --state overdue")
    problems = list(merged_problems(answer["problems"]))
    yield _Group("files", "red", len({one["file"] for one in answer["problems"]}), problems, "validate")
    running, paused = answer["running_jobs"], answer["paused"]
    yield _Group("running", "green", running["count"], _running_rows(running["jobs"], screen), "list --state running")
    yield _Group("paused", "yellow", paused["count"], _paused_rows(answer, screen), "list --state paused")


def _failing_rows(jobs: Iterable[Answer], screen: Screen) -> list[_Row]:
    rows = []
    for job in jobs:
        last, count = job["last"] or {}, job["failures"]
        times = "" if not count else ", once" if count == 1 else f", {count} times"
        since = f"since {screen.moment(job['failing_since'])}{times}" if job["failing_since"] else ""
        why = failure_text(last, job["last_line"]) if last.get("status") == "FAILURE" else reason_text(last)
        rows.append(_Row(str(job["job_id"]), since, why))
    return rows


def _overdue_rows(jobs: Iterable[Answer], screen: Screen) -> list[_Row]:
    return [_overdue_row(job, screen) for job in jobs]


def _overdue_row(job: Answer, screen: Screen) -> _Row:
    since = f"since {screen.moment(job['overdue_since'])}" if job["overdue_since"] else ""
    success = job["last_success"]
    last = "no success yet" if success is None else f"last success {screen.moment(success)}"
    return _Row(str(job["job_id"]), since, last)


def _running_rows(jobs: Iterable[Answer], screen: Screen) -> list[_Row]:
    rows = []
    for job in jobs:
        begun = [run for run in job["active_runs"] if run["started"] and not run["waiting_for"]]
        if not begun:
            continue
        age, usual = screen.age(min(run["started"] for run in begun)), job["usual"]
        note = "" if usual is None else f" (usually {format_compact_duration(usual)})"
        is_long = usual is not None and age > _LONG * usual and age - usual > _LONG_FROM_S
        text = ", ".join(filter(None, (f"{format_compact_duration(age)}{note}", *map(process_text, begun))))
        rows.append(_Row(str(job["job_id"]), "", text, "yellow" if is_long else None))
    return rows


def _paused_rows(answer: Answer, screen: Screen) -> list[_Row]:
    """Return the pauses in force, each by what it covers; of a service that tells none the jobs."""
    pauses = answer.get("pauses")
    if not pauses:
        return [_Row(str(job["job_id"]), "", "") for job in answer["paused"]["jobs"]]
    return [_pause_row(pause, screen) for pause in pauses]


def _pause_row(pause: Answer, screen: Screen) -> _Row:
    name = "all jobs" if pause["jobs"] == ALL else str(pause["jobs"])
    return _Row(name + describe_without(pause), "", describe_end(pause, screen.now, screen.zone))


def merged_problems(problems: Iterable[Answer]) -> Iterator[_Row]:
    """Yield a file, or several with the same problem, and the problem with its help."""
    alike: dict[tuple[str, str | None], list[Answer]] = {}
    for problem in problems:
        alike.setdefault((problem["message"], problem["help"]), []).append(problem)
    for (message, help_), found in alike.items():
        text = f"{message} - {help_}" if help_ else message
        if len(found) == 1:
            place = f":{found[0]['line']}:{found[0]['column']}" if found[0]["line"] else ""
            yield _Row(f"{found[0]['file']}{place}", "", text)
        else:
            names = ", ".join(str(problem["file"]) for problem in found[:MAX_FILES])
            more = f" and {len(found) - MAX_FILES} more" if len(found) > MAX_FILES else ""
            yield _Row(plural(len(found), "file"), "", f"{text} ({names}{more})")


def _group_lines(group: _Group, screen: Screen) -> Iterator[str]:
    word = colourize(group.word, group.colour if screen.colour else None)
    label = f"{word}{' ' * (_LABEL - len(group.word))}{group.count:>4}  "
    blank = " " * display_width(f"{'':{_LABEL}}{group.count:>4}  ")
    shown = group.rows[:MAX_ROWS]
    width = max((display_width(row.name) for row in shown if display_width(row.name) <= _MAX_ID), default=0)
    since_width = max((len(row.since) for row in shown), default=0)
    for number, row in enumerate(shown):
        indent, name = label if not number else blank, printable(row.name)
        if screen.width is not None and display_width(name) > _MAX_ID:
            yield indent + name
            indent, name = blank, ""
        indent += f"{name}{' ' * (width - display_width(name))}{_GAP}" if width or name else ""
        indent += f"{row.since:{since_width}}{_GAP}" if since_width else ""
        lines = list(wrap(printable(row.text), screen.width, indent=indent, hanging=0))
        if row.colour and screen.colour and len(lines) == 1:
            lines = [indent + colourize(printable(row.text), row.colour)]
        yield from (line.rstrip() for line in lines)
    if group.count > len(shown) and group.more and len(group.rows) > len(shown):
        yield f"{blank}and {len(group.rows) - len(shown)} more: `jobscheduler {group.more}`"


def _coming(answer: Answer, screen: Screen) -> str:
    starts = [
        f"{job['job_id']} {format_relative(datetime.fromisoformat(job['start']), screen.now)}"
        for job in answer["upcoming"][:MAX_FILES]
    ]
    return f"next: {', '.join(starts)}" if starts else ""


def _service_lines(answer: Answer, screen: Screen) -> Iterator[str]:
    up = format_compact_duration(screen.age(answer["started"]))
    lost = f", {plural(answer['lost_threads'], 'thread')} lost" if answer["lost_threads"] else ""
    waiting = f", {answer['queued']} waiting" if answer["queued"] else ""
    yield from _service_line(
        "service", f"jobscheduler {answer['version']}, process {answer['pid']}, up for {up}", screen
    )
    yield from _service_line("workers", f"{answer['running']} of {answer['workers']} busy{waiting}{lost}", screen)
    for key, label in (("jobs_dir", "directory"), ("database", "database"), ("log_file", "log"), ("timezone", "zone")):
        if answer[key]:
            yield from _service_line(label, str(answer[key]), screen)
    if answer.get("cluster"):
        yield from _service_line("cluster", _cluster_text(answer["cluster"]), screen)
    yield from _remarks(answer, screen)


def _cluster_text(cluster: Answer) -> str:
    leader = "no node" if cluster["leader"] is None else f"node {cluster['leader']}"
    term = "" if cluster["term"] is None else f", term {cluster['term']}"
    return (
        f"node {cluster['node']}; {leader} leads{term}; {plural(len(cluster['nodes']), 'node')}: `jobscheduler cluster`"
    )


def _remarks(answer: Answer, screen: Screen) -> Iterator[str]:
    """Yield what one should know of the service though nothing is wrong."""
    if answer.get("pending_alert_count"):
        more = answer["pending_alert_count"] - len(answer["pending_alerts"])
        rest = f" and {more} more" if more else ""
        named = ", ".join(answer["pending_alerts"])
        yield from _service_line("alerts", f"{answer['pending_alert_count']} pending: {named}{rest}", screen)
    if answer.get("open_pipe_count"):
        yield from _service_line("pipes", _open_pipes(answer["open_pipes"], answer["open_pipe_count"]), screen)
    for note in answer.get("notes", ()):
        yield from _service_line("note", note, screen)


def _service_line(label: str, text: str, screen: Screen) -> Iterator[str]:
    yield from wrap(printable(text), screen.width, indent=f"{label:{_LABEL}}  ", hanging=0)


def _open_pipes(jobs: Mapping[str, int], count: int) -> str:
    more = count - sum(jobs.values())
    rest = f" and {more} of other jobs" if more else ""
    named = ", ".join(f"{job_id} ({pipes})" for job_id, pipes in jobs.items())
    return f"{plural(count, 'output pipe')} open in processes that ended runs left behind: {named}{rest}"
