"""Find secrets in the files that a service has its settings from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jobscheduler.config.settings import Settings
from jobscheduler.config.settings_file import SettingsFile
from jobscheduler.model import Problem
from jobscheduler.util.exposed_secrets import (
    ENVIRONMENT_FILE,
    exposed_in,
    exposed_in_environment_file,
    exposed_in_task_file,
    help_of_url,
)
from jobscheduler.util.toml_text import TomlError, decode

_URL = "database-url"


def exposed_settings(settings: Settings, environment_file: Path = ENVIRONMENT_FILE) -> dict[str, tuple[Problem, ...]]:
    """Return the secrets that all users may read, by the file that shows them: none for a file that is fine."""
    found = {str(environment_file): exposed_in_environment_file(environment_file)}
    for alert in (settings.on_failure, settings.on_recovery):
        if alert is not None:
            found[str(alert)] = exposed_in_task_file(alert)
    if settings.file.path is not None:
        found[str(settings.file.path)] = tuple(_exposed_in(settings.file)) if settings.file.is_exposed else ()
    return found


def _exposed_in(file: SettingsFile) -> Iterator[Problem]:
    try:
        value, _ = decode(file.text.encode())
    except TomlError:  # what is right in it is used by verbs, and they say what is wrong
        return
    for problem in exposed_in(value, str(file.path), file.locate):
        is_url = problem.message.startswith(f"`{_URL}`")
        yield replace(problem, help=help_of_url(f"{_URL}-file")) if is_url else problem
