"""Reloads: a request leads to one, and the schedule follows the table. On SQLite and on MariaDB, with real threads."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event, select

from jobscheduler.database import JobTable, engine, queries
from jobscheduler.database.tables import MARKERS
from tests.host.test_database import RULES
from tests.support.database_world import INTERVAL, DatabaseWorld
from tests.support.databases import Place, on_mariadb, place, server
from tests.support.service import job, wait_until

__all__ = ["on_mariadb", "place", "server"]


@pytest.fixture
def world(tmp_path: Path, place: Place) -> Iterator[DatabaseWorld]:
    """One that has been started, on an empty table."""
    made = DatabaseWorld(tmp_path, place)
    with made.running():
        yield made


@pytest.fixture
def world_on_mariadb(tmp_path: Path, on_mariadb: Place) -> Iterator[DatabaseWorld]:
    """The same, on a real server only."""
    made = DatabaseWorld(tmp_path, on_mariadb)
    with made.running():
        yield made


def test_a_changed_table_changes_nothing_until_a_reload_is_requested(world: DatabaseWorld) -> None:
    """Then all its jobs are active at once, and removed rows are removed jobs."""
    with world.table.database.writing() as connection:
        queries.insert_jobs(connection, {"a": json.dumps(job("a")), "b": json.dumps(job("b"))}, datetime.now(UTC))
    threading.Event().wait(4 * INTERVAL)
    world.reconciler.sync_all()
    assert world.ids() == []

    world.table.reload()
    world.reloaded()
    assert world.ids() == ["a", "b"]
    world.table.remove("b")
    world.reloaded()
    assert world.ids() == ["a"]
    assert [values["file"] for values in world.words("job.added")] == ["jm_jobs/a", "jm_jobs/b"]


def test_a_reload_by_signal_needs_no_request_in_the_database(world: DatabaseWorld) -> None:
    """SIGHUP reads everything again, and so the table. If the database is unavailable, it is read when it is back."""
    with world.table.database.writing() as connection:
        queries.insert_jobs(connection, {"a": json.dumps(job("a"))}, datetime.now(UTC))
    world.place.go()
    world.reloader.reload()
    wait_until(lambda: world.reloader._backoff.failures)
    assert world.ids() == []
    world.place.come()
    wait_until(lambda: world.ids() == ["a"])
    wait_until(lambda: len(world.words("database.reloaded")) == 2)
    assert world.words("database.reloaded")[-1]["markers"] == 0


def test_jobs_that_did_not_change_are_not_touched(world: DatabaseWorld) -> None:
    """Of a table of many, the work is that of those that changed."""
    world.table.replace_all([job(f"j{number}") for number in range(300)])
    world.reloaded()
    calls = len(world.schedule.calls)
    world.table.update(*(job(f"j{number}", command="changed") for number in range(10)))
    world.reloaded()

    wait_until(lambda: len(world.words("database.reloaded")) >= 3)
    assert sorted(world.schedule.calls[calls:]) == sorted(("put", f"j{number}") for number in range(10))
    assert world.words("database.reloaded")[-1]["changed"] == 10
    assert len(world.words("job.updated")) == 10


def test_a_marker_that_comes_during_a_reload_is_left_for_the_next(world: DatabaseWorld) -> None:
    """Exactly the markers that were seen with the jobs are marked; and reloads do not overlap."""
    going = threading.Event()
    go_on = threading.Event()

    def wait() -> None:
        world.during = lambda: None
        going.set()
        go_on.wait(10)

    world.during = wait
    first = world.table.add(job("a"))
    second = world.table.add(job("b"))
    assert going.wait(10)
    seen = world.syncs
    during = world.table.add(job("c"))
    threading.Event().wait(4 * INTERVAL)
    assert world.syncs == seen
    assert world.ids() == []
    go_on.set()
    world.reloaded()

    assert world.ids() == ["a", "b", "c"]
    with world.table.database.reading() as connection:
        found = connection.execute(select(MARKERS.c.id, MARKERS.c.update_time)).all()
    times = dict(map(tuple, found))
    assert times[during] > times[first]
    assert all(times.values())
    assert times[second]


def test_a_reload_that_fails_leaves_its_request_and_is_tried_again(world: DatabaseWorld) -> None:
    """The last good schedule stays active, and the failure is logged once."""
    world.table.add(job("a"))
    world.reloaded()
    failed: list[int] = []

    def fail() -> None:
        failed.append(len(world.pending()))
        raise RuntimeError("no")

    world.during = fail
    world.table.update(job("a", command="changed"))
    wait_until(lambda: len(failed) >= 3)
    assert set(failed) == {1}
    assert world.reloader._backoff.pause() > 2 * INTERVAL
    assert json.loads(world.schedule.jobs["a"].task.params_json) == {"command": "true"}
    assert [values["problem"] for values in world.words("database.reload_failed")] == [
        "the reload failed: RuntimeError: no"
    ]
    world.during = lambda: None
    world.reloaded()
    assert json.loads(world.schedule.jobs["a"].task.params_json) == {"command": "changed"}


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_what_only_sqlite_lets_into_a_table_is_the_problem_of_its_row(world: DatabaseWorld) -> None:
    """Bytes that are not UTF-8, and instants beyond the calendar. Other rows are read, and the row can be removed."""
    with world.table.database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO jm_jobs (job_id, definition) VALUES ('bytes', CAST(x'7bff7d' AS TEXT))")
        connection.exec_driver_sql(
            "INSERT INTO jm_jobs (job_id, definition, updated_at) VALUES ('early', ?, '0001-01-01T00:00:00+23:00')",
            (json.dumps(job("early")),),
        )
    world.table.add(job("good"))
    world.reloaded()
    assert world.ids() == ["early", "good"]
    assert [values["file"] for values in world.words("job.refused")] == ["jm_jobs/bytes"]
    world.table.remove("bytes")
    world.reloaded()
    assert [row.job_id for row in world.table.list()] == ["early", "good"]


def test_a_definition_that_is_not_valid_is_stale_and_delays_no_other(world: DatabaseWorld) -> None:
    """The others are active, the request is done, and the problem is logged with its location."""
    world.table.add(job("a"), job("b"))
    world.reloaded()
    with world.table.database.writing() as connection:
        queries.update_jobs(connection, {"a": '{"job_id": "a", "shedule": "@daily"}'}, datetime.now(UTC))
        queries.insert_jobs(connection, {"x": "{", "y": json.dumps(job("z"))}, datetime.now(UTC))
        queries.update_jobs(connection, {"b": json.dumps(job("b", command="changed"))}, datetime.now(UTC))
        queries.request_reload(connection, datetime.now(UTC))
    world.reloaded()

    assert world.ids() == ["a", "b"]
    assert json.loads(world.schedule.jobs["b"].task.params_json) == {"command": "changed"}
    (stale,) = world.words("job.stale")
    assert (stale["job_id"], stale["file"], stale["line"], stale["column"]) == ("a", "jm_jobs/a", 1, 1)
    assert stale["also"] == "line 1, column 17: unknown field `shedule`"
    refused = {values["file"]: values["problem"] for values in world.words("job.refused")}
    assert refused["jm_jobs/y"] == "the row `y` holds the definition of `z`"
    assert refused.keys() == {"jm_jobs/x", "jm_jobs/y"}
    world.table.update(job("a"))
    world.reloaded()
    assert [values["file"] for values in world.words("job.mended")] == ["jm_jobs/a"]


def test_an_id_belongs_to_one_source_and_the_incumbent_has_it(world: DatabaseWorld) -> None:
    """The newcomer is refused naming both, and takes over when the incumbent goes; in either direction."""
    world.write("a.json", job("a"))
    world.table.add(job("a", command="false"), job("b"))
    world.reloaded()
    assert world.schedule.jobs["a"].source_name == "a.json"
    wait_until(lambda: world.reconciler.sync_items(()) or world.words("job.refused"))
    assert world.words("job.refused")[-1]["problem"] == "the id `a` already belongs to `a.json`"
    world.write("b.json", job("b", command="false"))
    assert world.schedule.jobs["b"].source_name == "jm_jobs/b"

    (world.directory / "a.json").unlink()
    wait_until(lambda: world.reconciler.sync_items(["a.json"]) or world.schedule.jobs["a"].source_name == "jm_jobs/a")
    world.table.remove("b")
    wait_until(lambda: world.schedule.jobs["b"].source_name == "b.json")


def test_a_source_that_is_lost_keeps_its_jobs_and_hinders_no_other(world: DatabaseWorld) -> None:
    """Each has its own events in the log, and the other source goes on."""
    world.write("a.json", job("a"))
    world.table.add(job("b"))
    world.reloaded()
    world.directory.rename(world.base / "old")
    world.reconciler.verify_sources()
    assert world.words("directory.lost")[0]["jobs"] == 1
    world.table.add(job("c"))
    world.reloaded()
    assert world.ids() == ["a", "b", "c"]
    assert list(world.reconciler.unavailable()) == ["directory"]
    (world.base / "old").rename(world.directory)
    world.reconciler.verify_sources()
    assert len(world.words("directory.found")) == 1

    world.place.go()
    wait_until(lambda: world.reconciler.verify_sources() or world.words("database.lost"))
    world.write("d.json", job("d"))
    (world.directory / "a.json").unlink()
    wait_until(lambda: world.reconciler.sync_items(["a.json"]) or world.ids() == ["b", "c", "d"])
    assert list(world.reconciler.unavailable()) == ["database"]
    assert world.words("database.lost")[0]["jobs"] == 2
    world.place.come()
    wait_until(lambda: world.reconciler.verify_sources() or world.words("database.found"))
    assert world.ids() == ["b", "c", "d"]
    assert len(world.words("database.lost")) == 1


def test_a_database_that_goes_in_the_middle_of_a_reload_is_reloaded_when_it_is_back(world: DatabaseWorld) -> None:
    """Its jobs had been read, the marker could not be written: it is done once more, without any effect."""
    gone = threading.Event()

    def go() -> None:
        world.during = lambda: None
        world.place.go()
        gone.set()

    world.during = go
    world.table.add(job("a"))
    assert gone.wait(10)
    wait_until(lambda: world.reconciler.verify_sources() or world.words("database.lost"))
    assert world.ids() == ["a"]
    calls = list(world.schedule.calls)
    world.place.come()
    wait_until(lambda: world.reconciler.verify_sources() or world.words("database.found"), 30)
    world.reloaded()

    assert world.schedule.calls == calls
    assert len(world.words("database.lost")) == len(world.words("database.found")) == 1


def test_a_service_started_without_its_database_has_its_jobs_when_it_comes(tmp_path: Path, place: Place) -> None:
    """The jobs of the directory are active meanwhile."""
    world = DatabaseWorld(tmp_path, place)
    world.table.add(job("b"))
    place.go()
    world.write("a.json", job("a"))
    with world.running(wait=False):
        assert world.ids() == ["a"]
        assert len(world.words("database.lost")) == 1
        assert not world.source.is_read
        place.come()
        wait_until(lambda: world.ids() == ["a", "b"], 30)
        world.reloaded()
        assert len(world.words("database.found")) == 1


def test_without_a_request_the_database_gets_one_indexed_query_in_each_interval(world: DatabaseWorld) -> None:
    """There is no statement before or after it, and no scan of the table of requests."""
    world.table.add(job("a"))
    world.reloaded()
    seen: list[str] = []
    event.listen(world.database._polling_engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    counted = _questions(world)
    wait_until(lambda: len(seen) >= 8)
    assert len(set(seen)) == 1
    if counted is not None:
        now = _questions(world)
        assert now is not None
        assert now - counted <= len(seen) + 3  # and our own questions
    with world.table.database.reading() as connection:
        explain = "EXPLAIN " if world.place.server else "EXPLAIN QUERY PLAN "
        plan = connection.exec_driver_sql(explain + "SELECT id FROM jm_update_info WHERE updated = 0").all()
    assert "jm_update_info_updated" in str(plan)


def _questions(world: DatabaseWorld) -> int | None:
    """How many questions the server was asked."""
    if world.place.server is None:
        return None
    ((_, count),) = world.place.server.sql("SHOW GLOBAL STATUS LIKE 'Questions'")
    return int(str(count))


def test_a_broken_connection_is_replaced_without_an_event(world_on_mariadb: DatabaseWorld) -> None:
    """A server closes connections that were idle for long."""
    world = world_on_mariadb
    world.table.add(job("a"))
    world.reloaded()
    found = world.place.server.sql("SELECT id FROM information_schema.processlist WHERE user = 'tester'")
    world.place.server.sql(*(f"KILL {number}" for (number,) in found))
    world.table.add(job("b"))
    world.reloaded()
    world.reconciler.verify_sources()

    assert world.ids() == ["a", "b"]
    assert world.words("database.lost") == []


def test_a_query_that_takes_too_long_makes_the_database_unavailable_and_delays_nothing_else(
    tmp_path: Path, on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program has locked the table, or the server does not answer. The service notices its return."""
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 1)
    world = DatabaseWorld(tmp_path, on_mariadb)
    with world.running():
        assert on_mariadb.server is not None
        world.table.add(job("a"))
        world.reloaded()
        on_mariadb.server.hold()
        try:
            world.write("b.json", job("b"))
            assert world.ids() == ["a", "b"]
            wait_until(lambda: world.reconciler.verify_sources() or world.words("database.lost"), 20)
        finally:
            on_mariadb.server.go_on()
        assert "timed out" in world.words("database.lost")[0]["problem"]
        world.table.add(job("c"))
        world.reloaded()
        assert world.ids() == ["a", "b", "c"]


def test_a_table_is_a_source_as_any_other(tmp_path: Path, place: Place) -> None:
    """`JobTable` needs no service, and `is_reloaded` returns whether a service has taken a change."""
    world = DatabaseWorld(tmp_path, place)
    marker = JobTable(place.url, rules=RULES).add(job("a"))
    assert not world.table.is_reloaded(marker)
    with world.running():
        wait_until(lambda: world.table.is_reloaded(marker))
        assert world.ids() == ["a"]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_file_that_others_may_write_is_not_read_again(world: DatabaseWorld, tmp_path: Path) -> None:
    """Its permissions are checked before each reload; the active jobs stay active."""
    world.table.add(job("a"))
    world.reloaded()
    (tmp_path / "jobs.db").chmod(0o666)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as stranger:  # the project's own API refuses such a file
        stranger.execute("INSERT INTO jm_update_info (updated) VALUES (0)")
        stranger.commit()
    wait_until(lambda: world.reconciler.verify_sources() or world.words("database.lost"), 30)
    assert world.ids() == ["a"]
    (tmp_path / "jobs.db").chmod(0o644)
    world.table.add(job("b"))
    world.reloaded()
    assert world.ids() == ["a", "b"]
