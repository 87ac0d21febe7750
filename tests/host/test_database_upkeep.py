"""What a service keeps in order in a database: clocks that differ, servers that are read-only, rows that are old."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from jobscheduler.database import engine, queries
from jobscheduler.database.clock_skew import ClockSkew
from jobscheduler.database.engine import Database
from jobscheduler.database.queries import MAX_DEFINITION_CHARS, Row
from jobscheduler.database.retention import BATCH_SIZE, FIRST_AFTER_S, INTERVAL_S, Retention
from jobscheduler.database.source import DatabaseSource
from jobscheduler.database.tables import MARKERS, SYSLOG
from jobscheduler.model import Level, LogValue
from tests.host.test_database import table_of
from tests.support.database_world import INTERVAL, DatabaseWorld
from tests.support.databases import Place, on_mariadb, place, server
from tests.support.service import job, wait_until

__all__ = ["on_mariadb", "place", "server"]

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path, place: Place) -> Iterator[DatabaseWorld]:
    """One that has been started, on an empty table."""
    made = DatabaseWorld(tmp_path, place)
    with made.running():
        yield made


class Told:
    """Takes events."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        self.all.append((name, values))

    def names(self) -> list[str]:
        return [name for name, _ in self.all]


# --- clocks ----------------------------------------------------------------------------------------------


def test_a_difference_of_the_servers_clock_is_logged_once_and_shown_until_it_ends() -> None:
    """Small differences are not reported."""
    told, ahead = Told(), timedelta(seconds=3)
    clocks = ClockSkew(told, lambda: NOW)

    def look() -> None:
        clocks.compare(lambda: NOW + ahead)

    look()
    assert clocks.problem() is None
    for ahead in (timedelta(hours=5), timedelta(hours=5, seconds=1), timedelta(hours=-1)):
        look()
        assert clocks.ahead == ahead
    assert told.names() == ["database.clock"]
    assert told.all[0][1]["problem"] == "the clock of the database's server is 18000 s ahead of this host's"
    assert clocks.problem() == "the clock of the database's server is 3600 s behind this host's"
    ahead = timedelta(seconds=1)
    look()
    clocks.compare(lambda: None)
    assert told.names() == ["database.clock", "database.clock_agrees"]
    assert clocks.problem() is None
    assert clocks.ahead == timedelta(0)


def test_the_time_of_a_row_lies_between_two_readings_of_the_table() -> None:
    """Not after the first sight of it, not before the last look that did not find it, and by this host's clock."""
    now = NOW.timestamp()
    source = DatabaseSource(now=lambda: now)
    hour = timedelta(hours=1)

    def written(**at: datetime) -> dict[str, float]:
        source.update([Row(name, json.dumps(job(name)), NOW, when) for name, when in at.items()])
        with source.open() as view:
            return {name.partition("/")[2]: view.read(name).modified_at - NOW.timestamp() for name in view.list_items()}

    assert written(early=NOW - hour, late=NOW + 5 * hour) == {"early": -3600, "late": 0}
    now += 10
    found = written(
        early=NOW, late=NOW + 5 * hour, behind=NOW - hour, ahead=NOW + hour, good=NOW + timedelta(seconds=5)
    )
    assert found == {"early": -3600, "late": 0, "behind": 0, "ahead": 10, "good": 5}


def test_the_first_reading_takes_the_difference_of_the_clocks_into_account() -> None:
    """So that an outage has all the slots of a job that was there, and none from before it was."""
    for ahead in (timedelta(hours=5), timedelta(hours=-1)):
        source = DatabaseSource(now=NOW.timestamp)
        source.update([Row("a", json.dumps(job("a")), NOW, NOW - timedelta(minutes=10) + ahead)], ahead)
        with source.open() as view:
            assert view.read("jm_jobs/a").modified_at == NOW.timestamp() - 600


