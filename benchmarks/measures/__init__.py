"""One measurement a file. Each takes a plan and returns rows."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.figures import Row
from benchmarks.plan import Plan

MEASURES = (
    "start",
    "herd",
    "busy",
    "own",
    "sustained",
    "punctual",
    "change",
    "idle",
    "memory",
    "slots",
    "claims",
    "cluster_herd",
    "cluster_idle",
    "cluster_takeover",
    "growth",
)
"""What can be measured, in the order of the table."""


def measure(name: str) -> Callable[[Plan], list[Row]]:
    """Return the measuring function of a name. Raises KeyError for a name that is not in `MEASURES`."""
    if name not in MEASURES:
        raise KeyError(name)
    found: Callable[[Plan], list[Row]] = import_module(f"benchmarks.measures.{name}").measure
    return found
