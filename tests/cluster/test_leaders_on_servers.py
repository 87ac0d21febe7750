"""Leaders that are killed, or frozen and come back with an old idea of who leads.

Their own clocks are not asked, so that the database alone keeps them out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_place import ClusterPlace, opened
from tests.support.cluster_servers import Server, cluster_server
from tests.support.cluster_services import LEASE_S, Services, check_account, running
from tests.support.service import wait_until
from tests.unit.test_cluster_lease import *  # noqa: F403 - the same tests on servers

__all__ = ["cluster_server"]

GRACE_S = 4.0
"""How much longer than its lease a leader may be missed."""


@pytest.fixture(scope="module")
def shared(cluster_server: Server) -> Iterator[ClusterPlace]:
    """A database of the server, instead of a file."""
    with opened(cluster_server.fresh()) as place:
        yield place


def take_over(place: ClusterPlace, services: Services, *, is_kill: bool) -> float:
    """Kill or freeze the leader; return how many seconds it takes until another term begins."""
    wait_until(lambda: not place.lease().is_free, 60, "a node leads")
    leader, term = place.lease().holder, place.lease().term.number
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
    plan = [True, False] * rounds
    random.Random(rounds).shuffle(plan)
    with running(place, tmp_path) as services:
        taken = [take_over(place, services, is_kill=is_kill) for is_kill in plan]
        check_account(place, services)
    assert services.complaints() == []
    assert services.refused() > 0
    assert max(taken) <= LEASE_S + GRACE_S, taken


def test_services_on_one_host_share_a_file(tmp_path: Path) -> None:
    """To try a cluster: the same on SQLite, whose clock is that of the host."""
    (tmp_path / "data").mkdir(mode=0o700)
    with opened(f"sqlite:///{tmp_path / 'data' / 'cluster.db'}") as place, running(place, tmp_path) as services:
        taken = [take_over(place, services, is_kill=is_kill) for is_kill in (True, False, True)]
        check_account(place, services)
    assert services.complaints() == []
    assert max(taken) <= LEASE_S + GRACE_S, taken
