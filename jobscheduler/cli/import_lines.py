"""Judge the lines of crontabs: which become jobs, under which ids, and whether their slots stay the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice, zip_longest
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler.cli.crontab_files import CrontabFile
from jobscheduler.cli.import_target import PRIVATE_MODE, PUBLIC_MODE, NewFile, Target
from jobscheduler.imports.crontab_command import parse_command
from jobscheduler.imports.crontab_job import (
    Wishes,
    definition_of,
    objection_to_entry,
    remarks_on,
    shared_remarks_on,
    zone_name,
)
from jobscheduler.imports.crontab_table import BadLine, Entry, Table, read_table
from jobscheduler.imports.job_ids import NamedLine, assign_ids
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.model import Cron, Job, Problem
from jobscheduler.timetable import crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.timetable.timezones import get_zone
from jobscheduler.util.exposed_secrets import exposed_in_definition
from jobscheduler.util.instants import format_instant

COMPARED = timedelta(days=366)  # so far ahead the slots of cron and of the job are compared


class State(StrEnum):
    """What became of a line."""

    WRITTEN = "written"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    REFUSED = "refused"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of a table: what became of it, the reason, and remarks on what does not carry over."""

    table: CrontabFile
    line: int
    text: str
    state: State
    message: str = ""
    help: str = ""
    remarks: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    entry: Entry | None = None
    user: str = ""
    job_id: str = ""
    slots: Timetable | None = field(default=None, compare=False)
    file: NewFile | None = None

    @property
    def place(self) -> str:
        """Where the line stands."""
        return f"{self.table.name}:{self.line}"

    @property
    def is_imported(self) -> bool:
        """Whether there is a job file for the line that does the same."""
        return self.state in {State.WRITTEN, State.REPLACED, State.UNCHANGED}


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with a command, and the table in which it stands."""

    file: CrontabFile
    table: Table
    entry: Entry

    @property
    def user(self) -> str:
        """The user as whom cron runs it."""
        return self.entry.user or self.file.user or ""

    @property
    def origin(self) -> str:
        """The `$comment` of its job, by which a further import knows the line again."""
        return f"imported from {self.file.title}: {self.entry.text}"

    def refused(self, message: str, help_: str, is_error: bool = False) -> Verdict:
        """Return the verdict that it becomes no job; `is_error` says that cron refuses it, too."""
        remarks, entry = _about_error(is_error), self.entry
        place = (self.file, entry.line, entry.text)
        return Verdict(*place, State.REFUSED, message, help_, remarks, entry=entry, user=self.user)


@dataclass(frozen=True, slots=True)
class Judge:
    """What lines are judged by: the wishes, the zone of cron, the context of the service, the directory, the time."""

    wishes: Wishes
    zone: ZoneInfo
    rules: ParseContext
    target: Target
    now: datetime
    may_replace: bool = False

    def verdicts(self, files: Sequence[CrontabFile]) -> Iterator[Verdict]:
        """Yield a verdict on each line with a command, table by table."""
        tables = [(file, read_table(file.text, has_users=file.has_users)) for file in files]
        lines = [_Line(file, table, entry) for file, table in tables for entry in table.entries]
        objections = [objection_to_entry(line.entry, self.wishes) for line in lines]
        accepted = [line for line, objection in zip(lines, objections, strict=True) if objection is None]
        ids = iter(self._ids(accepted))
        found = [_bad_line(file, one) for file, table in tables for one in table.bad_lines]
        for line, objection in zip(lines, objections, strict=True):
            found.append(self._job(line, next(ids)) if objection is None else line.refused(*objection))
        order = {id(file): number for number, file in enumerate(files)}
        yield from sorted(found, key=lambda verdict: (order[id(verdict.table)], verdict.line))

    def _ids(self, lines: Sequence[_Line]) -> list[str]:
        """Return an id for each line: the one of its job file, if the directory has it already."""
        named = [NamedLine(line.file.short_name, line.origin, parse_command(line.entry.command).text) for line in lines]
        files = {line: self.target.name_of(line.text) for line in named}
        known = {line: self.target.files[name].job_id for line, name in files.items() if name is not None}
        return assign_ids(named, known)

    def _job(self, line: _Line, job_id: str) -> Verdict:
        """Return the verdict on a line that cron accepts: written if the service would accept the job, too."""
        entry = line.entry
        wanted = zone_name(entry, self.wishes)
        zone = get_zone(wanted) if wanted else self.zone
        raw, result, of_host = self._parsed(line, job_id, wanted, zone)
        if not isinstance(result, Job):
            message = "; ".join(problem.message for problem in result)
            return line.refused(message, "; ".join(problem.help for problem in result if problem.help))
        expected = Timetable(crontab.parse(entry.schedule), zone, result.not_before)
        mode = PRIVATE_MODE if line.file.is_private or exposed_in_definition(raw, "") else PUBLIC_MODE
        verdict = Verdict(
            line.file,
            entry.line,
            entry.text,
            State.WRITTEN,
            remarks=(*_about_table(line), *remarks_on(entry), *_about_slots(expected, result, self.now)),
            shared=(*shared_remarks_on(entry, self.wishes), *of_host),
            entry=entry,
            user=line.user,
            job_id=job_id,
            slots=replace(expected, not_before=None),
            file=NewFile(self.target.name_of(line.origin) or f"{job_id}.json", raw, mode),
        )
        return self._placed(verdict)

    def _parsed(
        self, line: _Line, job_id: str, wanted: str | None, zone: ZoneInfo
    ) -> tuple[bytes, Job | tuple[Problem, ...], tuple[str, ...]]:
        """Return a definition with its job, in the zone of cron, and what this host lacks for it."""
        former = self.target.files.get(self.target.name_of(line.origin) or "")
        start = former.not_before if former is not None and self.wishes.not_before is None else self.wishes.not_before
        wishes = replace(self.wishes, not_before=start)
        for name in (wanted, zone.key):  # named if it would be read in another one
            raw = encode_definition(definition_of(line.entry, job_id, line.user, line.origin, name, wishes))
            result, of_host = parse_definition(raw, f"{job_id}.json", self.rules)
            if not isinstance(result, Job) or not _is_elsewhere(result, zone):
                break
        return raw, result, of_host

    def _placed(self, verdict: Verdict) -> Verdict:
        """Return the verdict with what the directory says: the same file, another one of that name, another owner."""
        if verdict.file is None:
            return verdict
        there = self.target.files.get(verdict.file.name)
        owner = self.target.owner_of(verdict.job_id)
        if owner is not None and owner != verdict.file.name:
            message = f"its id `{verdict.job_id}` belongs to `{owner}`"
            return replace(verdict, state=State.REFUSED, message=message, help="give that job another id")
        if there is None:
            return verdict
        if there.raw == verdict.file.raw:
            return replace(verdict, state=State.UNCHANGED)
        if self.may_replace:
            return replace(verdict, state=State.REPLACED)
        message = "a file of that name is there and differs"
        return replace(verdict, state=State.KEPT, message=message, help="`--force` overwrites it")


_WHOLE_TABLE = "for such a line Debian's cron refuses the whole table: none of its lines has run since it was written"


def _about_error(is_error: bool) -> tuple[str, ...]:
    return (_WHOLE_TABLE,) if is_error else ()


def _bad_line(file: CrontabFile, line: BadLine) -> Verdict:
    return Verdict(file, line.line, line.text, State.REFUSED, line.message, line.help, _about_error(line.is_error))


def encode_definition(definition: dict[str, Any]) -> bytes:
    """Return the content of a job file."""
    return f"{json.dumps(definition, indent=2, ensure_ascii=False)}\n".encode()


def parse_definition(raw: bytes, name: str, rules: ParseContext) -> tuple[Job | tuple[Problem, ...], tuple[str, ...]]:
    """Parse a definition as the service would; return also what only this host has against it."""
    result = parse(raw, name, rules)
    if isinstance(result, Job) or not all(problem.host_dependent for problem in result):
        return result, ()
    return parse(raw, name, replace(rules, is_portable=True)), tuple(problem.message for problem in result)


def _is_elsewhere(job: Job, zone: ZoneInfo) -> bool:
    """Return whether a job is read in another zone than that of cron. `@reboot` is read in none."""
    return isinstance(job.schedule, Cron) and not job.schedule.is_at_boot and job.schedule.timezone != zone.key


def _about_table(line: _Line) -> Iterator[str]:
    if line.table.unended == line.entry.line:
        yield "the table ends without a line end, so Debian's cron has not run this line; the job runs it"
    if any(number < line.entry.line for number in line.table.bare_variables):
        first = line.table.bare_variables[0]
        yield f"line {first} sets an empty value without quotes, for which Debian's cron refuses the whole table"


def _about_slots(expected: Timetable, job: Job, now: datetime) -> Iterator[str]:
    """Yield how the job differs from the line in the year to come, by the defaults of the settings file."""
    if not job.enabled:
        yield "`[defaults]` of the settings disable it: it is never due"
    if job.jitter:
        yield f"`[defaults]` of the settings have it start up to {job.jitter:g} s later"
    difference = first_difference(expected, timetable_of(job), now)
    if difference is not None:
        yield f"its slots differ from cron's, first at {format_instant(difference)}: see `[defaults]` of the settings"


def first_difference(expected: Timetable, actual: Timetable, now: datetime) -> datetime | None:
    """Return the first instant of the year to come at which one has a slot and the other has none; None without one.

    Equal timetables have equal slots, so those of a line for every minute are not walked.
    """
    actual = actual.without_jitter
    if expected == actual or not expected.has_slots:
        return None
    until = now + COMPARED
    pairs = zip_longest(expected.slots(now, until, 600_000), actual.slots(now, until, 600_000))
    different = next(islice(((one, other) for one, other in pairs if one != other), 1), None)
    return None if different is None else min(slot for slot in different if slot is not None)
