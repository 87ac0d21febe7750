"""Where definitions come from. A source answers completely, or says that it cannot: unknown is never empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jobscheduler.model import Fingerprint, Problem


class SourceUnavailable(Exception):
    """The source cannot be read now, so nothing is known; what was known stands. `help` is the way out."""

    def __init__(self, message: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.help = help


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One item as found: its bytes, or the problem that kept them from being read, or neither when it is gone.

    `written` is when it was last changed, in seconds since the epoch. `again` says that it may change once more without
    its signature telling, so that it has to be read again at the next look at everything. `is_public` says that all
    users of the host may read it.
    """

    name: str
    fingerprint: Fingerprint = None
    raw: bytes | None = None
    problem: Problem | None = None
    modified_at: float = 0.0
    reread: bool = False
    is_public: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether there is no such item."""
        return self.raw is None and self.problem is None


class SourceView(Protocol):
    """One consistent look at a source."""

    def is_same_place(self) -> bool:
        """Tell whether this is the place that was last listed, so that what is not in it is gone from it."""

    def list_items(self) -> Mapping[str, Fingerprint]:
        """List all items, completely.

        Raises:
            SourceUnavailable: it could not be listed.

        """

    def read(self, name: str) -> ReadResult:
        """Read one item.

        Raises:
            SourceUnavailable: it cannot be told what the item is.

        """

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        """Read these items one after the other; raises as `read` does."""


class Source(Protocol):
    """A place that holds definitions.

    `kind` is its word in the log (`directory.lost`), `noun` the one for its items (`file`). The names of its items
    begin with `prefix`, and those of no other source do; the one without a prefix has all names in which there is no
    `/`. `is_exact` says that what it tells is never half-done: an item that is gone or bad needs no quiet second then.
    """

    kind: str
    noun: str
    prefix: str
    is_atomic: bool

    def open(self) -> AbstractContextManager[SourceView]:
        """Open it for one pass.

        Raises:
            SourceUnavailable: it is not there or cannot be read.

        """
