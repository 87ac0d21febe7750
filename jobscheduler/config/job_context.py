"""The context in which definitions are parsed: the zone and the defaults that the settings say, and the task types."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from jobscheduler import tasks
from jobscheduler.config.settings import Settings
from jobscheduler.config.settings_file import DEFAULTS, SettingsError, SettingsFile
from jobscheduler.jobs.parser import ParseContext, check_defaults
from jobscheduler.model import Problem
from jobscheduler.timetable.timezones import service_zone


def job_context(settings: Settings) -> ParseContext:
    """Return the context of these settings: the same in the service and in the verbs.

    Raises:
        UnknownTimezone: the zone of jobs without one cannot be determined.
        SettingsError: something in `[defaults]` is wrong.

    """
    context = ParseContext(service_zone(settings.timezone, os.environ), tasks.task_type, tasks.task_names())
    return with_defaults(context, settings.file)


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
