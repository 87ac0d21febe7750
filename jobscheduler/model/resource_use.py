"""What a command has used: processor time and memory."""

from __future__ import annotations

from dataclasses import dataclass

from jobscheduler.model.entries import LogFields


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What a command has used.

    `cpu` is seconds, user and system, of its main process and all that this waited for. `max_rss` is the most memory
    that its largest process has had, in bytes; of a run with a control group it is the most that the group has had. It
    is None if it is not known.
    """

    cpu: float
    max_rss: int | None = None

    def with_earlier(self, earlier: ResourceUse | None) -> ResourceUse:
        """Return the use of this and of an earlier attempt together."""
        if earlier is None:
            return self
        most = [size for size in (self.max_rss, earlier.max_rss) if size is not None]
        return ResourceUse(self.cpu + earlier.cpu, max(most, default=None))

    def fields(self) -> LogFields:
        """Return the keys and values of a log line."""
        cpu: LogFields = (("cpu", round(self.cpu, 3)),)
        return cpu if self.max_rss is None else (*cpu, ("max_rss", self.max_rss))
