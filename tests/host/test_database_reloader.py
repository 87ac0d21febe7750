"""Reloads: a marker asks for one, and the schedule follows the table. On SQLite and on MariaDB, with real threads."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from jobscheduler.database import JobTable, engine, queries
from jobscheduler.database.engine import Database
from jobscheduler.database.reloader import Reloader
from jobscheduler.database.source import DatabaseSource
from jobscheduler.database.tables import MARKERS
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Level, LogValue
from tests.host.test_database import RULES, table_of
from tests.support.databases import Place, on_mariadb, place, server
from tests.support.service import job, wait_until
from tests.unit.test_reconciler import FakeSchedule

__all__ = ["on_mariadb", "place", "server"]

INTERVAL = 0.05


class World:
    """A directory and a database, one reconciler on both, and the thread that reads the database."""

    def __init__(self, base: Path, place: Place, *, reader: Database | None = None, interval: float = INTERVAL) -> None:
        """`reader` is the database as the reloader may use it, with the account of another user."""
        self.place = place
        self.directory = base / "jobs.d"
        self.directory.mkdir()
        self.base = base
        self.table = table_of(place)
        self.schedule = FakeSchedule()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.database = reader or Database(place.url)
        self.source = DatabaseSource()
        self.reconciler = Reconciler([DirectorySource(self.directory), self.source], self.schedule, RULES, self.tell)
        self.during: Callable[[], object] = lambda: None
        self.reloader = Reloader(self.database, self.source, self.look, self.tell, interval=interval)
        self.looks = 0

    def tell(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        """Take an event."""
        self.told.append((name, {key: value for key, value in values.items() if value is not None}))

    def words(self, name: str) -> list[dict[str, Any]]:
        """The values of all events of this name."""
        return [values for word, values in self.told if word == name]

    def look(self) -> None:
        """What a reload does to the schedule."""
        self.looks += 1
        self.during()
        self.reconciler.sync_items(())

    def start(self, *, wait: bool = True) -> World:
        """As the service does it; wait until the first look at the table is over."""
        self.reloader.__enter__()
        self.reloader.wait_first_read(10)
        self.reconciler.verify_sources()
        self.reloader.allow_sync()
        if wait:
            wait_until(lambda: self.words("database.reloaded"))
        return self

    def write(self, name: str, definition: Any) -> None:
        """Put a file into the directory, and look at it."""
        (self.base / "t").write_text(json.dumps(definition))
        (self.base / "t").rename(self.directory / name)
        self.reconciler.sync_items([name])

    def pending(self) -> list[int]:
        """The markers that are not done."""
        with self.table.database.reading() as connection:
            return queries.pending_reloads(connection)

    def reloaded(self) -> None:
        """Wait until nothing is asked for any more."""
        wait_until(lambda: not self.pending(), why=f"all markers are done; {self.told[-5:]}")

    def ids(self) -> list[str]:
        """The jobs that are in force."""
        return sorted(self.schedule.jobs)


@pytest.fixture
def world(tmp_path: Path, place: Place) -> Iterator[World]:
    """One that has been started, on an empty table."""
    made = World(tmp_path, place)
    yield made.start()
    made.reloader.__exit__(None, None, None)


@pytest.fixture
def world_on_mariadb(tmp_path: Path, on_mariadb: Place) -> Iterator[World]:
    """The same, on a real server only."""
    made = World(tmp_path, on_mariadb)
    yield made.start()
    made.reloader.__exit__(None, None, None)


def test_a_changed_table_changes_nothing_until_a_marker_asks_for_it(world: World) -> None:
    """Then all of it is in force at once, and what is gone from the table is gone."""
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


def test_who_asks_the_service_itself_needs_no_marker(world: World) -> None:
    """SIGHUP looks at everything again, so also at the table; and when the database is away, as soon as it is back."""
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


def test_jobs_that_did_not_change_are_not_touched(world: World) -> None:
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


def test_a_marker_that_comes_during_a_reload_is_left_for_the_next(world: World) -> None:
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
    seen = world.looks
    during = world.table.add(job("c"))
    threading.Event().wait(4 * INTERVAL)
    assert world.looks == seen
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


def test_a_reload_that_fails_leaves_its_marker_and_is_tried_again(world: World) -> None:
    """The last good schedule stays in force, and the trouble is told once."""
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
def test_what_only_sqlite_lets_into_a_table_is_the_problem_of_its_row(world: World) -> None:
    """Bytes that are no UTF-8, and instants beyond the calendar: the others are read, and the row can be removed."""
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


def test_a_definition_that_is_not_valid_is_stale_and_holds_up_nothing(world: World) -> None:
    """The others are in force, the marker is done, and the problem is told with its place; mended, it is in force."""
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


def test_an_id_belongs_to_one_source_and_the_incumbent_has_it(world: World) -> None:
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


def test_a_source_that_is_lost_keeps_its_jobs_and_hinders_no_other(world: World) -> None:
    """Each has its own words in the log; what is there goes on as ever."""
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


def test_a_database_that_goes_in_the_middle_of_a_reload_is_reloaded_when_it_is_back(world: World) -> None:
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
    """The directory's are in force meanwhile."""
    world = World(tmp_path, place)
    world.table.add(job("b"))
    place.go()
    world.write("a.json", job("a"))
    world.start(wait=False)
    try:
        assert world.ids() == ["a"]
        assert len(world.words("database.lost")) == 1
        assert not world.source.is_read
        place.come()
        wait_until(lambda: world.ids() == ["a", "b"], 30)
        world.reloaded()
        assert len(world.words("database.found")) == 1
    finally:
        world.reloader.__exit__(None, None, None)


def test_without_a_marker_the_database_sees_one_indexed_query_in_each_interval(world: World) -> None:
    """Nothing before it and nothing after it, and no look at the whole table of markers."""
    world.table.add(job("a"))
    world.reloaded()
    seen: list[str] = []
    event.listen(world.database._engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
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


def _questions(world: World) -> int | None:
    """How many questions the server was asked."""
    if world.place.server is None:
        return None
    ((_, count),) = world.place.server.sql("SHOW GLOBAL STATUS LIKE 'Questions'")
    return int(str(count))


def test_a_connection_that_breaks_is_made_anew_without_a_word(world_on_mariadb: World) -> None:
    """As when a server closes what has been idle for long."""
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


def test_a_query_that_takes_too_long_loses_the_database_and_holds_up_nobody(
    tmp_path: Path, on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has locked the table, or the server answers nothing: it is found again by itself."""
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 1)
    world = World(tmp_path, on_mariadb).start()
    try:
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
    finally:
        world.reloader.__exit__(None, None, None)


def test_a_table_is_a_source_as_any_other(tmp_path: Path, place: Place) -> None:
    """`JobTable` needs no service, and `is_reloaded` tells when one has taken a change."""
    world = World(tmp_path, place)
    marker = JobTable(place.url, rules=RULES).add(job("a"))
    assert not world.table.is_reloaded(marker)
    world.start()
    try:
        wait_until(lambda: world.table.is_reloaded(marker))
        assert world.ids() == ["a"]
    finally:
        world.reloader.__exit__(None, None, None)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_file_that_others_may_write_is_not_read_again(world: World, tmp_path: Path) -> None:
    """Its rights are looked at before each reload; the jobs that were in force stay."""
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
