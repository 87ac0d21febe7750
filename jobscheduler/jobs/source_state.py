"""How each source stands: whether it can be read, and whether a sync has read it to its end."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from jobscheduler.jobs.sources import Source, SourceUnavailable
from jobscheduler.model import EventLogger, Level


class SourceState(Enum):
    """How the last sync found a source."""

    INCOMPLETE = "incomplete"  # not read to its end: it is new, or the sync was stopped half-way
    COMPLETE = "complete"  # read to its end
    UNAVAILABLE = "unavailable"  # cannot be read, and the log says so
    RETURNING = "returning"  # can be read again, but the log still says that it cannot


class FirstReadState(Enum):
    """Whether a sync has read a source since the start of the service."""

    NEW = "new"  # no sync has tried: what it holds is old news
    LATE = "late"  # it was unavailable at first: what it holds is news, but its slots since the start are undecided
    READ = "read"


class TrackedSource:
    """One source and its state.

    Lock: the caller holds that of the reconciler to change the state. Any thread may read it.
    """

    def __init__(self, source: Source, log_event: EventLogger) -> None:
        self.source = source
        self._log_event = log_event
        self.state = SourceState.INCOMPLETE
        self.first_read = FirstReadState.NEW
        self.reason = SourceUnavailable("it cannot be read")

    @property
    def is_unavailable(self) -> bool:
        """Whether the source cannot be read, so that its items are unknown."""
        return self.state is SourceState.UNAVAILABLE

    @property
    def is_complete(self) -> bool:
        """Whether the last sync read the source to its end."""
        return self.state is SourceState.COMPLETE

    @property
    def is_new(self) -> bool:
        """Whether no sync has tried to read the source yet."""
        return self.first_read is FirstReadState.NEW

    def covers(self, name: str) -> bool:
        """Return whether an item of this name belongs to the source."""
        prefix = self.source.prefix
        return name.startswith(prefix) if prefix else "/" not in name

    def begin_sync(self) -> None:
        """Note that a sync begins to read the source."""
        if self.is_complete:
            self.state = SourceState.INCOMPLETE

    def set_listed(self) -> None:
        """Note that the items are known again, so that bad news about them may settle."""
        if self.is_unavailable:
            self.state = SourceState.RETURNING

    def set_complete(self) -> None:
        """Note that a sync has read the source to its end; log that it can be read again."""
        if self.state is SourceState.RETURNING:
            self._log_event(Level.INFO, f"{self.source.kind}.found")
        self.state = SourceState.COMPLETE

    def set_unavailable(self, reason: SourceUnavailable, active_items: Iterable[str]) -> None:
        """Note that the source cannot be read; log it once, with the number of its jobs that stay active."""
        if self.state not in {SourceState.UNAVAILABLE, SourceState.RETURNING}:
            kind, jobs = self.source.kind, sum(map(self.covers, active_items))
            self._log_event(Level.ERROR, f"{kind}.lost", problem=str(reason), help=reason.help, jobs=jobs)
        self.state, self.reason = SourceState.UNAVAILABLE, reason
        if self.is_new:
            self.first_read = FirstReadState.LATE

    def set_applied(self) -> None:
        """Note that a sync has read the source and applied what it found."""
        self.first_read = FirstReadState.READ
