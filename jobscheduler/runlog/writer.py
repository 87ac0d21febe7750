"""The one writer of the log: entries of many threads become lines in one order, and no thread waits for a disk.

1. A caller only puts an entry into a queue (`entry_queue`).
2. The writer's thread takes a batch at a time and turns it into lines (`line_encoder`).
3. The lines go into the file, now or when it can be written again (`backlog`).
4. Another thread has the disk keep them within a second (`sync_thread`).

A file that hangs counts as one that cannot be written. The writer's thread is left to its call, and another one
replaces it; that one writes on when the call has returned (`file_calls`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import chain, groupby
from types import TracebackType
from typing import Self

from jobscheduler.model import Checkpoint, Event, Level, LogEntry, LogValue
from jobscheduler.runlog.backlog import RETRY_S, Backlog
from jobscheduler.runlog.checkpoints import CheckpointLines
from jobscheduler.runlog.entry_queue import EntryQueue, QueuedEntries
from jobscheduler.runlog.file_calls import Superseded
from jobscheduler.runlog.line_encoder import LineEncoder, LineObserver
from jobscheduler.runlog.sync_thread import SyncThread
from jobscheduler.runlog.target import LogTarget
from jobscheduler.util.instants import utc_now

REOPEN_CHECK_S = 5.0  # seconds between two checks of the file's name while nothing is written
LATE_BATCH_S = 1.0  # seconds; a batch that took longer was late
WRITE_TIMEOUT_S = 10.0  # seconds that the end waits for the writer's thread

_CHECK_INTERVAL_S = 0.1  # seconds between two checks of the file at the end

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
            is_copying=lambda: copies_all or self._backlog.is_failing() or self._backlog.is_silent(),
        )
        self._sync = SyncThread(file, self.event)
        self._backlog = Backlog(file, self._encoder, clock, on_written=self._sync.request)
        self._batch: list[QueuedEntries] = []
        self._busy_since = 0.0  # monotonic; 0 while the writer waits for entries
        self._is_behind = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)

    def __enter__(self) -> Self:
        self._encoder.open()
        self._thread.start()
        self._sync.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._queue.close()
        until = time.monotonic() + WRITE_TIMEOUT_S
        while self._thread.is_alive() and time.monotonic() < until:
            self._thread.join(_CHECK_INTERVAL_S)
            self.check_file(time.monotonic())
        self._sync.close()
        if self._thread.is_alive():
            self._backlog.abandon(len(self._queue))
        elif not self._backlog.is_silent():
            self._sync.join()
            self._backlog.close()
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
        if not self._is_behind:
            self._is_behind = True
            self.event(Level.WARNING, "log.behind", problem="a run did not wait any longer for its line to be written")

    @property
    def lines_lost(self) -> int:
        """How many lines were never written; known when the log has been left."""
        return self._backlog.lines_lost

    def is_alive(self) -> bool:
        """Return whether the writer's thread runs."""
        return self._thread.is_alive()

    def busy_for(self) -> float:
        """Return for how many seconds the writer has been at one batch; 0 when it waits for entries."""
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def is_failing(self) -> bool:
        """Return whether the file cannot be written at present, so that lines wait."""
        return self._backlog.is_failing()

    def is_silent(self) -> bool:
        """Return whether the file, or its disk, does not answer at present."""
        return self._backlog.is_silent() or self._sync.is_silent()

    def check_file(self, now: float) -> None:
        """Replace the writer's thread or the sync thread if its call of the file hangs.

        Call it regularly (monotonic seconds).
        """
        if self._backlog.check(now):
            self._thread = threading.Thread(target=self._take_over, name="log", daemon=True)
            self._thread.start()
        if self._sync.check(now) and not self._backlog.is_in_call():  # else the writer soon logs more about the file
            self._sync.report_silence()

    # -- on the writer's thread

    def _take_over(self) -> None:
        """Write in place of the writer that is left to its call of the file. Its batch is in the backlog already."""
        self._busy_since = time.monotonic()
        self._backlog.fail(is_logged=self._sync.hand_over_report())
        self._finish(self._batch)
        self._write_all()

    def _write_all(self) -> None:
        with suppress(Superseded):
            while not self._queue.has_ended:
                self._batch = items = self._queue.next_batch(REOPEN_CHECK_S if self._backlog.is_empty() else RETRY_S)
                self._busy_since = time.monotonic()
                self._write_batch(items)
                self._finish(items)
            self._backlog.finish()

    def _write_batch(self, items: list[QueuedEntries]) -> None:
        for is_checkpoint, group in groupby(items, lambda item: item.is_checkpoint):
            lines = self._encoder.encode(chain.from_iterable(item.entries for item in group))
            self._backlog.add(lines, is_checkpoint=is_checkpoint)
        if self._queue.omitted:
            self._backlog.add_event(Level.WARNING, "log.behind", lost=self._queue.take_omitted())
        self._backlog.flush()

    def _finish(self, items: list[QueuedEntries]) -> None:
        """Release the callers that wait: their entries are written, or in the backlog."""
        for item in items:
            if item.on_written is not None:
                item.on_written()
        self._batch = []
        if self._is_behind and not self._queue and time.monotonic() - self._busy_since < LATE_BATCH_S:
            self._is_behind = False
        self._busy_since = 0.0
