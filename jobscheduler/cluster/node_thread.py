"""The thread of a node: it joins the cluster, keeps its lease while the service lives, and takes the steps to lead.

While the database does not answer, or another service has the place of the node, this service stands by, and the thread
goes on trying.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from jobscheduler.cluster.leading import Leading
from jobscheduler.cluster.node_health import NodeLoop
from jobscheduler.cluster.node_place import NodePlace
from jobscheduler.model import EventLogger, Level
from jobscheduler.util.text import format_error

STEP_S = 0.25  # seconds from one step to the next, unless something happens before

JOIN_RETRY_S = 1.0  # seconds from a try to join the cluster to the next one

_CLOSE_WAIT_S = 8.0  # seconds that the end of a service waits for its place in the cluster to be given back


class NodeThread:
    """Takes the place of the node, then keeps `threads` entered and takes steps until it is closed. A context manager.

    At last it gives the place back.
    """

    def __init__(
        self,
        leading: Leading,
        place: NodePlace,
        threads: AbstractContextManager[object],
        *,
        release: Callable[[], object],
        wake: threading.Event,
        log_event: EventLogger,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`release` gives the lease back, and `wake` is set when it has changed."""
        self._leading = leading
        self._place = place
        self._threads = threads
        self._release = release
        self._log_event = log_event
        self._monotonic = monotonic
        self._allowed = threading.Event()
        self._wake = wake
        self._closing = threading.Event()
        self.loop = NodeLoop("node", self._run, self._closing.is_set)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Begin to join."""
        self.loop.start()

    def close(self) -> None:
        """Leave the cluster; wait some seconds for that, and no longer. A second call does no harm."""
        self._leading.leave()
        self._closing.set()
        self._allowed.set()
        self._wake.set()
        self.loop.join(_CLOSE_WAIT_S)

    def allow_lead(self) -> None:
        """Let the node lead from now on: the first sync is over, and the scheduler has started."""
        self._allowed.set()

    def hand_over(self) -> None:
        """Stand by, and give the lease back. Runs at work go on, and their outcomes are written. Waits for nothing."""
        self._leading.leave()
        self._wake.set()

    def _run(self) -> None:
        while not self._has_place():
            if self._closing.wait(JOIN_RETRY_S):
                return
        with ExitStack() as stack:
            stack.callback(self._place.give_back)
            self._allowed.wait()
            stack.enter_context(self._threads)
            while not self._closing.is_set():
                self._wake.wait(STEP_S)
                self._wake.clear()
                self._step()

    def _has_place(self) -> bool:
        self.loop.turn.begin()
        has_place = self._place.take()
        self.loop.turn.end()
        return has_place

    def _step(self) -> None:
        """Take a step. A fault in it is said, and tried again: the term ends by itself if it lasts."""
        self.loop.turn.begin()
        try:
            self._leading.step(self._monotonic())
        except Exception as error:
            self._log_event(Level.ERROR, "cluster.failed", problem=format_error(error))
            self._closing.wait(JOIN_RETRY_S)
        if self._leading.has_left:
            self._release()
        self.loop.turn.end()
