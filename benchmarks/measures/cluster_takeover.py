"""How long it takes from the death of a leader by SIGKILL until another node starts its first run.

One job is due each second, and the times are those of the defaults: the lease alone is six seconds, less the time since
its last renewal.
"""

from __future__ import annotations

import time

from benchmarks import fleet
from benchmarks.cluster import Cluster, cluster, kinds
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.service import ran

LATEST_S = 10.0
"""The lease and four seconds."""


def measure(plan: Plan) -> list[Row]:
    """Kill a leader in each round, at another moment of its lease."""
    rows = []
    for kind in kinds(plan):
        with cluster(kind) as made:
            rounds = [_taken(made, number) for number in plan.each_round(f"takeover on {kind}")]
        what = f"a leader is killed: until the next one's first run, on {kind}"
        rows.append(Row(f"cluster-takeover-{kind}", what, "s", tuple(rounds), goal=Goal(LATEST_S, "worst")))
    return rows


def _taken(made: Cluster, number: int) -> float:
    """Return the seconds of one takeover. Names of nodes are new ones, so that no round waits for a former one."""
    with fleet.workplace() as first, fleet.workplace() as second:
        for base in (first, second):
            fleet.put(base / "jobs.d" / "each.json", fleet.job(1, "* * * * * *", ["/bin/true"]))
        time.sleep(fleet.SETTLED)
        with made.node(first, f"a{number}") as leader, made.node(second, f"b{number}") as other:
            leader.log.wait("SUCCESS", 2, pause=0.05)
            time.sleep(number * 0.7 % 2.4)
            killed = time.time()
            leader.process.kill()
            return ran(other.log.wait("SUCCESS", pause=0.02)[0]).started - killed
