"""Define and check the fields of `execute_command`: the schema, and errors that a schema cannot express."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from jobscheduler.tasks.base import FieldError
from jobscheduler.tasks.command.accounts import AccountExpired, NoSuchAccount, account, find_helper
from jobscheduler.tasks.command.environment_files import file_paths
from jobscheduler.tasks.command.job_variables import OWN_PREFIX
from jobscheduler.tasks.command.run_markers import ATTEMPT_VAR, RUN_ID_VAR
from jobscheduler.util.characters import describe_character, has_half_pair, invisible_characters, suggest_replacement
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.json_walk import iter_texts

# JSON Schema 2020-12 of the fields, without `type`.
SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "execute_command",
        "description": "Runs a command in a session of its own, with an environment that is made and not inherited.",
        "type": "object",
        "required": ["command"],
        "additionalProperties": False,
        "properties": {
            "command": {
                "description": "What to run: text for the shell, or a list of a program and its arguments, run "
                "without a shell.",
                "oneOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "minItems": 1, "items": {"type": "string"}},
                ],
                "examples": ["/usr/bin/find /srv/old -delete", ["/usr/bin/find", "/srv/old", "-delete"]],
            },
            "shell": {
                "description": "Path of the shell that gets a `command` that is text, as `SHELL -c TEXT`.",
                "type": "string",
                "default": "/bin/sh",
                "examples": ["/bin/bash"],
            },
            "cwd": {
                "description": "The directory to run in, an absolute path. Without it: the user's home, or `/` if "
                "that does not exist.",
                "type": "string",
                "examples": ["/var/lib/reports"],
            },
            "env": {
                "description": "Further environment variables; one that the scheduler sets itself is replaced.",
                "type": "object",
                "additionalProperties": {"type": "string"},
                "examples": [{"PGHOST": "db.example.org", "MAILTO": ""}],
            },
            "env_file": {
                "description": "A file of `NAME=value` lines, as in systemd's `EnvironmentFile=`, or several: further "
                "environment variables that the definition does not show, such as passwords. Read when a run starts, "
                "by the scheduler and not by `user`; closed to other users. `env` overrides them, and a later file an "
                "earlier one.",
                "oneOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
                ],
                "examples": ["/etc/scheduler/backup.env", ["/etc/scheduler/all.env", "/etc/scheduler/backup.env"]],
            },
            "pass_env": {
                "description": "Names of environment variables that the command gets as the scheduler has them. One "
                "that the scheduler does not have is not set. `env_file` and `env` override them.",
                "type": "array",
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1},
                "examples": [["HTTPS_PROXY", "SSL_CERT_FILE"]],
            },
            "user": {
                "description": "Name of the user to run as, with the user's groups. Needs a scheduler that runs as "
                "root. Without it: the scheduler's own.",
                "type": "string",
                "minLength": 1,
                "examples": ["www-data"],
            },
            "group": {
                "description": "Name of the group to run as, in place of the user's first group.",
                "type": "string",
                "minLength": 1,
                "examples": ["backup"],
            },
            "umask": {
                "description": "Permissions that new files do not get, in octal.",
                "type": "string",
                "default": "022",
                "examples": ["027", "0077"],
            },
            "nice": {
                "description": "Added to the scheduler's own niceness: 19 yields to all others, negative goes first.",
                "type": "integer",
                "minimum": -20,
                "maximum": 19,
                "default": 0,
                "examples": [10],
            },
            "stdin": {
                "description": "Text that the command can read. Without it: nothing (`/dev/null`).",
                "type": "string",
                "examples": ["yes\n"],
            },
            "success_exit_codes": {
                "description": "The exit statuses that mean success.",
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "integer", "minimum": 0, "maximum": 255},
                "default": [0],
                "examples": [[0, 1]],
            },
        },
    }
)

_UMASK = re.compile(r"0?[0-7]{1,3}")


def check_fields(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield the errors in fields that fit the schema."""
    yield from _about_texts(fields)
    yield from _about_command(fields)
    yield from _about_environment(fields.get("env", {}))
    yield from _about_passed_variables(fields.get("pass_env", ()))
    yield from _about_environment_files(fields)
    if "cwd" in fields and not fields["cwd"].startswith("/"):
        yield FieldError(("cwd",), f"`{fields['cwd']}` is not an absolute path", "write the path from `/` on")
    if "umask" in fields and not _UMASK.fullmatch(fields["umask"]):
        yield FieldError(("umask",), f"`{fields['umask']}` is not an octal mask", 'write one such as "022" or "0077"')
    yield from _about_this_host(fields)


