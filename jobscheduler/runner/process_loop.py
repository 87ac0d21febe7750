"""Carry out all runs whose work is done by other processes, on one thread.

A thread for each run would cost more than the rest of the run: dozens that want the interpreter at once hand it to
each other at every step. Here a thousand runs that are due in one second share a few changes of thread.

1. Submitted runs get their attempts together, are announced in one batch, and start when the log has their lines.
2. `epoll` watches the end of each process, its output, and a wakeup for calls of other threads.
3. Other threads do all work that would block this one: retries of a start, and the ending of stopped processes.
4. A start can still hang, on a disk that does not answer. `replace_if_hung` makes another thread take over (see
   `takeover.py`). If the hung thread ever returns, it waits for its own command and then ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple

from jobscheduler.model import Record, TaskSpec
from jobscheduler.runner.attempt_result import AttemptResult, execute_task, from_exception, from_outcome
from jobscheduler.runner.poller import Poller
from jobscheduler.runner.run import Attempt, Run
from jobscheduler.runner.run_log import LOG_WAIT_S, RunLog
from jobscheduler.runner.run_state import RetryAfter
from jobscheduler.runner.takeover import LoopOwnership
from jobscheduler.tasks import Outcome, ProcessTask, RunningProcess, StartFailedTemporarily, Task, task_type

OUTPUT_DELAY_S = 0.01  # before output is watched; most processes have ended by then and cost one wakeup

STARTS_PER_ROUND = 16  # commands started before the ends of others are handled

THREAD_RETRY_S = 0.1  # between two tries to get a thread when the host has none left

AttemptEnd = Record | RetryAfter | None


def runs_as_process(spec: TaskSpec) -> bool:
    """Return whether the work of a task is done by another process."""
    try:
        return _is_process_task(task_type(spec.type))
    except LookupError:  # the attempt reports it
        return False


@lru_cache(maxsize=256)
def _is_process_task(kind: type[Task]) -> bool:
    return issubclass(kind, ProcessTask)


def _task(spec: TaskSpec) -> ProcessTask:
    return task_type(spec.type)(spec.params)  # type: ignore[return-value] # only such tasks are submitted


class _Batch:
    """Attempts announced together. At `due` (monotonic seconds) they begin even if the log is late."""

    __slots__ = ("attempts", "due", "may_begin")

    def __init__(self, attempts: list[Attempt], due: float) -> None:
        self.attempts = attempts
        self.due = due
        self.may_begin = False


class _WatchedCommand:
    """An attempt whose process runs."""

    __slots__ = ("attempt", "exit_fd", "output_fd", "process", "task")

    def __init__(self, attempt: Attempt, task: ProcessTask, going: RunningProcess) -> None:
        self.attempt = attempt
        self.task = task
        self.process = going
        self.exit_fd = going.exit_fd
        self.output_fd: int | None = None  # set while its output is watched


class _Failed(NamedTuple):
    """A failed start: the exception, and its task if that could be made."""

    raised: BaseException
    task: ProcessTask | None


def _start_result(attempt: Attempt) -> _WatchedCommand | _Failed:
    """Start the command of an attempt. Thread: may hang, so this touches no state of the loop."""
    task: ProcessTask | None = None
    try:
        task = _task(attempt.run.job.task)
        return _WatchedCommand(attempt, task, task.start(attempt.context))
    except BaseException as raised:
        return _Failed(raised, task)


class ProcessLoop:
    """Carries out attempts of tasks of type `ProcessTask`.

    `done` gets the end of each attempt, on any thread. `aside` runs a function on another thread, or raises
    `RuntimeError` when the host has none left.

    Thread: everything outside the section "from any thread" is done by the owner alone (see `LoopOwnership`).
    Invariant: callers first add work (`_submitted`, `_calls`, `_is_closed`) and then wake the owner. The owner reads
    all three after a wakeup has become effective and before it sleeps, so it never sleeps while there is work.
    Invariant: a run that `submit` accepted is begun, or reported to `done`, by the owner of that moment.
    """

    def __init__(
        self, log: RunLog, done: Callable[[Run, AttemptEnd], object], aside: Callable[[Callable[[], None]], object]
    ) -> None:
        self._log = log
        self._on_end = done
        self._run_in_pool = aside
        self._ownership = LoopOwnership(self._start_thread)
        self._is_closed = False
        self._submitted: deque[Run] = deque()
        self._awaiting_log: deque[_Batch] = deque()
        self._ready: deque[Attempt] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._watched: dict[int, _WatchedCommand] = {}
        self._output_later: deque[tuple[float, _WatchedCommand]] = deque()
        self._unwatched: deque[_WatchedCommand] = deque()
        self._poller: Poller | None = None

    def warm_up(self) -> None:
        """Start and wake this thread and the log writer before the first run is due.

        If no descriptor or thread is left, the run itself tries again.
        """
        if self._is_closed:
            return
        with suppress(OSError, RuntimeError):
            self._ownership.ensure_owner()
        self._log.log_then((), self._wake)

    def submit(self, run: Run) -> None:
        """Make the next attempt of a run, on the thread of the loop. Does not wait.

        Raises:
            OSError, RuntimeError: the host has no descriptor or no thread left.

        """
        if self._is_closed:
            raise RuntimeError("closed")
        self._ownership.ensure_owner()
        self._submitted.append(run)
        if not self._ownership.has_owner:
            self._replace_retired(run)
        self._wake()
        self.replace_if_hung(time.monotonic())

    def _replace_retired(self, run: Run) -> None:
        """Start a thread for a run submitted while the last one retired. Raises: as `submit`; the run is not taken."""
        try:
            self._ownership.ensure_owner()
        except (OSError, RuntimeError):
            with suppress(ValueError):  # another thread has taken it
                self._submitted.remove(run)
                raise

    def replace_if_hung(self, now: float) -> None:
        """Let another thread take over if a start hangs at `now` (monotonic seconds)."""
        self._ownership.replace_if_hung(now)

    def close(self) -> None:
        """End the thread once no work is left. Does not wait for it."""
        self._is_closed = True
        self._wake()

    # -- from any thread

    def _start_thread(self, term: int) -> None:
        """Start the thread of a term. Raises: `OSError`, `RuntimeError` when no descriptor or thread is left."""
        self._poller = self._poller or Poller()
        threading.Thread(target=self._work, args=(term,), name="commands", daemon=True).start()

    def _wake(self) -> None:
        poller = self._poller  # once, because the thread may retire at this moment
        if poller is not None:
            poller.wake()

    def _call_soon(self, call: Callable[[], None]) -> None:
        """Call a function soon, on the thread that owns the loop."""
        self._calls.append(call)
        self._wake()

    # -- on the thread

    def _work(self, term: int) -> None:
        while self._ownership.term == term:
            if self._is_closed and self._is_idle() and self._ownership.retire(self._is_idle, self._retire):
                return
            try:
                self._run_once(term)
            except Exception as error:  # an error of ours must not end the loop
                self._log.report_error(error)
                threading.Event().wait(THREAD_RETRY_S)

    def _retire(self) -> None:
        if self._poller is not None:
            self._poller.close()
            self._poller = None

    def _is_idle(self) -> bool:
        waits = any(not batch.may_begin for batch in self._awaiting_log)
        return not (waits or self._watched or self._submitted or self._ready or self._unwatched)

    def _run_once(self, term: int) -> None:
        """Do the work at hand, or wait for work."""
        while self._calls:
            self._calls.popleft()()
        self._open_submitted()
        if self._start_some(term):
            self._poll()
            self._handle_due(time.monotonic())

    def _start_some(self, term: int) -> bool:
        """Start attempts that may begin. Return False if another thread took over meanwhile."""
        for _ in range(STARTS_PER_ROUND):
            if not self._ready:
                return True
            if not self._start(self._ready.popleft(), term):
                return False
        return True

    def _open_submitted(self) -> None:
        """Make and announce the attempts of submitted runs. A run that has ended meanwhile is reported at once."""
        attempts = []
        while self._submitted:
            run = self._submitted.popleft()
            attempt = run.next_attempt()
            if attempt is None:
                self._on_end(run, run.record)
            else:
                attempts.append(attempt)
        if attempts:
            batch = _Batch(attempts, time.monotonic() + LOG_WAIT_S)
            self._awaiting_log.append(batch)
            events = [attempt.event() for attempt in attempts]
            self._log.log_then(events, partial(self._call_soon, partial(self._allow_start, batch)))

    def _allow_start(self, batch: _Batch) -> None:
        if not batch.may_begin:
            batch.may_begin = True
            self._ready += batch.attempts

    def _poll(self) -> None:
        """Handle ends and output. Wait for them if there is no other work."""
        assert self._poller is not None  # noqa: S101 - open as long as this thread runs
        for descriptor in self._poller.poll(self._timeout):
            item = self._watched.get(descriptor)
            if item is None:
                continue  # unwatched earlier in this loop
            if descriptor == item.exit_fd:
                self._process_ended(item)
            else:
                self._read_output(item, descriptor)

    def _timeout(self) -> float | None:
        if self._calls or self._submitted or self._ready or (self._is_closed and self._is_idle()):
            return 0.0
        return self._until_due()

    def _until_due(self) -> float | None:
        """Return the seconds until the next deadline; None if there is none."""
        while self._awaiting_log and self._awaiting_log[0].may_begin:
            self._awaiting_log.popleft()
        while self._output_later and not self._is_watched(self._output_later[0][1]):
            self._output_later.popleft()
        dues = [batch.due for batch in islice(self._awaiting_log, 1)] + [
            due for due, _ in islice(self._output_later, 1)
        ]
        if self._unwatched:
            dues.append(time.monotonic() + THREAD_RETRY_S)
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _handle_due(self, now: float) -> None:
        while self._awaiting_log and (self._awaiting_log[0].may_begin or self._awaiting_log[0].due <= now):
            batch = self._awaiting_log.popleft()
            if not batch.may_begin:
                self._log.warn_behind()
                self._allow_start(batch)
        while self._output_later and self._output_later[0][0] <= now:
            self._watch_output(self._output_later.popleft()[1])
        for _ in range(len(self._unwatched)):
            self._wait_in_thread(self._unwatched.popleft())

    # -- one attempt

    def _start(self, attempt: Attempt, term: int) -> bool:
        """Start the command of an attempt. Return False if another thread took over meanwhile."""
        attempt.begin()
        self._ownership.begin_start(time.monotonic())
        begun = _start_result(attempt)
        is_ours = self._ownership.end_start(term)
        if not isinstance(begun, _WatchedCommand):
            self._not_begun(attempt, begun)
        elif is_ours:
            self._watch(begun)
        else:  # this thread has no other work any more
            self._collect(begun, begun.process.wait)
        return is_ours

    def _not_begun(self, attempt: Attempt, failed: _Failed) -> None:
        if isinstance(failed.raised, StartFailedTemporarily):
            self._retry_in_pool(attempt, failed.raised, failed.task)
        else:
            self._finish(attempt, from_exception(failed.raised, failed.task))

    def _is_watched(self, item: _WatchedCommand) -> bool:
        return item.exit_fd is not None and self._watched.get(item.exit_fd) is item

    def _watch(self, item: _WatchedCommand) -> None:
        """Watch the end of a command, and soon its output. If that is impossible, a thread waits for it."""
        if self._poller is None or item.exit_fd is None:
            self._wait_in_thread(item)
            return
        try:
            self._poller.register(item.exit_fd)
        except OSError:  # the limit of watches of the user is reached, or no memory is left
            self._wait_in_thread(item)
            return
        self._watched[item.exit_fd] = item
        self._output_later.append((time.monotonic() + OUTPUT_DELAY_S, item))
        item.attempt.context.on_stop(partial(self._call_soon, partial(self._hand_to_thread, item)))

    def _watch_output(self, item: _WatchedCommand) -> None:
        """Watch the output of a command. If that is impossible, a thread reads it, because the command would block."""
        output_fd = item.process.output_fd
        if self._poller is None or output_fd is None or not self._is_watched(item):
            return
        try:
            self._poller.register(output_fd)
        except OSError:
            self._hand_to_thread(item)
        else:
            item.output_fd = output_fd
            self._watched[output_fd] = item

    def _read_output(self, item: _WatchedCommand, descriptor: int) -> None:
        if not item.process.read_output():
            self._unregister(descriptor)
            item.output_fd = None

    def _unregister(self, descriptor: int) -> None:
        self._watched.pop(descriptor, None)
        if self._poller is not None:
            self._poller.unregister(descriptor)

    def _unwatch(self, item: _WatchedCommand) -> None:
        """Stop watching a command."""
        for descriptor in (item.exit_fd, item.output_fd):
            if descriptor is not None:
                self._unregister(descriptor)
        item.output_fd = None

    def _hand_to_thread(self, item: _WatchedCommand) -> None:
        """Leave a command to a thread of its own, because its end takes waiting."""
        if self._is_watched(item):
            self._unwatch(item)
            self._wait_in_thread(item)

    def _process_ended(self, item: _WatchedCommand) -> None:
        """Handle the end of the main process of a command."""
        self._unwatch(item)
        self._collect(item, item.process.collect)

    def _wait_in_thread(self, item: _WatchedCommand) -> None:
        """Start a thread that waits for the end of a command, or ends it."""
        try:
            end = (item, item.process.wait)
            threading.Thread(target=self._collect, args=end, name="command", daemon=True).start()
        except RuntimeError:  # the host has no thread left
            self._unwatched.append(item)

    def _collect(self, item: _WatchedCommand, end: Callable[[], Outcome]) -> None:
        try:
            ending = from_outcome(end())
        except BaseException as raised:
            self._finish(item.attempt, from_exception(raised, item.task))
        else:
            self._finish(item.attempt, ending)

    def _retry_in_pool(self, attempt: Attempt, trouble: StartFailedTemporarily, task: ProcessTask | None) -> None:
        """Retry a start that failed temporarily, on another thread."""
        try:
            self._run_in_pool(lambda: self._finish(attempt, execute_task(attempt.run.job.task, attempt.context)))
        except RuntimeError:
            self._finish(attempt, from_exception(trouble.failure, task))

    def _finish(self, attempt: Attempt, ending: AttemptResult) -> None:
        self._on_end(attempt.run, attempt.end(ending))
