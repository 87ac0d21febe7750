"""Some services as processes on one database, that are killed and frozen, and what must hold of their account."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from jobscheduler.cluster.values import State
from tests.support.cluster_actor import JOB, PERIOD
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.service import wait_until

LEASE_S = 1.0

ROOT = Path(__file__).parents[2]


class Services:
    """Some services as processes, by the name of their node."""

    def __init__(self, url: str, base: Path) -> None:
        self._url = url
        self._base = base
        self.marks = base / "marks"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, node: str, url: str | None = None, prefix: Sequence[str] = ()) -> None:
        """Start one, on another URL of the same database if need be, by a command that begins with `prefix`."""
        program = [*prefix, sys.executable, "-m", "tests.support.cluster_actor"]
        arguments = [url or self._url, node, str(LEASE_S), str(self.marks)]
        with (self._base / f"{node}.out").open("ab") as out:
            self._running[node] = subprocess.Popen([*program, *arguments], cwd=ROOT, stdout=out, stderr=out)

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
def running(place: ClusterPlace | str, base: Path, nodes: Sequence[str] = ("a", "b", "c")) -> Iterator[Services]:
    """Run services on a database, or on that of a URL."""
    url = place if isinstance(place, str) else place.url
    services = Services(url, base)
    try:
        for node in nodes:
            services.start(node)
        yield services
    finally:
        services.end()


def wait_for_decisions(url: str) -> None:
    """Wait until a leader has decided slots again."""
    with opened(url) as place:
        settled = place.lease().settled
        wait_until(lambda: place.lease().settled != settled, 60, "a leader has decided")


def check_account(place: ClusterPlace, services: Services) -> None:
    """Wait until a leader has decided all slots and every row is final; check that each has run at most once."""
    settled = place.lease().settled
    wait_until(lambda: place.lease().settled != settled, 60, "the last leader has decided")
    with closing(place.account()) as account:
        wait_until(lambda: not account.unfinished(), 60, "every row is final")
        rows = [row for row in account.rows_of(JOB) if row.state is State.FINAL]
    marks = Counter(services.marks.read_text().splitlines())
    assert {mark: number for mark, number in marks.items() if number > 1} == {}
    instants = sorted(datetime.fromisoformat(row.slot) for row in rows)
    assert [(one, other) for one, other in pairwise(instants) if other - one != PERIOD] == []
    assert all(f"{row.slot} 1" in marks for row in rows if row.status == "SUCCESS")
