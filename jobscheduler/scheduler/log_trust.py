"""Whether the log that is found is this host's own, and tells enough."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import Event, Level, LogEntry, RecoveredState


def trusted_state(
    past: RecoveredState | None, host_id: str, boot: str, write: Callable[[LogEntry], object], now: datetime
) -> tuple[RecoveredState | None, bool]:
    """Return what can be believed of the past, and whether it shows at least that this boot was seen before.

    The log of another host is not believed: its jobs ran there, and perhaps still do. A host without a name believes
    what it finds. What is not believed is said, once: the log begins anew with this start.
    """
    if past is None:
        return None, False
    full = past.full
    if full is None:
        help_ = "what was due while the service was down is not known, and not made up for; it will be from now on"
        write(Event(now, Level.WARNING, "log.former", (("problem", "the log has no full checkpoint"), ("help", help_))))
        return past, False
    if not host_id or not full.host or full.host == host_id:
        return past, False
    values = (
        ("host", full.host),
        ("here", host_id),
        ("problem", "the log is that of another host, so nothing is known of the time before"),
        ("help", "if this is the same host under another name, start it with `--host-id` and the former one"),
    )
    write(Event(now, Level.WARNING, "log.foreign", values))
    return None, bool(boot) and past.job_ids is not None and past.job_ids(boot)
