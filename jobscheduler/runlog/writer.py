"""The one writer of the log: lines from many threads, in order, and nobody waits for a disk.

Who writes an entry only puts it into a queue. The writer's thread takes what is there, a batch at a time, turns it
into lines, echoes them to standard error and appends them to the file; another thread has the system put them onto the
disk, within a second. When the file cannot be written, the lines are kept (up to a bound) and follow when it can; the
trouble is said once, and so is its end.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, groupby
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self

from jobscheduler.model import Entry, Event, Level, Mark, Record, Value
from jobscheduler.runlog.echo import Echo
from jobscheduler.runlog.file import LogFile, LogTaken
from jobscheduler.runlog.lines import as_json, as_text, line_of, priority_of
from jobscheduler.runlog.marks import Lines
from jobscheduler.runlog.opening import LogRefused

QUEUE = 100_000
"""How many entries may wait for the writer before further ones are counted instead of kept."""

KEPT = 16 * 1024 * 1024
"""How many bytes of lines are kept while the file cannot be written."""

RETRY = 1.0
"""How long after a failed write the next is tried, in seconds."""

FOLLOW = 5.0
"""How often the file's name is looked at while nothing is written, in seconds."""

BATCH = 500
"""How many entries are written at once at most."""

MANY = 4
"""A batch of so many entries means that several threads write at once."""

BUSY = 0.003
"""For so long after such a batch others of them are expected, in seconds."""

GATHER = 0.001
"""How long a batch is then left to grow, in seconds: each costs several system calls and changes of thread."""

HANGING = 10.0
"""How long the end waits for a disk that takes nothing, in seconds."""

LATE = 1.0
"""A batch that took longer to write than this was late, in seconds."""

SYNC = 0.5
"""How long after a write the disk is asked to have it, in seconds."""

_NO_DISK = frozenset({errno.EBADF, errno.EINVAL, errno.EROFS, errno.EMFILE})
"""What asking for a sync gives when there is nothing to sync: no file is open at the moment, or it is a pipe."""


class _Item(NamedTuple):
    """What is put into the queue at once: entries with nothing in between. `done` is called when they are written."""

    entries: Collection[Entry]
    done: Callable[[], object] | None = None
    is_mark: bool = False


