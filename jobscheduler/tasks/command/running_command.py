"""A command from its start to its outcome: its descriptors, its stop, and what its end means."""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence

from jobscheduler.model import LogValue
from jobscheduler.tasks.base import Outcome, TaskFailed
from jobscheduler.tasks.command.background_pipes import MAX_PIPES_OF_JOB
from jobscheduler.tasks.command.child import ChildProcess, SpawnSpec
from jobscheduler.tasks.command.errors import in_words_of_helper
from jobscheduler.tasks.command.exit_status import explain_status, status_details
from jobscheduler.tasks.command.helpers import HELPERS_STATUS, failed_helper, helper_error
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.tasks.command.run_groups import NOT_ENTERED_STATUS, RUN_GROUPS, GroupEnd, RunGroup
from jobscheduler.tasks.command.tree_killer import TreeKiller
from jobscheduler.tasks.command.waiter import ProcessWaiter
from jobscheduler.tasks.context import Context
from jobscheduler.tasks.stop_signals import UnkillableProcess

_INHERITED_IDS = "the service was stopped from within this run (`systemctl --no-block` does not wait for it)"
_MAX_NAMED = 8  # processes that a record names


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
            self._child.remember(HELPERS_STATUS)
        with self._lock:
            self._is_closed = True
            if self._killer is not None:
                self._killer.tree.abandon()
        self._context.pid = None
        return self._child.close(self._context.job_id)

    def collect(self, unkillable: Sequence[UnkillableProcess] = ()) -> Outcome:
        """Release the command and return its outcome. `unkillable` are its processes that could not be ended."""
        status, output = self._close(), self._child.output.kept().text
        details = status_details(status)
        if self._child.left_pipe or self._group.missing:  # hardly ever
            details = (*details, *self._background_details(), *self._limit_details())
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
        hint = end.describe_refused_forks(self._context.limits) or explain_status(status)
        raise TaskFailed(hint, reason="exit", outcome=outcome)


def _unended(unkillable: Sequence[UnkillableProcess], outcome: Outcome) -> TaskFailed:
    """Return a failure that names the processes that survived KILL."""
    names = ", ".join(map(str, unkillable[:_MAX_NAMED])) + (", ..." if len(unkillable) > _MAX_NAMED else "")
    message = f"{len(unkillable)} of its processes could not be ended: {names}"
    return TaskFailed(message, reason="exit", outcome=outcome)
