"""`next`: show the next slots of jobs, job files or one crontab expression, in words, local time and UTC."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from jobscheduler.cli.jitter_seed import jitter_seed
from jobscheduler.cli.job_files import ParseResult, parse_path
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.service_jobs import is_path, jobs_of_files, jobs_of_service
from jobscheduler.cli.times import parse_when, problem_from
from jobscheduler.cli.usage import refuse_both, whole_number
from jobscheduler.cli.validate import severity
from jobscheduler.cli.waiting_rules import waiting_rules_note
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config import Settings
from jobscheduler.config.job_context import job_context
from jobscheduler.control.client import ServiceUnreachable
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Cron, Job, Problem
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab, ScheduleError
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.timetable.timezones import get_zone, zone_note
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_instant, utc_now

EXAMPLES = """examples:
  jobscheduler next report-001 tag:nightly
  jobscheduler next ./jobs.d
  jobscheduler next -n 10 report.json
  jobscheduler next --cron '30 2 * * mon-fri' --timezone Europe/Berlin
  jobscheduler next --cron '30 1 * * *' --timezone America/New_York --after 2026-10-30T00:00 --until 2026-11-03T00:00

A word is a job's id, a pattern or `tag:WORD`, unless it has a `/`, ends in `.json` or names a file that is there. Jobs
are those of the running service, or of its jobs directory when it does not answer. A note stands beside a slot that a
clock change moves, merges, or doubles; with `jitter` the start stands there, too. A job without `timezone` is shown in
the zone of --timezone, else of the service, and so are times without an offset read. --after and --until take ISO 8601
times, dates, `14:30`, `tomorrow` and durations from now on such as `2h`.
Exit status: 0 fine, 1 problems, 2 wrong usage."""

MAX_SLOTS = 100_000


_Remarks = tuple[datetime, str | None]  # a slot, and the effect of a clock change on it


@dataclass(frozen=True, slots=True)
class _SlotListing:
    """The listing of one job or expression."""

    job_id: str | None
    schedule: str
    sentence: str
    timetable: Timetable
    zone: ZoneInfo
    remarks: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, the bounds and the options."""
    which = "jobs, or files or directories of jobs (default: the jobs directory)"
    parser.add_argument("jobs", nargs="*", metavar="JOB|PATH", default=[], help=which)
    parser.add_argument("--cron", metavar="EXPR", help="a crontab expression or macro instead of jobs")
    count = whole_number("-n", 1, MAX_SLOTS)
    parser.add_argument("-n", type=count, default=5, metavar="N", help="how many slots each (default: 5)")
    parser.add_argument("--after", metavar="TIME", help="slots later than this time (default: now)")
    parser.add_argument("--until", metavar="TIME", help="no slots later than this time")
    parser.add_argument("--json", action="store_true", help="print one JSON object per job")
    add_options(parser, {"jobs_dir", "timezone", "socket"})


def _needed(arguments: argparse.Namespace) -> set[str]:
    """Return the settings of the service on which the answer depends."""
    needs_no_directory = arguments.cron is not None or (arguments.jobs and all(map(is_path, arguments.jobs)))
    return {"timezone"} if needs_no_directory else {"timezone", "jobs_dir"}


def run(arguments: argparse.Namespace) -> int:
    """Print the slots; problems go to standard error."""
    if arguments.cron is not None and arguments.jobs:
        refuse_both("--cron", "JOB")
    settings = settings_of_service(arguments, _needed(arguments))
    rules, now = job_context(settings), utc_now()
    after, until = _bounds(arguments, rules.zone, now)
    try:
        found = [_of_expression(arguments.cron, rules.zone)] if arguments.cron is not None else []
    except ArgumentProblem as wrong:
        print_problem(wrong.problem, sys.stderr)
        return 1
    status, seed = 0, cache(lambda: jitter_seed(settings))
    for verdict in () if arguments.cron is not None else _verdicts(arguments.jobs, settings, rules):
        if isinstance(verdict, Job):
            found.append(_of_job(verdict, rules.zone, seed() if verdict.jitter else ""))
        else:
            status = max(status, _show_all(verdict))
    note = waiting_rules_note(settings, {listing.zone.key for listing in found})
    if note is not None:
        print_wrapped(f"note: {note}", sys.stderr)
    _print_all(found, after, until, arguments)
    return status


def _bounds(arguments: argparse.Namespace, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime | None]:
    """Return the times between which slots are wanted.

    Raises:
        ArgumentProblem: one cannot be read, or the second is before the first.

    """
    after = parse_when(arguments.after, "--after", zone, now, is_ahead=True) or now
    until = parse_when(arguments.until, "--until", zone, now, is_ahead=True)
    if until is not None and until < after:
        first = "now" if arguments.after is None else "`--after`"
        raise ArgumentProblem(Problem(f"`--until` is before {first}", help="is one of the two mistyped?"))
    return after, until


