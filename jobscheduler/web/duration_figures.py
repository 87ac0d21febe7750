"""Sum up how often a job succeeded and how long its runs took. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobscheduler.model import Status
from jobscheduler.web.log_record import LoggedRun


@dataclass(frozen=True, slots=True)
class DurationFigures:
    """Figures over runs: how many, how many succeeded, and durations in seconds (of those that succeeded)."""

    runs: int
    succeeded: int
    p50: float | None
    p95: float | None
    longest: float | None

    @property
    def success_percent(self) -> str:
        """The share of successes; 100 only if all were."""
        percent = 100 * self.succeeded / self.runs if self.runs else 0.0
        return f"{min(percent, 99.9):.1f}".removesuffix(".0") if self.succeeded < self.runs else "100"


def duration_figures(records: Iterable[LoggedRun]) -> DurationFigures:
    """Return the figures of these records; slots without a run do not count."""
    runs = [run for run in records if run.started is not None]
    took = sorted(run.duration for run in runs if run.status is Status.SUCCESS and run.duration is not None)
    return DurationFigures(
        len(runs),
        sum(run.status is Status.SUCCESS for run in runs),
        _percentile(took, 0.50),
        _percentile(took, 0.95),
        took[-1] if took else None,
    )


def _percentile(values: list[float], share: float) -> float | None:
    """Return the smallest value that at least this share of the sorted values do not exceed."""
    return values[max(0, -int(-share * len(values) // 1) - 1)] if values else None
