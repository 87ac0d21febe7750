"""When an alert is due: on a change of a job's result, and on nothing else (pure)."""

from __future__ import annotations

from enum import StrEnum

from jobscheduler.model import Status


class AlertKind(StrEnum):
    """What an alert tells."""

    FAILURE = "failure"
    RECOVERY = "recovery"


def is_result(status: Status) -> bool:
    """Tell whether a slot that ended so says how the job does; one that did not run says nothing."""
    return status in {Status.SUCCESS, Status.FAILURE}


def due_alert(former: Status | None, now: Status) -> AlertKind | None:
    """Return what is to be told when a job ends with `now` after `former`, its last result; None if nothing is.

    When nothing is known of the time before, a failure is news and a success is none.
    """
    if now is Status.FAILURE and former is not Status.FAILURE:
        return AlertKind.FAILURE
    if now is Status.SUCCESS and former is Status.FAILURE:
        return AlertKind.RECOVERY
    return None
