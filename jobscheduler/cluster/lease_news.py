"""What an answer about the lease means for the rest of a node, beside who leads."""

from __future__ import annotations

import threading

from jobscheduler.cluster.boot_knowledge import BootKnowledge
from jobscheduler.cluster.database_watch import DatabaseWatch
from jobscheduler.cluster.lease import Standing
from jobscheduler.cluster.node_reports import SkewReport
from jobscheduler.database.errors import Unavailable


class LeaseNews:
    """Passes on what an answer says. Thread: that of the lease.

    `changed` is set when the node has got or lost the lease; `asked` while people ask something of it as the leader.
    """

    def __init__(self, watch: DatabaseWatch, skew: SkewReport, boot: BootKnowledge) -> None:
        self.changed = threading.Event()
        self.asked = threading.Event()
        self._watch = watch
        self._skew = skew
        self._boot = boot

    def note(self, before: Standing, after: Standing, failure: Unavailable | None) -> None:
        """Note how the node stands before and after an answer, or why there was none."""
        self._watch.note("lease", failure)
        if failure is None:
            self._skew.note(after.skew)
            self._boot.note_standing(after)
            if after.term is not None and after.seen is not None and after.seen.has_requests:
                self.asked.set()
        if before.term != after.term:
            self.changed.set()
