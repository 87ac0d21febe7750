"""The same on PostgreSQL, through psycopg: tables, changes, the lock, reloads, the copy of the log, old rows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, select

from jobscheduler.database import JobExists, JobTable, Unavailable, engine, postgresql
from jobscheduler.database.engine import Database
from jobscheduler.database.lock_holder import DatabaseInUse
from jobscheduler.database.log_rows import LogRows
from jobscheduler.database.retention import FIRST_AFTER_S, Retention
from jobscheduler.database.tables import SERVICE
from jobscheduler.model import Event, Level
from tests.host.test_database import RULES, markers, table_of
from tests.host.test_database_log_copy import Copy
from tests.host.test_database_service_lock import Other, assert_ended
from tests.host.test_database_upkeep import NOW, Told, counts, fill
from tests.support.database_world import DatabaseWorld
from tests.support.databases import Place
from tests.support.postgresql import Server, server
from tests.support.service import job, wait_until

__all__ = ["server"]


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Place:
    """An empty database."""
    return Place(server.fresh(), server, tmp_path / "none")  # type: ignore[arg-type]


def test_the_tables_are_made_once_also_by_several(place: Place) -> None:
    """And what is missing is completed."""
    made: list[object] = []

    def make() -> None:
        try:
            made.append(JobTable(place.url, rules=RULES).init())
        except Unavailable as reason:
            made.append(str(reason))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, made)) == ["False", "False", "False", "True"]
    table = JobTable(place.url, rules=RULES)
    with table.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE jm_syslog")
        connection.exec_driver_sql("DROP INDEX jm_update_info_updated")
    assert table.init() is True
    assert table.init() is False


def test_each_kind_of_change_has_its_marker(place: Place) -> None:
    """With the server's time, and updates that keep when a job was added."""
    table = table_of(place)
    table.add(job("a"), job("A"))
    with pytest.raises(JobExists):
        table.add(job("a"))
    added = table.get("a")
    table.update(job("a", command="false"))
    changes = table.put(job("a", command="false"), job("A", command="false"), job("b"))
    assert (changes.added, changes.updated) == (("b",), ("A",))
    table.remove("b")
    assert table.replace_all([job("c")]).removed == ("A", "a")
    table.add(*(job(f"j{number}") for number in range(1200)))
    table.update(*(job(f"j{number}", command="changed") for number in range(1200)))
    assert len(table.list()) == 1201
    assert len(markers(table)) == 7
    row = table.get("c")
    assert added is not None
    assert row is not None
    assert row.updated_at is not None
    assert abs(row.updated_at - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.fixture
def world(tmp_path: Path, place: Place) -> Iterator[DatabaseWorld]:
    """One that has been started, with a job."""
    made = DatabaseWorld(tmp_path, place)
    made.table.add(job("a"))
    with made.running():
        yield made


def test_one_service_has_the_database(world: DatabaseWorld, place: Place) -> None:
    """Another is refused by name; a broken connection takes the lock again; what another took is that one's."""
    assert world.ids() == ["a"]
    assert world.table.is_used() is True
    other = Other(place)
    with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} on host"):
        other.take()
    terminate = "SELECT pg_terminate_backend(connection::int) FROM jm_service"
    other.connection.exec_driver_sql(terminate)
    world.table.add(job("b"))
    world.reloaded()
    assert world.ids() == ["a", "b"]
    assert world.words("database.taken") == []
    for _ in range(200):
        other.connection.exec_driver_sql(terminate)
        try:
            other.take_at_once()
            break
        except DatabaseInUse:  # this one was quicker: once more
            continue
    else:
        raise AssertionError("the lock was never free")
    wait_until(lambda: world.words("database.taken"), 30)
    wait_until(lambda: world.ids() == [])
    other.end()
    wait_until(lambda: world.ids() == ["a", "b"], 30)
    with world.table.database.reading() as connection:
        assert connection.execute(select(SERVICE.c.pid)).scalar_one() == os.getpid()


def test_a_dead_connection_of_this_process_is_ended(place: Place) -> None:
    """As after a break of the network."""
    table_of(place)
    before, after = Other(place, instance="the same"), Other(place, instance="the same")
    before.take()
    after.take()
    assert_ended(before)
    after.end()


def test_a_server_that_went_and_came_is_found_again(world: DatabaseWorld, place: Place) -> None:
    """Requests that were made when it is back are done."""
    place.go()
    wait_until(lambda: world.reconciler.verify_sources() or world.words("database.lost"), 30)
    place.come()
    world.table.add(job("b"))
    world.reloaded()
    assert world.ids() == ["a", "b"]


