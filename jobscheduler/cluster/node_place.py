"""The place of a node in its cluster, as the thread of the node takes it and gives it back.

The start of a service waits a little for the first try, because a name that is in use refuses the start. Later ones
only say so, once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from jobscheduler.cluster.identity import IdentityInUse
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import EventLogger, Level
from jobscheduler.util.text import format_error


class NodePlace:
    """Tries to join. `refused` is the other service that has the place, as long as one has.

    Thread: that of the node for `take` and `give_back`; any for the others.
    """

    def __init__(
        self,
        join: Callable[[], object],
        leave: Callable[[], object],
        note: Callable[[Unavailable | None], object],
        log_event: EventLogger,
    ) -> None:
        """`note` gets why the database cannot be used, and None when it can."""
        self._join = join
        self._leave = leave
        self._note = note
        self._log_event = log_event
        self._tried = threading.Event()
        self.refused: IdentityInUse | None = None

    def take(self) -> bool:
        """Try to join; return whether the node has its place now. Say why it has not."""
        failure: Unavailable | None = None
        refused: IdentityInUse | None = None
        try:
            self._join()
        except IdentityInUse as in_use:
            refused = in_use
        except Unavailable as reason:
            failure = reason
        except Exception as error:
            failure = Unavailable(format_error(error))
        self._note_refused(refused)
        self._note(failure)
        self._tried.set()
        return failure is None and refused is None

    def give_back(self) -> None:
        """Leave the cluster, if its database can be used."""
        with suppress(Unavailable):
            self._leave()

    def wait_tried(self, seconds: float) -> bool:
        """Wait until the first try to join is over, at most so many seconds; return whether it is."""
        return self._tried.wait(seconds)

    def _note_refused(self, refused: IdentityInUse | None) -> None:
        if refused is not None and self.refused is None and self._tried.is_set():
            self._log_event(Level.ERROR, "cluster.refused", problem=str(refused), help=refused.help)
        self.refused = refused
