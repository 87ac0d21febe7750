"""Tells in which jobs two nodes differ, by the hashes of their definitions (pure).

Zone data and defaults are part of a definition as it is in force, so they are in its hash, or beside it in `Loaded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

MAX_NAMED = 10  # jobs that a message names; of further ones it has the number


@dataclass(frozen=True, slots=True)
class Drift:
    """The jobs that only this node has, that only the other one has, and that differ; each in order."""

    only_here: tuple[str, ...] = ()
    only_there: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.only_here or self.only_there or self.different)

    def __str__(self) -> str:
        parts = (
            ("only here", self.only_here),
            ("only on the leader", self.only_there),
            ("different", self.different),
        )
        return "; ".join(f"{what}: {_named(ids)}" for what, ids in parts if ids)


def drift(here: Mapping[str, str], there: Mapping[str, str]) -> Drift:
    """Compare the definitions of this node with those of the leader, given the hash of each job."""
    both = here.keys() & there.keys()
    return Drift(
        tuple(sorted(here.keys() - there.keys())),
        tuple(sorted(there.keys() - here.keys())),
        tuple(sorted(job_id for job_id in both if here[job_id] != there[job_id])),
    )


def jobset(hashes: Mapping[str, str]) -> str:
    """Return one hash of all definitions, which is equal on nodes without a drift."""
    digest = blake2b(digest_size=16)
    for job_id in sorted(hashes):
        digest.update(f"{job_id} {hashes[job_id]}\n".encode())
    return digest.hexdigest()


def _named(ids: tuple[str, ...]) -> str:
    more = len(ids) - MAX_NAMED
    return ", ".join(f"`{job_id}`" for job_id in ids[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
