"""Keeps the order of the steps for one slot: a step is taken when the one before it was answered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from jobscheduler.cluster.values import Key

Step = Callable[[], bool]  # returns whether it was asked for, and is answered later; else the next one follows at once


class SlotOrder:
    """The steps under way of each slot, and those behind them.

    Thread: any. Lock: its own, a leaf; steps are taken without it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Key, deque[Step]] = {}

    def take(self, key: Key, step: Step) -> None:
        """Take a step of a slot, now or when those before it were answered."""
        with self._lock:
            if key in self._waiting:
                self._waiting[key].append(step)
                return
            self._waiting[key] = deque()
        if not step():
            self.answered(key)

    def answered(self, key: Key) -> None:
        """Note that the step under way was answered, and take those behind it."""
        while True:
            with self._lock:
                waiting = self._waiting.get(key)
                if not waiting:
                    self._waiting.pop(key, None)
                    return
                step = waiting.popleft()
            if step():
                return

    def __contains__(self, key: object) -> bool:
        """Return whether a step of a slot is under way."""
        return key in self._waiting
