"""`history`: show the records of the log files. Needs no service."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.table import Column, table, terminal_width, use_colour
from jobscheduler.cli.times import ArgumentProblem, parse_time_or_age
from jobscheduler.config import Settings
from jobscheduler.model import Problem, Status
from jobscheduler.model.corrections import Corrections, describe_corrections
from jobscheduler.model.errors import ProblemError
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog import query
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.timetable.timezones import UnknownTimezone, service_zone
from jobscheduler.util.standard_output import is_standard_output

SUMMARY = "show the records of the log files"
EXAMPLES = """examples:
  jobscheduler history
  jobscheduler history report-001 -n 10
  jobscheduler history --status failure,missed --since 1d
  jobscheduler history report-001 --since 2026-11-20 --until 2026-11-22T12:00 -n 0
  jobscheduler history report-001 --all --since 2h
  jobscheduler history --json --since 1d -n 0 | jq -r 'select(.duration > 60) | .job_id'

A line is found by its own time, which is when a run ended or a slot was decided. --since and --until take ISO 8601
times, dates (their beginning) and durations back from now; without an offset they are in the zone of this host, as
the times that are shown. The oldest line comes first. A slot that only a wrong clock missed may have a second record,
with `corrects=clock`: that one counts, and the first is shown as corrected.
Exit status: 0 fine, 1 problems, 2 wrong usage."""

LIMIT = 50
SLOW = 1.0  # seconds before a terminal shows the progress of reading

_COLOURS = {"SUCCESS": "green", "FAILURE": "red", "MISSED": "yellow", "SKIPPED": "yellow", "ERROR": "red"}
_REOPENED = frozenset({"down", "asleep", "stalled", "clock"})  # reasons of missed slots that may still run
_BY = {"manual": "by hand", "run": "by a run"}  # runs without a slot
_COLUMN_FIELDS = frozenset(
    {"time", "word", "status", "level", "event", "job_id", "run_id", "scheduled", "started", "duration", "trigger"}
    | {"reason", "exit_code", "output"}
)


class LogUnavailable(ProblemError):
    """There is no readable log; the problem says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job, the filters and the options."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="only this job (default: all)")
    statuses = ", ".join(one.value.lower() for one in Status)
    parser.add_argument(
        "--status", action="append", type=_statuses, metavar="STATUS", help=f"only these, with commas: {statuses}"
    )
    parser.add_argument("--since", metavar="TIME", help="nothing before this time or date, or this long ago (`2h`)")
    parser.add_argument("--until", metavar="TIME", help="nothing after this time or date, or this long ago")
    parser.add_argument(
        "-n", "--limit", type=_count, default=LIMIT, metavar="N", help=f"the last N (default: {LIMIT}; 0: all)"
    )
    parser.add_argument("--all", action="store_true", help="every line of the log about JOB, not only its records")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, as in the log")
    add_options(parser, {"log_file", "log_backups", "socket"})


