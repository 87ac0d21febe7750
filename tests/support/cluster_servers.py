"""Private servers for the tests of clusters: one of each kind for a whole run, and a database of it for each file."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import databases, postgresql

Server = databases.Server | postgresql.Server

KINDS = ("mariadb", "postgresql")


@contextmanager
def running(kind: str) -> Iterator[Server]:
    """Run a server of a kind."""
    with databases.running() if kind == "mariadb" else postgresql.running() as server:
        yield server
        gc.collect()  # connections that tests have left in cycles are given back while their server answers


@pytest.fixture(scope="module", params=KINDS)
def cluster_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each kind for all tests of a file."""
    with running(request.param) as server:
        yield server
