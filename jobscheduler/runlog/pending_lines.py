"""The lines that wait for the file of the log, within a bound."""

from __future__ import annotations

from collections import deque

MAX_PENDING_BYTES = 16 * 1024 * 1024  # of lines that wait for the file


class PendingLines:
    """Lines in their order, in the pieces in which they came; a checkpoint is a piece of its own.

    Thread: the writer's; to ask whether it is empty, any.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[bytes, bool]] = deque()  # lines, and whether they are a checkpoint
        self._size = 0
        self._omitted = 0  # lines beyond the bound

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def size(self) -> int:
        """The number of bytes that wait."""
        return self._size

    def add(self, lines: bytes, *, is_checkpoint: bool) -> None:
        """Put lines at the end; count them instead if that would be too large."""
        if self._size + len(lines) > MAX_PENDING_BYTES:
            self._omitted += count_lines(lines)
        elif lines:
            self._pieces.append((lines, is_checkpoint))
            self._size += len(lines)

    def first(self) -> tuple[bytes, bool]:
        """Return the first piece, and whether it is a checkpoint."""
        return self._pieces[0]

    def remove_front(self, size: int) -> None:
        """Remove so many bytes of the first piece."""
        self._size -= size
        lines, is_checkpoint = self._pieces[0]
        if size < len(lines):
            self._pieces[0] = lines[size:], is_checkpoint
        else:
            self._pieces.popleft()

    def take_omitted(self) -> int:
        """Return how many lines did not fit, and count from 0 again."""
        omitted, self._omitted = self._omitted, 0
        return omitted

    def count(self) -> int:
        """Return how many lines wait. Thread: any."""
        return sum(count_lines(lines) for lines, _ in list(self._pieces))

    def from_last_checkpoint(self) -> tuple[int, bytes]:
        """Return how many lines come before the last checkpoint, and the lines from it on; none without a checkpoint.

        Lines that did not fit are among those before.
        """
        before, last = 0, b""
        for lines, is_checkpoint in self._pieces:
            if is_checkpoint:
                before, last = before + count_lines(last), lines
            elif last:
                last += lines
            else:
                before += count_lines(lines)
        return before + self._omitted, last


def count_lines(lines: bytes) -> int:
    """Count the lines."""
    return lines.count(b"\n")
