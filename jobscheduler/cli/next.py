"""`next`: show the next slots of jobs or of one crontab expression, in words, local time and UTC. Needs no service."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from jobscheduler.cli.job_files import parse_path, path_argument
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.times import ArgumentProblem, parse_time, problem_from
from jobscheduler.cli.validate import severity
from jobscheduler.cli.waiting_rules import waiting_rules_note
from jobscheduler.config.job_context import job_context
from jobscheduler.model import Cron, Job, Problem
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab, ScheduleError
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.timetable.timezones import get_zone, zone_note
from jobscheduler.util.instants import format_instant, utc_now

SUMMARY = "show the next slots of job files or of a crontab expression"
EXAMPLES = """examples:
  jobscheduler next /etc/scheduler/jobs.d
  jobscheduler next -n 10 report.json
  jobscheduler next --cron '30 2 * * mon-fri' --timezone Europe/Berlin
  jobscheduler next --cron '30 1 * * *' --timezone America/New_York --after 2026-10-30T00:00 --until 2026-11-03T00:00

A note stands beside a slot that a clock change moves, merges, or doubles. A job without `timezone` is shown in the
zone of --timezone, else of the service, and so are times without an offset read.
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
    what = parser.add_mutually_exclusive_group()
    which = "files or directories of jobs"
    what.add_argument("paths", nargs="*", type=path_argument, metavar="PATH", default=[], help=which)
    what.add_argument("--cron", metavar="EXPR", help="a crontab expression or macro instead of jobs")
    parser.add_argument("-n", type=_count, default=5, metavar="N", help="how many slots each (default: 5)")
    parser.add_argument("--after", metavar="TIME", help="slots later than this ISO 8601 time (default: now)")
    parser.add_argument("--until", metavar="TIME", help="no slots later than this ISO 8601 time")
    parser.add_argument("--json", action="store_true", help="print one JSON object per job")
    add_options(parser, {"jobs_dir", "timezone", "socket"})


def _needed(arguments: argparse.Namespace) -> set[str]:
    """Return the settings of the service on which the answer depends."""
    return {"timezone"} if arguments.paths or arguments.cron is not None else {"timezone", "jobs_dir"}


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_SLOTS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MAX_SLOTS} is expected, not `{text}`")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Print the slots; problems go to standard error."""
    settings = settings_of_service(arguments, _needed(arguments))
    rules = job_context(settings)
    try:
        after = parse_time(arguments.after, "--after", rules.zone) or utc_now()
        until = parse_time(arguments.until, "--until", rules.zone)
    except ArgumentProblem as wrong:
        print_problem(wrong.problem, sys.stderr)
        return 2
    try:
        found = [_of_expression(arguments.cron, rules.zone)] if arguments.cron is not None else []
    except ArgumentProblem as wrong:
        print_problem(wrong.problem, sys.stderr)
        return 1
    status = 0
    if arguments.cron is None:
        for path in arguments.paths or [settings.jobs_dir]:
            for verdict in parse_path(path, rules):
                if isinstance(verdict, Job):
                    found.append(_of_job(verdict, rules.zone))
                else:
                    status = max(status, _show_all(verdict))
    note = waiting_rules_note(settings, {listing.zone.key for listing in found})
    if note is not None:
        print(f"note: {note}", file=sys.stderr)
    _print_all(found, after, until, arguments)
    return status


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


def _of_job(job: Job, zone: ZoneInfo) -> _SlotListing:
    remarks = [] if job.enabled else ["disabled: none of these will run"]
    if job.jitter:
        remarks.append(f"each starts up to {job.jitter:g} s later, but before the next one")
    timetable = timetable_of(job)
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
            print(line)


def _as_object(listing: _SlotListing, slots: Iterable[_Remarks]) -> dict[str, object]:
    return {
        "job_id": listing.job_id,
        "schedule": listing.schedule,
        "timezone": listing.zone.key,
        "sentence": listing.sentence,
        "slots": [
            {"utc": format_instant(slot), "local": slot.astimezone(listing.zone).isoformat(), "note": note}
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
        yield f"  {local:%a %Y-%m-%d %H:%M:%S %Z}  {format_instant(slot)}" + (f"  {note}" if note else "")
    if none and listing.timetable.has_slots:
        yield "  no slots in this period"
