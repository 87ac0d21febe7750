"""The real service as some nodes of one cluster, each a process, and what must hold of the account that they share."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import select

from jobscheduler.cluster import lease_rows
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.schema import make_tables
from jobscheduler.cluster.steps import perform
from jobscheduler.cluster.tables import RUNS
from jobscheduler.control.client import request
from jobscheduler.database.engine import Database
from jobscheduler.database.limits import Limits
from tests.support.service import Service, job, wait_until

LEASE_S = 1.0

LOST_AFTER_S = 3.0

SECOND = timedelta(seconds=1)

# A leader with this code does not look at its own clock, and after it was frozen it learns late that another one leads:
# the database alone keeps it out. It says when it was refused.
NO_CLOCK = """
import os, time
from jobscheduler.cluster import account, claims, lease, lease_thread
from jobscheduler.cluster.values import Fenced

lease.Standing.term_at = lambda standing, now: standing.term

perform, claim = account.Account.perform, claims.claim

def perform_and_say(self, steps, *arguments, **more):
    try:
        return perform(self, steps, *arguments, **more)
    except Fenced:
        if steps is claim:
            os.write(2, b"fenced\\n")
        raise

account.Account.perform = perform_and_say

ask, last = lease_thread.LeaseThread._ask, [time.monotonic()]

def ask_late(thread, question):
    answer = ask(thread, question)
    if time.monotonic() - last[0] > 1:
        time.sleep(1.5)
    last[0] = time.monotonic()
    return answer

lease_thread.LeaseThread._ask = ask_late
"""


# A node with this code stops for a second amid a step, after its first statement, when the file `want-STEP` is there.
# It makes `at-STEP` first. The statement is done then, and its answer may get lost.
STOPS_AMID = """
import time
from pathlib import Path
from jobscheduler.cluster import attempts, claims, lease_rows

def stopping(name, real):
    wanted, there = Path({base!r}, "want-" + name), Path({base!r}, "at-" + name)
    def steps(*arguments, **named):
        inner = real(*arguments, **named)
        try:
            statement = next(inner)
            while True:
                rows = yield statement
                if wanted.exists():
                    wanted.unlink()
                    there.touch()
                    time.sleep(1)
                statement = inner.send(rows)
        except StopIteration as end:
            return end.value
    return steps

