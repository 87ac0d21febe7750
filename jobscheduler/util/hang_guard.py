"""Make calls that may hang on threads that can be given up, so that the caller goes on.

A call into a file system that does not answer never returns, and no signal ends it. So:

1. `HangGuard.call` hands the call to a worker thread and waits for it.
2. When the call makes no progress for `patience` seconds, the caller gives the thread up and gets `CallHung`. The
   thread stays in the call, and another thread makes other calls.
3. Meanwhile every further call about the same thing raises `CallHung` at once: a thing costs one thread at most.
4. When the call returns, the thing no longer counts as hung, and `on_return` is called.

Progress is what the caller of a step can count, else the processor time of the thread: slow is not hung. Patience is
counted in short waits, not by a clock. So if the whole process was stopped for a while, nothing counts as hung.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")

TIMEOUT_S = 2.0  # without progress; then the thread is given up
_WAIT_STEP_S = 0.1  # one of the short waits that count patience
_MAX_IDLE_THREADS = 4  # kept for further calls
_PER_THREAD_CLOCK = 6  # CPUCLOCK_SCHED of one thread, linux/posix-timers.h


class CallHung(Exception):
    """A call was given up. `name` describes the thing that does not answer."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"{thing} does not answer")
        self.name = thing


def cpu_time_of(thread: threading.Thread) -> int | None:
    """Return the processor time that a thread has used, in nanoseconds; None if it does not run."""
    if thread.native_id is None:
        return None
    try:
        return time.clock_gettime_ns((~thread.native_id << 3) | _PER_THREAD_CLOCK)
    except OSError:  # the thread has ended
        return None


class GuardedCall(Generic[T]):
    """One call on a worker. The caller waits for it or gives it up."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._done = threading.Lock()
        self._done.acquire()
        self._result: T | None = None
        self._error: BaseException | None = None
        self.has_ended = False

    def run(self) -> None:
        """Make the call. Thread: the worker."""
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        self.has_ended = True
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Wait until the call has ended; return whether it has."""
        if not self._done.acquire(timeout=seconds):
            return False
        self._done.release()
        return True

    def result(self) -> T:
        """Return what the call returned, or raise what it raised. May be called once, after the end of the call."""
        error, self._error = self._error, None
        if error is None:
            return cast("T", self._result)
        try:
            raise error
        finally:
            del error  # its traceback holds this frame


class Worker:
    """A thread that makes one call after the other."""

    def __init__(self) -> None:
        self._steps: SimpleQueue[GuardedCall[object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reader", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> GuardedCall[T]:
        """Queue a call behind those submitted before. Does not wait."""
        step = GuardedCall(function)
        self._steps.put(cast("GuardedCall[object]", step))
        return step

    def close(self) -> None:
        """End the thread after the calls submitted before."""
        self._steps.put(None)

    def progress(self) -> object:
        """Return the processor time of the thread, which stands still while a call hangs."""
        return cpu_time_of(self._thread)

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step.run()
            del step  # else its result would stay in memory until the next call


class HangGuard:
    """Makes calls that may hang, and knows what hangs. Thread: any.

    `on_return` is called on the thread that was given up, when the thing answers again.
    """

    def __init__(self, on_return: Callable[[], object] = lambda: None, *, patience: float = TIMEOUT_S) -> None:
        self.patience = patience
        self._on_return = on_return
        self._lock = threading.Lock()
        self._idle: deque[Worker] = deque()
        self._hung: dict[str, list[float]] = {}  # thing -> since when, for each thread that it holds

    def call(self, thing: str, function: Callable[[], T], *, patience: float | None = None) -> T:
        """Make a call about `thing`, and return its result. `patience` is in seconds.

        Raises:
            CallHung: it makes no progress, or a former call about the same thing has not returned.
            Exception: what the call raises.

        """
        if thing in self._hung:
            raise CallHung(thing)
        worker = self.acquire()
        step = worker.submit(function)
        if self.wait(step, worker.progress, patience):
            self.release(worker)
            return step.result()
        self.abandon(thing, worker, step)
        raise CallHung(thing)

    def hung(self) -> dict[str, float]:
        """Return the things that hang, and since when (monotonic seconds)."""
        with self._lock:
            return {thing: since[0] for thing, since in self._hung.items()}

    def is_hung(self, thing: str) -> bool:
        """Return whether a call about this thing has not returned."""
        return thing in self._hung

    # --- for callers that make several steps on one worker

    def acquire(self) -> Worker:
        """Return a worker that no other caller uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return Worker()

    def release(self, worker: Worker) -> None:
        """Give a worker back whose steps have all ended."""
        if len(self._idle) < _MAX_IDLE_THREADS:
            self._idle.append(worker)
        else:
            worker.close()

    def wait(self, step: GuardedCall[T], progress: Callable[[], object], patience: float | None = None) -> bool:
        """Wait for a step; return False when it has made no progress for `patience` seconds."""
        if step.wait(_WAIT_STEP_S):
            return True
        waits = max(1, round((self.patience if patience is None else patience) / _WAIT_STEP_S))
        waits_left, last_progress = waits, progress()
        while not step.wait(_WAIT_STEP_S):
            now = progress()
            waits_left, last_progress = (waits_left - 1, now) if now == last_progress else (waits, now)
            if waits_left <= 0:
                return False
        return True

    def abandon(
        self, thing: str, worker: Worker, step: GuardedCall[T], then: Callable[[], object] = lambda: None
    ) -> None:
        """Give a worker up, and count the thing as hung until the step returns.

        `then` is called on that worker, before the thing counts as answering.
        """
        with self._lock:
            self._hung.setdefault(thing, []).append(time.monotonic())

        def after_return() -> None:
            try:
                then()
            finally:
                self._returned(thing)

        worker.submit(after_return)
        worker.close()

    def _returned(self, thing: str) -> None:
        with self._lock:
            self._hung[thing].pop(0)
            if not self._hung[thing]:
                del self._hung[thing]
        self._on_return()
