"""A herd on a service that leads a cluster, beside the same herd on a service on its own.

Each run needs its row in the account before it may begin, and leave to begin. The floor is the service without that.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import fleet
from benchmarks.cluster import Cluster, cluster, kinds
from benchmarks.figures import Row
from benchmarks.measures.herd import Herd, fill, of_service
from benchmarks.plan import Plan
from benchmarks.service import PATIENCE, ran


def measure(plan: Plan) -> list[Row]:
    """Measure a herd of a thousand on each kind of database."""
    size = plan.pick(1_000, 1_000, 20)
    return [row for kind in kinds(plan) for row in _of_kind(plan, kind, size)]


def _of_kind(plan: Plan, kind: str, size: int) -> list[Row]:
    ours: list[Herd] = []
    floor: list[Herd] = []
    with cluster(kind) as made, fleet.workplace() as base, fleet.marks() as marks:
        for _ in plan.each_round(f"herd of {size} on a cluster ({kind})"):
            ours.append(fleet.patiently(partial(_herd, made, base, marks, size)))
            floor.append(of_service(base, marks, size))
    what = f"{size:,} jobs due in one second, on a cluster ({kind})"
    last, last_alone = (tuple(herd[1] for herd in herds) for herds in (ours, floor))
    first, first_alone = (tuple(herd[0] * 1000 for herd in herds) for herds in (ours, floor))
    return [
        Row(f"cluster-herd-{kind}", f"{what}: the last run's start", "s", last, last_alone, size=size),
        Row(f"cluster-first-{kind}", f"{what}: the first run's start", "ms", first, first_alone, size=size),
    ]


def _herd(made: Cluster, base: Path, marks: fleet.Marks, size: int, slack: float) -> Herd:
    due = fill(base, marks, size, slack)
    with made.node(base, "a") as started:
        started.log.wait("cluster.leads", pause=0.05)
        fleet.await_second(due)
        times = marks.wait(size, due + PATIENCE)
        runs = [ran(line) for line in started.log.wait("SUCCESS", size, pause=0.2)]
    return min(run.late for run in runs), times[-1] - due
