"""Decide when an alert is due: only when the result of a job changes (pure)."""

from __future__ import annotations

from enum import StrEnum

from jobscheduler.model import Status


class AlertKind(StrEnum):
    """The change that an alert reports."""

    FAILURE = "failure"
    RECOVERY = "recovery"


def is_result(status: Status) -> bool:
    """Return whether a record of this status is the result of a run; a slot that did not run has no result."""
    return status in {Status.SUCCESS, Status.FAILURE}


def due_alert(former: Status | None, now: Status) -> AlertKind | None:
    """Return the alert that is due when a job ends with `now` after its last result `former`, if any.

    When the last result is unknown, a failure is a change and a success is not.
    """
    if now is Status.FAILURE and former is not Status.FAILURE:
        return AlertKind.FAILURE
    if now is Status.SUCCESS and former is Status.FAILURE:
        return AlertKind.RECOVERY
    return None
