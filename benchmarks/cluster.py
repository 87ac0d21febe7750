"""Run services as nodes of a cluster, on a database of each kind. Servers are private ones, as for the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.service import ROOT, Service, service
from jobscheduler.cluster.schema import make_tables
from jobscheduler.database.engine import Database
from tests.support import cluster_servers

_START = """
import runpy, sys
del sys.argv[0]
sys.path.insert(0, {root!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def kinds(plan: Plan) -> tuple[str, ...]:
    """Return the kinds of databases to measure."""
    every = ("sqlite", *cluster_servers.KINDS)
    return plan.pick(every, every, ("sqlite",))


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Make an empty database of a kind, without tables; give its URL."""
    with ExitStack() as stack:
        if kind == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            yield f"sqlite:///{Path(folder) / 'cluster.db'}"
        else:
            yield stack.enter_context(cluster_servers.running(kind)).fresh()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A database with the tables, and the file with its URL."""

    url: str
    url_file: Path

    @contextmanager
    def node(self, base: Path, name: str, *options: str, code: str = "") -> Iterator[Service]:
        """Run the service on `base/jobs.d` as a node, with code that runs before it.

        A node for which no other one is there leads a moment after it is ready: wait for `cluster.leads` in its log.
        """
        python = ("-c", code + _START.format(root=str(ROOT))) if code else ()
        place = ("--cluster-url-file", str(self.url_file), "--node", name)
        with service(base, *place, *options, python=python) as started:
            yield started


@contextmanager
def cluster(kind: str) -> Iterator[Cluster]:
    """Make a cluster without a node."""
    with database(kind) as url, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        make_tables(Database(url))
        file = Path(folder) / "url"
        file.touch(mode=0o600)
        file.write_text(f"{url}\n", "utf-8")
        yield Cluster(url, file)
