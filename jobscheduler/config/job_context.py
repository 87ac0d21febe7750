"""The context in which definitions are parsed: the zone and the defaults that the settings say, and the task types."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobscheduler import tasks
from jobscheduler.config.options import PREFIX
from jobscheduler.config.settings import BadSetting, Settings
from jobscheduler.config.settings_file import DEFAULTS, NO_FILE, SettingsError, SettingsFile, read_settings_file
from jobscheduler.jobs.parser import NO_DEFAULTS, ParseContext, check_defaults
from jobscheduler.model import Problem
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone, service_zone


def job_context(settings: Settings) -> ParseContext:
    """Return the context of these settings: the same in the service and in the verbs.

    Raises:
        BadSetting: the command line names a zone that does not exist.
        SettingsError: the zone of jobs without one cannot be determined, or something in `[defaults]` is wrong. It has
            all problems.

    """
    context, problems = _job_context(settings)
    if context is None:
        raise SettingsError(problems)
    if problems:
        raise (BadSetting if _is_zone_of_flag(settings) else SettingsError)(problems)
    return context


def _is_zone_of_flag(settings: Settings) -> bool:
    """Return whether the command line names the zone."""
    given = settings.given.get("timezone")
    return given is not None and given.origin == "--timezone"


def problems_for_jobs(settings: Settings) -> tuple[Problem, ...]:
    """Return why jobs cannot be read with these settings: every problem of the zone and of `[defaults]`."""
    return _job_context(settings)[1]


def _job_context(settings: Settings) -> tuple[ParseContext | None, tuple[Problem, ...]]:
    """Return the context and what is wrong in the settings. Defaults are judged in UTC if the zone is unknown."""
    problems: tuple[Problem, ...] = ()
    try:
        zone = service_zone(settings.timezone, os.environ)
    except UnknownTimezone as unknown:
        problems = (_zone_problem(settings, unknown),)
        try:
            zone = get_zone("UTC")
        except UnknownTimezone:  # this host has no zone data
            return None, problems
    context = ParseContext(zone, tasks.task_type, tasks.task_names())
    try:
        return with_defaults(context, settings.file), problems
    except SettingsError as error:
        return None, (*problems, *error.problems)


def _zone_problem(settings: Settings, unknown: UnknownTimezone) -> Problem:
    """Return the problem of the zone at its line of the settings file, or with the variable that names it."""
    given = settings.given.get("timezone")
    for option, _ in settings.file.options:
        if option.name == "timezone" and given is not None and given.origin == settings.file.origin(option):
            return settings.file.problem((option.key,), str(unknown), unknown.help)
    is_variable = given is not None and given.origin.startswith(PREFIX)
    return Problem(f"{given.origin}: {unknown}" if given and is_variable else str(unknown), help=unknown.help)


def check_settings_file(path: Path, context: ParseContext) -> tuple[Problem, ...]:
    """Return every problem of a settings file: of its options, its zone and its defaults."""
    problems: tuple[Problem, ...] = ()
    try:
        file = read_settings_file(path)
    except SettingsError as error:
        file, problems = error.usable or NO_FILE, error.problems
    except OSError as error:
        return (Problem(f"the settings file cannot be read: {error.strerror}", file=str(path)),)
    for option, text in file.options:
        if option.name == "timezone":
            try:
                get_zone(text)
            except UnknownTimezone as unknown:
                problems = (*problems, file.problem((option.key,), str(unknown), unknown.help))
    try:
        judged = with_defaults(replace(context, defaults=NO_DEFAULTS), file)
    except SettingsError as error:
        return (*problems, *error.problems)
    return (*problems, *judged.defaults.problems)


def with_defaults(context: ParseContext, file: SettingsFile) -> ParseContext:
    """Return a context with the defaults of a settings file.

    Raises:
        SettingsError: something in `[defaults]` is wrong.

    """
    if not file.defaults:
        return context

    def problem_at(path: tuple[str, ...], message: str, help_: str | None = None, **further: Any) -> Problem:
        return file.problem((DEFAULTS, *path), message, help_, **further)

    defaults, problems = check_defaults(file.defaults, context, problem_at, str(file.path or "the settings"))
    if problems:
        raise SettingsError(problems)
    return replace(context, defaults=defaults)
