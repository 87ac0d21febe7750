"""`db init`: it looks before it claims, completes what was interrupted, and brings older tables to this version."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import inspect, select

from jobscheduler.database import JobTable, Unavailable
from jobscheduler.database.tables import METADATA, SERVICE, VERSION, VERSIONS
from tests.host.test_database import RULES, table_of
from tests.support.databases import Place, on_mariadb, place, server
from tests.support.service import job

__all__ = ["on_mariadb", "place", "server"]

VERSION_1 = """
CREATE TABLE jm_version (version INTEGER NOT NULL PRIMARY KEY, created_at {instant} NOT NULL);
CREATE TABLE jm_jobs (job_id VARCHAR(128) NOT NULL PRIMARY KEY, definition TEXT NOT NULL,
    created_at {instant} DEFAULT CURRENT_TIMESTAMP NOT NULL, updated_at {instant} DEFAULT CURRENT_TIMESTAMP NOT NULL);
CREATE TABLE jm_update_info (id INTEGER NOT NULL {serial}, updated SMALLINT DEFAULT 0 NOT NULL,
    insert_time {instant} DEFAULT CURRENT_TIMESTAMP NOT NULL, update_time {instant} NULL,
    jobs_before_update TEXT, jobs_after_update TEXT);
CREATE INDEX jm_update_info_updated ON jm_update_info (updated);
CREATE TABLE jm_syslog (id INTEGER NOT NULL {serial}, created_at {instant} DEFAULT CURRENT_TIMESTAMP NOT NULL,
    level VARCHAR(16) NOT NULL, logger_name VARCHAR(128) NOT NULL, message TEXT NOT NULL);
CREATE INDEX jm_syslog_created_at ON jm_syslog (created_at);
INSERT INTO jm_version (version, created_at) VALUES (1, '2026-11-01 00:00:00');
INSERT INTO jm_update_info (updated, jobs_before_update, jobs_after_update) VALUES (1, 'a secret', 'a secret');
INSERT INTO jm_update_info (updated, jobs_after_update) VALUES (0, 'pending')
"""
"""The tables as the version before this one made them, with a job's secrets in a marker that is done."""


def make_version_1(place: Place) -> JobTable:
    """Make the tables of version 1."""
    table = JobTable(place.url, rules=RULES)
    kinds = {"instant": "VARCHAR(32)", "serial": "PRIMARY KEY AUTOINCREMENT"}
    if place.server is not None:
        kinds = {"instant": "TIMESTAMP", "serial": "PRIMARY KEY AUTO_INCREMENT"}
    with table.database.writing(create=True) as connection:
        for statement in VERSION_1.format(**kinds).split(";"):
            connection.exec_driver_sql(statement)
    return table


def indexes(table: JobTable) -> set[str | None]:
    """The names of all indexes."""
    with table.database.reading() as connection:
        found = inspect(connection)
        return {one["name"] for each in METADATA.tables for one in found.get_indexes(each)}


def test_tables_of_version_1_can_be_used_and_are_brought_to_this_version(place: Place) -> None:
    """A service and the API go on with them as they are; `db init` adds what is new, and forgets old secrets."""
    table = make_version_1(place)
    table.add(job("a"))
    assert [row.job_id for row in table.list()] == ["a"]
    assert table.init() is True
    assert table.init() is False
    with table.database.reading() as connection:
        assert list(connection.execute(select(VERSIONS.c.version)).scalars()) == [VERSION]
        assert len(connection.execute(select(SERVICE.c.lock_name)).all()) == 1
        told = connection.exec_driver_sql("SELECT jobs_before_update, jobs_after_update FROM jm_update_info").all()
    assert "jm_syslog_level" in indexes(table)
    assert [tuple(row) for row in told[:2]] == [(None, None), (None, "pending")]
    assert [row.job_id for row in table.list()] == ["a"]


def test_a_look_for_errors_uses_an_index(place: Place) -> None:
    """A table of many lines is not walked through."""
    table = table_of(place)
    with table.database.reading() as connection:
        explain = "EXPLAIN " if place.server else "EXPLAIN QUERY PLAN "
        plan = connection.exec_driver_sql(explain + "SELECT id FROM jm_syslog WHERE level = 'ERROR'").all()
    assert "jm_syslog_level" in str(plan)


@pytest.mark.parametrize(
    "lost", ["DELETE FROM jm_version", "DROP TABLE jm_syslog", "DROP TABLE jm_service", "all but one"]
)
def test_an_interrupted_init_is_completed_by_the_next(place: Place, lost: str) -> None:
    """At whatever point it ended: what is missing is made, what is there is kept."""
    table = table_of(place)
    table.add(job("a"))
    with table.database.writing() as connection:
        if lost == "all but one":
            for name in ("jm_version", "jm_update_info", "jm_syslog", "jm_service"):
                connection.exec_driver_sql(f"DROP TABLE {name}")
        else:
            connection.exec_driver_sql(lost)
    if lost == "DELETE FROM jm_version":
        with pytest.raises(Unavailable, match="not made to the end") as caught:
            table.list()
        assert "`jobscheduler db init` completes them" in str(caught.value.help)
    assert table.init() is True
    assert table.init() is False
    assert [row.job_id for row in table.list()] == ["a"]
    assert table.add(job("b"))


def test_an_index_that_could_not_be_made_is_made_by_the_next_init(on_mariadb: Place) -> None:
    """As with an account that may make tables and no indexes."""
    table = table_of(on_mariadb)
    with table.database.writing() as connection:
        connection.exec_driver_sql("DROP INDEX jm_syslog_level ON jm_syslog")
    assert table.init() is True
    assert "jm_syslog_level" in indexes(table)


def test_several_that_make_the_tables_at_once_all_succeed(place: Place) -> None:
    """One makes them; the others find them made."""
    faults: list[BaseException] = []
    made: list[bool] = []
    JobTable(place.url, rules=RULES)
    begin = threading.Barrier(4)

    def make() -> None:
        try:
            begin.wait()
            made.append(JobTable(place.url, rules=RULES).init())
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(made) == [False, False, False, True]
    with JobTable(place.url, rules=RULES).database.reading() as connection:
        assert len(connection.execute(select(SERVICE.c.lock_name)).all()) == 1


def test_the_tables_of_jobsmanager_are_left_alone_and_named(place: Place) -> None:
    """Nothing is made beside them, and the help says what to do with them."""
    table = JobTable(place.url, rules=RULES)
    with table.database.writing(create=True) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE jm_jobs (id VARCHAR(191) PRIMARY KEY, next_run_time DOUBLE PRECISION, job_state BLOB)"
        )
    with pytest.raises(Unavailable, match="`jm_jobs` is the table of JobsManager") as caught:
        table.init()
    assert "jobscheduler import jobsmanager" in str(caught.value.help)
    with table.database.reading() as connection:
        assert inspect(connection).get_table_names() == ["jm_jobs"]
    with table.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE jm_jobs RENAME TO jm_jobs_of_jobsmanager")
    assert table.init() is True


def test_a_table_of_another_program_is_left_alone_and_named(place: Place) -> None:
    """With the columns that it lacks."""
    table = JobTable(place.url, rules=RULES)
    with table.database.writing(create=True) as connection:
        connection.exec_driver_sql("CREATE TABLE jm_syslog (id INTEGER, level VARCHAR(9), message VARCHAR(9))")
    with pytest.raises(
        Unavailable, match="`jm_syslog` is the table of another program: it lacks `created_at`, `logger"
    ):
        table.init()
