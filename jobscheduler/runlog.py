"""The log: lines from many threads, one writer, one file that rotates by size.

Who writes an entry only puts it into a queue. The writer's thread takes what is there, a batch at a time, turns it
into lines, echoes them to standard error and appends them to the file. When the file cannot be written, the lines are
kept (up to a bound) and follow when it can; the trouble is said once, and so is its end.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from jobscheduler.model import Entry, Event, Level, Record, Value

MAX_LINE = 16 * 1024
"""The longest line, in bytes."""

MAX_VALUE = 2048
"""The longest text that a value may carry, in characters; more is cut at the front, where it matters less."""

QUEUE = 100_000
"""How many entries may wait for the writer before further ones are counted instead of kept."""

KEPT = 16 * 1024 * 1024
"""How many bytes of lines are kept while the file cannot be written."""

RETRY = 1.0
"""How long after a failed write the next is tried, in seconds."""

BATCH = 500
"""How many entries are written at once at most."""

# --- entries to lines ------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[A-Za-z0-9!#$%&()*+,./:;<>?@^_{|}~\[\]-]+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_PRIORITY = {"INFO": b"<6>", "SUCCESS": b"<6>", "WARNING": b"<4>", "SKIPPED": b"<5>", "MISSED": b"<4>"}
_LOUDEST = b"<3>"


def instant_text(at: datetime, *, exact: bool = False) -> str:
    """Write an instant in UTC; milliseconds are left out where they are zero, unless `exact`."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    if not exact and at.microsecond == 0:
        return at.isoformat()[:-6] + "Z"
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"


def as_text(entry: Entry) -> str:
    """Return the line of an entry in the form that people read, without its end."""
    word = entry.status.value if isinstance(entry, Record) else f"{entry.level.value} {entry.name}"
    pairs = [f"{key}={_quoted(_plain(value))}" for key, value in entry.pairs()]
    return " ".join((instant_text(entry.at, exact=True), word, *pairs))


def as_json(entry: Entry) -> str:
    """Return the line of an entry as one JSON object, without its end."""
    head: dict[str, Value] = {"time": instant_text(entry.at, exact=True)}
    if isinstance(entry, Record):
        head["status"] = entry.status.value
    else:
        head |= {"level": entry.level.value, "event": entry.name}
    return json.dumps(head | {key: _native(value) for key, value in entry.pairs()}, ensure_ascii=True)