def _statuses(text: str) -> frozenset[str]:
    words = {word.strip().upper() for word in text.split(",")} - {""}
    wrong = sorted(words - RECORD_KINDS)
    if wrong or not words:
        known = ", ".join(one.value.lower() for one in Status)
        raise argparse.ArgumentTypeError(f"`{text}` is not a list of statuses, which are {known}")
    return frozenset(words)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"a whole number, 0 or more, is expected, not `{text}`")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Print the records; problems go to standard error."""
    settings, zone = settings_of_service(arguments, {"log_file"}), host_zone()
    try:
        wanted = _wanted(arguments, zone, datetime.now(UTC))
        require_log(settings)
    except (ArgumentProblem, LogUnavailable) as reason:
        print_problem(reason.problem, sys.stderr)
        return 2 if isinstance(reason, ArgumentProblem) else 1
    progress = Progress()
    lines = progress.scanned(_found(settings, wanted, arguments.limit, progress))
    first = next(lines, None)
    if first is not None:
        _print(_with(first, lines), arguments, zone, Corrected(settings))
        return 0
    problem = None if arguments.job is None else unknown_job_problem(settings, arguments.job)
    if problem is not None:
        print_problem(problem, sys.stderr)
        return 1
    print(f"no such {'lines' if arguments.all else 'records'}{_reach(settings, zone)}", file=sys.stderr)
    return 0


def _reach(settings: Settings, zone: ZoneInfo) -> str:
    begins = query.oldest_time(settings.log_file, settings.log_backups)
    return "" if begins is None else f"; the log reaches back to {format_local(begins.isoformat(), zone)}"


def _with(first: LogLine, others: Iterator[LogLine]) -> Iterator[LogLine]:
    yield first
    yield from others


def _wanted(arguments: argparse.Namespace, zone: ZoneInfo, now: datetime) -> LogFilter:
    since = parse_time_or_age(arguments.since, "--since", zone, now)
    until = parse_time_or_age(arguments.until, "--until", zone, now)
    if arguments.all and arguments.job is None:
        raise ArgumentProblem(Problem("`--all` is for one job", help="name it, or read the log file itself"))
    if since and until and since > until:
        raise ArgumentProblem(Problem("`--until` is before `--since`", help="is one of the two mistyped?"))
    words = frozenset[str]().union(*arguments.status) if arguments.status else frozenset[str]()
    return LogFilter(arguments.job, words or (frozenset() if arguments.all else RECORD_KINDS), since, until)


def _found(settings: Settings, wanted: LogFilter, limit: int, progress: Progress) -> Iterator[LogLine]:
    if limit:
        return iter(query.last_entries(settings.log_file, settings.log_backups, wanted, limit, progress))
    return query.iter_oldest_first(settings.log_file, settings.log_backups, wanted, progress)


def host_zone() -> ZoneInfo:
    """Return the zone in which times are shown: the host's, or UTC if that is unknown."""
    try:
        return service_zone(None, os.environ)
    except UnknownTimezone:
        return ZoneInfo("UTC")


def require_log(settings: Settings) -> None:
    """Check that there is a readable log.

    Raises:
        LogUnavailable: there is none, or it cannot be read.

    """
    path = settings.log_file
    if is_standard_output(path):
        message = "there is no log file: the service writes its log to standard output alone"
        help_ = (
            "look where that goes, such as `docker logs` or `journalctl`; `--log-file FILE` of the service keeps one"
        )
        raise LogUnavailable(Problem(message, help=help_))
    try:
        if query.exists(path, settings.log_backups):
            return
        help_ = "name it with `--log-file`; a service that has never run has none"
        raise LogUnavailable(Problem(f"there is no log `{path}`", help=help_))
    except PermissionError as error:
        help_ = "ask as root, or as a member of the group that the file belongs to"
        raise LogUnavailable(Problem(f"the log `{error.filename}` cannot be read by this user", help=help_)) from None


def unknown_job_problem(settings: Settings, job_id: str) -> Problem | None:
    """Return a problem if the log has no line about a job, with a suggested id; else None."""
    known = query.recent_job_ids(settings.log_file, settings.log_backups)
    if job_id in known or any(query.iter_newest_first(settings.log_file, settings.log_backups, LogFilter(job_id))):
        return None
    close = difflib.get_close_matches(job_id, sorted(known), 1)
    return Problem(
        f"the log has no line about a job `{job_id}`", help=f"did you mean `{close[0]}`?" if close else _known(known)
    )


def _known(ids: Iterable[str]) -> str | None:
    first = sorted(ids)[:5]
    return f"it has records of `{'`, `'.join(first)}`" + (" and others" if len(first) == 5 else "") if first else None