def test_a_database_that_is_read_only_is_one_problem(tmp_path: Path, place: Place, server: Server) -> None:
    """Changes are in force, requests wait."""
    role = f"reader{server.port}"
    world = DatabaseWorld(tmp_path, place, reader=Database(place.url.replace("tester@", f"{role}@")))
    server.sql(f"CREATE ROLE {role} LOGIN")
    with world.table.database.writing() as connection:
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    world.table.add(job("a"))
    with world.running():
        wait_until(lambda: world.words("database.read_only"))
        world.table.add(job("b"))
        wait_until(lambda: world.ids() == ["a", "b"])
        world.reconciler.verify_sources()
        assert world.words("database.lost") == []
        with world.table.database.writing() as connection:
            connection.exec_driver_sql(f"GRANT UPDATE ON jm_update_info TO {role}")
        wait_until(lambda: not world.pending(), 60)


def test_the_copy_of_the_log_and_its_old_rows(tmp_path: Path, place: Place) -> None:
    """The lines of the file; a line that is refused holds up no other; what is old is removed."""
    table = table_of(place)
    with table.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE jm_syslog ADD CHECK (message NOT LIKE '%%poison%%')")
    copy = Copy(tmp_path, place, 10_000)
    with copy.syslog, copy.log:
        copy.write(0, 400)
        copy.log.event(Level.INFO, "test.poison")
        copy.write(400, 800)
        wait_until(lambda: sum("test.line" in row for row in copy.rows()) == 800, 40)
    assert not any("poison" in row for row in copy.rows())
    database = fill(place, 1500)
    old = counts(database)
    retention = Retention(
        database, Told(), 30 * 86400.0, 30 * 86400.0, lambda: NOW, iter((0.0, *[FIRST_AFTER_S] * 99)).__next__
    )
    retention.step()
    assert tuple(before - after for before, after in zip(old, counts(database), strict=True)) == (1500, 1500)


@contextmanager
def locked(table: JobTable, name: str) -> Iterator[None]:
    """Have another program lock a table."""
    with table.database.writing() as connection:
        connection.exec_driver_sql(f"LOCK TABLE {name}")
        yield


def test_a_statement_that_waits_for_another_program_is_ended_by_the_server(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as a database that does not answer, and the connection is closed without a wait."""
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 1)
    table = table_of(place)
    with locked(table, "jm_jobs"):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="the database does not answer") as caught:
            table.list()
        assert caught.value.is_silent
        assert time.monotonic() - began < 10
    assert table.list() == []


def test_lines_that_wait_for_another_program_are_not_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay in the queue; a refused line would be written again by itself, and then be counted as lost."""
    table = table_of(place)
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 1)
    entry = Event(NOW, Level.INFO, "test.line", ())
    with locked(table, "jm_syslog"), pytest.raises(Unavailable):
        LogRows(Database(place.url)).write([(entry, b"a line")])


def test_a_transaction_that_a_program_leaves_idle_is_ended_by_the_server(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks are free then, and its changes are undone."""
    table = table_of(place)
    monkeypatch.setattr(postgresql, "IDLE_TRANSACTION_TIMEOUT_S", 1)
    with pytest.raises(Unavailable), locked(table, "jm_jobs"):
        JobTable(place.url, rules=RULES).add(job("a"))
    assert [row.job_id for row in table.list()] == ["a"]


@pytest.mark.parametrize(("own", "statement"), [("", "10s"), ("3s", "3s")])
def test_a_limit_of_the_account_wins_over_that_of_the_service(
    place: Place, server: Server, own: str, statement: str
) -> None:
    """Without one the service sets its own; `db init` may take as long as it needs."""
    role = f"limited{server.port}{own}"
    server.sql(f"CREATE ROLE {role} LOGIN")
    if own:
        server.sql(f"ALTER ROLE {role} SET statement_timeout = '{own}'")
    limited = Database(place.url.replace("tester@", f"{role}@"))
    with limited.polling() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == statement
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "1min"
    with limited.writing() as connection:
        postgresql.lift_statement_limit(connection)
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"


def test_the_driver_limits_the_time_to_connect_unless_the_url_does() -> None:
    """So it does for packets that no host confirms."""
    limits = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
    url = make_url("postgresql+psycopg://host/database")
    assert postgresql.connect_arguments(url, 5, 10) == limits
    assert postgresql.connect_arguments(url.update_query_dict({"connect_timeout": "2"}), 5, 10) == {
        "tcp_user_timeout": 10_000
    }
    assert postgresql.connect_arguments(make_url("postgresql+pg8000://host/database"), 5, 10) == {}