def _plain(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return instant_text(value)
        case float():
            return f"{value:.3f}"
        case str():
            return _clipped(value)
        case _:
            return str(value)


def _native(value: Value) -> Value:
    match value:
        case datetime():
            return instant_text(value)
        case float():
            return round(value, 3)
        case str():
            return _clipped(value)
        case _:
            return value


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_VALUE else "…" + text[1 - MAX_VALUE :]


def _quoted(text: str) -> str:
    """Write a text bare if nothing in it can be taken for something else, otherwise as a JSON string.

    What does not print (control characters, half surrogates from odd file names, right-to-left marks) is escaped in
    either form, so nothing that a job prints or is called can forge a line.
    """
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isascii() and quoted.isprintable() else _UNPRINTABLE.sub(_escaped, quoted)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def _line(entry: Entry, form: Callable[[Entry], str]) -> bytes:
    """Return the bytes of a line; one that would be too long loses its longest values' beginnings."""
    line = form(entry).encode("utf-8", "backslashreplace")
    allowed = MAX_VALUE
    while len(line) >= MAX_LINE:
        allowed //= 2
        line = form(_shortened(entry, allowed)).encode("utf-8", "backslashreplace")
    return line + b"\n"


def _shortened(entry: Entry, allowed: int) -> Entry:
    def cut(value: Value) -> Value:
        return "…" + value[-allowed:] if isinstance(value, str) and len(value) > allowed else value

    if isinstance(entry, Event):
        return replace(entry, values=tuple((key, cut(value)) for key, value in entry.values))
    output = entry.output and str(cut(entry.output))
    return replace(entry, output=output, details=tuple((key, cut(value)) for key, value in entry.details))


# --- the file --------------------------------------------------------------------------------------------


class LogFile:
    """An append-only file that rotates by size: `scheduler.log`, `scheduler.log.1`, … the oldest last.

    If something else renames or removes it, writing goes on in a new file of the old name. A rotation that fails
    leaves everything as it is, and the file grows until one succeeds.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self.path = path
        self.rotation_error: OSError | None = None
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor = -1
        self._size = 0

    def append(self, data: bytes) -> int:
        """Write as much as goes and return how many bytes that was; rotate first if it would get too large.

        Raises:
            OSError: nothing could be written.

        """
        self._follow()
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        written = os.write(self._descriptor, data)
        self._size += written
        return written

    def sync(self) -> None:
        """Have the system put what was written onto the disk."""
        if self._descriptor >= 0:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _follow(self) -> None:
        """Make sure that what is open is what stands under the name."""
        if self._descriptor >= 0:
            try:
                named, held = self.path.stat(), os.fstat(self._descriptor)
                if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                    self._size = held.st_size
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._open()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._size += os.write(self._descriptor, b"\n")  # a crash cut the last line short: do not continue it

    def _rotate(self) -> None:
        try:
            for number in range(self._backups - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number).replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        except OSError as error:
            self.rotation_error = error
            return
        self.rotation_error = None
        self.close()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class Echo:
    """Copies lines to standard error, on a thread of its own: whoever does not read there must not hold up the log.

    What it has not taken after `BOUND` bytes is left out, and how many lines that were is said there when it goes on.
    """

    BOUND = 4 * 1024 * 1024

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._size = 0
        self._left_out = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="echo", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Have lines copied; never waits."""
        with self._lock:
            if self._size + len(data) > self.BOUND:
                self._left_out += data.count(b"\n")
                return
            self._size += len(data)
        self._queue.put(data)

    def close(self, seconds: float = 1.0) -> None:
        """Copy what is left, unless nobody takes it in this time."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            with suppress(OSError):  # nobody listens any more; the file has it all
                self._copy(data)

    def _copy(self, data: bytes) -> None:
        size = len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        finally:
            with self._lock:
                self._size -= size
                left_out, self._left_out = self._left_out, 0
        if left_out:
            os.write(self._descriptor, f"... {left_out} lines left out here, see the log file\n".encode())


# --- the writer ------------------------------------------------------------------------------------------


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
    ) -> None:
        """`echo` is the descriptor that gets the same lines, with syslog priorities in front if so asked."""
        self._file = file
        self._form = as_json if form == "json" else as_text
        self._echo_to = echo
        self._echo: Echo | None = None
        self._priorities = priorities
        self._clock = clock
        self._queue: SimpleQueue[tuple[Entry | None, threading.Lock | None]] = SimpleQueue()
        self._dropped = 0
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._unwritten = 0
        self._failed_at: float | None = None
        self._told_rotation = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)

    def __enter__(self) -> Self:
        self._echo = None if self._echo_to is None else Echo(self._echo_to)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._queue.put((None, None))
        self._thread.join()
        self._file.close()
        if self._echo is not None:
            self._echo.close()

    def write(self, entry: Entry) -> None:
        """Have an entry written. Never waits."""
        if self._queue.qsize() >= QUEUE:
            self._dropped += 1
            return
        self._queue.put((entry, None))

    def write_through(self, entry: Entry, timeout: float) -> bool:
        """Have an entry written and wait for that, `timeout` seconds at most; tell whether it was written by then."""
        if self._queue.qsize() >= QUEUE:
            self._dropped += 1
            return False
        done = threading.Lock()
        done.acquire()
        self._queue.put((entry, done))
        return done.acquire(timeout=timeout)

    def event(self, level: Level, name: str, /, **values: Value | None) -> None:
        """Have an event written, with the present time; values that are None are left out."""
        given = tuple((key, value) for key, value in values.items() if value is not None)
        self.write(Event(self._clock(), level, name, given))

    def is_alive(self) -> bool:
        """Tell whether the writer's thread runs."""
        return self._thread.is_alive()

    # -- on the writer's thread

    def _write_all(self) -> None:
        running = True
        while running:
            batch, waiting, running = self._take()
            self._put_out(batch)
            for done in waiting:
                done.release()
        for _ in range(2):  # the second time for what the first had to say about the log itself
            self._flush_pending(final=True)

    def _take(self) -> tuple[list[Entry], list[threading.Lock], bool]:
        """Wait for an entry, then take what else is there. The third value is False when the log is to end."""
        batch: list[Entry] = []
        waiting: list[threading.Lock] = []
        try:
            entry, done = self._queue.get(timeout=RETRY if self._pending else None)
            while entry is not None:
                batch.append(entry)
                if done is not None:
                    waiting.append(done)
                if len(batch) == BATCH:
                    return batch, waiting, True
                entry, done = self._queue.get_nowait()
        except Empty:
            return batch, waiting, True
        return batch, waiting, False

    def _put_out(self, batch: list[Entry]) -> None:
        lines = self._lines(batch)
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            lines += self._lines([self._told(Level.WARNING, "log.behind", lost=lost)])
        self._keep(b"".join(lines))
        self._flush_pending()

    def _lines(self, batch: Iterable[Entry]) -> list[bytes]:
        """Turn entries into lines, and echo those at once."""
        lines, echoed = [], []
        for entry in batch:
            line = _line(entry, self._form)
            lines.append(line)
            word = entry.status.value if isinstance(entry, Record) else entry.level.value
            echoed.append(_PRIORITY.get(word, _LOUDEST) + line if self._priorities else line)
        if self._echo is not None and echoed:
            self._echo.put(b"".join(echoed))
        return lines

    def _keep(self, data: bytes) -> None:
        if self._pending_bytes + len(data) > KEPT:
            self._unwritten += data.count(b"\n")
        elif data:
            self._pending.append(data)
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
        while self._pending:
            data = self._pending.popleft()
            try:
                written = self._file.append(data)
            except OSError:
                self._pending.appendleft(data)
                raise
            self._pending_bytes -= written
            if written < len(data):
                self._pending.appendleft(data[written:])

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

    def _told(self, level: Level, name: str, **values: Value) -> Event:
        return Event(self._clock(), level, name, tuple(values.items()))


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