claims.claim = stopping("claim", claims.claim)
attempts.finish = stopping("result", attempts.finish)
lease_rows.renew = stopping("renewal", lease_rows.renew)
"""


@dataclass(frozen=True)
class Row:
    """One row of the account."""

    first: datetime
    last: datetime
    state: str
    status: str | None
    reason: str | None
    term: int
    node: str | None


@dataclass
class Nodes:
    """Services on one database, by the names of their nodes. Each has a directory of its own, with equal job files."""

    url: str
    base: Path
    lost_after: float = LOST_AFTER_S
    lease_length: float = LEASE_S
    services: dict[str, Service] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write the URL into a file that is closed to others: it may hold a password."""
        self.database = Database(self.url, Limits(5, 10, "READ COMMITTED"))
        self.url_file = self.base / "url"
        self.url_file.touch(mode=0o600)
        self.url_file.write_text(f"{self.url}\n")

    @property
    def marks(self) -> Path:
        """The file to which each run of `marked` adds its slot."""
        return self.base / "marks"

    def marked(self, **fields: Any) -> dict[str, Any]:
        """Return a job that is due each second, and adds its slot to the marks."""
        return job("s", "* * * * * *", f"echo $JOB_SCHEDULED_TIME >> {self.marks}", catch_up="1m", **fields)

    def add(
        self,
        name: str,
        *definitions: dict[str, Any],
        code: str = "",
        wait: bool = True,
        more: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> Service:
        """Start a node with these jobs, and `more` options, which win; by a command that begins with `prefix`."""
        folder = self.base / name
        folder.mkdir()
        times = ("--lease", f"{self.lease_length}s", "--lost-after", f"{self.lost_after}s", "--drain-timeout", "10s")
        service = Service(folder, "--cluster-url-file", str(self.url_file), "--node", name, *times, *more)
        if prefix:
            service.forks, service.program = False, [*prefix, *service.program]
        self.services[name] = service
        for definition in definitions:
            service.write(f"{definition['job_id']}.json", definition)
        if code:
            service.patched(code)
        return service.start(wait=wait)

    def lease(self) -> LeaseRow:
        """Read the lease."""
        with self.database.polling() as connection:
            return perform(connection, lease_rows.look())

    def leader(self, other_than: int = 0) -> tuple[str, int]:
        """Wait until a node leads in another term; return its name, and the term."""

        def found() -> tuple[str, int] | None:
            row = self.lease()
            is_led = not row.is_free and row.term.number != other_than
            is_told = is_led and self.services[row.holder].words("cluster.leads", term=str(row.term.number))
            return (row.holder, row.term.number) if is_told else None

        name, term = wait_until(found, 30, "a node leads", step=0.02)
        return str(name), int(term)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node."""
        process = self.services[name].process
        assert process is not None
        process.send_signal(number)

    def stop_amid(self, step: str) -> None:
        """Wait until a node is amid a step, for a second."""
        (self.base / f"want-{step}").touch()
        wait_until((self.base / f"at-{step}").exists, 20, f"a node is amid a {step}")
        (self.base / f"at-{step}").unlink()

    def run_by_hand(self, name: str, job_id: str) -> None:
        """Ask a node to run a job."""
        request(self.services[name].socket, "POST", f"/v1/jobs/{job_id}/run")

    def rows(self, job_id: str = "s") -> list[Row]:
        """Return the rows of a job with slots, in the order of these."""
        names = ("slot", "last_slot", "state", "status", "reason", "term", "node")
        columns = [RUNS.c[name] for name in names]
        with self.database.polling() as connection:
            found = connection.execute(select(*columns).where(RUNS.c.job_id == job_id, RUNS.c.slot < "m")).all()
        instants = datetime.fromisoformat
        rows = (Row(instants(slot), instants(last or slot), *rest) for slot, last, *rest in found)
        return sorted(rows, key=lambda row: row.first)

    def freeze(self, name: str) -> None:
        """Freeze a node where it stands; not amid a use of an SQLite file, also a reading one.

        Nobody else could change it then.
        """
        self._stop(name)
        while self._is_file_locked():
            self.signal(name, signal.SIGCONT)
            time.sleep(0.02)
            self._stop(name)

    def _stop(self, name: str) -> None:
        """Stop a node, and wait until each thread stands: on a busy host one may still lock the file for a moment."""
        self.signal(name, signal.SIGSTOP)
        process = self.services[name].process
        assert process is not None
        tasks = Path(f"/proc/{process.pid}/task")

        def stand() -> bool:
            stats = [(task / "stat").read_text() for task in tasks.iterdir()]
            return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

        wait_until(stand, 15, f"all threads of {name} stand")

    def _is_file_locked(self) -> bool:
        if self.database.file is None:
            return False
        for _ in range(20):  # the other node may be at it
            with closing(sqlite3.connect(self.database.file, timeout=0)) as connection:
                try:
                    connection.execute("BEGIN EXCLUSIVE")
                except sqlite3.OperationalError:
                    time.sleep(0.02)
                else:
                    return False
        return True

    def run_in_term(self, term: int, count: int = 2) -> None:
        """Wait until so many runs of a term have succeeded."""

        def are_there() -> bool:
            return sum(row.status == "SUCCESS" and row.term == term for row in self.rows()) >= count

        wait_until(are_there, 30, f"{count} runs in term {term}", step=0.05)

    def end(self) -> None:
        """Take the marked job away, wait until every row is final, and stop all in order."""
        living = [one for one in self.services.values() if one.process is not None and one.process.poll() is None]
        for service in living:
            (service.jobs / "s.json").unlink()
        for service in living:
            service.wait_for("job.removed", job_id="s")
        wait_until(lambda: all(row.state == "final" for row in self.rows()), 20, "every row is final", step=0.05)
        for service in living:
            assert service.stop() == 0, service.stderr()

    def check(self) -> None:
        """Check that each slot of the marked job has one final row, and ran once where that says so, else never."""
        assert [name for name, service in self.services.items() if "Traceback" in service.stderr()] == []
        rows, marks = self.rows(), Counter(self.marks.read_text().splitlines())
        assert {mark: count for mark, count in marks.items() if count > 1} == {}
        assert [row for row in rows if row.state != "final"] == []
        assert [(one, next_) for one, next_ in pairwise(rows) if next_.first - one.last != SECOND] == []
        ran = {datetime.fromisoformat(mark) for mark in marks}
        assert [row for row in rows if row.status == "SUCCESS" and row.first not in ran] == []
        assert [row for row in rows if row.status in {"MISSED", "SKIPPED"} and row.first in ran] == []

    def close(self) -> None:
        """End all, whatever they do."""
        for name, service in self.services.items():
            if service.process is not None and service.process.poll() is None:
                self.signal(name, signal.SIGCONT)
            service.close()


@contextmanager
def nodes(
    url: str, base: Path, lost_after: float = LOST_AFTER_S, lease: float = LEASE_S, *, with_tables: bool = True
) -> Iterator[Nodes]:
    """Make the tables, and end all services at last."""
    if with_tables:
        make_tables(Database(url))
    made = Nodes(url, base, lost_after, lease)
    try:
        yield made
    finally:
        made.close()