class Corrected:
    """Finds records whose slots have a later record. Searches the log on the first candidate."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log_file, settings.log_backups
        self._known: Corrections | None = None

    def text(self, pairs: Mapping[str, str]) -> str | None:
        """Describe the corrections of a record; None if it has none."""
        if pairs["word"] != "MISSED" or pairs.get("reason") not in _REOPENED:
            return None
        if self._known is None:
            self._known = query.corrections(*self._log)
        count, of = self._known.count(pairs), pairs.get("count", "1")
        return describe_corrections(count, int(of) if of.isdigit() else 1) if count else None


class Progress:
    """Shows the progress of reading on a terminal, when it takes long."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._is_wanted = sys.stderr.isatty()
        self._is_shown = False

    def __call__(self, done: int, whole: int) -> None:
        """Show the progress, at most five times a second."""
        now = time.monotonic()
        if self._is_wanted and now - self._started > SLOW and now - self._printed > 0.2:
            self._printed, self._is_shown = now, True
            sys.stderr.write(f"\rreading the log: {100 * done // max(1, whole)} % ")
            sys.stderr.flush()

    def scanned(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        """Yield the lines; hide the progress at the first one."""
        for line in lines:
            self.end()
            yield line
        self.end()

    def end(self) -> None:
        """Erase the progress."""
        self._is_wanted = False
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write("\r" + " " * 30 + "\r")
            sys.stderr.flush()


# --- printing -----------------------------------------------------------------------------------------


def _print(entries: Iterable[LogLine], arguments: argparse.Namespace, zone: ZoneInfo, corrected: Corrected) -> None:
    if arguments.json:
        for entry in entries:
            print(json.dumps(entry.object))
        return
    columns = (
        Column(f"TIME ({zone.key})", keep_whole=True),
        *(() if arguments.job else (Column("JOB"),)),
        Column("STATUS", keep_whole=True, colour_of=_COLOURS.get),
        Column("SLOT", keep_whole=True),
        Column("TOOK", right=True, keep_whole=True),
        Column("DETAILS"),
    )
    rows = (_row(entry.pairs, zone, corrected.text(entry.pairs), with_job=not arguments.job) for entry in entries)
    for line in table(columns, rows, width=terminal_width(), colour=use_colour(sys.stdout)):
        print(line)


def _row(pairs: dict[str, str], zone: ZoneInfo, note: str | None, *, with_job: bool) -> list[str]:
    at = format_local(pairs["time"], zone)
    slot = _BY.get(pairs.get("trigger", "").partition(":")[0]) or format_local(pairs.get("scheduled", ""), zone)
    job = [pairs.get("job_id", "")] if with_job else []
    details = ", ".join(filter(None, (note, format_details(pairs, zone))))
    return [at, *job, pairs["word"], _short(slot, at), format_duration(pairs.get("duration", "")), details]


def format_local(text: str, zone: ZoneInfo) -> str:
    """Format an instant of the log in the zone, to the second; return an invalid one unchanged."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return text


def _short(at: str, beside: str) -> str:
    """Omit the date if the neighbouring column shows the same."""
    return at[11:] if len(at) == 19 and at[:11] == beside[:11] else at


def format_duration(duration: str) -> str:
    """Format a duration in seconds for people."""
    try:
        seconds = float(duration)
    except ValueError:
        return duration
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"


def format_details(pairs: dict[str, str], zone: ZoneInfo) -> str:
    """Describe a record in one line: the reason, the exit code, other pairs, and the end of the output."""
    parts = [pairs[key] for key in ("reason",) if pairs.get(key)]
    if pairs.get("exit_code", "0") != "0":
        parts.append(f"exit code {pairs['exit_code']}")
    if pairs["word"] == "MISSED" and pairs.get("count", "1") != "1":
        more = "more than " if pairs.get("more") == "true" else ""
        parts.append(f"{more}{pairs['count']} slots until {format_local(pairs.get('last', ''), zone)}")
        pairs = {key: value for key, value in pairs.items() if key not in {"count", "last", "more"}}
    parts += [f"{key}={value}" for key, value in pairs.items() if key not in _COLUMN_FIELDS]
    with suppress(KeyError):
        parts.append(pairs["output"].strip().replace("\n", " ⏎ "))
    return ", ".join(parts)
