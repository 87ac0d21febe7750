"""An alert that is to be sent, and the alerts with which it forms a queue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import urlsplit

from jobscheduler.alerts.payload import with_changes
from jobscheduler.model import TaskSpec
from jobscheduler.runner import AttemptResult
from jobscheduler.tasks import Alert

Key = tuple[str, TaskSpec | None]  # equal for alerts that are sent one after the other


@dataclass(frozen=True, slots=True)
class AlertEnd:
    """What came of an alert: None or the reason of its failure, and its result; `duration` is seconds."""

    reason: str | None
    result: AttemptResult
    duration: float


@dataclass(frozen=True)
class PendingAlert:
    """An alert that is to be sent: its task, and the payload for it. `jobs` are those of a summary.

    `on_end` is called with what came of it. Such an alert, a test, has a queue of its own and waits for no other.
    """

    task: TaskSpec
    alert: Alert
    changes: int = 1
    jobs: tuple[str, ...] = ()
    on_end: Callable[[AlertEnd], object] | None = field(default=None, compare=False)

    @property
    def job_id(self) -> str:
        """The job that changed; of a summary, the number of jobs in words."""
        return f"{len(self.jobs)} jobs" if self.jobs else self.alert.record.job_id

    @property
    def key(self) -> Key:
        """The key of its queue: other alerts of its job, or other summaries for its task."""
        if self.on_end is not None:
            return (f"test {id(self)}", None)
        return (self.job_id, None) if not self.jobs else ("", self.task)

    @property
    def job_names(self) -> tuple[str, ...]:
        """All jobs that changed."""
        return self.jobs or (self.job_id,)

    @cached_property
    def receiver(self) -> str:
        """The receiver, as far as the task names it: the server of its URL, else the task itself.

        The address of a `notify` may be a token as a whole, and one message may go to several.
        """
        params = self.task.params
        if self.task.type == "notify":
            named = json.dumps([params.get("to"), params.get("to_file")])
            return f"notify {hashlib.sha256(named.encode()).hexdigest()[:16]}"
        url = params.get("url")
        server = urlsplit(url).netloc.rpartition("@")[2] if isinstance(url, str) else ""
        return server or f"{self.task.type} {self.task.params_json}"


def merge(former: PendingAlert, latest: PendingAlert) -> PendingAlert:
    """Return the later of two alerts of one queue, with the changes or the jobs of both."""
    if latest.jobs:
        return replace(latest, jobs=tuple(dict.fromkeys((*former.jobs, *latest.jobs))))
    changes = former.changes + latest.changes
    return replace(latest, alert=with_changes(latest.alert, changes), changes=changes)
