"""The text by which `jitter` spreads the starts of slots: one for all nodes, so that each slot has one start."""

from __future__ import annotations

from sqlalchemy import select

from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import LEASE


def read_seed() -> Steps[str | None]:
    """Read the seed, which was made with the tables."""
    rows = yield select(LEASE.c.seed)
    return rows[0][0] if rows else None


class JitterSeed:
    """The seed as one node knows it: calling it returns None until the database has answered. Thread: any."""

    def __init__(self) -> None:
        self._seed: str | None = None

    def __call__(self) -> str | None:
        """Return the seed of the cluster."""
        return self._seed

    def note(self, seed: str | None) -> bool:
        """Note what the database says; return whether starts are others from now on."""
        is_other = seed != self._seed
        self._seed = seed
        return is_other
