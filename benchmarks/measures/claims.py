"""Claims in the account of a cluster, on each kind of database: those of a herd, and those of herd after herd.

One statement claims a thousand slots. Servers are private ones, as for the tests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from itertools import count

from benchmarks.cluster import database, kinds
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from jobscheduler.cluster.values import Claim, Term
from tests.support.cluster_place import ClusterPlace, opened

DEFINITION = '{"job_id": "job", "schedule": "* * * * *", "task": {"type": "execute_command", "command": "/bin/true"}}'
"""What each row carries until it is final."""

FEW_MS = 500.0
"""The goal: well under a second for the herd."""

HERDS = 10
"""Herds one after the other, for the claims per second."""


def measure(plan: Plan) -> list[Row]:
    """Claim herds in each round, in slots of their own."""
    size = plan.pick(1_000, 1_000, 20)
    return [row for kind in kinds(plan) for row in _of_kind(plan, kind, size)]


def _of_kind(plan: Plan, kind: str, size: int) -> list[Row]:
    with database(kind) as url, opened(url) as place:
        term = place.lead(seconds=3600.0)
        rounds = [_claim(place, term, size, number) for number in plan.each_round(f"claims on {kind}")]
    what = f"{size:,} slots due in one second, on {kind}: until all are claimed"
    rates = tuple(size * HERDS / sum(herds) * 1000 for herds in rounds)
    return [
        Row(f"claims-{kind}", what, "ms", tuple(herds[0] for herds in rounds), goal=Goal(FEW_MS), size=size),
        Row(f"claims-rate-{kind}", f"claims a second, herd after herd, on {kind}", "claims", rates, size=size),
    ]


def _claim(place: ClusterPlace, term: Term, size: int, number: int) -> list[float]:
    """Return the milliseconds of each herd."""
    account, numbers, taken = place.account(), count(), []
    new_id = partial(_id, number, numbers)
    warm = [Claim("warm", f"2026-11-22T02:{number:02}:00Z", new_id(), "local", DEFINITION)]
    account.claim(term, warm, new_id)  # the connection is open
    for second in range(HERDS):
        slot = f"2026-11-22T01:{number:02}:{second:02}Z"
        herd = [Claim(f"job-{job}", slot, new_id(), "local", DEFINITION) for job in range(size)]
        began = time.perf_counter()
        account.claim(term, herd, new_id)
        taken.append((time.perf_counter() - began) * 1000)
    account.close()
    return taken


def _id(number: int, numbers: Iterator[int]) -> str:
    return f"{number:04x}{next(numbers):08x}"
