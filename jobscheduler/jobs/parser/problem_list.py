"""Collect the problems of one definition, each with its location and its path."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jobscheduler.jobs.parser.defaults import Defaults
from jobscheduler.jobs.parser.locations import narrow
from jobscheduler.jobs.parser.misplaced_fields import misplaced
from jobscheduler.jobs.parser.schema import Finding
from jobscheduler.model import Problem
from jobscheduler.timetable import crontab
from jobscheduler.util import json_text, text_location

MAX_PROBLEMS = 20  # reported for one file; each costs a walk through its text

_MORE = f"this file has further problems: the first {MAX_PROBLEMS} are shown"


@dataclass(slots=True)
class ProblemList:
    """The problems of one definition. `written` is the decoded file, without `defaults`.

    With `is_portable` it leaves out problems that depend on this host.
    """

    text: str
    source_name: str
    defaults: Defaults
    written: Any
    is_portable: bool = False
    problems: list[Problem] = field(default_factory=list)
    _paths: set[json_text.Path] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.problems)

    def is_sound(self, *path: str) -> bool:
        """Return whether nothing is wrong so far with the value at a path, or below it."""
        return not any(wrong[: len(path)] == path for wrong in self._paths)

    def sorted(self) -> tuple[Problem, ...]:
        """Return the first `MAX_PROBLEMS` problems in the order of their locations."""
        found = sorted(self.problems, key=lambda p: (p.line or 0, p.column or 0))
        if len(found) > MAX_PROBLEMS:
            last = found[MAX_PROBLEMS - 1]
            found[MAX_PROBLEMS - 1] = replace(last, notes=(*last.notes, _MORE))
        return tuple(found[:MAX_PROBLEMS])

    def add(
        self,
        message: str,
        path: json_text.Path,
        *,
        key: bool = False,
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002 - the word under which it is shown
        host_dependent: bool = False,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Add a problem at the value (or `key`) at `path`, or at the nearest value above it that exists.

        `part` are the first character and the end of the part of a text that the problem is about.
        """
        if host_dependent and self.is_portable:
            return
        self._paths.add(path)
        if len(self.problems) > MAX_PROBLEMS:
            return
        location = json_text.locate(self.text, path, key=key)
        if location is None and (origin := self.defaults.origin(self.written, path)):
            notes = (*notes, f"`{'.'.join(map(str, path))}` comes from {origin}")
        if location is not None and part is not None:
            location = narrow(location, *part)
        while location is None and path:
            path = path[:-1]
            location = json_text.locate(self.text, path)
        problem = Problem(message, file=self.source_name, notes=notes, help=help, host_dependent=host_dependent)
        self.problems.append(text_location.located(problem, location))

    def add_text_error(self, error: crontab.ScheduleError, path: json_text.Path) -> None:
        """Add a problem with a part of the text at `path`."""
        self.add(str(error), path, notes=error.notes, help=error.help or None, part=(error.start, error.end))

    def add_finding(self, finding: Finding) -> None:
        """Add a finding of a schema as a problem."""
        help_ = finding.help
        if finding.key:
            help_ = misplaced(finding.path, self.written) or help_
        notes = finding.notes if help_ == finding.help else ()
        self.add(finding.message, finding.path, key=finding.key, notes=notes, help=help_)
