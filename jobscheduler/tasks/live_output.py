"""The output of a task while it runs."""

from __future__ import annotations

from typing import Protocol

from jobscheduler.model import KeptOutput


class LiveOutput(Protocol):
    """The output of a task that still runs. Thread: any."""

    @property
    def total(self) -> int:
        """The bytes printed so far."""

    def kept(self) -> KeptOutput:
        """Return what is kept of it now."""
