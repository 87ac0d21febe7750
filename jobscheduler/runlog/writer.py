"""The one writer of the log: entries of many threads become lines in one order, and no thread waits for a disk.

1. A caller only puts an entry into a queue (`entry_queue`).
2. The writer's thread (`writer_thread`) takes a batch at a time and turns it into lines (`line_encoder`).
3. The lines go into the file, now or when it can be written again (`backlog`).
4. Another thread has the disk keep them within a second (`sync_thread`).

A file that hangs counts as one that cannot be written. The writer's thread is left to its call, and another one
replaces it; that one writes on when the call has returned (`file_calls`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Self

from jobscheduler.model import Checkpoint, Event, Level, LogEntry, LogValue
from jobscheduler.runlog.checkpoints import CheckpointLines
from jobscheduler.runlog.entry_queue import EntryQueue, QueuedEntries
from jobscheduler.runlog.line_encoder import LineEncoder, LineObserver
from jobscheduler.runlog.target import LogTarget
from jobscheduler.runlog.writer_thread import WriterThread
from jobscheduler.util.instants import utc_now

Observer = Callable[[LogEntry], object]


class LogWriter:
    """The one writer of the log. A context manager: leaving it writes what is queued and closes the file.

    Thread: any.
    """

    def __init__(
        self,
        file: LogTarget,
        *,
        form: str = "text",
        echo: int | None = 2,
        priorities: bool = False,
        own_priorities: bool = False,
        copies_all: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`echo` is the descriptor that gets the same lines, with syslog priorities in front if `priorities`.

        Without `copies_all` it gets only those that the file does not take. `own_priorities` is as in `LineEncoder`.
        """
        self._observers_before: tuple[Observer, ...] = ()
        self._observers_after: tuple[Observer, ...] = ()
        self._clock = clock
        self._queue = EntryQueue()
        self._encoder = LineEncoder(
            form=form,
            echo=echo,
            priorities=priorities,
            own_priorities=own_priorities,
            is_copying=lambda: copies_all or self._thread.is_blocked(),
        )
        self._thread = WriterThread(file, self._queue, self._encoder, clock, self.event)

    def __enter__(self) -> Self:
        self._encoder.open()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._queue.close()
        self._thread.close()
        self._encoder.close()

    def subscribe(
        self, *, before: Iterable[Observer] = (), after: Iterable[Observer] = (), lines: Iterable[LineObserver] = ()
    ) -> None:
        """Add observers of entries, which are called before or after an entry is queued, and observers of its line.

        An observer `before` has seen an entry when a reader of the log finds its line: counters belong there.
        What an observer `after` writes about an entry comes after it in the log: alerts belong there.
        Both see what `write` and `event` get, and not the starts of runs, which come through `write_and_call`.

        Thread: observers of entries run on the caller's thread, often under a lock of the caller. Observers of lines
        run on the writer's thread. None of them may wait or raise.
        """
        self._observers_before += tuple(before)
        self._observers_after += tuple(after)
        self._encoder.subscribe(lines)

    def write(self, *entries: LogEntry) -> None:
        """Queue entries, to be written one after the other with nothing in between. Never wait."""
        for observe in self._observers_before:
            for entry in entries:
                observe(entry)
        self._queue.put(QueuedEntries(entries))
        for observe in self._observers_after:
            for entry in entries:
                observe(entry)

    def event(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        """Queue an event with the present time; values that are None are left out. Never wait."""
        self.write(Event.of(self._clock(), level, name, **values))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Queue a checkpoint; its lines stay together whatever becomes of the file. Never wait."""
        self._queue.put(QueuedEntries(CheckpointLines(checkpoint, self._clock()), is_checkpoint=True))

    def write_and_call(self, entries: Iterable[LogEntry], then: Callable[[], object]) -> None:
        """Queue entries, and have the writer's thread call `then` when they are written. Never wait.

        If the queue is full, `then` is called at once.
        """
        item = QueuedEntries(tuple(entries), then)
        if not self._queue.put(item):
            if item.entries:
                self.warn_behind()
            then()

    def write_and_wait(self, entry: LogEntry, timeout: float) -> bool:
        """Queue an entry and wait until it is written, at most `timeout` seconds; return whether it is.

        If it is not, log that, once until the writer has caught up.
        """
        if self._wait_for((entry,), timeout):
            return True
        self.warn_behind()
        return False

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued so far is written, at most `timeout` seconds; return whether it is."""
        return self._wait_for((), timeout)

    def _wait_for(self, entries: tuple[LogEntry, ...], timeout: float) -> bool:
        written = threading.Lock()
        written.acquire()
        return self._queue.put(QueuedEntries(entries, written.release)) and written.acquire(timeout=timeout)

    def warn_behind(self) -> None:
        """Log, once until the writer has caught up, that a run did not wait until its line was written."""
        if not self._thread.is_behind:
            self._thread.is_behind = True
            self.event(Level.WARNING, "log.behind", problem="a run did not wait any longer for its line to be written")

    @property
    def lines_lost(self) -> int:
        """How many lines were never written; known when the log has been left."""
        return self._thread.lines_lost

    def is_alive(self) -> bool:
        """Return whether the writer's thread runs."""
        return self._thread.is_alive()

    def busy_for(self) -> float:
        """Return for how many seconds the writer has been at one batch; 0 when it waits for entries."""
        return self._thread.busy_for()

    def is_failing(self) -> bool:
        """Return whether the file cannot be written at present, so that lines wait."""
        return self._thread.is_failing()

    def is_silent(self) -> bool:
        """Return whether the file, or its disk, does not answer at present."""
        return self._thread.is_silent()

    def check_file(self, now: float) -> None:
        """Replace the writer's thread or the sync thread if its call of the file hangs.

        Call it regularly (monotonic seconds).
        """
        self._thread.check_file(now)
