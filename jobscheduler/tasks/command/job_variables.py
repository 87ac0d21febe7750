"""The variables that a job asks for: passed on from the service, of environment files, and of `env`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from jobscheduler.tasks.base import TaskFailed
from jobscheduler.tasks.command.accounts import encode_environment
from jobscheduler.tasks.command.environment_files import EnvironmentFileError, read_environment_files
from jobscheduler.util.exposed_secrets import looks_secret
from jobscheduler.util.hang_guard import CallHung

OWN_PREFIX = "JOB_"  # begins the names of the variables that the scheduler sets itself
_ASKING = frozenset({"env", "pass_env"})  # the fields that ask for variables, besides that of files


class JobVariables:
    """The variables that the fields of one task ask for. Its environment files are read once, before its start."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self._of_files: dict[str, str] = {}
        self.must_read = "env_file" in fields

    def read(self) -> None:
        """Read the environment files. It may wait for them.

        Raises `TaskFailed` with the reason `start` if one of them cannot be used.
        """
        try:
            self._of_files = read_environment_files(self._fields)
        except EnvironmentFileError as error:
            way_out = f"; {error.problem.help}" if error.problem.help else ""
            raise TaskFailed(error.problem.message + way_out, reason="start") from None
        except CallHung as hung:
            raise TaskFailed(str(hung), reason="start") from None
        except RuntimeError:
            message = "the host has no thread left to read the environment files"
            raise TaskFailed(message, reason="start") from None
        self.must_read = False

    def all(self) -> dict[bytes, bytes]:
        """Return the variables. Of one name the one nearest to the definition counts: `env`, then the last file."""
        if not self._of_files and _ASKING.isdisjoint(self._fields):  # most tasks, at each start
            return {}
        return self._passed() | encode_environment(self._of_files) | encode_environment(self._fields.get("env", {}))

    def secrets(self) -> Iterator[str]:
        """Yield the values that must not be shown. Of those that the service passes on, only what looks like one."""
        yield from self._fields.get("env", {}).values()
        yield from self._of_files.values()
        passed = ((os.fsdecode(name), os.fsdecode(value)) for name, value in self._passed().items())
        yield from (value for name, value in passed if looks_secret(name, value))

    def _passed(self) -> dict[bytes, bytes]:
        """Return those of the variables in `pass_env` that the service has."""
        wanted = (os.fsencode(name) for name in self._fields.get("pass_env", ()))
        return {name: value for name in wanted if (value := os.environb.get(name)) is not None}