def test_a_server_whose_clock_is_wrong_is_noticed_at_a_reload(tmp_path: Path, on_mariadb: Place) -> None:
    """Ahead of this host by five hours; `status` says so as well."""
    assert on_mariadb.server is not None
    name = on_mariadb.url.rpartition("/")[2]
    url = f"mysql://plain:plain@127.0.0.1:{on_mariadb.server.port}/{name}"
    world = DatabaseWorld(tmp_path, on_mariadb, reader=Database(url))
    world.table.add(job("a"))
    on_mariadb.server.sql("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() + 18000'")
    on_mariadb.server.sql(
        "CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'plain'", "GRANT ALL ON *.* TO plain@'127.0.0.1'"
    )
    on_mariadb.server.sql("REVOKE SUPER, CONNECTION ADMIN ON *.* FROM plain@'127.0.0.1'")
    try:
        world.start()
        (told,) = world.words("database.clock")
        assert re.search(r"is (1799|1800)\d s ahead of", told["problem"])
        assert world.reloader.issues() == (told["problem"],)
    finally:
        on_mariadb.server.sql("SET GLOBAL init_connect = ''")
        world.end()


# --- read-only -------------------------------------------------------------------------------------------


def test_a_database_that_can_be_read_and_not_written_is_one_problem(
    tmp_path: Path, on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes become active at the usual interval and requests wait. The database does not count as unavailable."""
    assert on_mariadb.server is not None
    name = on_mariadb.url.rpartition("/")[2]
    on_mariadb.server.sql(
        "CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'reader'",
        f"GRANT SELECT ON {name}.* TO reader@'127.0.0.1'",
    )
    reader = Database(f"mysql://reader:reader@127.0.0.1:{on_mariadb.server.port}/{name}")
    world = DatabaseWorld(tmp_path, on_mariadb, reader=reader)
    with world.running():
        first = world.table.add(job("a"))
        wait_until(lambda: world.ids() == ["a"])
        wait_until(lambda: world.words("database.read_only"))
        world.table.add(job("b"))
        wait_until(lambda: world.ids() == ["a", "b"])
        looks = world.syncs
        threading.Event().wait(10 * INTERVAL)
        assert world.syncs == looks  # what is in force is not made again and again
        world.reconciler.verify_sources()
        assert world.words("database.lost") == world.words("database.found") == []
        assert not world.table.is_reloaded(first)
        (told,) = world.words("database.read_only")
        assert "it can be read" not in told["problem"]
        assert "can be read and not written; requests cannot be marked as done" in told["problem"]
        assert world.reloader.issues() == (told["problem"],)
        reloads = world.words("database.reloaded")
        assert [one["markers"] for one in reloads][-2:] == [1, 1]
        on_mariadb.server.sql(f"GRANT UPDATE ON {name}.jm_update_info TO reader@'127.0.0.1'")
        wait_until(lambda: world.words("database.writable"), 40)
        assert world.pending() == []
        assert world.reloader.issues() == ()


def test_a_request_that_another_transaction_holds_is_marked_when_it_is_free(
    tmp_path: Path, on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is active meanwhile, and the database is not lost."""
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 2)
    world = DatabaseWorld(tmp_path, on_mariadb)
    with world.running():
        with world.table.database.writing() as holding:
            world.table.add(job("a"))
            holding.execute(select(MARKERS.c.id).with_for_update())
            wait_until(lambda: world.ids() == ["a"], 20)
            wait_until(lambda: world.words("database.read_only"), 20)
            world.reconciler.verify_sources()
            assert world.words("database.lost") == []
        wait_until(lambda: not world.pending(), 60)
        wait_until(lambda: world.words("database.writable"))


# --- old rows --------------------------------------------------------------------------------------------


def fill(place: Place, count: int) -> Database:
    """Write lines and markers: of each kind `count` old ones and ten new ones; one old marker is not done."""
    table_of(place)
    database = Database(place.url)
    old, new = NOW - timedelta(days=31), NOW - timedelta(days=29)
    with database.writing() as connection:
        for at, many in ((old, count), (new, 10)):
            line = {"created_at": at, "level": "INFO", "logger_name": "x", "message": "x"}
            connection.execute(insert(SYSLOG), [line] * many)
            marker = {"updated": 1, "insert_time": at, "update_time": at}
            connection.execute(insert(MARKERS), [marker] * many)
        connection.execute(insert(MARKERS), [{"updated": 0, "insert_time": old}])
    return database


