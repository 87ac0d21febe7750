"""Calls that may hang: each is made on a thread that can be given up, so that only the thing that hangs hangs.

A call into a file system that does not answer never returns, and no signal ends it. So:

1. `HangGuard.call` hands the call to a worker thread and waits for it.
2. When the call makes no progress for `patience` seconds, the caller gives the thread up and gets `Hung`. The thread
   stays in the call; another one takes its place for other things.
3. While it stays there, every further call about the same thing is `Hung` at once: a thing costs one thread at most.
4. When it comes back, the thing is known no longer as one that hangs, and `on_return` is called.

Progress is what the caller of a step can count, else the processor time of the thread: slow is not hung. Patience is
counted in short waits and not by a clock, so that a process that was held as a whole blames nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")

TIMEOUT_S = 2.0
"""How long a call may make no progress before its thread is given up, in seconds."""

_WAIT_STEP_S = 0.1
"""How long each of the short waits is that patience is made of, in seconds."""

_MAX_IDLE = 4
"""How many idle threads are kept for further calls."""

_PER_THREAD_CLOCK = 6
"""The kernel's number for the processor time of one thread (CPUCLOCK_SCHED of a thread, linux/posix-timers.h)."""


class CallHung(Exception):
    """A call was given up. `thing` is what does not answer, in words."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"{thing} does not answer")
        self.name = thing


def cpu_time_of(thread: threading.Thread) -> int | None:
    """Return the processor time that a thread has used, in nanoseconds; None if it does not run."""
    if thread.native_id is None:
        return None
    try:
        return time.clock_gettime_ns((~thread.native_id << 3) | _PER_THREAD_CLOCK)
    except OSError:  # it has ended
        return None


class GuardedCall(Generic[T]):
    """One call on a worker: it is waited for, or given up."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._done = threading.Lock()
        self._done.acquire()
        self._result: T | None = None
        self._error: BaseException | None = None
        self.is_given_up = False
        self.has_ended = False

    def run(self) -> None:
        """Make the call, on the worker."""
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        self.has_ended = True
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call; tell whether it has come."""
        if not self._done.acquire(timeout=seconds):
            return False
        self._done.release()
        return True

    def result(self) -> T:
        """Return what the call returned, or raise what it raised; to be asked once, after its end."""
        error, self._error = self._error, None
        if error is None:
            return cast("T", self._result)
        try:
            raise error
        finally:
            del error  # its traceback holds this frame


class Worker:
    """A thread that makes steps one after the other. `progress` changes while it does something."""

    def __init__(self) -> None:
        self._steps: SimpleQueue[GuardedCall[object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reader", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> GuardedCall[T]:
        """Have a call made after those that were put before; never waits."""
        step = GuardedCall(function)
        self._steps.put(cast("GuardedCall[object]", step))
        return step

    def close(self) -> None:
        """Let the thread end after what was put before."""
        self._steps.put(None)

    def progress(self) -> object:
        """Return the processor time of the thread, which stands still while a call hangs."""
        return cpu_time_of(self._thread)

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step.run()
            del step  # what it returned is not to be kept until the next one


class HangGuard:
    """Makes calls that may hang, and knows what hangs. May be used by any thread.

    `on_return` is called, on the thread that was given up, when a thing answers again.
    """

    def __init__(self, on_return: Callable[[], object] = lambda: None, *, patience: float = TIMEOUT_S) -> None:
        self.patience = patience
        self._on_return = on_return
        self._lock = threading.Lock()
        self._idle: deque[Worker] = deque()
        self._hung: dict[str, list[float]] = {}  # since when, for each thread that was lost to a thing

    def call(self, thing: str, function: Callable[[], T], *, patience: float | None = None) -> T:
        """Make a call about `thing`, and return what it returns. `patience` is in seconds.

        Raises:
            Hung: it makes no progress, or a former call about the same thing has not come back.
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
        """Return what hangs, in words, and since when (monotonic seconds)."""
        with self._lock:
            return {thing: since[0] for thing, since in self._hung.items()}

    def is_hung(self, thing: str) -> bool:
        """Tell whether a call about this thing has not come back."""
        return thing in self._hung

    # -- for callers that make several steps of one call

    def acquire(self) -> Worker:
        """Return a thread that nobody else uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return Worker()

    def release(self, worker: Worker) -> None:
        """Leave a thread, whose steps have all ended, to other callers."""
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(worker)
        else:
            worker.close()

    def wait(self, step: GuardedCall[T], progress: Callable[[], object], patience: float | None = None) -> bool:
        """Wait for a step; False when it has made no progress for `patience` seconds."""
        if step.wait(_WAIT_STEP_S):
            return True
        waits = max(1, round((self.patience if patience is None else patience) / _WAIT_STEP_S))
        left, seen = waits, progress()
        while not step.wait(_WAIT_STEP_S):
            now = progress()
            left, seen = (left - 1, seen) if now == seen else (waits, now)
            if left <= 0:
                return False
        return True

    def abandon(
        self, thing: str, worker: Worker, step: GuardedCall[T], then: Callable[[], object] = lambda: None
    ) -> None:
        """Leave a thread to its call, and count the thing as one that hangs until the call comes back.

        `then` is called on that thread, before the thing is known to answer.
        """
        step.is_given_up = True
        with self._lock:
            self._hung.setdefault(thing, []).append(time.monotonic())

        def come_back() -> None:
            try:
                then()
            finally:
                self._returned(thing)

        worker.submit(come_back)
        worker.close()

    def _returned(self, thing: str) -> None:
        with self._lock:
            self._hung[thing].pop(0)
            if not self._hung[thing]:
                del self._hung[thing]
        self._on_return()
