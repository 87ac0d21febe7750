"""The thread of a node: it joins the cluster, keeps its lease while the service lives, and takes the steps to lead.

The start of a service waits a little for the first try to join, because a name that is in use refuses the start.
Whether the database answers or not, the service then stands by, and this thread goes on trying.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Self

from jobscheduler.cluster.identity import IdentityInUse
from jobscheduler.cluster.leading import Leading
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import EventLogger, Level
from jobscheduler.util.text import format_error

STEP_S = 0.25  # seconds from one step to the next, unless something happens before

JOIN_RETRY_S = 1.0  # seconds from a try to join the cluster to the next one

_CLOSE_WAIT_S = 8.0  # seconds that the end of a service waits for its place in the cluster to be given back


class NodeThread:
    """Joins, then keeps `threads` entered and takes steps until it is closed; then it leaves. A context manager.

    `join` takes the place of the node, `leave` gives it back. `refused` is set while another service has the place.
    """

    def __init__(
        self,
        leading: Leading,
        join: Callable[[], object],
        leave: Callable[[], object],
        threads: AbstractContextManager[object],
        *,
        release: Callable[[], object],
        wake: threading.Event,
        log_event: EventLogger,
        note: Callable[[Unavailable | None], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`release` gives the lease back, and `wake` is set when it has changed.

        `note` gets why the database cannot be used, and None when it can.
        """
        self._leading = leading
        self._join = join
        self._leave = leave
        self._threads = threads
        self._release = release
        self._log_event = log_event
        self._note = note
        self._monotonic = monotonic
        self._tried = threading.Event()
        self._allowed = threading.Event()
        self._wake = wake
        self._closing = threading.Event()
        self.refused: IdentityInUse | None = None
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Begin to join."""
        self._thread.start()

    def close(self) -> None:
        """Leave the cluster; wait some seconds for that, and no longer. A second call does no harm."""
        self._leading.leave()
        self._closing.set()
        self._allowed.set()
        self._wake.set()
        self._thread.join(_CLOSE_WAIT_S)

    def wait_tried(self, seconds: float) -> bool:
        """Wait until the first try to join is over, at most so many seconds; return whether it is."""
        return self._tried.wait(seconds)

    def allow_lead(self) -> None:
        """Let the node lead from now on: the first sync is over, and the scheduler has started."""
        self._allowed.set()

    def hand_over(self) -> None:
        """Stand by, and give the lease back. Runs at work go on, and their outcomes are written. Waits for nothing."""
        self._leading.leave()
        self._wake.set()

    def _run(self) -> None:
        while not self._has_joined():
            if self._closing.wait(JOIN_RETRY_S):
                return
        with ExitStack() as stack:
            stack.callback(self._leave_at_last)
            self._allowed.wait()
            stack.enter_context(self._threads)
            while not self._closing.is_set():
                self._wake.wait(STEP_S)
                self._wake.clear()
                self._step()

    def _has_joined(self) -> bool:
        """Try to join; say why that fails, once."""
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
        if refused is not None and self.refused is None and self._tried.is_set():
            self._log_event(Level.ERROR, "cluster.refused", problem=str(refused), help=refused.help)
        self.refused = refused
        self._note(failure)
        self._tried.set()
        return failure is None and refused is None

    def _step(self) -> None:
        """Take a step. A fault in it is said, and tried again: the term ends by itself if it lasts."""
        try:
            self._leading.step(self._monotonic())
        except Exception as error:
            self._log_event(Level.ERROR, "cluster.failed", problem=format_error(error))
            self._closing.wait(JOIN_RETRY_S)
        if self._leading.has_left:
            self._release()

    def _leave_at_last(self) -> None:
        with suppress(Unavailable):
            self._leave()
