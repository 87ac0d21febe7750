"""Readers of the account on MariaDB and PostgreSQL: the tests of `tests/unit/test_cluster_account_reader.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster_place import ClusterPlace, opened
from tests.support.cluster_servers import Server, cluster_server
from tests.unit.test_cluster_account_reader import *  # noqa: F403 - the same tests on servers

__all__ = ["cluster_server"]


@pytest.fixture(scope="module")
def shared(cluster_server: Server) -> Iterator[ClusterPlace]:
    """A database of the server, instead of a file."""
    with opened(cluster_server.fresh()) as place:
        yield place
