"""Find secrets in the files that a service has its settings from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jobscheduler.config.settings import Settings
from jobscheduler.config.settings_file import SettingsFile
from jobscheduler.model import Problem
from jobscheduler.util.environment_file import ENVIRONMENT_FILE
from jobscheduler.util.exposed_secrets import (
    exposed_in,
    exposed_in_environment_file,
    exposed_in_task_file,
    help_of_url,
)
from jobscheduler.util.toml_text import TomlError, decode

_URLS = ("database-url", "cluster-url")


class ExposureCheck(NamedTuple):
    """A look at one file for secrets that all users may read.

    `thing` is the name of the file for the hang guard: that under which the service reads it anyway.
    """

    file: str
    thing: str
    look: Callable[[], tuple[Problem, ...]]


def exposure_checks(settings: Settings, environment_file: Path = ENVIRONMENT_FILE) -> Iterator[ExposureCheck]:
    """Yield a check for each file that the settings come from or name: alerts, as files of jobs, are definitions."""
    look = partial(exposed_in_environment_file, environment_file)
    yield ExposureCheck(str(environment_file), f"the file `{environment_file}`", look)
    for alert in (settings.on_failure, settings.on_recovery):
        if alert is not None:
            yield ExposureCheck(str(alert), f"the file with an alert `{alert}`", partial(exposed_in_task_file, alert))
    if settings.file.path is not None:
        yield ExposureCheck(str(settings.file.path), "the settings file", partial(_exposed_in_settings, settings.file))


def _exposed_in_settings(file: SettingsFile) -> tuple[Problem, ...]:
    return tuple(_exposed_in(file)) if file.is_exposed else ()


def _exposed_in(file: SettingsFile) -> Iterator[Problem]:
    try:
        value, _ = decode(file.text.encode())
    except TomlError:  # what is right in it is used by verbs, and they say what is wrong
        return
    for problem in exposed_in(value, str(file.path), file.locate):
        url = next((key for key in _URLS if problem.message.startswith(f"`{key}`")), None)
        yield problem if url is None else replace(problem, help=help_of_url(f"{url}-file"))
