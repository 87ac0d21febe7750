"""Hold measurements as values: rows with a figure for each round, their medians and extremes, and goals."""

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
    """The upper limit of the median, of the median of the ratios to the floor, or of the worst figure."""

    most: float
    of: Of = "value"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: a figure a round for the service, for its floor and for each peer.

    `key` names it, `size` is the number of jobs (0 where that means nothing), `unit` that of all its figures; `code` is
    the commit that was measured, `when` the day. `apart` says what was measured by itself, where, and how quiet it was
    there; it is empty for what was measured with everything else.
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
    apart: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Return the service's figure as a multiple of the floor's, round by round; empty without a floor."""
        return tuple(own / floor for own, floor in zip(self.ours, self.floor, strict=False) if floor)

    @property
    def met(self) -> bool | None:
        """Return whether the goal is met; None without a goal or without figures."""
        if self.goal is None:
            return None
        values = self.ratios if self.goal.of == "ratio" else self.ours
        if not values:
            return None
        spread = Spread.of(values)
        return (spread.most if self.goal.of == "worst" else spread.median) <= self.goal.most

    def stamped(self, now: datetime, code: str, apart: str = "") -> Row:
        """Return the row with the day of the measurement and the commit that was measured."""
        return replace(self, when=f"{now.astimezone(UTC):%Y-%m-%d}", code=code, apart=apart)

    def as_json(self) -> dict[str, Any]:
        """Convert the row to JSON values; `from_json` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Build a row from the values of `as_json`."""
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
    """Replace rows of the same key and size; append new ones."""
    rows = {(row.key, row.size): row for row in former}
    rows |= {(row.key, row.size): row for row in new}
    return tuple(rows.values())
