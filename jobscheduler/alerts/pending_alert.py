"""An alert that is to be given, and which others it belongs together with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import urlsplit

from jobscheduler.alerts.payload import with_changes
from jobscheduler.model import TaskSpec
from jobscheduler.tasks import Alert

Key = tuple[str, TaskSpec | None]
"""What alerts have in common that are given one after the other."""


@dataclass(frozen=True)
class PendingAlert:
    """An alert that is to be given: what to do, and what it is told."""

    task: TaskSpec
    alert: Alert
    changes: int = 1
    jobs: tuple[str, ...] = ()

    @property
    def job_id(self) -> str:
        """The job that it is about; of a summary, a name for what it is about."""
        return f"{len(self.jobs)} jobs" if self.jobs else self.alert.record.job_id

    @property
    def key(self) -> Key:
        """What it must not overtake: other alerts of its job, or summaries for its task."""
        return (self.job_id, None) if not self.jobs else ("", self.task)

    @property
    def job_names(self) -> tuple[str, ...]:
        """All jobs that it is about."""
        return self.jobs or (self.job_id,)

    @cached_property
    def receiver(self) -> str:
        """Where it goes to, as far as that can be told from the task."""
        url = self.task.params.get("url")
        server = urlsplit(url).netloc.rpartition("@")[2] if isinstance(url, str) else ""
        return server or f"{self.task.type} {self.task.params_json}"


def merge(former: PendingAlert, latest: PendingAlert) -> PendingAlert:
    """Return the latest of two alerts of one job, or of two summaries, that stands for both."""
    if latest.jobs:
        return replace(latest, jobs=tuple(dict.fromkeys((*former.jobs, *latest.jobs))))
    changes = former.changes + latest.changes
    return replace(latest, alert=with_changes(latest.alert, changes), changes=changes)
