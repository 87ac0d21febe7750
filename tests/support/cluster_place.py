"""The database of a cluster for tests: its tables, a connection that commits each statement, and time that passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, and_, delete, select, update

from jobscheduler.cluster import lease_rows
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.records import RecordedRow, record_columns, recorded_row
from jobscheduler.cluster.schema import make_tables
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.cluster.tables import LEASE, METADATA, RUNS, VERSIONS
from jobscheduler.cluster.values import Term
from jobscheduler.database.engine import Database
from jobscheduler.database.limits import Limits
from tests.support.asked_account import AskedAccount

T = TypeVar("T")


@dataclass
class ClusterPlace:
    """One database with the tables of a cluster."""

    url: str
    database: Database
    connection: Connection

    @property
    def dialect(self) -> str:
        """The kind of the database."""
        return self.database.kind

    def account(self) -> AskedAccount:
        """Return an account with a connection of its own."""
        return AskedAccount(self.database)

    def perform(self, steps: Steps[T]) -> T:
        """Perform a request."""
        return perform(self.connection, steps)

    def empty(self) -> None:
        """Remove all rows, and free the lease."""
        for table in METADATA.sorted_tables:
            if table not in {LEASE, VERSIONS}:
                self.connection.execute(delete(table))
        self.connection.execute(
            update(LEASE).values(term=0, holder="", instance="", expires_at=from_now(-1), settled=None)
        )

    def lease(self) -> LeaseRow:
        """Read the lease."""
        return self.perform(lease_rows.look())

    def lead(self, node: str = "a", instance: str | None = None, seconds: float = 60.0) -> Term:
        """Let the lease run out, and have a node take it."""
        self.end_lease()
        return self.perform(lease_rows.take(node, instance or f"{node}1", seconds)).term

    def end_lease(self) -> None:
        """Let the lease run out."""
        self.connection.execute(update(LEASE).values(expires_at=from_now(-1)))

    def silence(self, seconds: float) -> None:
        """Let all workers be silent for so long."""
        self.connection.execute(update(RUNS).where(RUNS.c.state == "running").values(beat_at=from_now(-seconds)))

    def age(self, seconds: float) -> None:
        """Let all records be so old."""
        self.connection.execute(update(RUNS).values(recorded_at=from_now(-seconds)).where(RUNS.c.state == "final"))

    def records_of(self, *job_ids: str) -> list[RecordedRow]:
        """Return the final records of some jobs, the newest first."""
        is_final = and_(RUNS.c.job_id.in_(job_ids), RUNS.c.state == "final")
        rows = select(*record_columns(RUNS.c.output)).where(is_final).order_by(RUNS.c.recorded_at.desc())
        return [recorded_row(row) for row in self.connection.execute(rows)]

    def column(self, job_id: str, slot: str, name: str) -> object:
        """Return one value of a row."""
        return self.connection.execute(
            select(RUNS.c[name]).where(RUNS.c.job_id == job_id, RUNS.c.slot == slot)
        ).scalar_one()


@contextmanager
def opened(url: str) -> Iterator[ClusterPlace]:
    """Make the tables in a database, and open it."""
    database = Database(url, Limits(5, 10, "READ COMMITTED"))
    make_tables(database)
    with database.polling() as connection:
        if database.file is not None:
            connection.exec_driver_sql("PRAGMA synchronous = OFF")  # no test cuts the power
        yield ClusterPlace(url, database, connection)
