"""A leader that is cut off from the database, in a network namespace whose link goes down and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.support.cluster_place import opened
from tests.support.cluster_services import LEASE_S, check_account, running
from tests.support.databases import PASSWORD
from tests.support.databases import running as mariadb
from tests.support.network_namespace import network_namespace
from tests.support.service import wait_until

GRACE_S = 4.0
"""How much longer than its lease a leader may be missed."""


@pytest.mark.timeout(300)
def test_a_leader_that_is_cut_off_is_replaced_and_begins_nothing_when_it_comes_back(tmp_path: Path) -> None:
    """Its connection stays open on the server all the while, and keeps nobody out: no lock is held on it."""
    with mariadb("--bind-address=0.0.0.0") as server, network_namespace() as network, opened(server.fresh()) as place:
        server.sql(f"CREATE USER tester@'%' IDENTIFIED BY '{PASSWORD}'", "GRANT ALL ON *.* TO tester@'%'")
        apart = make_url(place.url).set(host=network.host).render_as_string(hide_password=False)
        with running(place, tmp_path, nodes=()) as services:
            services.start("apart", url=apart, prefix=network.prefix)
            wait_until(lambda: place.lease().holder == "apart", 60, "the node that is apart leads")
            for node in ("b", "c"):
                services.start(node)
            wait_until(lambda: place.lease().settled, 60, "it has decided slots")
            network.cut()
            began = time.monotonic()
            wait_until(lambda: place.lease().holder in {"b", "c"}, 60, "another node leads")
            taken = time.monotonic() - began
            time.sleep(LEASE_S)
            network.mend()
            wait_until(services.refused, 60, "a claim of the former leader is refused")
            check_account(place, services)
    assert services.complaints() == []
    assert taken <= LEASE_S + GRACE_S
