"""Databases that die, or do not answer, under services that lead, claim and record."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.cluster_place import opened
from tests.support.cluster_servers import Server, cluster_server
from tests.support.cluster_services import LEASE_S, check_account, running, wait_for_decisions

__all__ = ["cluster_server"]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.deep)])
def test_every_slot_runs_once_however_often_the_database_dies_or_is_frozen(
    cluster_server: Server, tmp_path: Path, rounds: int
) -> None:
    """Amid claims, renewals and outcomes. Nobody claims meanwhile; what fell due is caught up when it is back."""
    url = cluster_server.fresh()
    with opened(url) as before:
        before.empty()
    with running(url, tmp_path) as services:
        for _ in range(rounds):
            time.sleep(1.5 * LEASE_S)
            cluster_server.stop()
            time.sleep(LEASE_S)
            cluster_server.start()
            wait_for_decisions(url)
            cluster_server.hold()
            time.sleep(1.5 * LEASE_S)
            cluster_server.go_on()
            wait_for_decisions(url)
        with opened(url) as place:
            check_account(place, services)
    assert services.complaints() == []
