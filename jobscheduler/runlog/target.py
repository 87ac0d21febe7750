"""What the lines of the log are written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class LogTarget(Protocol):
    """A file that rotates (`file`), or standard output (`stream`).

    `rotation_error` is why the last rotation failed, if it did. Any call may hang.
    """

    rotation_error: OSError | None

    @property
    def name(self) -> str:
        """The name under which the log speaks of it."""

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Write as many lines as fit; return their bytes. Raise `OSError` if nothing could be written."""

    def overwrite_tail(self, room: int, lines: Callable[[int], bytes]) -> int:
        """Write lines over the last ones there, and return how many those were. Raise `OSError` if that fails."""

    def reopen_if_replaced(self) -> None:
        """Ensure that what is open still has its name. Raise `OSError` if that fails."""

    def sync(self) -> None:
        """Have the disk keep what was written. Raise `OSError` if that fails."""

    def close(self) -> None:
        """Write no more."""
