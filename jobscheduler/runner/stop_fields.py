"""What the record of a stopped run says about who stopped it."""

from __future__ import annotations

from jobscheduler.model import LogFields

STOPPED = "stopped"  # the reason of a run that a person stopped


def stopped_fields(extra: LogFields, by: str) -> LogFields:
    """Return the fields of a run that was stopped. `by` is who stopped it.

    A run by hand has a `by` of its own, which then is `requested_by`: a line has each key once.
    """
    return (("by", by), *(("requested_by" if key == "by" else key, value) for key, value in extra))
