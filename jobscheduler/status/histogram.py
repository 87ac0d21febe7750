"""Count values into buckets."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Histogram:
    """The spread of a quantity: `counts` has one number for each bucket, and one for values above the last bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


class HistogramBuilder:
    """A histogram that grows."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value; a value that equals a bound is within it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def value(self) -> Histogram:
        """Return a frozen copy."""
        return Histogram(self._bounds, tuple(self._counts), self._sum)
