"""Environment files: variables of a command that its definition does not show.

The service reads the files, not the user of the job: that user need not be able to. So a file must be closed to other
users, like any file with a secret.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.tasks.base import FieldError
from jobscheduler.tasks.command.run_markers import ATTEMPT_VAR, RUN_ID_VAR
from jobscheduler.tasks.hung_paths import GUARD
from jobscheduler.util.environment_file import Assignment, Fault, parse_strictly
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.secret_file import SecretFileError, read_closed_file

MAX_BYTES = 64 * 1024  # of an environment file

_KIND = "environment file"
_MARKERS = (RUN_ID_VAR, ATTEMPT_VAR)


class EnvironmentFileError(ProblemError):
    """An environment file does not exist, is open to others, or holds a line that is not an assignment."""


def file_paths(fields: Mapping[str, Any]) -> Sequence[str]:
    """Return the paths of `env_file`: one, several or none."""
    given = fields.get("env_file", ())
    return (given,) if isinstance(given, str) else given


def read_environment_files(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of all files of a task. Of one name that of the later file counts.

    Raises:
        EnvironmentFileError: a file cannot be used.
        CallHung: a file does not answer.

    """
    variables: dict[str, str] = {}
    for path in file_paths(fields):
        variables |= _read_guarded(path)
    return variables


def unusable_files(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield the files that a run could not use now."""
    for number, path in enumerate(file_paths(fields)):
        place = ("env_file",) if isinstance(fields["env_file"], str) else ("env_file", number)
        try:
            _read_guarded(path)
        except EnvironmentFileError as error:
            yield FieldError(place, error.problem.message, error.problem.help, host_dependent=True)
        except CallHung as hung:
            yield FieldError(place, str(hung), "is its file system mounted, and its server reachable?", True)


def _read_guarded(path: str) -> dict[str, str]:
    return GUARD.call(f"the {_KIND} `{path}`", partial(read_environment_file, path))


def read_environment_file(path: str) -> dict[str, str]:
    """Return the variables of one file.

    Raises:
        EnvironmentFileError: the file cannot be used; the problem names the line, if it is one.

    """
    make = f"make it with `install -D -m 600 /dev/null {shlex.quote(path)}`, and write `NAME=value` lines into it"
    try:
        raw = read_closed_file(Path(path), _KIND, make, MAX_BYTES, help_if_large="is it the right file?")
    except SecretFileError as error:
        raise EnvironmentFileError(error.problem) from None
    try:
        variables, faults = parse_strictly(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _faulty(path, Fault(line, "the text is not UTF-8", "save the file as UTF-8")) from None
    faults += _unusable_variables(variables.values())
    if faults:
        raise _faulty(path, faults[0])
    return {name: one.value for name, one in variables.items()}


def _unusable_variables(variables: Iterable[Assignment]) -> Iterator[Fault]:
    for one in variables:
        if one.name in _MARKERS:
            yield Fault(one.line, f"`{one.name}` is how the scheduler knows the processes of a run", "drop it")
        if "\0" in one.value:
            yield Fault(one.line, "a NUL character cannot be passed to a program", "drop it")


def _faulty(path: str, fault: Fault) -> EnvironmentFileError:
    return EnvironmentFileError(Problem(f"the {_KIND} `{path}`, line {fault.line}: {fault.message}", help=fault.help))
