"""Whether the threads of a node are alive and on time.

Each answer of a database is waited for some seconds at most, so a thread that is at one turn for much longer is stuck.
A database that is away makes no thread late.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from jobscheduler.util.turn_timer import TurnTimer

LATE_AFTER_S = 60.0  # seconds of one turn until a thread is late; finding a server by its name may take half of that


class NodeLoop:
    """The thread of one loop, with the time of its turns. `is_over`: it is to end. Thread: any, but for `turn`."""

    def __init__(self, name: str, run: Callable[[], object], is_over: Callable[[], bool]) -> None:
        """`run` is the loop; it notes in `turn` when a turn begins and ends."""
        self.turn = TurnTimer()
        self._is_over = is_over
        self._thread = threading.Thread(target=run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for its end, at most so many seconds."""
        self._thread.join(seconds)

    @property
    def has_died(self) -> bool:
        """Whether it has begun, and ended though it was not to."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._is_over()


class NodeHealth:
    """The threads of a node, by what people call them. Thread: any."""

    def __init__(self, loops: Mapping[str, NodeLoop]) -> None:
        self._loops = loops

    def dead(self) -> str | None:
        """Return which thread has died, if any: only a new process helps."""
        return next((name for name, loop in self._loops.items() if loop.has_died), None)

    def late(self) -> str | None:
        """Return which thread has died or is stuck, if any."""
        stuck = (name for name, loop in self._loops.items() if loop.turn.busy_for() > LATE_AFTER_S)
        return self.dead() or next(stuck, None)
