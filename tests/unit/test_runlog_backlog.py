"""The backlog of the log, without a thread: lines wait for a file that cannot be written, and follow in order."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

from jobscheduler.model import Event, Level
from jobscheduler.runlog import LogFile
from jobscheduler.runlog.backlog import Backlog
from jobscheduler.runlog.entry_queue import MAX_BATCH_ENTRIES, EntryQueue, QueuedEntries
from jobscheduler.runlog.line_encoder import LineEncoder
from jobscheduler.runlog.pending_lines import MAX_PENDING_BYTES
from tests.support.service import parse_line

AT = datetime(2026, 11, 22, 1, tzinfo=UTC)


class FullDisk(LogFile):
    """A log file on a disk that is full while `is_full` is set."""

    is_full = True

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Fail like a full disk."""
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().append(data, is_checkpoint=is_checkpoint)


def make_backlog(file: LogFile) -> Backlog:
    """Return a backlog that writes text and copies nothing."""
    return Backlog(file, LineEncoder(form="text", echo=None, priorities=False), lambda: AT)


def kinds(path: Path) -> list[str]:
    """Return the status or event of each line."""
    return [parse_line(line)["word"] for line in path.read_text().splitlines()]


def test_lines_wait_for_a_full_disk_and_follow_in_order(tmp_path: Path) -> None:
    """The failure is logged once, behind the line that met it, and its end once."""
    file = FullDisk(tmp_path / "log", 10**6, 1)
    backlog = make_backlog(file)
    backlog.add_event(Level.INFO, "first")
    backlog.flush()
    backlog.add_event(Level.INFO, "second")
    backlog.flush(is_final=True)
    assert backlog.is_failing()
    assert not backlog.is_empty()

    file.is_full = False
    backlog.flush(is_final=True)
    assert not backlog.is_failing()
    backlog.flush()
    assert backlog.is_empty()
    assert kinds(tmp_path / "log") == ["first", "log.lost", "second", "log.restored"]


def test_lines_beyond_the_bound_are_counted(tmp_path: Path) -> None:
    """The number stands in the line that says that the file can be written again."""
    file = FullDisk(tmp_path / "log", 10**9, 1)
    backlog = make_backlog(file)
    backlog.add(b"x" * (MAX_PENDING_BYTES - 1) + b"\n")
    backlog.add(b"one\ntwo\n")
    file.is_full = False
    backlog.fail("a reason")
    backlog.flush(is_final=True)
    backlog.flush()

    lines = (tmp_path / "log").read_text().splitlines()
    assert parse_line(lines[-1])["lines_not_kept"] == "3"  # with the line about the failure itself


def test_lines_that_are_never_written_are_counted_at_the_end(tmp_path: Path) -> None:
    """Without a checkpoint among them nothing is overwritten."""
    backlog = make_backlog(FullDisk(tmp_path / "log", 10**6, 1))
    backlog.add(b"one\ntwo\n")
    backlog.finish()

    assert backlog.lines_lost == 3  # with the line about the failure itself


def test_a_batch_is_bounded_and_a_closed_queue_ends_behind_its_last_entry() -> None:
    """A writer takes at most so many entries at once, in order, and learns of the end with the last ones."""
    queue = EntryQueue()
    for number in range(MAX_BATCH_ENTRIES + 1):
        queue.put(QueuedEntries((Event(AT, Level.INFO, f"e{number}"),)))
    queue.close()

    assert len(queue) == MAX_BATCH_ENTRIES + 1
    first = queue.next_batch(1)
    assert (len(first), queue.has_ended) == (MAX_BATCH_ENTRIES, False)
    assert [item.entries for item in queue.next_batch(1)] == [(Event(AT, Level.INFO, f"e{MAX_BATCH_ENTRIES}"),)]
    assert queue.has_ended
    assert len(queue) == 0
