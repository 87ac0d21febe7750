"""The one writer of the log: lines from many threads, in order, and nobody waits for a disk.

Who writes an entry only puts it into a queue. The writer's thread takes what is there, a batch at a time, turns it
into lines, echoes them to standard error and appends them to the file; another thread has the system put them onto the
disk, within a second. When the file cannot be written, the lines are kept (up to a bound) and follow when it can; the
trouble is said once, and so is its end. A file that hangs is a file that cannot be written: the writer is left to its
call, another one takes its place, and writes on when that call has come back (`file_calls`).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, groupby
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self

from jobscheduler.model import Checkpoint, Event, Level, LogEntry, LogValue, Record
from jobscheduler.runlog.checkpoints import Lines
from jobscheduler.runlog.file import LogFile, LogInUse
from jobscheduler.runlog.file_calls import FileCalls, Superseded
from jobscheduler.runlog.format import encode_line, format_json, format_text, syslog_priority
from jobscheduler.runlog.open_file import LogRefused
from jobscheduler.runlog.stderr_copy import StderrCopy

MAX_QUEUED_ENTRIES = 100_000
"""How many entries may wait for the writer before further ones are counted instead of kept."""

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""How many bytes of lines are kept while the file cannot be written."""

RETRY_S = 1.0
"""How long after a failed write the next is tried, in seconds."""

REOPEN_CHECK_S = 5.0
"""How often the file's name is looked at while nothing is written, in seconds."""

BATCH_ENTRIES = 500
"""How many entries are written at once at most."""

MANY_ENTRIES = 4
"""A batch of so many entries means that several threads write at once."""

BUSY_FOR_S = 0.003
"""For so long after such a batch others of them are expected, in seconds."""

BATCH_WAIT_S = 0.001
"""How long a batch is then left to grow, in seconds: each costs several system calls and changes of thread."""

WRITE_TIMEOUT_S = 10.0
"""How long the end waits for a writer that does not end, in seconds."""

CLOSE_TIMEOUT_S = 1.0
"""How long the end waits for the file to be closed, and for the disk to have it, in seconds."""

_CHECK_INTERVAL_S = 0.1  # seconds between two looks at the writer at the end

FLUSH_TIMEOUT_S = 1.0
"""A batch that took longer to write than this was late, in seconds."""

SYNC_INTERVAL_S = 0.5
"""How long after a write the disk is asked to have it, in seconds."""

_NO_ANSWER = "it does not answer"

_NO_ANSWER_HELP = frozenset({errno.EBADF, errno.EINVAL, errno.EROFS, errno.EMFILE})
"""What asking for a sync gives when there is nothing to sync: no file is open at the moment, or it is a pipe."""


Observer = Callable[[LogEntry], object]
LineObserver = Callable[[LogEntry, bytes], object]


class _Item(NamedTuple):
    """What is put into the queue at once: entries with nothing in between. `done` is called when they are written."""

    entries: Collection[LogEntry]
    done: Callable[[], object] | None = None
    is_mark: bool = False


