"""How a slot stands in the account: an instant in UTC as text, or for a run by hand its run id."""

from __future__ import annotations

from datetime import datetime

from jobscheduler.cluster.tables import MANUAL
from jobscheduler.util.instants import format_instant


def slot_text(at: datetime) -> str:
    """Return the text of an instant, such as `2026-11-22T01:00:00Z`."""
    return format_instant(at)


def slot_instant(text: str) -> datetime | None:
    """Return the instant of a slot, None for a run by hand."""
    return None if text.startswith(MANUAL) else datetime.fromisoformat(text)


def manual_slot(run_id: str) -> str:
    """Return what stands in the place of a slot for a run by hand."""
    return MANUAL + run_id
