"""Lay out the last runs of a job as bars: the height is the duration, the shape and the colour are the result. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobscheduler.model import Status
from jobscheduler.util.durations import format_duration
from jobscheduler.util.text import plural
from jobscheduler.web.log_record import LoggedRun

MIN_HEIGHT_PCT = 14.0  # the lowest bar: a run of no length is seen, too (percent)

Run = tuple[Status, float]  # the result and the duration in seconds


@dataclass(frozen=True, slots=True)
class StripBar:
    """One run. `slot` counts from the left; `height` is percent."""

    slot: int
    height: float
    kind: str
    title: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """The bars, aligned to the right, where the latest run is, and what they show in words."""

    bars: tuple[StripBar, ...]
    summary: str


def strip(runs: Sequence[Run], size: int) -> Strip:
    """Lay out the last `size` runs, which come oldest first."""
    shown = runs[-size:]
    longest = max((seconds for _, seconds in shown), default=0.0)
    bars = tuple(
        StripBar(size - len(shown) + number, _height(seconds, longest), status.value.lower(), "")
        for number, (status, seconds) in enumerate(shown)
    )
    failed = sum(status is Status.FAILURE for status, _ in shown)
    if not shown:
        return Strip((), "no runs yet")
    return Strip(bars, f"{plural(len(shown), 'run')}, {failed or 'none'} failed, up to {format_duration(longest)}")


def logged(runs: Iterable[LoggedRun]) -> list[Run]:
    """Return the results and durations of runs in the log, which come newest first, the oldest first."""
    return [(run.status, run.duration or 0.0) for run in runs if run.started is not None][::-1]


def _height(seconds: float, longest: float) -> float:
    return round(max(MIN_HEIGHT_PCT, 100 * seconds / longest if longest else 0.0), 1)
