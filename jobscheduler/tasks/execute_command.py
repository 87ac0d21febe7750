"""The task type `execute_command`: runs a program, keeps the ends of its output, and owns its process tree."""

from __future__ import annotations

import signal
import time
from collections.abc import Container, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar

from jobscheduler.model import Value
from jobscheduler.tasks.aftermath import AFTERMATH
from jobscheduler.tasks.base import Complaint, Context, NotBegun, Outcome, Outside, TaskFailed
from jobscheduler.tasks.execute_command_child import Child, Plan
from jobscheduler.tasks.execute_command_errors import in_words, is_transient, of_a_helper
from jobscheduler.tasks.execute_command_fields import SCHEMA, complaints
from jobscheduler.tasks.execute_command_oddities import oddities
from jobscheduler.tasks.execute_command_wait import Waiting
from jobscheduler.tasks.processes import ATTEMPT, MARK, End, Process
from jobscheduler.tasks.users import NoSuchAccount, account, encoded, environment, wrapped

PERSIST = 5.0
"""Seconds for which a start is tried again that fails for want of processes, memory or descriptors."""

_MARK, _ATTEMPT = MARK.encode(), ATTEMPT.encode()

_LONGEST_PAUSE = 0.5  # seconds between two tries


class ExecuteCommand(Outside):
    """Runs a command: text for the shell, or a list run without one."""

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[Complaint]:
        """Say what the schema cannot: NUL, relative paths, names of accounts."""
        return complaints(fields)

    @classmethod
    def odd(cls, fields: Mapping[str, Any]) -> Iterator[Complaint]:
        """Say what a shell takes without a word and does not do as it was meant."""
        return oddities(fields)

    def secrets(self) -> Iterator[str]:
        """The values of `env`, and what is written to the command."""
        yield from self.fields.get("env", {}).values()
        if "stdin" in self.fields:
            yield self.fields["stdin"]

    def run(self, context: Context) -> Outcome:
        """Run the command until its main process has ended.

        What keeps it from beginning and may heal within moments is tried again; nothing is held meanwhile.

        Raises `TaskFailed` with the reason `start` if it could not be started, `exit` if it ended with a status that
        is not among `success_exit_codes`.
        """
        until = time.monotonic() + PERSIST
        pause = 0.05
        while True:
            try:
                return self.start(context).see_through()
            except NotBegun as trouble:
                if time.monotonic() + pause > until:
                    raise trouble.failure from trouble.__cause__
            context.stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def start(self, context: Context) -> Command:
        """Start the command, unless its run has to stop already."""
        if context.has_to_stop:
            raise TaskFailed("stopped before it could be started", reason="start")
        try:
            plan = self._plan(context)
        except (OSError, ValueError, NoSuchAccount) as error:
            raise TaskFailed(in_words(error), reason="start") from error
        try:
            child = Child.start(plan)
        except (OSError, ValueError) as error:
            failure = TaskFailed(in_words(error, plan.directory, plan.command), reason="start")
            raise (NotBegun(failure) if is_transient(error) else failure) from error
        return Command(child, plan, context, self.fields.get("success_exit_codes", (0,)))

    def _plan(self, context: Context) -> Plan:
        fields = self.fields
        who = account(fields.get("user"), fields.get("group"))
        is_ours = who.is_ours
        directory = fields.get("cwd") or who.directory()
        stdin = fields.get("stdin")
        variables = environment(who, _marks(context), fields.get("env", {}))
        own = self._command()
        command, hidden = wrapped(own, variables, who, nice=fields.get("nice"), directory=directory)
        return Plan(
            command,
            hidden,
            directory if is_ours else "/",
            int(fields.get("umask", "022"), 8),
            None if stdin is None else stdin.encode(),
            own[0] if command != own else None,
            directory,
            None if is_ours else who.uid,
        )

    def _command(self) -> list[bytes]:
        command = self.fields["command"]
        if isinstance(command, str):
            command = [self.fields.get("shell", "/bin/sh"), "-c", command]
        return [word.encode() for word in command]


class Command:
    """A command that goes on."""

    def __init__(self, child: Child, plan: Plan, context: Context, good: Container[int]) -> None:
        self._child = child
        self._plan = plan
        self._context = context
        self._good = good

    @property
    def ended(self) -> int | None:
        """Readable when the main process has ended."""
        return self._child.pidfd

    @property
    def news(self) -> int | None:
        """Readable when it has printed something, or nobody can print any more."""
        return self._child.pipe

    def hear(self) -> bool:
        """Take what it has printed; False when that was the last."""
        return self._child.read() != 0

    def see_through(self) -> Outcome:
        """Wait until the main process has ended, or end all of its tree when the run has to stop."""
        left = 0
        try:
            with Waiting(self._child, self._context) as waiting:
                if not waiting.until_ended():
                    left = len(self._end_tree(waiting))
        except BaseException:
            self._child.close()
            raise
        return self.end(left)

    def _end_tree(self, waiting: Waiting) -> tuple[Process, ...]:
        context = self._context
        return End((context.run_id,), self._child.pid, waiting.pause, AFTERMATH.recognise, context.attempt)()

    def end(self, left: int = 0) -> Outcome:
        """Let go of it and say what became of it; `left` is how many of its processes could not be ended."""
        status, output = self._child.close(), self._child.output.kept()
        if status is not None and self._plan.program is not None:
            self._check_helpers(status, output, self._plan.program)
        return self._judge(status, output, left)

    def _check_helpers(self, status: int, output: bytes, program: bytes) -> None:
        """Raise what kept the programs that prepare the command from it: nothing of the job has run then."""
        error = of_a_helper(status, output, program)
        if error is None:
            return
        outcome = Outcome((("exit_code", status),), output)
        failure = TaskFailed(in_words(error, self._plan.home, [program]), reason="start", outcome=outcome)
        raise (NotBegun(failure) if is_transient(error) else failure) from error

    def _judge(self, status: int | None, output: bytes, left: int) -> Outcome:
        """Success, or the `TaskFailed` that says what became of the command."""
        if status is None:
            why = (
                f"{left} of its processes could not be ended"
                if left
                else "its exit status was lost (is SIGCHLD ignored?)"
            )
            raise TaskFailed(why, reason="exit", outcome=Outcome((), output))
        if status < 0:
            details: tuple[tuple[str, Value], ...] = (("signal", _signal_name(-status)),)
            raise TaskFailed("", reason="exit", outcome=Outcome(details, output))
        outcome = Outcome((("exit_code", status),), output)
        if status in self._good:
            return outcome
        raise TaskFailed(_hint(status), reason="exit", outcome=outcome)


def _marks(context: Context) -> Mapping[bytes, bytes]:
    """The variables of a run; those of its slot are the last word, whatever an alert has to tell."""
    marks = {} if context.alert is None else encoded(context.alert.variables)
    marks[b"JOB_ID"] = context.job_id.encode()
    marks[_MARK] = context.run_id.encode()
    marks[_ATTEMPT] = b"%d" % context.attempt
    if context.scheduled is not None:
        marks[b"JOB_SCHEDULED_TIME"] = _instant(context.scheduled)
    return marks


@lru_cache(maxsize=256)
def _instant(slot: datetime) -> bytes:
    return slot.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _hint(status: int) -> str:
    """What is worth saying about an exit status besides its number."""
    if status == 127:
        return "a shell that ends with 127 did not find a command"
    if status == 126:
        return "a shell that ends with 126 was not permitted to run a command, or it is no program"
    if status > 128 and status - 128 < signal.NSIG:
        return f"a shell that ends with {status} saw its command killed by {_signal_name(status - 128)}"
    return ""
