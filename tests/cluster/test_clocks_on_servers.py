"""A node whose clock is an hour off, by libfaketime: slots would be due by it, so it does not lead."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.cluster_place import opened
from tests.support.cluster_servers import Server, cluster_server
from tests.support.cluster_services import LEASE_S, check_account, running
from tests.support.job_files import unavailable
from tests.support.service import wait_until

__all__ = ["cluster_server"]


def faketime(offset: str) -> list[str]:
    """Return the beginning of a command whose clock is set, but for the one that is never set."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        unavailable("no libfaketime: `apt-get install faketime`")
    return ["env", f"LD_PRELOAD={found[0]}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_a_node_whose_clock_is_off_never_leads(cluster_server: Server, tmp_path: Path, offset: str) -> None:
    """Neither alone, nor when the leader is gone; the node with the right clock takes the lease at once."""
    with opened(cluster_server.fresh()) as place, running(place, tmp_path, nodes=()) as services:
        services.start("off", prefix=faketime(offset))
        time.sleep(4 * LEASE_S)
        assert place.lease().term.number == 0
        services.start("right")
        wait_until(lambda: place.lease().holder == "right", 60, "the node with the right clock leads")
        services.kill("right")
        wait_until(lambda: place.lease().term.number == 2, 60, "it leads again")
        assert place.lease().holder == "right"
        check_account(place, services)
    assert services.complaints() == []