class LogWriter:
    """The one writer of the log. A context manager: leaving it writes what is waiting and closes the file."""

    def __init__(
        self,
        file: LogFile,
        *,
        form: str = "text",
        echo: int | None = 2,
        priorities: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`echo` is the descriptor that gets the same lines, with syslog priorities in front if so asked."""
        self._observers_before: tuple[Observer, ...] = ()
        self._observers_after: tuple[Observer, ...] = ()
        self._line_observers: tuple[LineObserver, ...] = ()
        self._file = file
        self._format = format_json if form == "json" else format_text
        self._echo_to = echo
        self._echo: StderrCopy | None = None
        self._priorities = priorities
        self._clock = clock
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._dropped = 0
        self._behind = False
        self._pending: deque[tuple[bytes, bool]] = deque()  # lines, and whether they are a mark
        self._pending_bytes = 0
        self._unwritten = 0
        self.lines_lost = 0
        """How many lines could not be written until the end; known when the log has been left."""
        self._failed_at: float | None = None
        self._reported_rotation = False
        self._reported_sync = False
        self._file_calls = FileCalls()
        self._syncs = FileCalls()
        self._batch: list[_Item] = []
        self._is_ending = False
        self._taken_over = 0.0
        self._busy_until = 0.0
        self._closing = threading.Event()
        self._unsynced = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._syncer = threading.Thread(target=self._sync_all, name="log-sync", daemon=True)

    def __enter__(self) -> Self:
        self._echo = None if self._echo_to is None else StderrCopy(self._echo_to)
        self._thread.start()
        self._syncer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._queue.put(None)
        until = time.monotonic() + WRITE_TIMEOUT_S
        while self._thread.is_alive() and time.monotonic() < until:
            self._thread.join(_CHECK_INTERVAL_S)
            self.check_file(time.monotonic())
        self._closing.set()
        self._unsynced.set()
        if self._thread.is_alive():
            self._log_lost(sum(_count(data) for data, _ in list(self._pending)) + self._queue.qsize(), is_marked=False)
        elif not self._file_calls.is_silent():
            self._close_file()
        if self._echo is not None:
            self._echo.close()

    def _close_file(self) -> None:
        """Have the disk take what it lacks, and close the file; what hangs there is left to the end of the process."""
        if not self._syncs.is_silent():
            self._syncer.join(CLOSE_TIMEOUT_S)
        closing = threading.Thread(target=self._file.close, daemon=True)
        with suppress(RuntimeError):  # no thread is left; the end of the process closes it
            closing.start()
            closing.join(CLOSE_TIMEOUT_S)

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
        self._line_observers += tuple(lines)

    def write(self, *entries: LogEntry) -> None:
        """Queue entries, to be written one after the other with nothing in between. Never waits."""
        for observe in self._observers_before:
            for entry in entries:
                observe(entry)
        self._put(_Item(entries))
        for observe in self._observers_after:
            for entry in entries:
                observe(entry)

    def checkpoint(self, mark: Checkpoint) -> None:
        """Have a mark written; its lines stay together whatever becomes of the file. Never waits."""
        self._put(_Item(Lines(mark, self._clock()), is_mark=True))

    def _put(self, item: _Item) -> bool:
        if self._queue.qsize() >= MAX_QUEUED_ENTRIES:
            self._dropped += len(item.entries)
            return False
        self._queue.put(item)
        return True

    def write_and_call(self, entries: Iterable[LogEntry], then: Callable[[], object]) -> None:
        """Have entries written, and `then` called when they are, on the writer's thread. Never waits."""
        item = _Item(tuple(entries), then)
        if not self._put(item):
            if item.entries:
                self.warn_behind()
            then()

    def write_and_wait(self, entry: LogEntry, timeout: float) -> bool:
        """Have an entry written and wait for that, `timeout` seconds at most; tell whether it was written by then.

        When it was not, the log says so, once until the writer has caught up.
        """
        if self._wait_for((entry,), timeout):
            return True
        self.warn_behind()
        return False

    def flush(self, timeout: float) -> bool:
        """Wait until what was given so far is written, `timeout` seconds at most; tell whether it was by then."""
        return self._wait_for((), timeout)

    def _wait_for(self, entries: tuple[LogEntry, ...], timeout: float) -> bool:
        done = threading.Lock()
        done.acquire()
        return self._put(_Item(entries, done.release)) and done.acquire(timeout=timeout)

    def warn_behind(self) -> None:
        """Say, once until the writer has caught up, that somebody did not wait any longer."""
        if not self._behind:
            self._behind = True
            self.event(Level.WARNING, "log.behind", problem="a run did not wait any longer for its line to be written")

    def event(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        """Have an event written, with the present time; values that are None are left out."""
        self.write(self._make_event(level, name, **values))

    def is_alive(self) -> bool:
        """Tell whether the writer's thread runs."""
        return self._thread.is_alive()

    def busy_for(self) -> float:
        """Return for how many seconds the writer has been at one batch; 0 when it waits for work."""
        taken = self._taken_over
        return time.monotonic() - taken if taken else 0.0

    def is_failing(self) -> bool:
        """Tell whether the file cannot be written at present, so that lines are kept for later."""
        return self._failed_at is not None and not self._file_calls.is_silent()

    def is_silent(self) -> bool:
        """Tell whether the file, or its disk, does not answer at present."""
        return self._file_calls.is_silent() or self._syncs.is_silent()

    def check_file(self, now: float) -> None:
        """See whether a call of the file hangs, and have another thread write then; to be called again and again.

        `now` is monotonic seconds.
        """
        if self._file_calls.check(now):
            self._thread = threading.Thread(target=self._take_over, name="log", daemon=True)
            self._thread.start()
        if self._syncs.check(now):
            self._syncer = threading.Thread(target=self._sync_all, name="log-sync", daemon=True)
            self._syncer.start()
            self._unsynced.set()  # what the disk lacks, it lacks still
            self._report_silent_disk()

    def _report_silent_disk(self) -> None:
        """Say that the disk does not take what was written, unless more is said about the file in a moment."""
        if not self._file_calls.is_active() and not self._file_calls.is_silent() and not self._reported_sync:
            self._reported_sync = True
            self.event(Level.ERROR, "log.lost", file=str(self._file.path), error=f"cannot sync: {_NO_ANSWER}")

    def _take_over(self) -> None:
        """Write in place of the writer that is left to a call of the file: what it had taken is kept already."""
        self._taken_over = time.monotonic()
        self._reported_sync = False
        self._fail(_NO_ANSWER)
        self._finish(self._batch)
        self._write_all()

    # -- on the writer's thread

    def _write_all(self) -> None:
        with suppress(Superseded):
            while not self._is_ending:
                self._batch = items = self._next_batch()
                self._taken_over = time.monotonic()
                self._write_batch(items)
                self._finish(items)
            for _ in range(2):  # the second time for what the first had to say about the log itself
                self._flush_pending(final=True)
            if self._pending:
                self._final_flush_failed()

    def _finish(self, items: list[_Item]) -> None:
        """Say that entries are written, or kept for later, to those that wait for it."""
        for item in items:
            if item.done is not None:
                item.done()
        self._batch = []
        if self._queue.empty() and time.monotonic() - self._taken_over < FLUSH_TIMEOUT_S:
            self._behind = False
        self._taken_over = 0.0
        if len(items) >= MANY_ENTRIES:
            self._busy_until = time.monotonic() + BUSY_FOR_S

    def _next_batch(self) -> list[_Item]:
        """Wait for entries, a moment at most, and take what is there; note when all is to end."""
        items: list[_Item] = []
        try:
            if time.monotonic() < self._busy_until:
                self._closing.wait(BATCH_WAIT_S)
            item = self._queue.get(timeout=RETRY_S if self._pending else REOPEN_CHECK_S)
            while item is not None and len(items) < BATCH_ENTRIES - 1:
                items.append(item)
                item = self._queue.get_nowait()
            if item is None:
                self._is_ending = True
            else:
                items.append(item)
        except Empty:
            pass
        return items

    def _write_batch(self, items: list[_Item]) -> None:
        for is_mark, some in groupby(items, lambda item: item.is_mark):
            lines = self._lines(chain.from_iterable(item.entries for item in some))
            self._buffer(b"".join(lines), is_mark=is_mark)
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            self._log_own_event(Level.WARNING, "log.behind", lost=lost)
        self._flush_pending()

    def _lines(self, batch: Iterable[LogEntry]) -> list[bytes]:
        """Turn entries into lines, and echo those at once."""
        lines, echoed = [], []
        for entry in batch:
            line = self._line(entry)
            lines.append(line)
            for observe in self._line_observers:
                observe(entry, line)
            echoed.append(syslog_priority(entry) + line if self._priorities else line)
        if self._echo is not None and echoed:
            self._echo.put(b"".join(echoed))
        return lines

    def _line(self, entry: LogEntry) -> bytes:
        try:
            return encode_line(entry, self._format)
        except Exception as error:  # a value of some task that nobody can write; the rest of the line is needed
            why = (("unwritable", f"{type(error).__name__}: {error}"),)
            if isinstance(entry, Record):
                return encode_line(replace(entry, details=why, output=None), self._format)
            return encode_line(replace(entry, values=why), self._format)

    def _buffer(self, data: bytes, *, is_mark: bool = False) -> None:
        if self._pending_bytes + len(data) > MAX_PENDING_BYTES:
            self._unwritten += _count(data)
        elif data:
            self._pending.append((data, is_mark))
            self._pending_bytes += len(data)

    def _flush_pending(self, *, final: bool = False) -> None:
        """Append what is waiting; say when that fails, and when it works again (those lines follow in a second)."""
        if self._failed_at is not None and not final and time.monotonic() - self._failed_at < RETRY_S:
            return
        written = self._file_calls.take_over()
        if written is None:  # the file does not answer yet
            return
        self._note_written(written)
        try:
            self._append_pending()
        except OSError as error:
            self._fail(_reason(error))
        else:
            self._restore()
        self._log_rotation()

    def _append_pending(self) -> None:
        """Append what is waiting; without anything, at least look whether the name still means the open file."""
        if not self._pending:
            self._file_calls.call(self._file.reopen_if_replaced)
        while self._pending:
            data, is_mark = self._pending[0]
            self._note_written(self._file_calls.call(partial(self._file.append, data, is_mark=is_mark)))

    def _note_written(self, written: int) -> None:
        """Take note that so many bytes of what is waiting stand in the file."""
        if not written:
            return
        self._unsynced.set()
        self._pending_bytes -= written
        data, is_mark = self._pending[0]
        if written < len(data):
            self._pending[0] = data[written:], is_mark
        else:
            self._pending.popleft()

    def _fail(self, reason: str) -> None:
        first = self._failed_at is None
        self._failed_at = time.monotonic()
        if first:
            self._log_own_event(Level.ERROR, "log.lost", file=str(self._file.path), error=reason)

    def _restore(self) -> None:
        if self._failed_at is None:
            return
        self._failed_at = None
        lost, self._unwritten = self._unwritten, 0
        self._log_own_event(Level.INFO, "log.restored", file=str(self._file.path), lines_not_kept=lost)

    def _final_flush_failed(self) -> None:
        """At the end, when nothing more can be written: count what is lost, and squeeze in at least the last mark.

        Without it the next start would know nothing of what has run since the mark before, and run it again.
        """
        lost, last = self._unwritten, b""
        for data, is_mark in self._pending:
            if is_mark or not last:
                lost, last = lost + _count(last), b""
            if is_mark or last:
                last += data
            else:
                lost += _count(data)

        def lines(cut: int) -> bytes:
            return self._line(self._count_lost(lost + cut, is_marked=True)) + last

        try:
            if self._file_calls.is_silent():
                raise OSError(errno.ETIMEDOUT, _NO_ANSWER)
            cut = self._overwrite_tail(len(lines(10**9)), lines) if last else 0
        except OSError:
            self._log_lost(lost + _count(last), is_marked=False)
        else:
            self._log_lost(lost + cut, is_marked=bool(last))

    def _overwrite_tail(self, room: int, lines: Callable[[int], bytes]) -> int:
        cut = 0

        def squeeze_in() -> None:
            nonlocal cut
            cut = self._file.overwrite_tail(room, lines)

        self._file_calls.call(squeeze_in)
        return cut

    def _log_lost(self, lines: int, *, is_marked: bool) -> None:
        """Say on standard error, where they all are, how many lines are not in the file and never will be."""
        self.lines_lost = max(1, lines)
        self._lines([self._count_lost(lines, is_marked=is_marked)])

    def _count_lost(self, lines: int, *, is_marked: bool) -> Event:
        help_ = None if is_marked else "what has run since the last `service.alive` in the file may run once more"
        return self._make_event(Level.ERROR, "log.lost", file=str(self._file.path), lines=lines, help=help_)

    def _log_rotation(self) -> None:
        error = self._file.rotation_error
        if error is not None and not self._reported_rotation:
            self._log_own_event(
                Level.ERROR, "log.lost", file=str(self._file.path), error=f"cannot rotate: {_reason(error)}"
            )
        elif error is None and self._reported_rotation:
            self._log_own_event(Level.INFO, "log.restored", file=str(self._file.path), lines_not_kept=0)
        self._reported_rotation = error is not None

    def _log_own_event(self, level: Level, name: str, **values: LogValue) -> None:
        """Put out an event about the log itself, from the writer's own thread."""
        self._buffer(b"".join(self._lines([self._make_event(level, name, **values)])))

    def _make_event(self, level: Level, name: str, **values: LogValue | None) -> Event:
        given = tuple((key, value) for key, value in values.items() if value is not None)
        return Event(self._clock(), level, name, given)

    # -- on the syncing thread

    def _sync_all(self) -> None:
        with suppress(Superseded):
            while not self._closing.is_set():
                self._unsynced.wait()
                self._closing.wait(SYNC_INTERVAL_S)  # what is written meanwhile goes with it
                if self._syncs.take_over() is None:  # the disk does not answer yet
                    continue
                self._unsynced.clear()
                self._sync()

    def _sync(self) -> None:
        """Have the system put the file onto the disk; say when it cannot, and when it can again."""
        try:
            self._syncs.call(self._file.sync)
        except OSError as error:
            if error.errno in _NO_ANSWER_HELP:
                return
            if not self._reported_sync:
                self._reported_sync = True
                self.event(Level.ERROR, "log.lost", file=str(self._file.path), error=f"cannot sync: {_reason(error)}")
        else:
            if self._reported_sync:
                self._reported_sync = False
                self.event(Level.INFO, "log.restored", file=str(self._file.path), lines_not_kept=0)


def _count(lines: bytes) -> int:
    return lines.count(b"\n")


def _reason(error: OSError) -> str:
    if isinstance(error, LogInUse | LogRefused):
        return str(error.strerror)
    return os.strerror(error.errno or 0).lower()
