"""Where definitions come from. A source answers completely or raises: unknown is never empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jobscheduler.model import Fingerprint, Problem


class SourceUnavailable(Exception):
    """The source cannot be read now, so nothing is known, and the last answer stands. `help` says what to do."""

    def __init__(self, message: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.help = help


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One item as read: its bytes, or the problem that kept them from being read, or neither if it is missing.

    `modified_at` is in seconds since the epoch. With `reread` the next full sync must read the item again, because it
    may change once more and keep its fingerprint. `public_path` is its path if all users of the host may read it.
    """

    name: str
    fingerprint: Fingerprint = None
    raw: bytes | None = None
    problem: Problem | None = None
    modified_at: float = 0.0
    reread: bool = False
    public_path: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is no such item."""
        return self.raw is None and self.problem is None


class SourceView(Protocol):
    """A source, open for one sync."""

    def is_same_place(self) -> bool:
        """Return whether this is the place that was last listed, so that an item it does not have was removed."""

    def list_items(self) -> Mapping[str, Fingerprint]:
        """Return the fingerprints of all items.

        Raises:
            SourceUnavailable: it could not be listed completely.

        """

    def read(self, name: str) -> ReadResult:
        """Read one item.

        Raises:
            SourceUnavailable: nothing is known about the item.

        """

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        """Read these items one after the other. Raises as `read` does."""


class Source(Protocol):
    """A place that holds definitions.

    `kind` is its word in the log (`directory.lost`), `noun` the word for its items (`file`). Only the names of its own
    items begin with `prefix`. A source without a prefix has all names without a `/`. `is_atomic`: its answers are
    never half-written, so bad news about an item counts at once.
    """

    kind: str
    noun: str
    prefix: str
    is_atomic: bool

    def open(self) -> AbstractContextManager[SourceView]:
        """Open it for one sync.

        Raises:
            SourceUnavailable: it does not exist or cannot be read.

        """
