"""The task type `execute_command`: runs a program, keeps the ends of its output, and owns its process tree."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, ClassVar

from jobscheduler.model import Value
from jobscheduler.tasks.aftermath import AFTERMATH
from jobscheduler.tasks.base import Complaint, Context, Outcome, Task, TaskFailed
from jobscheduler.tasks.execute_command_child import Child, Plan
from jobscheduler.tasks.execute_command_errors import in_words, is_transient, of_a_helper
from jobscheduler.tasks.execute_command_fields import SCHEMA, complaints
from jobscheduler.tasks.processes import ATTEMPT, MARK, End
from jobscheduler.tasks.turns import Turn
from jobscheduler.tasks.users import NoSuchAccount, account, environment, wrapped

PERSIST = 5.0
"""Seconds for which a start is tried again that fails for want of processes, memory or descriptors."""

_LONGEST_PAUSE = 0.5  # seconds between two tries

_AGAIN = 0.2  # seconds before another start after a program that prepares the command had to give up


class ExecuteCommand(Task):
    """Runs a command: text for the shell, or a list run without one."""

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[Complaint]:
        """Say what the schema cannot: NUL, relative paths, names of accounts."""
        return complaints(fields)

    def secrets(self) -> Iterator[str]:
        """The values of `env`, and what is written to the command."""
        yield from self.fields.get("env", {}).values()
        if "stdin" in self.fields:
            yield self.fields["stdin"]

    def run(self, context: Context) -> Outcome:
        """Run the command until its main process has ended.

        Raises `TaskFailed` with the reason `start` if it could not be started, `exit` if it ended with a status that
        is not among `success_exit_codes`.
        """
        try:
            plan = self._plan(context)
        except (OSError, ValueError, NoSuchAccount) as error:
            raise TaskFailed(in_words(error), reason="start") from error
        return self._judge(*_carried_out(plan, context))

    def _plan(self, context: Context) -> Plan:
        fields = self.fields
        who = account(fields.get("user"), fields.get("group"))
        directory = fields.get("cwd") or who.directory()
        stdin = fields.get("stdin")
        variables = environment(who, _marks(context), fields.get("env", {}))
        own = self._command()
        command, hidden = wrapped(own, variables, who, nice=fields.get("nice"), directory=directory)
        return Plan(
            command,
            hidden,
            directory if who.is_ours else "/",
            int(fields.get("umask", "022"), 8),
            None if stdin is None else stdin.encode(),
            own[0] if command != own else None,
            directory,
            None if who.is_ours else who.uid,
        )

    def _command(self) -> list[bytes]:
        command = self.fields["command"]
        if isinstance(command, str):
            command = [self.fields.get("shell", "/bin/sh"), "-c", command]
        return [word.encode() for word in command]

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
        if status in self.fields.get("success_exit_codes", (0,)):
            return outcome
        raise TaskFailed(_hint(status), reason="exit", outcome=outcome)


def _marks(context: Context) -> Mapping[str, str]:
    marks = {
        "JOB_ID": context.job_id,
        MARK: context.run_id,
        ATTEMPT: str(context.attempt),
    }
    if context.scheduled is not None:
        marks["JOB_SCHEDULED_TIME"] = context.scheduled.astimezone(UTC).isoformat().replace("+00:00", "Z")
    told = {} if context.alert is None else context.alert.variables
    return {**told, **marks}


def _carried_out(plan: Plan, context: Context) -> tuple[int | None, bytes, int]:
    """Start the command and see it through; returns its status, its output, and how many could not be ended.

    The programs that prepare it may meet what heals within moments, too: nothing of the job has run then.
    """
    until = time.monotonic() + PERSIST
    while True:
        child = _start_persistently(plan, context)
        left = _see_through(child, context)
        status, output = child.close(), child.output.kept()
        error = None if status is None or plan.program is None else of_a_helper(status, output, plan.program)
        if status is None or error is None:
            return status, output, left
        if not is_transient(error) or time.monotonic() > until:
            outcome = Outcome((("exit_code", status),), output)
            raise TaskFailed(
                in_words(error, plan.home, [plan.program or b""]), reason="start", outcome=outcome
            ) from error
        context.stopping.wait(_AGAIN)


def _start_persistently(plan: Plan, context: Context) -> Child:
    """Start the command; what may heal within moments is tried again, and nothing is held meanwhile."""
    until = time.monotonic() + PERSIST
    pause = 0.05
    while True:
        if context.stopping.is_set():
            raise TaskFailed("stopped before it could be started", reason="start")
        try:
            with Turn():
                return Child.start(plan)
        except (OSError, ValueError) as error:
            if not is_transient(error) or time.monotonic() + pause > until:
                raise TaskFailed(in_words(error, plan.directory, plan.command), reason="start") from error
        context.stopping.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _see_through(child: Child, context: Context) -> int:
    """Wait until the command has ended, or end its tree when told to; returns how many could not be ended."""
    try:
        context.on_stop(child.wake)
        if child.wait():
            return 0
        end = End((context.run_id,), child.pid, child.listen_for, AFTERMATH.recognise, context.attempt)
        return len(end())
    except BaseException:
        child.close()
        raise


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
