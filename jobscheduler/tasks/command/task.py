"""The task type `execute_command`: runs a program, keeps the ends of its output, and owns its process tree."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar

from jobscheduler.model import Value
from jobscheduler.tasks.base import Complaint, Context, NotBegun, Outcome, Outside, TaskFailed
from jobscheduler.tasks.command.accounts import NoSuchAccount, account, encoded, environment, wrapped
from jobscheduler.tasks.command.child import Child, Plan
from jobscheduler.tasks.command.errors import in_words, in_words_of_helper, is_transient
from jobscheduler.tasks.command.fields import SCHEMA, complaints
from jobscheduler.tasks.command.helpers import HELPERS_STATUS, error_of, given_up_by
from jobscheduler.tasks.command.pipe_drain import MOST_OF_A_JOB
from jobscheduler.tasks.command.processes import ATTEMPT, MARK
from jobscheduler.tasks.command.reaper import AFTERMATH
from jobscheduler.tasks.command.tree_killer import TreeEnd
from jobscheduler.tasks.command.waiter import Waiting
from jobscheduler.tasks.command.warnings import oddities
from jobscheduler.tasks.hung_paths import STARTS_GOING, look_at
from jobscheduler.tasks.stop_signals import Survivor
from jobscheduler.util.hang_guard import Hung

PERSIST = 5.0
"""Seconds for which a start is tried again that fails for want of processes, memory or descriptors."""

_MARK, _ATTEMPT = MARK.encode(), ATTEMPT.encode()

_LONGEST_PAUSE = 0.5  # seconds between two tries
_FROM_WITHIN = "the service was stopped from within this run (`systemctl --no-block` does not wait for it)"
_MOST_NAMED = 8  # processes that a record names


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
        directory, program = self.fields.get("cwd"), self._program()
        try:
            if STARTS_GOING.enter((self.fields.get("user"), directory, program)):
                look_at((("directory", directory or "/"), ("program", program)))
            return self._start(context)
        except Hung as hung:
            raise TaskFailed(str(hung), reason="start") from None
        finally:
            STARTS_GOING.leave()

    def _start(self, context: Context) -> Command:
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

    def _program(self) -> str:
        command = self.fields["command"]
        return str(self.fields.get("shell", "/bin/sh") if isinstance(command, str) else command[0])

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
        self._lock = threading.Lock()
        self._tree: TreeEnd | None = None
        self._is_closed = False
        context.signals.has_processes = True
        context.on_stop(self.begin_to_end)

    @property
    def ended(self) -> int | None:
        """Readable when the main process has ended."""
        return self._child.pidfd

    @property
    def news(self) -> int | None:
        """Readable when it has printed something, or no process can print any more."""
        return self._child.pipe

    def hear(self) -> bool:
        """Take what it has printed; False when that was the last."""
        return self._child.read() != 0

    def begin_to_end(self) -> None:
        """Have the signals sent that end its whole tree, whoever waits for that; does nothing once it has ended."""
        tree = self._end_of_tree()
        if tree is not None:
            tree.begin()

    def _end_of_tree(self) -> TreeEnd | None:
        with self._lock:
            if self._tree is None and not self._is_closed:
                mark = self._context.run_id, self._context.attempt
                signals, owner = self._context.signals, self._plan.owner
                self._tree = TreeEnd(self._child, mark, signals, AFTERMATH.recognise, owner=owner)
            return self._tree

    def see_through(self) -> Outcome:
        """Wait until the main process has ended, or end all of its tree when the run has to stop."""
        left: tuple[Survivor, ...] = ()
        try:
            with Waiting(self._child, self._context) as waiting:
                if (not waiting.until_ended() or self._context.has_to_stop) and (tree := self._end_of_tree()):
                    left = tree.see_through(waiting.pause)
        except BaseException:
            self._close()
            raise
        return self.end(left)

    def _close(self) -> int | None:
        if self._plan.program is not None:
            self._child.remember()
        with self._lock:
            self._is_closed = True
            if self._tree is not None:
                self._tree.let_go()
        return self._child.close(self._context.job_id)

    def end(self, left: Sequence[Survivor] = ()) -> Outcome:
        """Let go of it and say what became of it; `left` are its processes that could not be ended."""
        status, output = self._close(), self._child.output.kept()
        details = (*_status_details(status), *self._background_details())
        if left:
            raise _unended(left, Outcome(details, output))
        if self._context.reason == "shutdown" and self._tree is not None and self._tree.stops_service:
            raise TaskFailed(_FROM_WITHIN, reason="exit", outcome=Outcome(details, output))
        if status is not None and self._plan.program is not None:
            self._check_helpers(status, output, self._plan.program)
        return self._judge(status, Outcome(details, output))

    def _background_details(self) -> tuple[tuple[str, Value], ...]:
        """How many processes of this job go on in the background with their output, if that is remarkable."""
        held = AFTERMATH.held_by(self._context.job_id) if self._child.left_pipe else 0
        return (("in_background", held),) if held > MOST_OF_A_JOB else ()

    def _check_helpers(self, status: int, output: bytes, program: bytes) -> None:
        """Raise what kept the programs that prepare the command from it, as far as can be told.

        Never repeat the start here: the command may have run, and have imitated them.
        """
        helper = given_up_by(self._child.was, program) if status in HELPERS_STATUS else None
        error = None if helper is None else error_of(helper, output, program, self._plan.home)
        if helper is None or error is None:
            return
        outcome = Outcome((("exit_code", status),), output)
        raise TaskFailed(in_words_of_helper(error), reason="start", outcome=outcome) from error

    def _judge(self, status: int | None, outcome: Outcome) -> Outcome:
        """Success, or the `TaskFailed` that says what became of the command."""
        if status is None:
            raise TaskFailed("its exit status was lost (is SIGCHLD ignored?)", reason="exit", outcome=outcome)
        if status in self._good and status >= 0:
            return outcome
        raise TaskFailed(_hint(status), reason="exit", outcome=outcome)


def _marks(context: Context) -> Mapping[bytes, bytes]:
    """The variables of a run, its marks first; those of its slot are the last word, whatever an alert has to tell."""
    marks = {_MARK: b"", _ATTEMPT: b""}
    if context.alert is not None:
        marks.update(encoded(context.alert.variables))
    marks[b"JOB_ID"] = context.job_id.encode()
    marks[_MARK] = context.run_id.encode()
    marks[_ATTEMPT] = b"%d" % context.attempt
    if context.scheduled is not None:
        marks[b"JOB_SCHEDULED_TIME"] = _instant(context.scheduled)
    return marks


@lru_cache(maxsize=256)
def _instant(slot: datetime) -> bytes:
    return slot.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()


def _status_details(status: int | None) -> tuple[tuple[str, Value], ...]:
    if status is None:
        return ()
    return (("signal", _signal_name(-status)),) if status < 0 else (("exit_code", status),)


def _unended(left: Sequence[Survivor], outcome: Outcome) -> TaskFailed:
    """Name the processes that outlived KILL."""
    names = ", ".join(map(str, left[:_MOST_NAMED])) + (", ..." if len(left) > _MOST_NAMED else "")
    why = f"{len(left)} of its processes could not be ended: {names}"
    return TaskFailed(why, reason="exit", outcome=outcome)


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
        return "a shell that ends with 126 was not permitted to run a command, or it is not a program"
    if status > 128 and status - 128 < signal.NSIG:
        return f"a shell that ends with {status} saw its command killed by {_signal_name(status - 128)}"
    return ""