def counts(database: Database) -> tuple[int, int]:
    """How many lines and markers there are."""
    with database.reading() as connection:
        return (
            len(connection.execute(select(SYSLOG.c.id)).all()),
            len(connection.execute(select(MARKERS.c.id)).all()),
        )


def test_old_lines_and_old_requests_are_removed_in_small_batches(place: Place) -> None:
    """Not at the start, for a short spell at a time; what is not done stays, however old."""
    database, told = fill(place, 2 * BATCH_SIZE + 7), Told()
    clock = [0.0]
    retention = Retention(database, told, 30 * 86400.0, 30 * 86400.0, lambda: NOW, lambda: clock[0])
    retention.step()
    assert counts(database) == (2 * BATCH_SIZE + 17, 2 * BATCH_SIZE + 18)
    clock[0] = FIRST_AFTER_S
    retention.step()
    assert counts(database) == (10, 11)
    assert told.all == []


def test_a_step_does_not_delay_reloads_for_long(place: Place) -> None:
    """It goes on at the next step."""
    database = fill(place, 2 * BATCH_SIZE + 7)
    ticks = iter(range(0, 10**6, 100))
    retention = Retention(database, Told(), 30 * 86400.0, 30 * 86400.0, lambda: NOW, lambda: float(next(ticks)))
    retention.step()
    assert counts(database)[0] == BATCH_SIZE + 17
    for _ in range(8):
        retention.step()
    assert counts(database) == (10, 11)


def test_rows_that_must_not_be_deleted_are_logged_once(on_mariadb: Place) -> None:
    """An account without DELETE is not an error at each attempt."""
    fill(on_mariadb, 5)
    assert on_mariadb.server is not None
    name = on_mariadb.url.rpartition("/")[2]
    on_mariadb.server.sql(
        "CREATE OR REPLACE USER keeper@'127.0.0.1' IDENTIFIED BY 'keeper'",
        f"GRANT SELECT ON {name}.* TO keeper@'127.0.0.1'",
    )
    database = Database(f"mysql://keeper:keeper@127.0.0.1:{on_mariadb.server.port}/{name}")
    told, clock = Told(), [0.0]
    retention = Retention(database, told, 30 * 86400.0, 30 * 86400.0, lambda: NOW, lambda: clock[0])
    for clock[0] in (FIRST_AFTER_S, FIRST_AFTER_S + INTERVAL_S, FIRST_AFTER_S + 2 * INTERVAL_S):
        retention.step()
    assert told.names() == ["database.rows_kept"]
    assert "DELETE" in told.all[0][1]["help"]


# --- rows that are too long, and words about rows --------------------------------------------------------


def test_of_a_row_that_is_too_long_nothing_is_kept(world: DatabaseWorld) -> None:
    """It is refused in words of rows, others go on, and a good one in its place is in force."""
    with world.table.database.writing() as connection:
        queries.insert_jobs(
            connection, {"large": "x" * (MAX_DEFINITION_CHARS + 500), "good": json.dumps(job("good"))}, NOW
        )
        queries.request_reload(connection, NOW)
    world.reloaded()
    assert world.ids() == ["good"]
    assert [one["problem"] for one in world.words("job.refused")] == ["the row is larger than 1 MiB"]
    assert all(item.raw is None for name, item in (world.source._items or {}).items() if name == "jm_jobs/large")
    world.table.update(job("large"))
    world.reloaded()
    assert world.ids() == ["good", "large"]


def test_problems_of_rows_speak_of_rows(world: DatabaseWorld) -> None:
    """There is no file that could be saved or deleted."""
    bad = {"empty": "", "half": '{"job_id": "half"', "null": "a\\0".replace("\\0", "\x01"), "two": "{} {}"}
    with world.table.database.writing() as connection:
        queries.insert_jobs(connection, bad, NOW)
        queries.request_reload(connection, NOW)
    world.reloaded()
    told = {one["file"]: f"{one['problem']}; {one.get('help')}" for one in world.words("job.refused")}
    assert told["jm_jobs/empty"] == "the row is empty; write a job definition, or delete the row"
    assert told["jm_jobs/half"].startswith("the row ends in the middle of the definition")
    assert "one job per row" in told["jm_jobs/two"]
    assert not any(" file" in one for one in told.values())
