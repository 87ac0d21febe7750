"""Judge whether figures stay flat over half an hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

ALLOWED = {"memory": 1.03, "threads": 1.0, "descriptors": 1.0}
"""How much more there may be in the last quarter than in the second: memory settles into its free lists."""

BASE: dict[str, Callable[[Sequence[float]], float]] = {"memory": median, "threads": min, "descriptors": min}
"""What is compared: a run at work has threads and descriptors of its own, and at some moment none is at work."""

Course = Mapping[str, Sequence[float]]
"""What was seen, by name, in the order in which it was."""


def grown(course: Course) -> dict[str, float]:
    """Return each figure that is not flat, with the ratio of its last quarter to its second."""
    ratios = {name: last / first for name, (first, last) in compared(course).items()}
    return {name: ratio for name, ratio in ratios.items() if ratio > ALLOWED[name]}


def compared(course: Course) -> dict[str, tuple[float, float]]:
    """Return each figure in the second quarter and in the last."""
    return {name: (_quarter(name, course[name], 1), _quarter(name, course[name], 3)) for name in ALLOWED}


def _quarter(name: str, values: Sequence[float], which: int) -> float:
    return BASE[name](values[which * len(values) // 4 : max(1, (which + 1) * len(values) // 4)])