class RunLog:
    """The one writer of the log. A context manager: leaving it writes what is waiting and closes the file."""

    def __init__(
        self,
        file: LogFile,
        *,
        form: str = "text",
        echo: int | None = 2,
        priorities: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        also: Callable[[Entry, bytes], object] = lambda entry, line: None,
    ) -> None:
        """`echo` is the descriptor that gets the same lines, with syslog priorities in front if so asked.

        `also` is given each entry with its line, on the writer's thread, and does not wait.
        """
        self._also = also
        self._file = file
        self._form = as_json if form == "json" else as_text
        self._echo_to = echo
        self._echo: Echo | None = None
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
        self._told_rotation = False
        self._told_sync = False
        self._taken = 0.0
        self._busy_until = 0.0
        self._closing = threading.Event()
        self._unsynced = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._syncer = threading.Thread(target=self._sync_all, name="log-sync", daemon=True)

    def __enter__(self) -> Self:
        self._echo = None if self._echo_to is None else Echo(self._echo_to)
        self._thread.start()
        self._syncer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._queue.put(None)
        self._thread.join(HANGING)
        self._closing.set()
        self._unsynced.set()
        self._syncer.join(5.0)
        if self._thread.is_alive():
            self._tell_lost(sum(_count(data) for data, _ in list(self._pending)) + self._queue.qsize(), is_marked=False)
        else:
            self._file.close()
        if self._echo is not None:
            self._echo.close()

    def write(self, *entries: Entry) -> None:
        """Have entries written, one after the other with nothing in between. Never waits."""
        self._put(_Item(entries))

    def mark(self, mark: Mark) -> None:
        """Have a mark written; its lines stay together whatever becomes of the file. Never waits."""
        self._put(_Item(Lines(mark, self._clock()), is_mark=True))

    def _put(self, item: _Item) -> bool:
        if self._queue.qsize() >= QUEUE:
            self._dropped += len(item.entries)
            return False
        self._queue.put(item)
        return True

    def write_then(self, entries: Iterable[Entry], then: Callable[[], object]) -> None:
        """Have entries written, and `then` called when they are, on the writer's thread. Never waits."""
        item = _Item(tuple(entries), then)
        if not self._put(item):
            if item.entries:
                self.tell_behind()
            then()

    def write_through(self, entry: Entry, timeout: float) -> bool:
        """Have an entry written and wait for that, `timeout` seconds at most; tell whether it was written by then.

        When it was not, the log says so, once until the writer has caught up.
        """
        if self._wait_for((entry,), timeout):
            return True
        self.tell_behind()
        return False

    def catch_up(self, timeout: float) -> bool:
        """Wait until what was given so far is written, `timeout` seconds at most; tell whether it was by then."""
        return self._wait_for((), timeout)

    def _wait_for(self, entries: tuple[Entry, ...], timeout: float) -> bool:
        done = threading.Lock()
        done.acquire()
        return self._put(_Item(entries, done.release)) and done.acquire(timeout=timeout)

    def tell_behind(self) -> None:
        """Say, once until the writer has caught up, that somebody did not wait any longer."""
        if not self._behind:
            self._behind = True
            self.event(Level.WARNING, "log.behind", problem="a run did not wait any longer for its line to be written")

    def event(self, level: Level, name: str, /, **values: Value | None) -> None:
        """Have an event written, with the present time; values that are None are left out."""
        self.write(self._told(level, name, **values))

    def is_alive(self) -> bool:
        """Tell whether the writer's thread runs."""
        return self._thread.is_alive()

    def stuck_for(self) -> float:
        """Return for how many seconds the writer has been at one batch; 0 when it waits for work."""
        taken = self._taken
        return time.monotonic() - taken if taken else 0.0

    def is_failing(self) -> bool:
        """Tell whether the file cannot be written at present, so that lines are kept for later."""
        return self._failed_at is not None

    # -- on the writer's thread

    def _write_all(self) -> None:
        running = True
        while running:
            items, running = self._take()
            self._taken = time.monotonic()
            self._put_out(items)
            for item in items:
                if item.done is not None:
                    item.done()
            if self._queue.empty() and time.monotonic() - self._taken < LATE:
                self._behind = False
            self._taken = 0.0
            if len(items) >= MANY:
                self._busy_until = time.monotonic() + BUSY
        for _ in range(2):  # the second time for what the first had to say about the log itself
            self._flush_pending(final=True)
        if self._pending:
            self._give_up()

    def _take(self) -> tuple[list[_Item], bool]:
        """Wait for entries, a moment at most, and take what is there. The second value is False when all is to end."""
        items: list[_Item] = []
        try:
            if time.monotonic() < self._busy_until:
                self._closing.wait(GATHER)
            item = self._queue.get(timeout=RETRY if self._pending else FOLLOW)
            while item is not None and len(items) < BATCH - 1:
                items.append(item)
                item = self._queue.get_nowait()
            if item is None:
                return items, False
            items.append(item)
        except Empty:
            pass
        return items, True

    def _put_out(self, items: list[_Item]) -> None:
        for is_mark, some in groupby(items, lambda item: item.is_mark):
            lines = self._lines(chain.from_iterable(item.entries for item in some))
            self._keep(b"".join(lines), is_mark=is_mark)
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            self._say(Level.WARNING, "log.behind", lost=lost)
        self._flush_pending()

    def _lines(self, batch: Iterable[Entry]) -> list[bytes]:
        """Turn entries into lines, and echo those at once."""
        lines, echoed = [], []
        for entry in batch:
            line = self._line(entry)
            lines.append(line)
            self._also(entry, line)
            echoed.append(priority_of(entry) + line if self._priorities else line)
        if self._echo is not None and echoed:
            self._echo.put(b"".join(echoed))
        return lines

    def _line(self, entry: Entry) -> bytes:
        try:
            return line_of(entry, self._form)
        except Exception as error:  # a value of some task that nobody can write; the rest of the line is needed
            why = (("unwritable", f"{type(error).__name__}: {error}"),)
            if isinstance(entry, Record):
                return line_of(replace(entry, details=why, output=None), self._form)
            return line_of(replace(entry, values=why), self._form)

    def _keep(self, data: bytes, *, is_mark: bool = False) -> None:
        if self._pending_bytes + len(data) > KEPT:
            self._unwritten += _count(data)
        elif data:
            self._pending.append((data, is_mark))
            self._pending_bytes += len(data)

    def _flush_pending(self, *, final: bool = False) -> None:
        """Append what is waiting; say when that fails, and when it works again (those lines follow in a second)."""
        if self._failed_at is not None and not final and time.monotonic() - self._failed_at < RETRY:
            return
        try:
            self._append_pending()
        except OSError as error:
            self._fail(error)
        else:
            self._restore()
        self._tell_rotation()

    def _append_pending(self) -> None:
        """Append what is waiting; without anything, at least look whether the name still means the open file."""
        if not self._pending:
            self._file.follow()
        while self._pending:
            data, is_mark = self._pending[0]
            written = self._file.append(data, is_mark=is_mark)
            self._unsynced.set()
            self._pending_bytes -= written
            if written < len(data):
                self._pending[0] = data[written:], is_mark
            else:
                self._pending.popleft()

    def _fail(self, error: OSError) -> None:
        first = self._failed_at is None
        self._failed_at = time.monotonic()
        if first:
            self._say(Level.ERROR, "log.lost", file=str(self._file.path), error=_reason(error))

    def _restore(self) -> None:
        if self._failed_at is None:
            return
        self._failed_at = None
        lost, self._unwritten = self._unwritten, 0
        self._say(Level.INFO, "log.restored", file=str(self._file.path), lines_not_kept=lost)

    def _give_up(self) -> None:
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
            return self._line(self._lost(lost + cut, is_marked=True)) + last

        try:
            cut = self._file.squeeze_in(len(lines(10**9)), lines) if last else 0
        except OSError:
            self._tell_lost(lost + _count(last), is_marked=False)
        else:
            self._tell_lost(lost + cut, is_marked=bool(last))

    def _tell_lost(self, lines: int, *, is_marked: bool) -> None:
        """Say on standard error, where they all are, how many lines are not in the file and never will be."""
        self.lines_lost = max(1, lines)
        self._lines([self._lost(lines, is_marked=is_marked)])

    def _lost(self, lines: int, *, is_marked: bool) -> Event:
        help_ = None if is_marked else "what has run since the last `service.alive` in the file may run once more"
        return self._told(Level.ERROR, "log.lost", file=str(self._file.path), lines=lines, help=help_)

    def _tell_rotation(self) -> None:
        error = self._file.rotation_error
        if error is not None and not self._told_rotation:
            self._say(Level.ERROR, "log.lost", file=str(self._file.path), error=f"cannot rotate: {_reason(error)}")
        elif error is None and self._told_rotation:
            self._say(Level.INFO, "log.restored", file=str(self._file.path), lines_not_kept=0)
        self._told_rotation = error is not None

    def _say(self, level: Level, name: str, **values: Value) -> None:
        """Put out an event about the log itself, from the writer's own thread."""
        self._keep(b"".join(self._lines([self._told(level, name, **values)])))

    def _told(self, level: Level, name: str, **values: Value | None) -> Event:
        given = tuple((key, value) for key, value in values.items() if value is not None)
        return Event(self._clock(), level, name, given)

    # -- on the syncing thread

    def _sync_all(self) -> None:
        while not self._closing.is_set():
            self._unsynced.wait()
            self._closing.wait(SYNC)  # what is written meanwhile goes with it
            self._unsynced.clear()
            self._sync()

    def _sync(self) -> None:
        """Have the system put the file onto the disk; say when it cannot, and when it can again."""
        try:
            self._file.sync()
        except OSError as error:
            if error.errno in _NO_DISK:
                return
            if not self._told_sync:
                self._told_sync = True
                self.event(Level.ERROR, "log.lost", file=str(self._file.path), error=f"cannot sync: {_reason(error)}")
        else:
            if self._told_sync:
                self._told_sync = False
                self.event(Level.INFO, "log.restored", file=str(self._file.path), lines_not_kept=0)


def _count(lines: bytes) -> int:
    return lines.count(b"\n")


def _reason(error: OSError) -> str:
    if isinstance(error, LogTaken | LogRefused):
        return str(error.strerror)
    return os.strerror(error.errno or 0).lower()