def _about_texts(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield texts that the kernel or UTF-8 cannot represent. `stdin` may hold NUL, as it is not an argument."""
    for path, text in iter_texts(fields):
        if "\0" in text and path != ("stdin",):
            yield FieldError(path, "a NUL character cannot be passed to a program")
        if has_half_pair(text):
            yield FieldError(path, "half a surrogate pair is not a character", "write both halves, or the character")


def _about_command(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    command = fields["command"]
    if isinstance(command, str) and not command.strip():
        yield FieldError(("command",), "the command is empty")
    if isinstance(command, list) and not command[0]:
        yield FieldError(("command", 0), "the name of the program is empty")
    if "shell" not in fields:
        return
    if isinstance(command, list):
        yield FieldError(
            ("shell",), "a command that is a list is run without a shell", "write the command as one text, or drop it"
        )
    if odd := next(invisible_characters(fields["shell"]), None):
        yield FieldError(
            ("shell",), f"{describe_character(odd)}, cannot be in the path of a shell", suggest_replacement(odd)
        )
    if not fields["shell"].startswith("/"):
        yield FieldError(("shell",), f"`{fields['shell']}` is not an absolute path", "write one such as /bin/bash")


def _about_environment(env: Mapping[str, str]) -> Iterator[FieldError]:
    for name in env:
        yield from _about_name(name, ("env", name))
        if name in (RUN_ID_VAR, ATTEMPT_VAR):
            yield FieldError(("env", name), f"`{name}` is how the scheduler knows the processes of a run", "drop it")


def _about_name(name: str, path: tuple[str | int, ...]) -> Iterator[FieldError]:
    if odd := next(invisible_characters(name), None):
        message = f"{describe_character(odd)}, cannot be in the name of a variable"
        yield FieldError(path, message, suggest_replacement(odd))
    if not name or "=" in name or "\0" in name:
        yield FieldError(path, f"`{name}` cannot be the name of an environment variable")


def _about_passed_variables(names: Sequence[str]) -> Iterator[FieldError]:
    for number, name in enumerate(names):
        yield from _about_name(name, ("pass_env", number))
        if name.startswith(OWN_PREFIX):
            message = (
                f"`{name}` is not passed on: the scheduler sets the variables that begin with `{OWN_PREFIX}` itself"
            )
            yield FieldError(("pass_env", number), message, "drop it, or set another name in `env`")


def _about_environment_files(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    for number, file in enumerate(file_paths(fields)):
        path = ("env_file",) if isinstance(fields["env_file"], str) else ("env_file", number)
        if not file.startswith("/"):
            yield FieldError(path, f"`{file}` is not an absolute path", "write the path from `/` on")


def _about_this_host(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield errors that depend on this host and may disappear without an edit."""
    for field in ("user", "group"):
        if field in fields:
            yield from _about_account(field, fields)
    if fields.get("nice", 0) < 0 and os.geteuid() != 0:
        yield FieldError(
            ("nice",), "only a scheduler that runs as root can set a negative niceness", host_dependent=True
        )


def _about_account(field: str, fields: Mapping[str, Any]) -> Iterator[FieldError]:
    name = fields[field]
    try:
        user = account(**{field: name}) if "\0" not in name else account()
    except AccountExpired as error:
        yield FieldError((field,), str(error), error.help, host_dependent=True)
        return
    except (CallHung, NoSuchAccount, UnicodeError) as error:
        yield FieldError((field,), str(error), f"create it, or drop `{field}`", host_dependent=True)
        return
    if user.is_current_user:
        return
    if os.geteuid() != 0:
        yield FieldError(
            (field,),
            f"`{name}` is not the user of the scheduler, and only root can start commands as another {field}",
            f"run the scheduler as root, or drop `{field}`",
            host_dependent=True,
        )
    elif find_helper("setpriv") is None:
        yield FieldError(
            (field,), "starting commands as another user needs `setpriv`", "apt install util-linux", host_dependent=True
        )
