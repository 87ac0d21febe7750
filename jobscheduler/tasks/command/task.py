"""The task type `execute_command`: run a program, keep the two ends of its output, end its process tree."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from jobscheduler.tasks.base import FieldError, Outcome, ProcessTask, StartFailedTemporarily, TaskFailed
from jobscheduler.tasks.command.accounts import NoSuchAccount, account, encode_environment, environment, wrap_command
from jobscheduler.tasks.command.child import ChildProcess, SpawnSpec
from jobscheduler.tasks.command.command_secrets import command_secrets
from jobscheduler.tasks.command.environment_files import unusable_files
from jobscheduler.tasks.command.errors import describe_error, is_transient
from jobscheduler.tasks.command.fields import SCHEMA, check_fields
from jobscheduler.tasks.command.job_variables import JobVariables
from jobscheduler.tasks.command.missing_paths import missing_paths
from jobscheduler.tasks.command.run_groups import NO_GROUP, RUN_GROUPS, RunGroup
from jobscheduler.tasks.command.run_markers import ATTEMPT_VAR, RUN_ID_VAR
from jobscheduler.tasks.command.running_command import RunningCommand
from jobscheduler.tasks.command.warnings import command_warnings
from jobscheduler.tasks.context import Context
from jobscheduler.tasks.hung_paths import ACTIVE_STARTS, check_paths
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.instants import format_instant

START_RETRY_S = 5.0  # for which a start is retried that fails for lack of processes, memory or descriptors

_RUN_ID, _ATTEMPT = RUN_ID_VAR.encode(), ATTEMPT_VAR.encode()

_MAX_PAUSE_S = 0.5  # seconds between two tries


class ExecuteCommand(ProcessTask):
    """Runs a command: text for the shell, or a list run without one."""

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield errors that the schema cannot express: NUL, relative paths, names of accounts."""
        return check_fields(fields)

    @classmethod
    def warnings(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield warnings about an odd command, and about files that a run would not find or cannot use."""
        yield from command_warnings(fields)
        yield from missing_paths(fields)
        yield from unusable_files(fields)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Make a task. Its environment files are read before its start."""
        super().__init__(fields)
        self._variables = JobVariables(fields)

    def secrets(self) -> Iterator[str]:
        """Yield the values of variables that may be secrets, those in the command, and `stdin`."""
        yield from self._variables.secrets()
        yield from command_secrets(self.fields["command"])
        if "stdin" in self.fields:
            yield self.fields["stdin"]

    def needs_preparation(self) -> bool:
        """Return whether there are environment files."""
        return self._variables.must_read

    def prepare(self, context: Context) -> None:
        """Read the environment files. Raises `TaskFailed` with the reason `start` if one of them cannot be used."""
        del context
        self._variables.read()

    def run(self, context: Context) -> Outcome:
        """Run the command until its main process has ended.

        A start that fails temporarily is retried; no resource is held meanwhile.

        Raises `TaskFailed` with the reason `start` if it could not be started, `exit` if its exit status is not in
        `success_exit_codes`.
        """
        until = time.monotonic() + START_RETRY_S
        pause = 0.05
        while True:
            try:
                return self.start(context).wait()
            except StartFailedTemporarily as trouble:
                if time.monotonic() + pause > until:
                    raise trouble.failure from trouble.__cause__
            context.stopping.wait(pause)
            pause = min(2 * pause, _MAX_PAUSE_S)

    def start(self, context: Context) -> RunningCommand:
        """Start the command, unless its run already has to stop."""
        if context.stop_requested:
            raise TaskFailed("stopped before it could be started", reason="start")
        if self.needs_preparation():
            self.prepare(context)
        directory, program = self.fields.get("cwd"), self._program()
        try:
            if ACTIVE_STARTS.enter((self.fields.get("user"), directory, program)):
                check_paths((("directory", directory or "/"), ("program", program)))
            return self._start(context)
        except CallHung as hung:
            raise TaskFailed(str(hung), reason="start") from None
        finally:
            ACTIVE_STARTS.leave()

    def _start(self, context: Context) -> RunningCommand:
        group = _make_group(context)
        try:
            return self._start_in(context, group)
        except BaseException:
            RUN_GROUPS.release(group)
            raise

    def _start_in(self, context: Context, group: RunGroup) -> RunningCommand:
        try:
            spec = self._spawn_spec(context, group)
        except (OSError, ValueError, NoSuchAccount) as error:
            raise TaskFailed(describe_error(error), reason="start") from error
        try:
            child = ChildProcess.start(spec)
        except (OSError, ValueError) as error:
            failure = TaskFailed(describe_error(error, spec.directory, spec.command), reason="start")
            raise (StartFailedTemporarily(failure) if is_transient(error) else failure) from error
        return RunningCommand(child, spec, context, group, self.fields.get("success_exit_codes", (0,)))

    def _spawn_spec(self, context: Context, group: RunGroup) -> SpawnSpec:
        fields = self.fields
        user = account(fields.get("user"), fields.get("group"))
        is_ours = user.is_current_user
        directory = fields.get("cwd") or user.directory()
        stdin = fields.get("stdin")
        variables = environment(user, _run_variables(context), self._variables.all())
        own_command = self._command()
        first = group.entering()
        command, hidden = wrap_command(
            own_command, variables, user, nice=fields.get("nice"), directory=directory, first=first
        )
        return SpawnSpec(
            command,
            hidden,
            directory if is_ours else "/",
            int(fields.get("umask", "022"), 8),
            None if stdin is None else stdin.encode(),
            own_command[0] if command != own_command else None,
            directory,
            None if is_ours else user.uid,
        )

    def _program(self) -> str:
        command = self.fields["command"]
        return str(self.fields.get("shell", "/bin/sh") if isinstance(command, str) else command[0])

    def _command(self) -> list[bytes]:
        command = self.fields["command"]
        if isinstance(command, str):
            command = [self.fields.get("shell", "/bin/sh"), "-c", command]
        return [argument.encode() for argument in command]


def _make_group(context: Context) -> RunGroup:
    if context.limits is None:
        return NO_GROUP
    return RUN_GROUPS.create(context.run_id, context.attempt, context.limits)


def _run_variables(context: Context) -> Mapping[bytes, bytes]:
    """Return the variables of a run, its markers first. Those of the run override those of an alert."""
    variables = {_RUN_ID: b"", _ATTEMPT: b""}
    if context.alert is not None:
        variables.update(encode_environment(context.alert.variables))
    variables[b"JOB_ID"] = context.job_id.encode()
    variables[_RUN_ID] = context.run_id.encode()
    variables[_ATTEMPT] = b"%d" % context.attempt
    if context.scheduled is not None:
        variables[b"JOB_SCHEDULED_TIME"] = format_instant(context.scheduled).encode()
    return variables
