"""The database and the account of a cluster for the tests of its statements: one file for all tests of a module.

A module of tests imports what it takes. `tests/cluster` takes the same tests with a `shared` of its own, on a server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.asked_account import AskedAccount
from tests.support.cluster_place import ClusterPlace, opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterPlace]:
    """A database for all tests of a file."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('cluster') / 'cluster.db'}") as place:
        yield place


@pytest.fixture
def place(shared: ClusterPlace) -> ClusterPlace:
    """The database without a row."""
    shared.empty()
    return shared


@pytest.fixture
def account(place: ClusterPlace) -> Iterator[AskedAccount]:
    """The account."""
    opened_account = place.account()
    yield opened_account
    opened_account.close()
