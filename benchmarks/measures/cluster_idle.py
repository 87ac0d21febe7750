"""How many statements a leader and a node that stands by ask of their database while no job is due.

Counted is what cursors execute, by an event of SQLAlchemy: an idle node sends nothing else, no begin or commit and no
ping (`tests/cluster/test_idle_on_servers.py` has the servers count, too).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import fleet
from benchmarks.cluster import cluster, kinds
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from tests.support.statements import counting

SETTLED_S = 15.0
"""Seconds after which the statements of a start are over."""

ROLES = {"leader": Goal(120.0, "worst"), "standby": Goal(60.0, "worst")}


def measure(plan: Plan) -> list[Row]:
    """Count on all kinds of databases at once: a count does not depend on how busy the machine is."""
    seconds = plan.pick(60.0, 60.0, 2.0)
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        files = {pair: file for kind in kinds(plan) for pair, file in _nodes(kind, stack).items()}
        time.sleep(plan.pick(SETTLED_S, SETTLED_S, 1.0))
        for _ in plan.each_round("statements when idle"):
            before = {pair: file.stat().st_size for pair, file in files.items()}
            time.sleep(seconds)
            for pair, file in files.items():
                found.setdefault(pair, []).append((file.stat().st_size - before[pair]) * 60 / seconds)
    return [_row(kind, role, tuple(values)) for (kind, role), values in found.items()]


def _row(kind: str, role: str, values: tuple[float, ...]) -> Row:
    what = f"an idle {'leader' if role == 'leader' else 'node that stands by'}: statements on {kind}"
    return Row(f"cluster-idle-{role}-{kind}", what, "a minute", values, goal=ROLES[role])


def _nodes(kind: str, stack: ExitStack) -> dict[tuple[str, str], Path]:
    """Start two nodes; return the file in which the statements of each are counted."""
    made = stack.enter_context(cluster(kind))
    files = {}
    for role in ROLES:
        base = stack.enter_context(fleet.workplace())
        fleet.put(base / "jobs.d" / "never.json", fleet.never(1))
        files[kind, role] = base / "asked"
        started = stack.enter_context(made.node(base, role, code=counting(base / "asked")))
        if role == "leader":
            started.log.wait("cluster.leads", pause=0.05)
    return files
