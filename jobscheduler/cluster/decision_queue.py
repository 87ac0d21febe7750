"""Decisions of one kind that wait for the account, and what came of each.

Any thread queues them; one takes them to the account, many with one statement, and is the only one that waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_AT_ONCE = 1000  # decisions in one statement

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class QueuedDecision(Generic[T, A]):
    """One decision, and the function that gets what came of it."""

    what: T
    then: Callable[[A], object]


class DecisionQueue(Generic[T, A]):
    """Decisions of one kind, in their order.

    Thread: any for `put`; one for the others, on which the functions are called. These must not wait.
    """

    def __init__(self, wake: threading.Event, ask: Callable[[list[T]], list[A]]) -> None:
        """`ask` takes decisions to the account, and returns what came of each; `wake` is set when one is queued."""
        self._wake = wake
        self._ask = ask
        self._lock = threading.Lock()
        self._items: list[QueuedDecision[T, A]] = []

    def put(self, what: T, then: Callable[[A], object]) -> None:
        """Queue a decision; `then` gets what came of it."""
        with self._lock:
            self._items.append(QueuedDecision(what, then))
        self._wake.set()

    def remove(self, is_unwanted: Callable[[T], bool]) -> list[QueuedDecision[T, A]]:
        """Remove the decisions that meet a condition; return them."""
        with self._lock:
            removed = [item for item in self._items if is_unwanted(item.what)]
            self._items = [item for item in self._items if not is_unwanted(item.what)]
        return removed

    def step(self) -> None:
        """Take all that waits to the account, and tell what came of it.

        Raises:
            Unavailable: the database cannot be used. What waits still waits, before all that is queued later.

        """
        with self._lock:
            items, self._items = self._items, []
        try:
            while items:
                batch = items[:MAX_AT_ONCE]
                answers = self._ask([item.what for item in batch])
                del items[:MAX_AT_ONCE]
                for item, answer in zip(batch, answers, strict=True):
                    item.then(answer)
        finally:
            with self._lock:
                self._items[:0] = items
