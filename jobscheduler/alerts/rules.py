"""The kinds of alerts, and what one is about (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobscheduler.model import NO_TASK, Job, Record, TaskSpec


class AlertKind(StrEnum):
    """What an alert reports: a change of a job's result, its absence, that this goes on, or nothing at all."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    OVERDUE = "overdue"
    REMINDER = "reminder"
    TEST = "test"

    @property
    def is_bad(self) -> bool:
        """Whether the alert is bad news."""
        return self is not AlertKind.RECOVERY


@dataclass(frozen=True, slots=True)
class DefaultAlerts:
    """The service's alerts, for jobs without a setting of their own; None is no alert."""

    on_failure: TaskSpec | None = None
    on_recovery: TaskSpec | None = None

    def task_of(self, job: Job, kind: AlertKind) -> TaskSpec | None:
        """Return the task of an alert: the job's own, else the service's; None for no alert."""
        own, default = (job.on_failure, self.on_failure) if kind.is_bad else (job.on_recovery, self.on_recovery)
        task = default if own is None else own
        return None if task == NO_TASK else task


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How a job stands when an alert about it is due.

    `failures` are those in a row, and `since` is the time of the first, or when the job became overdue. `success` is
    the time of its last success.
    """

    failures: int = 0
    since: datetime | None = None
    overdue: bool = False
    success: datetime | None = None


@dataclass(frozen=True, slots=True)
class ResultChange:
    """A change of how a job stands; `changes` is their number if it stands for several."""

    task: TaskSpec
    kind: AlertKind
    record: Record
    description: str = ""
    changes: int = 1
    circumstances: Circumstances = Circumstances()

    @property
    def job_id(self) -> str:
        """The job that changed."""
        return self.record.job_id

    @property
    def status(self) -> str:
        """The status that the alert shows: that of the record, unless the alert is about more than the record."""
        if self.kind is AlertKind.TEST:
            return "TEST"
        is_overdue = self.kind is AlertKind.OVERDUE or (
            self.kind is AlertKind.REMINDER and self.circumstances.overdue and not self.circumstances.failures
        )
        if is_overdue:
            return "OVERDUE"
        return "FAILURE" if self.kind is AlertKind.REMINDER else self.record.status.value
