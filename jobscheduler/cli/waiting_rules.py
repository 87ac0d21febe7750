"""Say when the service follows other rules of a zone than this verb, which reads them from disk."""

from __future__ import annotations

from collections.abc import Collection

from jobscheduler.config import Settings
from jobscheduler.control.client import ApiError, ServiceUnreachable, request


def waiting_rules_note(settings: Settings, zones: Collection[str]) -> str | None:
    """Return a note if the service has not yet applied new rules of one of these zones; None without a service."""
    try:
        waiting = [zone for zone in request(settings.socket, "GET", "/v1/zone-rules")["new_rules"] if zone in zones]
    except (ServiceUnreachable, ApiError):
        return None
    if not waiting:
        return None
    names = ", ".join(waiting)
    return f"the rules of {names} have changed on disk; the service follows the former ones until `jobscheduler reload`"
