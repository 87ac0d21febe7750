"""The queues of alerts that wait to be sent: one for each job, and one for the summaries of each task.

1. A queue holds two alerts, the first change and the latest; those in between cancel out and are counted.
2. At most one alert of a queue is in progress. A queue is ready while it has an alert and none is in progress.
3. The alert to take is the oldest of the first ready queue whose receiver has capacity.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import chain

from jobscheduler.alerts.pending_alert import Key, PendingAlert, merge

MAX_PER_RECEIVER = 4  # alerts that are sent at once to the server of a URL, else of one and the same task
MAX_WAITING_OF_JOB = 2  # queued alerts of one job
MAX_WAITING = 2000  # queued alerts of all jobs; further ones are dropped, and their jobs logged
MAX_NAMED_JOBS = 200  # in one line of the log


class AlertQueues:
    """Queues of alerts, and the names of the jobs whose alerts were dropped.

    Lock: held by the caller of every method.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._queues: dict[Key, deque[PendingAlert]] = {}
        self._ready: deque[Key] = deque()
        self._in_progress: dict[Key, PendingAlert] = {}
        self._dropped: list[str] = []
        self._waiting = 0
        self.is_closed = False

    def is_idle(self) -> bool:
        """Return whether no alert waits or is in progress."""
        return not self._in_progress and not self._waiting

    def job_names(self) -> list[str]:
        """Return the jobs with an alert that waits or is in progress."""
        dues = chain(self._in_progress.values(), *self._queues.values())
        return [name for due in dues for name in due.job_names]

    def put(self, due: PendingAlert) -> bool:
        """Queue an alert, or drop it if there are too many; return whether its queue has become ready."""
        queue = self._queues.get(due.key)
        if queue is not None and len(queue) >= MAX_WAITING_OF_JOB:
            queue.append(merge(queue.pop(), due))
        elif self.is_closed or self._waiting >= self._max_waiting:
            self._dropped += due.job_names
        else:
            queue = self._queues.setdefault(due.key, deque())
            queue.append(due)
            self._waiting += 1
            if len(queue) == 1 and due.key not in self._in_progress:
                self._ready.append(due.key)
                return True
        return False

    def has_next(self) -> bool:
        """Return whether an alert may be sent now."""
        return self._next_key() is not None

    def take(self) -> PendingAlert | None:
        """Take the next alert that may be sent now, if any; it is in progress until `finish`."""
        key = self._next_key()
        if key is None:
            return None
        self._ready.remove(key)
        self._waiting -= 1
        due = self._in_progress[key] = self._queues[key].popleft()
        return due

    def _next_key(self) -> Key | None:
        active = Counter(due.receiver for due in self._in_progress.values())
        return next((key for key in self._ready if active[self._queues[key][0].receiver] < MAX_PER_RECEIVER), None)

    def finish(self, due: PendingAlert) -> None:
        """End an alert that is in progress: its queue is ready again if it has another one."""
        del self._in_progress[due.key]
        if self._queues.get(due.key):
            self._ready.append(due.key)
        else:
            self._queues.pop(due.key, None)

    def close(self) -> None:
        """Drop every alert that waits, and those that follow."""
        self.is_closed = True
        self._dropped += [name for queue in self._queues.values() for due in queue for name in due.job_names]
        self._waiting = 0
        self._queues.clear()
        self._ready.clear()

    def pop_dropped(self) -> list[str]:
        """Return the jobs whose dropped alerts are to be logged now: while the queues are full, only many at once."""
        if not self.is_closed and self._waiting >= self._max_waiting and len(self._dropped) < MAX_NAMED_JOBS:
            return []
        dropped, self._dropped = self._dropped, []
        return dropped
