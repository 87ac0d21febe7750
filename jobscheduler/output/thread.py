"""The thread that writes outputs: what attempts have printed that ended, and once a second of those that run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from jobscheduler.model import AttemptOutput, EventLogger, Level, Problem
from jobscheduler.output.folder import FolderRefused
from jobscheduler.output.place import OpenPlace, OutputPlace, let_others_run, require_room
from jobscheduler.output.recent import RecentOutputs
from jobscheduler.output.retention import Coming, OutputLimits, on_disk
from jobscheduler.output.store import OutputStore
from jobscheduler.output.trouble import OutputTrouble, describe
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

TICK_S = 1.0  # between two looks at what runs
GATHER_S = 0.2  # without a further output until those that wait are written: a herd is written when it is over
MAX_GATHER_S = 1.0  # limit of that wait
LIVE_AFTER_S = 1.0  # that an attempt has to run before its output is written while it runs
STOP_WAIT_S = 3.0  # limit of the wait for the last outputs at a stop
_PAUSE_EACH = 32  # files written before other threads get a turn
_HEADER_BYTES = 300  # of the lines about an output, at most


class RunningAttempt(Protocol):
    """An attempt that runs (see `runner.run.Attempt`)."""

    @property
    def key(self) -> tuple[str, int]: ...  # noqa: D102
    @property
    def began(self) -> float: ...  # noqa: D102
    @property
    def printed(self) -> int: ...  # noqa: D102
    def live_output(self) -> AttemptOutput | None: ...  # noqa: D102


class OutputThread:
    """Writes outputs on a thread of its own, as a context manager: leaving it writes the last ones.

    Nothing waits for this thread but a stop, for `STOP_WAIT_S`.
    """

    def __init__(
        self,
        path: Path,
        limits: OutputLimits,
        recent: RecentOutputs,
        running: Callable[[], Iterable[RunningAttempt]],
        log_event: EventLogger,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`running` returns the attempts that run."""
        self._place = OutputPlace(path, limits)
        self._recent = recent
        self._running = running
        self._log_event = log_event
        self._clock = clock
        self._trouble = OutputTrouble(path, log_event)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write the last outputs and end the thread. A directory that does not answer costs those."""
        self._is_closed.set()
        self._recent.wake()
        self._thread.join(STOP_WAIT_S)

    # -- any thread

    def limit(self, limits: OutputLimits) -> None:
        """Keep the directory within these bounds from the next step on."""
        self._place.limits = limits

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong with the output directory, in words."""
        return self._trouble.issues()

    def check(self, now: float) -> None:
        """Log an output directory that does not answer. Call it from time to time with monotonic seconds."""
        self._trouble.check(now)

    # -- the thread

    def _work(self) -> None:
        pause = 0.0  # a directory that cannot be used is said at the start
        while not self._is_closed.is_set():
            if self._recent.wait(pause):
                self._gather()
            began = time.monotonic()
            self._try_step(began)
            pause = max(TICK_S, 4 * (time.monotonic() - began))
        if self._recent.unwritten():  # they came while the last step was made
            self._try_step(time.monotonic())
        self._place.close()

    def _gather(self) -> None:
        """Wait until no further output comes, within limits."""
        until = time.monotonic() + MAX_GATHER_S
        while not self._is_closed.is_set() and time.monotonic() < until and self._recent.wait(GATHER_S):
            self._is_closed.wait(GATHER_S)

    def _try_step(self, now: float) -> None:
        try:
            self.step(now)
        except Exception as error:  # an error of ours costs outputs, but neither runs nor this thread
            self._log_event(Level.ERROR, "output.failed", problem=format_error(error))
            self._give_up(self._recent.unwritten())

    def step(self, now: float) -> None:
        """Write what there is to write. `now` is in seconds of a clock that is never set."""
        self._trouble.enter(now)
        self._place.apply_limits()
        try:
            self._write(now)
        except FolderRefused as refused:
            self._failed(refused.problem, now, Level.ERROR)
        except OSError as error:
            self._failed(describe(self._place.path, error), now, Level.WARNING)
        finally:
            self._trouble.leave()

    def _failed(self, problem: Problem, now: float, level: Level) -> None:
        self._trouble.begin(problem, level)
        self._give_up(self._recent.unwritten())
        self._place.failed(now)

    def _give_up(self, outputs: list[AttemptOutput]) -> None:
        self._trouble.lose(len(outputs))
        self._recent.give_up(outputs)

    def _write(self, now: float) -> None:
        self._trouble.lose(self._recent.take_lost())
        running = list(self._running())  # first: what ends after this is among the outputs below
        outputs = self._recent.unwritten()
        if self._is_idle(now) and not (running or outputs):
            return
        opened = self._place.opened(now)
        if opened is None:
            self._give_up(outputs)
            return
        coming = Coming(sum(map(_size_of, outputs)), len(outputs))
        if opened.retention.is_due(now, coming):
            opened.retention.sweep(opened.folder, self._clock(), now, opened.store.in_use(), coming)
        if outputs:
            self._write_ended(opened, outputs)
        self._write_live(opened, running, now)
        self._trouble.end()

    def _is_idle(self, now: float) -> bool:
        """Return whether the directory itself needs nothing: it is open, and no sweep is due."""
        opened = self._place.present
        return opened is not None and not opened.store.in_use() and not opened.retention.is_due(now)

    def _write_ended(self, opened: OpenPlace, outputs: list[AttemptOutput]) -> None:
        require_room(opened.folder)
        for number, written in enumerate(opened.store.write(outputs), 1):
            self._recent.written(written)
            if number % _PAUSE_EACH == 0:
                let_others_run()

    def _write_live(self, opened: OpenPlace, running: list[RunningAttempt], now: float) -> None:
        opened.store.forget_live(attempt.key for attempt in running)
        grown = [attempt for attempt in running if self._is_to_be_written(attempt, opened.store, now)]
        if grown:
            require_room(opened.folder)
        for attempt in grown:
            output = attempt.live_output()
            if output is not None:
                opened.store.write_live(output, now)

    def _is_to_be_written(self, attempt: RunningAttempt, store: OutputStore, now: float) -> bool:
        printed = attempt.printed
        return printed > 0 and now - attempt.began >= LIVE_AFTER_S and store.is_new(attempt.key, printed, now)


def _size_of(output: AttemptOutput) -> int:
    """Return the disk blocks that an output takes at most, in bytes."""
    return on_disk(_HEADER_BYTES + len(output.kept.head) + len(output.kept.tail))
