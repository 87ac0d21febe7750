"""The task type `execute_command`: run a program, keep the two ends of its output, end its process tree."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from jobscheduler.model import LogValue
from jobscheduler.tasks.base import FieldError, Outcome, ProcessTask, StartFailedTemporarily, TaskFailed
from jobscheduler.tasks.command.accounts import NoSuchAccount, account, encode_environment, environment, wrap_command
from jobscheduler.tasks.command.background_pipes import MAX_PIPES_OF_JOB
from jobscheduler.tasks.command.child import ChildProcess, SpawnSpec
from jobscheduler.tasks.command.environment_files import unusable_files
from jobscheduler.tasks.command.errors import describe_error, in_words_of_helper, is_transient
from jobscheduler.tasks.command.fields import SCHEMA, check_fields
from jobscheduler.tasks.command.helpers import HELPERS_STATUS, failed_helper, helper_error
from jobscheduler.tasks.command.job_variables import JobVariables
from jobscheduler.tasks.command.missing_paths import missing_paths
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.tasks.command.run_groups import NO_GROUP, NOT_ENTERED_STATUS, RUN_GROUPS, GroupEnd, RunGroup
from jobscheduler.tasks.command.run_markers import ATTEMPT_VAR, RUN_ID_VAR
from jobscheduler.tasks.command.tree_killer import TreeKiller
from jobscheduler.tasks.command.waiter import ProcessWaiter
from jobscheduler.tasks.command.warnings import command_warnings
from jobscheduler.tasks.context import Context
from jobscheduler.tasks.hung_paths import ACTIVE_STARTS, check_paths
from jobscheduler.tasks.stop_signals import UnkillableProcess
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.instants import format_instant

START_RETRY_S = 5.0  # for which a start is retried that fails for lack of processes, memory or descriptors

_RUN_ID, _ATTEMPT = RUN_ID_VAR.encode(), ATTEMPT_VAR.encode()

_MAX_PAUSE_S = 0.5  # seconds between two tries
_INHERITED_IDS = "the service was stopped from within this run (`systemctl --no-block` does not wait for it)"
_MAX_NAMED = 8  # processes that a record names


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
        """Yield the values of variables that may be secrets, and `stdin`."""
        yield from self._variables.secrets()
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


class RunningCommand:
    """A command that is running."""

    def __init__(
        self,
        child: ChildProcess,
        spec: SpawnSpec,
        context: Context,
        group: RunGroup,
        success_codes: Container[int],
    ) -> None:
        self._child = child
        self._group = group
        self._spec = spec
        self._context = context
        self._success_codes = success_codes
        self._lock = threading.Lock()
        self._killer: TreeKiller | None = None
        self._is_closed = False
        context.output = child.output
        context.pid = child.pid
        context.signals.has_processes = True
        context.on_stop(self.begin_stop)

    @property
    def exit_fd(self) -> int | None:
        """Readable when the main process has ended."""
        return self._child.pidfd

    @property
    def output_fd(self) -> int | None:
        """Readable when there is output, or when no process can write any more."""
        return self._child.pipe

    def read_output(self) -> bool:
        """Read the available output. Return False at its end."""
        return self._child.read() != 0

    def begin_stop(self) -> None:
        """Send the signals that end its whole tree, on another thread. Does nothing once it has ended."""
        killer = self._tree_killer()
        if killer is not None:
            killer.begin()

    def _tree_killer(self) -> TreeKiller | None:
        with self._lock:
            if self._killer is None and not self._is_closed:
                marker = self._context.run_id, self._context.attempt
                signals, owner = self._context.signals, self._spec.owner
                self._killer = TreeKiller(
                    self._child, marker, signals, REAPER.orphans.adopt, owner=owner, group=self._group_or_none
                )
            return self._killer

    def wait(self) -> Outcome:
        """Wait until the main process has ended, or end its whole tree when the run has to stop."""
        unkillable: tuple[UnkillableProcess, ...] = ()
        try:
            with ProcessWaiter(self._child, self._context) as waiting:
                if (not waiting.wait() or self._context.stop_requested) and (killer := self._tree_killer()):
                    unkillable = killer.wait(waiting.pause)
        except BaseException:
            self._close()
            raise
        return self.collect(unkillable)

    def _close(self) -> int | None:
        if self._spec.program is not None:
            self._child.remember()
        with self._lock:
            self._is_closed = True
            if self._killer is not None:
                self._killer.tree.abandon()
        self._context.pid = None
        return self._child.close(self._context.job_id)

    def collect(self, unkillable: Sequence[UnkillableProcess] = ()) -> Outcome:
        """Release the command and return its outcome. `unkillable` are its processes that could not be ended."""
        status, output = self._close(), self._child.output.kept().text
        details = (*_status_details(status), *self._background_details(), *self._limit_details())
        end = GroupEnd.of(self._group)
        outcome = Outcome(details, output, end.with_memory(self._child.use))
        RUN_GROUPS.release(self._group)
        if unkillable:
            raise _unended(unkillable, outcome)
        if self._context.reason == "shutdown" and self._killer is not None and self._killer.tree.stops_service:
            raise TaskFailed(_INHERITED_IDS, reason="exit", outcome=outcome)
        if status == NOT_ENTERED_STATUS and not end.was_entered:
            message = "it could not be put into its control group"
            raise TaskFailed(message, reason="start", outcome=outcome)
        if status is not None and self._spec.program is not None:
            self._check_helpers(status, output, self._spec.program)
        return self._judge(status, outcome, end)

    @property
    def _group_or_none(self) -> RunGroup | None:
        return None if self._group.path is None else self._group

    def _limit_details(self) -> tuple[tuple[str, LogValue], ...]:
        """Return which limits of the job were not in force."""
        return (("unlimited", ",".join(self._group.missing)),) if self._group.missing else ()

    def _background_details(self) -> tuple[tuple[str, LogValue], ...]:
        """Return how many background processes of this job still have an open output, if there are many."""
        count = REAPER.pipes.count_of(self._context.job_id) if self._child.left_pipe else 0
        return (("in_background", count),) if count > MAX_PIPES_OF_JOB else ()

    def _check_helpers(self, status: int, output: bytes, program: bytes) -> None:
        """Raise the failure of a helper that did not reach the command, as far as that can be known.

        Never retry the start here, because the command may have run and imitated a helper.
        """
        helper = failed_helper(self._child.last_seen, program) if status in HELPERS_STATUS else None
        error = None if helper is None else helper_error(helper, output, program, self._spec.home)
        if helper is None or error is None:
            return
        outcome = Outcome((("exit_code", status),), output)
        raise TaskFailed(in_words_of_helper(error), reason="start", outcome=outcome) from error

    def _judge(self, status: int | None, outcome: Outcome, end: GroupEnd) -> Outcome:
        """Return the outcome of a success. Raises: `TaskFailed` for any other status."""
        if status is None:
            raise TaskFailed("its exit status was lost (is SIGCHLD ignored?)", reason="exit", outcome=outcome)
        if status in self._success_codes and status >= 0:
            return outcome
        if end.oom_kills:
            raise TaskFailed(end.describe_oom(self._context.limits), reason="oom", outcome=outcome)
        hint = end.describe_refused_forks(self._context.limits) or _hint(status)
        raise TaskFailed(hint, reason="exit", outcome=outcome)


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


def _status_details(status: int | None) -> tuple[tuple[str, LogValue], ...]:
    if status is None:
        return ()
    return (("signal", _signal_name(-status)),) if status < 0 else (("exit_code", status),)


def _unended(unkillable: Sequence[UnkillableProcess], outcome: Outcome) -> TaskFailed:
    """Return a failure that names the processes that survived KILL."""
    names = ", ".join(map(str, unkillable[:_MAX_NAMED])) + (", ..." if len(unkillable) > _MAX_NAMED else "")
    message = f"{len(unkillable)} of its processes could not be ended: {names}"
    return TaskFailed(message, reason="exit", outcome=outcome)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _hint(status: int) -> str:
    """Explain an exit status of a shell; empty if its number says enough."""
    if status == 127:
        return "a shell that ends with 127 did not find a command"
    if status == 126:
        return "a shell that ends with 126 was not permitted to run a command, or it is not a program"
    if status > 128 and status - 128 < signal.NSIG:
        return f"a shell that ends with {status} saw its command killed by {_signal_name(status - 128)}"
    return ""
