"""What is measured, as values: rows with one figure a round, their medians and extremes, and whether a goal is met."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal, Self

Of = Literal["ratio", "value", "worst"]
"""What a goal bounds: the figure as a multiple of its floor, the figure itself, or that of the worst round."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures and their extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Sum figures up. Raises ValueError when there are none."""
        known = sorted(values)
        if not known:
            raise ValueError("no figures")
        return cls(median(known), known[0], known[-1])


@dataclass(frozen=True, slots=True)
class Goal:
    """The most that the median of the figures, or of their ratios to the floor, or the worst of them may be."""

    most: float
    of: Of = "value"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: a figure a round for the service, for its floor and for each peer.

    `key` names it, `size` is the number of jobs (0 where that means nothing), `unit` that of all its figures; `code` is
    the commit that was measured, `when` the day.
    """

    key: str
    what: str
    unit: str
    ours: tuple[float, ...]
    floor: tuple[float, ...] = ()
    peers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    goal: Goal | None = None
    size: int = 0
    when: str = ""
    code: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """The service's figure as a multiple of the floor's, round by round; empty without a floor."""
        return tuple(own / floor for own, floor in zip(self.ours, self.floor, strict=False) if floor)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none, or nothing to hold against it."""
        if self.goal is None:
            return None
        values = self.ratios if self.goal.of == "ratio" else self.ours
        if not values:
            return None
        spread = Spread.of(values)
        return (spread.most if self.goal.of == "worst" else spread.median) <= self.goal.most

    def stamped(self, now: datetime, code: str) -> Row:
        """The same with the day on which it was measured, and what was."""
        return replace(self, when=f"{now.astimezone(UTC):%Y-%m-%d}", code=code)

    def as_json(self) -> dict[str, Any]:
        """The row as values that JSON knows; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Make a row of what `as_json` gave."""
        goal = told["goal"]
        peers = {name: tuple(values) for name, values in told["peers"].items()}
        known = {**told, "ours": tuple(told["ours"]), "floor": tuple(told["floor"]), "peers": peers}
        return cls(**{**known, "goal": Goal(**goal) if goal else None})


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the smallest figure that so many percent of them do not exceed. Raises ValueError when there are none."""
    if not values:
        raise ValueError("no figures")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def merged(former: Iterable[Row], new: Iterable[Row]) -> tuple[Row, ...]:
    """Put rows in the place of former ones with the same key and size; what is new comes last."""
    rows = {(row.key, row.size): row for row in former}
    rows |= {(row.key, row.size): row for row in new}
    return tuple(rows.values())