def _verdicts(words: list[str], settings: Settings, rules: ParseContext) -> Iterator[ParseResult]:
    """Yield the jobs that are meant, and the problems of files."""
    for path in [Path(word) for word in words if is_path(word)] or ([] if words else [settings.jobs_dir]):
        yield from parse_path(path, rules)
    texts = [word for word in words if not is_path(word)]
    if not texts:
        return
    try:
        yield from (known.job for known in jobs_of_service(settings, texts))
    except ServiceUnreachable:
        yield from jobs_of_files(texts, settings.jobs_dir, rules)


def _show_all(problems: Iterable[Problem]) -> int:
    levels = [severity(problem) for problem in problems]
    for problem, level in zip(problems, levels, strict=True):
        print_problem(problem, sys.stderr, level=level)
    return 1 if "error" in levels else 0


# --- listings ------------------------------------------------------------------------------------------


def _of_expression(text: str, zone: ZoneInfo) -> _SlotListing:
    try:
        value = crontab.parse(text)
    except ScheduleError as refused:
        raise ArgumentProblem(problem_from(refused, text, "--cron")) from None
    return _SlotListing(
        None, " ".join(text.split()), crontab.describe(value), Timetable(value, zone), zone, _about_zone(zone)
    )


def _about_zone(zone: ZoneInfo) -> tuple[str, ...]:
    note = zone_note(zone.key)
    return (note,) if note else ()


def _of_job(job: Job, zone: ZoneInfo, seed: str) -> _SlotListing:
    remarks = [] if job.enabled else ["disabled: none of these will run"]
    if job.jitter:
        later = format_compact_duration(job.jitter)
        remarks.append(f"each starts up to {later} later, but before the next one: always the same on this host")
    timetable = timetable_of(job, seed)
    if isinstance(job.schedule, Cron):
        zone = get_zone(job.schedule.timezone)
        sentence = crontab.describe(crontab.parse(job.schedule.expression))
        remarks += _about_zone(zone)
        return _SlotListing(job.id, job.schedule.expression, sentence, timetable, zone, tuple(remarks))
    return _SlotListing(job.id, job.schedule.text, "Once", timetable, zone, tuple(remarks))


def _slots(
    listing: _SlotListing, after: datetime, until: datetime | None, limit: int
) -> Iterator[tuple[datetime, str | None]]:
    slot = listing.timetable.next(after)
    while slot is not None and limit > 0 and (until is None or slot <= until):
        schedule = listing.timetable.schedule
        change = crontab.dst_effect_at(schedule, slot, listing.zone) if isinstance(schedule, Crontab) else None
        yield slot, change.text if change else None
        limit -= 1
        slot = listing.timetable.next(slot)


# --- printing -----------------------------------------------------------------------------------------


def _print_all(
    found: list[_SlotListing], after: datetime, until: datetime | None, arguments: argparse.Namespace
) -> None:
    for number, listing in enumerate(found):
        slots = _slots(listing, after, until, arguments.n)
        if arguments.json:
            print(json.dumps(_as_object(listing, slots), ensure_ascii=False))
            continue
        if number:
            print()
        for line in _as_text(listing, slots):
            print_wrapped(line, hanging=4)


def _as_object(listing: _SlotListing, slots: Iterable[_Remarks]) -> dict[str, object]:
    """Return the listing as JSON; slots of a job with jitter have their start, too."""

    def start(slot: datetime) -> dict[str, str]:
        return {"start": format_instant(listing.timetable.start_time(slot))} if listing.timetable.jitter else {}

    return {
        "job_id": listing.job_id,
        "schedule": listing.schedule,
        "timezone": listing.zone.key,
        "sentence": listing.sentence,
        "slots": [
            {
                "utc": format_instant(slot),
                "local": slot.astimezone(listing.zone).isoformat(),
                **start(slot),
                "note": note,
            }
            for slot, note in slots
        ],
    }


def _as_text(listing: _SlotListing, slots: Iterable[_Remarks]) -> Iterator[str]:
    yield f"{listing.job_id or 'crontab'}: {listing.schedule} ({listing.zone.key})"
    yield f"  {listing.sentence}"
    yield from (f"  {remark}" for remark in listing.remarks)
    none = True
    for slot, note in slots:
        none = False
        local = slot.astimezone(listing.zone)
        start = f"  starts {listing.timetable.start_time(slot).astimezone(listing.zone):%H:%M:%S}"
        remarks = (start if listing.timetable.jitter else "") + (f"  {note}" if note else "")
        yield f"  {local:%a %Y-%m-%d %H:%M:%S %Z}  {format_instant(slot)}{remarks}"
    if none and listing.timetable.has_slots:
        yield "  no slots in this period"
