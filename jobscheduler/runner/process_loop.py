"""One thread that looks after all runs whose work is done by other processes.

A thread for each of them would cost more than all the rest of a run: dozens that want the interpreter at once hand it
to each other at every step. Here a thousand runs that are due in one second cost a few changes of thread together.

1. Runs that are put are opened together, announced in one go, and started when the log has their lines.
2. What is going on is watched by `epoll`: the end of a process, its output, and a bell for what other threads want.
3. Whatever would make this thread wait is done on another one: a start that has to be tried again, and the ending of
   processes that were told to end.
4. A start may hang all the same, on a disk that does not answer. `look` notices, and has another thread take over
   (see `charge.py`). The one that hangs, if it ever comes back, sees what it started through to its end, and ends.
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
from jobscheduler.runner.attempt_result import Ending, carry_out, ending_of, failed_ending
from jobscheduler.runner.poller import Ear
from jobscheduler.runner.run import PATIENCE, Again, Attempt, Run, Runner
from jobscheduler.runner.takeover import Charge
from jobscheduler.tasks import Going, NotBegun, Outcome, Outside, Task, task_type

EARLY = 0.01
"""For so long the output of a process may wait: most have ended by then, and are woken up for once. In seconds."""

AT_ONCE = 16
"""So many commands are started before the ends of others are looked at."""

AGAIN = 0.1
"""Seconds between two tries to get a thread when the host has none left."""

Ended = Record | Again | None


def is_outside(spec: TaskSpec) -> bool:
    """Tell whether the work of a task is done by another process."""
    try:
        return _is_outside(task_type(spec.type))
    except LookupError:  # whoever carries it out says so
        return False


@lru_cache(maxsize=256)
def _is_outside(kind: type[Task]) -> bool:
    return issubclass(kind, Outside)


def _task(spec: TaskSpec) -> Outside:
    return task_type(spec.type)(spec.fields)  # type: ignore[return-value] # only such tasks are put


class _Batch:
    """Attempts that were announced together, and the moment (monotonic) at which they begin in any case."""

    __slots__ = ("attempts", "due", "has_begun")

    def __init__(self, attempts: list[Attempt], due: float) -> None:
        self.attempts = attempts
        self.due = due
        self.has_begun = False


class _Item:
    """An attempt that goes on."""

    __slots__ = ("attempt", "ended", "going", "news", "task")

    def __init__(self, attempt: Attempt, task: Outside, going: Going) -> None:
        self.attempt = attempt
        self.task = task
        self.going = going
        self.ended = going.ended
        self.news: int | None = None  # where its output is listened to


class _Failed(NamedTuple):
    """A start that failed: what was raised, and by which task if it could be made."""

    raised: BaseException
    task: Outside | None


def _begun(attempt: Attempt) -> _Item | _Failed:
    """Start what an attempt does. Thread: this may hang, so it touches nothing of the loop."""
    task: Outside | None = None
    try:
        task = _task(attempt.run.job.task)
        return _Item(attempt, task, task.start(attempt.context))
    except BaseException as raised:
        return _Failed(raised, task)


class Loop:
    """Carries out attempts of tasks that are `Outside`.

    `done` is told how each ended, on any thread. `aside` has work done on another thread, or raises `RuntimeError`
    when the host has none left.

    Thread: all but what stands under "from any thread" is done by the thread in charge alone.
    Invariant: work is brought first (`_given`, `_calls`, and `_is_closed`), and the bell is rung then. The thread in
    charge looks at all three between the moment from which on a ring wakes it and its sleep: it never sleeps on work.
    Invariant: a run that `put` has taken is begun, or told to `done`, by the thread in charge, whichever that is.
    """

    def __init__(
        self, runner: Runner, done: Callable[[Run, Ended], object], aside: Callable[[Callable[[], None]], object]
    ) -> None:
        self._runner = runner
        self._done = done
        self._aside = aside
        self._charge = Charge(self._begin_term)
        self._is_closed = False
        self._given: deque[Run] = deque()
        self._announced: deque[_Batch] = deque()
        self._ready: deque[Attempt] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._items: dict[int, _Item] = {}
        self._early: deque[tuple[float, _Item]] = deque()
        self._unattended: deque[_Item] = deque()
        self._ear: Ear | None = None

    def prepare(self) -> None:
        """Have the thread there before a run is, and awake, and whoever writes the lines of runs as well.

        Without a descriptor or a thread for it, the run itself tries again.
        """
        if self._is_closed:
            return
        with suppress(OSError, RuntimeError):
            self._charge.fill()
        self._runner.announce((), self._ring)

    def put(self, run: Run) -> None:
        """Have the next attempt of a run made; does not wait.

        Raises:
            OSError, RuntimeError: the host has no descriptor or no thread left for it.

        """
        if self._is_closed:
            raise RuntimeError("closed")
        self._charge.fill()
        self._given.append(run)
        if not self._charge.is_taken:
            self._make_up_for_retired(run)
        self._ring()
        self.look(time.monotonic())

    def _make_up_for_retired(self, run: Run) -> None:
        """Have a thread for a run that was put while the last one retired. Raises as `put` does: it is not put then."""
        try:
            self._charge.fill()
        except (OSError, RuntimeError):
            with suppress(ValueError):  # another thread has it
                self._given.remove(run)
                raise

    def look(self, now: float) -> None:
        """Have another thread take over if a start hangs (monotonic seconds)."""
        self._charge.look(now)

    def close(self) -> None:
        """End the thread once nothing goes on; what does not end is left to itself."""
        self._is_closed = True
        self._ring()

    # -- from any thread

    def _begin_term(self, term: int) -> None:
        """Start the thread of a term. Raises `OSError` or `RuntimeError` without a descriptor or a thread for it."""
        self._ear = self._ear or Ear()
        threading.Thread(target=self._work, args=(term,), name="commands", daemon=True).start()

    def _ring(self) -> None:
        ear = self._ear  # the thread may end at this moment
        if ear is not None:
            ear.ring()

    def _soon(self, call: Callable[[], None]) -> None:
        """Have something done by the thread that is in charge."""
        self._calls.append(call)
        self._ring()

    # -- on the thread

    def _work(self, term: int) -> None:
        while self._charge.term == term:
            if self._is_closed and self._is_idle() and self._charge.retire(self._is_idle, self._leave):
                return
            try:
                self._round(term)
            except Exception as error:  # a fault of ours is not to end it
                self._runner.complain(error)
                threading.Event().wait(AGAIN)

    def _leave(self) -> None:
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    def _is_idle(self) -> bool:
        waits = any(not batch.has_begun for batch in self._announced)
        return not (waits or self._items or self._given or self._ready or self._unattended)

    def _round(self, term: int) -> None:
        """Do what is to be done, or wait until there is something."""
        while self._calls:
            self._calls.popleft()()
        self._open_given()
        if self._start_some(term):
            self._listen()
            self._see_to_what_is_due(time.monotonic())

    def _start_some(self, term: int) -> bool:
        """Start what may begin; False if the charge was lost over it."""
        for _ in range(AT_ONCE):
            if not self._ready:
                return True
            if not self._start(self._ready.popleft(), term):
                return False
        return True

    def _open_given(self) -> None:
        """Open the runs that were put, and have them announced; one that was ended or taken back meanwhile is done."""
        attempts = []
        while self._given:
            run = self._given.popleft()
            attempt = run.open()
            if attempt is None:
                self._done(run, run.record)
            else:
                attempts.append(attempt)
        if attempts:
            batch = _Batch(attempts, time.monotonic() + PATIENCE)
            self._announced.append(batch)
            events = [attempt.event() for attempt in attempts]
            self._runner.announce(events, partial(self._soon, partial(self._let_begin, batch)))

    def _let_begin(self, batch: _Batch) -> None:
        if not batch.has_begun:
            batch.has_begun = True
            self._ready += batch.attempts

    def _listen(self) -> None:
        """Hear what there is; wait for it if nothing else is to be done."""
        assert self._ear is not None  # noqa: S101 - it is there as long as this thread
        for descriptor in self._ear.hear(self._patience):
            item = self._items.get(descriptor)
            if item is None:
                continue  # ended a moment ago
            if descriptor == item.ended:
                self._end(item)
            else:
                self._take_news(item, descriptor)

    def _patience(self) -> float | None:
        if self._calls or self._given or self._ready or (self._is_closed and self._is_idle()):
            return 0.0
        return self._until_due()

    def _until_due(self) -> float | None:
        """Seconds until something is due; None if nothing is."""
        while self._announced and self._announced[0].has_begun:
            self._announced.popleft()
        while self._early and not self._is_watched(self._early[0][1]):
            self._early.popleft()
        dues = [batch.due for batch in islice(self._announced, 1)] + [due for due, _ in islice(self._early, 1)]
        if self._unattended:
            dues.append(time.monotonic() + AGAIN)
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _see_to_what_is_due(self, now: float) -> None:
        while self._announced and (self._announced[0].has_begun or self._announced[0].due <= now):
            batch = self._announced.popleft()
            if not batch.has_begun:
                self._runner.tell_behind()
                self._let_begin(batch)
        while self._early and self._early[0][0] <= now:
            self._hear_news(self._early.popleft()[1])
        for _ in range(len(self._unattended)):
            self._see_through(self._unattended.popleft())

    # -- one attempt

    def _start(self, attempt: Attempt, term: int) -> bool:
        """Start what an attempt does; False if that took so long that another thread is in charge."""
        attempt.begin()
        self._charge.lend(time.monotonic())
        begun = _begun(attempt)
        is_ours = self._charge.take_back(term)
        if not isinstance(begun, _Item):
            self._not_begun(attempt, begun)
        elif is_ours:
            self._watch(begun)
        else:  # this thread has nothing else to do any more
            self._conclude(begun, begun.going.see_through)
        return is_ours

    def _not_begun(self, attempt: Attempt, failed: _Failed) -> None:
        if isinstance(failed.raised, NotBegun):
            self._try_elsewhere(attempt, failed.raised, failed.task)
        else:
            self._finish(attempt, failed_ending(failed.raised, failed.task))

    def _is_watched(self, item: _Item) -> bool:
        return item.ended is not None and self._items.get(item.ended) is item

    def _watch(self, item: _Item) -> None:
        """Listen for its end, and soon for its output. What cannot be listened to gets a thread to wait for it."""
        if self._ear is None or item.ended is None:
            self._see_through(item)
            return
        try:
            self._ear.listen_to(item.ended)
        except OSError:  # the user's limit of watches is reached, or no memory left
            self._see_through(item)
            return
        self._items[item.ended] = item
        self._early.append((time.monotonic() + EARLY, item))
        item.attempt.context.on_stop(partial(self._soon, partial(self._let_go, item)))

    def _hear_news(self, item: _Item) -> None:
        """Listen to its output, too. One that cannot be listened to is for a thread of its own: it would block."""
        news = item.going.news
        if self._ear is None or news is None or not self._is_watched(item):
            return
        try:
            self._ear.listen_to(news)
        except OSError:
            self._let_go(item)
        else:
            item.news = news
            self._items[news] = item

    def _take_news(self, item: _Item, descriptor: int) -> None:
        if not item.going.hear():
            self._unregister(descriptor)
            item.news = None

    def _unregister(self, descriptor: int) -> None:
        self._items.pop(descriptor, None)
        if self._ear is not None:
            self._ear.forget(descriptor)

    def _forget(self, item: _Item) -> None:
        """Listen to it no more."""
        for descriptor in (item.ended, item.news):
            if descriptor is not None:
                self._unregister(descriptor)
        item.news = None

    def _let_go(self, item: _Item) -> None:
        """Leave an attempt that has to stop to a thread of its own."""
        if self._is_watched(item):
            self._forget(item)
            self._see_through(item)

    def _end(self, item: _Item) -> None:
        """Take the end of an attempt."""
        self._forget(item)
        self._conclude(item, item.going.end)

    def _see_through(self, item: _Item) -> None:
        """Have a thread wait for its end, or bring it about."""
        try:
            end = (item, item.going.see_through)
            threading.Thread(target=self._conclude, args=end, name="command", daemon=True).start()
        except RuntimeError:  # the host has no thread left
            self._unattended.append(item)

    def _conclude(self, item: _Item, end: Callable[[], Outcome]) -> None:
        try:
            ending = ending_of(end())
        except BaseException as raised:
            self._finish(item.attempt, failed_ending(raised, item.task))
        else:
            self._finish(item.attempt, ending)

    def _try_elsewhere(self, attempt: Attempt, trouble: NotBegun, task: Outside | None) -> None:
        """Have a task that has not begun tried for longer, on another thread."""
        try:
            self._aside(lambda: self._finish(attempt, carry_out(attempt.run.job.task, attempt.context)))
        except RuntimeError:
            self._finish(attempt, failed_ending(trouble.failure, task))

    def _finish(self, attempt: Attempt, ending: Ending) -> None:
        self._done(attempt.run, attempt.end(ending))
