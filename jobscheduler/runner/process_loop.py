"""Carry out all runs whose work is done by other processes, on one thread.

A thread for each run would cost more than the rest of the run: dozens that want the interpreter at once hand it to
each other at every step. Here a thousand runs that are due in one second share a few changes of thread.

1. Submitted runs get their attempts together, are announced in one batch, and start when the log has their lines.
2. `epoll` watches the end of each process, its output, and a wakeup for calls of other threads.
3. Other threads do all work that would block this one: files read before a start, retries of a start, and the ending
   of stopped processes.
4. A start can still hang, on a disk that does not answer. `replace_if_hung` makes another thread take over (see
   `loop_ownership.py`). If the hung thread ever returns, it waits for its own command and then ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from jobscheduler.model import Record
from jobscheduler.runner.attempt_result import AttemptResult, execute_task, from_exception
from jobscheduler.runner.loop_ownership import LoopOwnership
from jobscheduler.runner.poller import Poller
from jobscheduler.runner.preparation import Preparations
from jobscheduler.runner.process_start import FailedStart, StartedAttempt, Unprepared, start_process
from jobscheduler.runner.process_watch import THREAD_RETRY_S, ProcessWatch
from jobscheduler.runner.run import Attempt, Run
from jobscheduler.runner.run_reporter import RunReporter
from jobscheduler.runner.run_state import RetryAfter
from jobscheduler.runner.start_queue import StartQueue
from jobscheduler.tasks import ProcessTask, StartFailedTemporarily

STARTS_PER_ROUND = 16  # processes started before the ends of others are handled


class ProcessLoop:
    """Carries out attempts of tasks of type `ProcessTask`, from `submit` to their ends.

    `on_end` gets the end of each attempt, on any thread. `run_in_pool` runs a function on another thread, or raises
    `RuntimeError` when the host has none left.

    Thread: everything outside the section "from any thread" is done by the owner alone (see `LoopOwnership`).
    Invariant: callers first add work (to the queue or to `_calls`, or set `_is_closed`) and then wake the owner. The
    owner reads all three after a wakeup has become effective and before it sleeps, so it never sleeps while there is
    work.
    Invariant: a run that `submit` accepted is begun, or reported to `on_end`, by the owner of that moment.
    """

    def __init__(
        self,
        log: RunReporter,
        on_end: Callable[[Run, Record | RetryAfter | None], object],
        run_in_pool: Callable[[Callable[[], None]], object],
    ) -> None:
        self._log = log
        self._on_end = on_end
        self._run_in_pool = run_in_pool
        self._ownership = LoopOwnership(self._start_thread)
        self._is_closed = False
        self._calls: deque[Callable[[], None]] = deque()
        self._poller = Poller()
        self._queue = StartQueue(log, self._call_soon, on_end)
        self._watch = ProcessWatch(self._poller, self._call_soon, self._finish)
        self._preparations = Preparations(run_in_pool, self._call_soon, self._queue.resume, self._finish)

    # -- from any thread

    def warm_up(self) -> None:
        """Start and wake this thread and the log writer before the first run is due.

        If no descriptor or thread is left, the run itself tries again.
        """
        if self._is_closed:
            return
        with suppress(OSError, RuntimeError):
            self._ownership.ensure_owner()
        self._log.log_then((), self._poller.wake)

    def submit(self, run: Run) -> None:
        """Make the next attempt of a run, on the thread of the loop. Does not wait.

        Raises:
            OSError, RuntimeError: the host has no descriptor or no thread left.

        """
        if self._is_closed:
            raise RuntimeError("closed")
        self._ownership.ensure_owner()
        self._queue.submit(run)
        if not self._ownership.has_owner:
            self._replace_retired(run)
        self._poller.wake()
        self.replace_if_hung(time.monotonic())

    def _replace_retired(self, run: Run) -> None:
        """Start a thread for a run submitted while the last one retired. Raises: as `submit`; the run is not taken."""
        try:
            self._ownership.ensure_owner()
        except (OSError, RuntimeError):
            with suppress(ValueError):  # another thread has taken it
                self._queue.take_back(run)
                raise

    def replace_if_hung(self, now: float) -> None:
        """Let another thread take over if a start hangs at `now` (monotonic seconds)."""
        self._ownership.replace_if_hung(now)

    def answers(self) -> bool:
        """Wake the owner, and return whether it has come to wait for work since the last call. Does not wait.

        True if there is no owner: a command then runs on a thread of its own.

        Thread: one calls this again and again, a second apart, while commands run.
        """
        return not self._ownership.has_owner or self._poller.probe()

    def close(self) -> None:
        """End the thread once no work is left. Does not wait for it."""
        self._is_closed = True
        self._poller.wake()

    def _start_thread(self, term: int) -> None:
        """Start the thread of a term. Raises: `OSError`, `RuntimeError` when no descriptor or thread is left."""
        self._poller.open()
        threading.Thread(target=self._work, args=(term,), name="commands", daemon=True).start()

    def _call_soon(self, call: Callable[[], None]) -> None:
        """Call a function soon, on the thread that owns the loop."""
        self._calls.append(call)
        self._poller.wake()

    def _finish(self, attempt: Attempt, result: AttemptResult) -> None:
        self._on_end(attempt.run, attempt.end(result))

    # -- on the thread

    def _work(self, term: int) -> None:
        while self._ownership.term == term:
            if self._is_closed and self._is_idle() and self._ownership.retire(self._is_idle, self._poller.close):
                return
            try:
                self._run_once(term)
            except Exception as error:  # an error of ours must not end the loop
                self._log.report_error(error)
                threading.Event().wait(THREAD_RETRY_S)

    def _is_idle(self) -> bool:
        return self._queue.is_idle() and self._watch.is_idle() and self._preparations.is_idle()

    def _run_once(self, term: int) -> None:
        """Do the work at hand, or wait for work."""
        while self._calls:
            self._calls.popleft()()
        self._queue.announce_submitted()
        if self._start_some(term):
            self._poll()

    def _start_some(self, term: int) -> bool:
        """Start attempts that may begin. Return False if another thread took over meanwhile."""
        for _ in range(STARTS_PER_ROUND):
            attempt = self._queue.pop_ready()
            if attempt is None:
                return True
            if not self._start(attempt, term):
                return False
        return True

    def _start(self, attempt: Attempt, term: int) -> bool:
        """Start the process of an attempt. Return False if another thread took over meanwhile."""
        attempt.begin()
        self._ownership.begin_start(time.monotonic())
        start = start_process(attempt)
        is_ours = self._ownership.end_start(term)
        if isinstance(start, Unprepared):
            self._prepare(attempt, start.task, is_ours=is_ours)
        elif not isinstance(start, StartedAttempt):
            self._start_failed(attempt, start)
        elif is_ours:
            self._watch.watch(start)
        else:  # this thread has no other work any more
            self._watch.collect(start, start.process.wait)
        return is_ours

    def _prepare(self, attempt: Attempt, task: ProcessTask, *, is_ours: bool) -> None:
        """Have a task prepared before its start. A thread that owns the loop no more does all of it itself."""
        if is_ours:
            self._preparations.begin(attempt, task)
        else:
            self._finish(attempt, execute_task(attempt.run.job.task, attempt.context))

    def _start_failed(self, attempt: Attempt, failed: FailedStart) -> None:
        """End an attempt whose process did not start, or try again on another thread if the failure is temporary."""
        if not isinstance(failed.raised, StartFailedTemporarily):
            self._finish(attempt, from_exception(failed.raised, failed.task))
            return
        try:
            self._run_in_pool(lambda: self._finish(attempt, execute_task(attempt.run.job.task, attempt.context)))
        except RuntimeError:
            self._finish(attempt, from_exception(failed.raised.failure, failed.task))

    def _poll(self) -> None:
        """Handle ends, output and what has become due. Wait for them if there is no other work."""
        for descriptor in self._poller.poll(self._timeout):
            self._watch.handle(descriptor)
        now = time.monotonic()
        self._queue.begin_late(now)
        self._watch.handle_due(now)

    def _timeout(self) -> float | None:
        """Return the seconds until work is due, None if none is known."""
        if self._calls or self._queue.has_work() or (self._is_closed and self._is_idle()):
            return 0.0
        dues = [due for due in (self._queue.next_due(), self._watch.next_due()) if due is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None
