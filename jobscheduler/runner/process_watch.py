"""Running processes: the watch over their output and their end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from jobscheduler.runner.attempt_result import AttemptResult, from_exception, from_outcome
from jobscheduler.runner.poller import Poller
from jobscheduler.runner.process_start import StartedAttempt
from jobscheduler.runner.run import Attempt
from jobscheduler.tasks import Outcome

OUTPUT_DELAY_S = 0.01  # before output is watched; most processes have ended by then and cost one wakeup

THREAD_RETRY_S = 0.1  # between two tries to get a thread when the host has none left


class ProcessWatch:
    """Watches running processes by the poller of the loop, and gives those that take waiting to a thread of their own.

    `call_soon` calls a function on the thread that owns the loop. `finish` gets the result of each attempt, on any
    thread.

    Thread: the owner of the loop, except for `collect`.
    """

    def __init__(
        self,
        poller: Poller,
        call_soon: Callable[[Callable[[], None]], None],
        finish: Callable[[Attempt, AttemptResult], object],
    ) -> None:
        self._poller = poller
        self._call_soon = call_soon
        self._finish = finish
        self._watched: dict[int, StartedAttempt] = {}
        self._output_later: deque[tuple[float, StartedAttempt]] = deque()
        self._unwatched: deque[StartedAttempt] = deque()

    def is_idle(self) -> bool:
        """Return whether no process is watched or waits for a thread."""
        return not (self._watched or self._unwatched)

    def watch(self, started: StartedAttempt) -> None:
        """Watch the end of a process, and soon its output. If that is impossible, a thread waits for it."""
        if started.exit_fd is None:
            self._wait_in_thread(started)
            return
        try:
            self._poller.register(started.exit_fd)
        except OSError:  # the limit of watches of the user is reached, or no memory is left
            self._wait_in_thread(started)
            return
        self._watched[started.exit_fd] = started
        self._output_later.append((time.monotonic() + OUTPUT_DELAY_S, started))
        started.attempt.context.on_stop(partial(self._call_soon, partial(self._hand_to_thread, started)))

    def handle(self, descriptor: int) -> None:
        """Handle a readable descriptor: the end of a process, or its output."""
        started = self._watched.get(descriptor)
        if started is None:
            return  # unwatched since `poll` returned
        if descriptor == started.exit_fd:
            self._unwatch(started)
            self.collect(started, started.process.collect)
        elif not started.process.read_output():
            self._unregister(descriptor)
            started.output_fd = None

    def collect(self, started: StartedAttempt, end: Callable[[], Outcome]) -> None:
        """Finish an attempt with the outcome that `end` returns or raises. Thread: any."""
        try:
            result = from_outcome(end())
        except BaseException as raised:
            self._finish(started.attempt, from_exception(raised, started.task))
        else:
            self._finish(started.attempt, result)

    def next_due(self) -> float | None:
        """Return when `handle_due` is to be called (monotonic seconds); None while it has nothing to do."""
        while self._output_later and not self._is_watched(self._output_later[0][1]):
            self._output_later.popleft()
        dues = [self._output_later[0][0]] if self._output_later else []
        if self._unwatched:
            dues.append(time.monotonic() + THREAD_RETRY_S)
        return min(dues, default=None)

    def handle_due(self, now: float) -> None:
        """Watch the output that is due at `now`, and try again to get threads."""
        while self._output_later and self._output_later[0][0] <= now:
            self._watch_output(self._output_later.popleft()[1])
        for _ in range(len(self._unwatched)):
            self._wait_in_thread(self._unwatched.popleft())

    def _is_watched(self, started: StartedAttempt) -> bool:
        return started.exit_fd is not None and self._watched.get(started.exit_fd) is started

    def _watch_output(self, started: StartedAttempt) -> None:
        """Watch the output of a process. If that is impossible, a thread reads it, because the process would block."""
        output_fd = started.process.output_fd
        if output_fd is None or not self._is_watched(started):
            return
        try:
            self._poller.register(output_fd)
        except OSError:
            self._hand_to_thread(started)
        else:
            started.output_fd = output_fd
            self._watched[output_fd] = started

    def _unwatch(self, started: StartedAttempt) -> None:
        """Stop watching a process."""
        for descriptor in (started.exit_fd, started.output_fd):
            if descriptor is not None:
                self._unregister(descriptor)
        started.output_fd = None

    def _unregister(self, descriptor: int) -> None:
        self._watched.pop(descriptor, None)
        self._poller.unregister(descriptor)

    def _hand_to_thread(self, started: StartedAttempt) -> None:
        """Leave a process to a thread of its own, because its end takes waiting."""
        if self._is_watched(started):
            self._unwatch(started)
            self._wait_in_thread(started)

    def _wait_in_thread(self, started: StartedAttempt) -> None:
        """Start a thread that waits for the end of a process, or ends it."""
        try:
            end = (started, started.process.wait)
            threading.Thread(target=self.collect, args=end, name="command", daemon=True).start()
        except RuntimeError:  # the host has no thread left
            self._unwatched.append(started)
