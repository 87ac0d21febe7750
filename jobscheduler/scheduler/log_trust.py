"""Decides whether a log may be trusted: it must be of this host, and have a full checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import Event, Level, LogEntry, RecoveredState


def trusted_state(
    state: RecoveredState | None, host_id: str, boot: str, write: Callable[[LogEntry], object], now: datetime
) -> tuple[RecoveredState | None, bool]:
    """Return the trusted state, and whether an untrusted log shows at least that it knows this boot.

    The log of another host is not trusted: its jobs ran there, and perhaps still do. A host without a name trusts any
    log. An untrusted log is reported once, because the log begins anew with this start.
    """
    if state is None:
        return None, False
    full = state.full
    if full is None:
        help_ = "slots due while the service was down are unknown and not caught up; from this start on they are"
        write(Event(now, Level.WARNING, "log.former", (("problem", "the log has no full checkpoint"), ("help", help_))))
        return state, False
    if not host_id or not full.host or full.host == host_id:
        return state, False
    values = (
        ("host", full.host),
        ("here", host_id),
        ("problem", "the log is that of another host, so nothing is known about the time before this start"),
        ("help", "if this is the same host under another name, start the service with `--host-id` and the former name"),
    )
    write(Event(now, Level.WARNING, "log.foreign", values))
    return None, bool(boot) and state.mentions is not None and state.mentions(boot)
