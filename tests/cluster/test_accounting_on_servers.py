"""Schedulers on an account that is away between any two statements, as in `tests/unit/test_accounting_faults.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster_place import ClusterPlace, opened
from tests.support.cluster_servers import Server, cluster_server
from tests.unit.test_accounting_faults import drawn, happen

__all__ = ["cluster_server"]


@pytest.fixture(scope="module")
def place(cluster_server: Server) -> Iterator[ClusterPlace]:
    """A database of the server, instead of a file."""
    with opened(cluster_server.fresh()) as made:
        yield made


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(3, 40))])
def test_a_history_with_faults_leaves_one_record_for_each_slot(place: ClusterPlace, seed: int) -> None:
    """As on SQLite."""
    happen(place, drawn(seed, 80))
