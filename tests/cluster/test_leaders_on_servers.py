"""Leaders that are killed, or frozen and come back with an old idea of who leads.

Their own clocks are not asked, so that the database alone keeps them out.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cluster_actor import JOB, PERIOD
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.cluster_servers import Server, cluster_server
from tests.support.service import wait_until
from tests.unit.test_cluster_lease import *  # noqa: F403 - the same tests on servers

__all__ = ["cluster_server"]

LEASE_S = 1.0

GRACE_S = 4.0
"""How much longer than its lease a leader may be missed."""

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared(cluster_server: Server) -> Iterator[ClusterPlace]:
    """A database of the server, instead of a file."""
    with opened(cluster_server.fresh()) as place:
        yield place


class Services:
    """Some services as processes, by the name of their node."""

    def __init__(self, place: ClusterPlace, base: Path) -> None:
        self._place = place
        self._base = base
        self.marks = base / "marks"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, node: str) -> None:
        """Start one."""
        program = [sys.executable, "-m", "tests.support.cluster_actor"]
        arguments = [self._place.url, node, str(LEASE_S), str(self.marks)]
        with (self._base / f"{node}.out").open("ab") as out:
            self._running[node] = subprocess.Popen([*program, *arguments], cwd=ROOT, stdout=out, stderr=out)

    def leader(self) -> str:
        """Wait until one leads; return its name."""
        wait_until(lambda: self._place.lease().holder if not self._place.lease().is_free else "", 30, "a node leads")
        return self._place.lease().holder

    def kill(self, node: str) -> None:
        """Kill one, and start it again."""
        self._running[node].kill()
        self._running[node].wait()
        self.start(node)

    def freeze(self, node: str) -> None:
        """Stop one where it stands."""
        self._running[node].send_signal(signal.SIGSTOP)

    def thaw(self, node: str) -> None:
        """Let it go on."""
        self._running[node].send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End all."""
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def refused(self) -> int:
        """Return how often a claim was refused."""
        return sum(out.read_text().count("fenced") for out in self._base.glob("*.out"))

    def complaints(self) -> list[str]:
        """Return what the services have said beside that."""
        lines = [line for out in self._base.glob("*.out") for line in out.read_text().splitlines()]
        return [line for line in lines if line != "fenced"]


@contextmanager
def running(place: ClusterPlace, base: Path) -> Iterator[Services]:
    """Run three services."""
    services = Services(place, base)
    try:
        for node in ("a", "b", "c"):
            services.start(node)
        services.leader()
        yield services
    finally:
        services.end()


def take_over(place: ClusterPlace, services: Services, *, is_kill: bool) -> float:
    """Kill or freeze the leader; return how many seconds it takes until another term begins."""
    leader, term = services.leader(), place.lease().term.number
    began = time.monotonic()
    (services.kill if is_kill else services.freeze)(leader)
    wait_until(lambda: place.lease().term.number > term, 60, "another term begins")
    taken = time.monotonic() - began
    time.sleep(0.3)  # it claims slots meanwhile
    services.thaw(leader)
    return taken


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.deep)])
def test_every_slot_runs_once_however_often_leaders_die_and_come_back(
    place: ClusterPlace, tmp_path: Path, rounds: int
) -> None:
    """No slot is missing, none runs twice; claims of former leaders are refused; another leads in time."""
    chosen = random.Random(rounds)
    with ExitStack() as stack, running(place, tmp_path) as services:
        plan = [True, False] * rounds
        chosen.shuffle(plan)
        taken = [take_over(place, services, is_kill=is_kill) for is_kill in plan]
        settled = place.lease().settled
        wait_until(lambda: place.lease().settled != settled, 30, "the last leader has decided")
        account = stack.enter_context(closing(place.account()))
        wait_until(lambda: not account.unfinished(), 30, "every row is final")
        rows = [row for row in account.rows_of(JOB) if row.state.value == "final"]
    assert services.complaints() == []
    marks = Counter(services.marks.read_text().splitlines())
    assert {mark: number for mark, number in marks.items() if number > 1} == {}
    instants = sorted(datetime.fromisoformat(row.slot) for row in rows)
    assert [(one, other) for one, other in pairwise(instants) if other - one != PERIOD] == []
    assert all(f"{row.slot} 1" in marks for row in rows if row.status == "SUCCESS")
    assert services.refused() > 0
    assert max(taken) <= LEASE_S + GRACE_S, taken
