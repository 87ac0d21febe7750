"""Claims of a herd in the account of a cluster: a thousand slots due in one second, on each kind of database.

A thousand rows are there already, and one statement claims all. Servers are private ones, as for the tests.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from jobscheduler.cluster.values import Claim, Term
from tests.support import cluster_servers
from tests.support.cluster_place import ClusterPlace, opened

DEFINITION = '{"job_id": "job", "schedule": "* * * * *", "task": {"type": "execute_command", "command": "/bin/true"}}'
"""What each row carries until it is final."""

FEW_MS = 500.0
"""The goal: well under a second for the herd."""


def measure(plan: Plan) -> list[Row]:
    """Claim a herd in each round, in slots of their own."""
    size = plan.pick(1_000, 1_000, 20)
    kinds = plan.pick(("sqlite", *cluster_servers.KINDS), ("sqlite", *cluster_servers.KINDS), ("sqlite",))
    rows = []
    for kind in kinds:
        with _database(kind) as place:
            term = place.lead(seconds=3600.0)
            rounds = [_claim(place, term, size, number) for number in plan.each_round(f"claims on {kind}")]
        what = f"{size:,} slots due in one second, on {kind}: until all are claimed"
        rows.append(Row(f"claims-{kind}", what, "ms", tuple(rounds), goal=Goal(FEW_MS), size=size))
    return rows


@contextmanager
def _database(kind: str) -> Iterator[ClusterPlace]:
    """Open an empty database of a kind."""
    with ExitStack() as stack:
        if kind == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="claims-"))
            url = f"sqlite:///{Path(folder) / 'cluster.db'}"
        else:
            url = stack.enter_context(cluster_servers.running(kind)).fresh()
        yield stack.enter_context(opened(url))


def _claim(place: ClusterPlace, term: Term, size: int, number: int) -> float:
    """Return the milliseconds of one herd."""
    account, numbers = place.account(), count()
    new_id = partial(_id, number, numbers)
    slot = f"2026-11-22T01:{number:02}:00Z"
    warm = [Claim("warm", f"2026-11-22T02:{number:02}:00Z", new_id(), "local", DEFINITION)]
    account.claim(term, warm, new_id)  # the connection is open
    herd = [Claim(f"job-{job}", slot, new_id(), "local", DEFINITION) for job in range(size)]
    began = time.perf_counter()
    account.claim(term, herd, new_id)
    taken = time.perf_counter() - began
    account.close()
    return taken * 1000


def _id(number: int, numbers: Iterator[int]) -> str:
    return f"{number:04x}{next(numbers):08x}"
