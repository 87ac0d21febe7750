"""What a scheduler says while it stands by."""

from __future__ import annotations


class StandsBy(RuntimeError):
    """Another service leads, and decides about runs and pauses."""

    def __init__(self) -> None:
        super().__init__("another service leads")
