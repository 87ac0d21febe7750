"""One service on one database: a second is refused, a lost connection takes the lock again, others cannot hold it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from jobscheduler.database import JobTable, Unavailable, server_kinds, server_lock
from jobscheduler.database.engine import Database
from jobscheduler.database.file_lock import FileLock
from jobscheduler.database.lock_holder import DatabaseInUse, LockHolder, current_holder
from jobscheduler.database.server_lock import ServerLock
from jobscheduler.database.tables import SERVICE, VERSION
from tests.host.test_database import table_of
from tests.host.test_database_migrations import make_version_1
from tests.host.test_database_service import url_file, with_database
from tests.support.database_world import DatabaseWorld
from tests.support.databases import Place, on_mariadb, place, server
from tests.support.service import ROOT, Service, job, wait_until
from tests.support.throwaway_users import ThrowawayUser

__all__ = ["on_mariadb", "place", "server"]


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Service]:
    """A service that has not been started yet."""
    with closing(Service(tmp_path)) as made:
        yield made


def test_a_second_service_on_a_database_refuses_to_start_and_names_the_first(
    base: Service, place: Place, tmp_path: Path
) -> None:
    """It has jobs and a log of its own; when the first has ended it may start."""
    table = with_database(base, place)
    table.add(job("row"))
    base.start()
    base.wait_for("database.reloaded")
    assert base.process is not None
    first = base.process.pid
    (tmp_path / "second").mkdir()
    with closing(Service(tmp_path / "second")) as second:
        second.options = (*second.options, "--database-url-file", str(url_file(tmp_path / "second", place)))
        options = [sys.executable, str(ROOT / "main.py"), "--jobs-dir", str(second.jobs), "--log-file", str(second.log)]
        options += ["--socket", str(second.socket), *second.options]
        done = subprocess.run(options, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert (
            f"another service uses this database: process {first} on host `{os.uname().nodename}`, since 20"
            in done.stderr
        )
        assert "stop that service first" in done.stderr
        assert "Traceback" not in done.stderr
        assert base.stop() == 0
        second.start()
        second.wait_for("database.reloaded")
        assert second.stop() == 0
    assert len(base.words("job.removed")) == 0


def test_a_service_that_was_killed_is_followed_by_the_next_at_once(base: Service, place: Place) -> None:
    """Its connection, or its descriptor, ends with it."""
    with_database(base, place).add(job("row"))
    base.start()
    base.wait_for("database.reloaded")
    assert base.process is not None
    base.process.kill()
    base.process.wait(10)
    base.start()
    base.wait_for("database.reloaded", 2)
    assert base.stop() == 0


class Other:
    """Another service, as far as the lock is concerned: it takes it on a connection of its own."""

    def __init__(self, place: Place, **values: object) -> None:
        holder = LockHolder("other-host", 4711, "another-boot/pid:[1]", "another", current_holder().since)
        self.me = replace(holder, **values)
        self._database = Database(place.url)
        self._polling = self._database.polling()
        self.connection = self._polling.__enter__()
        self._file = None if place.server else FileLock(str(self._database.file), self.me)
        self._server = ServerLock(self.me)

    def take(self) -> None:
        """Take the lock."""
        if self._file is not None:
            self._file.acquire()
        self._server.acquire(self.connection, VERSION)

    def take_at_once(self) -> None:
        """Take the lock without leaving it to its last holder, as if that had had its time."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server_lock, "HOLDER_GRACE_S", 0.0)
            self.take()

    def end(self) -> None:
        """End as a process does."""
        if self._file is not None:
            self._file.release()
        self._server.release(VERSION)
        self._polling.__exit__(None, None, None)


def assert_ended(other: Other) -> None:
    """The server has ended the connection of that one, and the lock with it."""
    with pytest.raises(DBAPIError):
        other.connection.execute(text("SELECT 1"))


@pytest.fixture
def world(tmp_path: Path, place: Place) -> Iterator[DatabaseWorld]:
    """One that has been started, with a job."""
    made = DatabaseWorld(tmp_path, place)
    made.table.add(job("a"))
    with made.running():
        yield made


def test_no_other_service_gets_a_database_that_is_in_use(world: DatabaseWorld, place: Place) -> None:
    """The service that has it is named."""
    other = Other(place)
    with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} on host"):
        other.take()
    assert world.table.is_used() is True
    world.end()
    wait_until(lambda: world.table.is_used() is False)
    other.take()
    assert world.table.is_used() is True
    other.end()


def test_a_service_whose_database_was_taken_leaves_the_jobs_to_the_other(world: DatabaseWorld, place: Place) -> None:
    """It was cut off, another was started meanwhile: no slot runs twice. When that one ends, the jobs come back."""
    world.write("file.json", job("file"))
    other = Other(place)
    cut_off(world, other)
    wait_until(lambda: world.words("database.taken"), 30)
    wait_until(lambda: world.ids() == ["file"])
    (told,) = world.words("database.taken")
    assert "another service uses this database: process 4711 on host `other-host`" in told["problem"]
    assert any("its jobs do not run here" in one for one in world.reloader.issues())
    world.table.add(job("b"))
    other.end()
    wait_until(lambda: world.ids() == ["a", "b", "file"], 30)
    wait_until(lambda: world.words("database.regained"))
    assert world.reloader.issues() == ()
    assert len(world.words("database.taken")) == 1


def end_connection(other: Other, number: int) -> None:
    """Have the server end a connection, unless it has ended by itself."""
    with suppress(DBAPIError):
        other.connection.exec_driver_sql("KILL CONNECTION %s", (number,))


def cut_off(world: DatabaseWorld, other: Other) -> None:
    """Have another service take the lock while this one has no connection."""
    if world.place.server is None:
        lock = world.reloader._lock._file
        assert lock is not None
        os.unlink(lock._path)
        other.take_at_once()
        return
    name = other.connection.execute(select(SERVICE.c.lock_name)).scalar_one()
    number = other.connection.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (name,)).scalar_one()
    end_connection(other, number)
    for _ in range(200):
        try:
            other.take_at_once()
            return
        except DatabaseInUse:  # this one was quicker: once more
            number = other.connection.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (name,)).scalar()
            if number is not None:
                end_connection(other, number)
    raise AssertionError("the lock was never free")


def test_a_connection_that_breaks_takes_the_lock_again(tmp_path: Path, on_mariadb: Place) -> None:
    """No other can have had it in between without a word."""
    world = DatabaseWorld(tmp_path, on_mariadb)
    with world.running():
        found = on_mariadb.server.sql("SELECT id FROM information_schema.processlist WHERE user = 'tester'")
        on_mariadb.server.sql(*(f"KILL {number}" for (number,) in found))
        world.table.add(job("b"))
        world.reloaded()
        assert world.table.is_used() is True
        with pytest.raises(DatabaseInUse):
            Other(on_mariadb).take()
        assert world.words("database.taken") == []


def test_a_service_that_polls_seldom_takes_its_lock_again_before_another_service_can(
    tmp_path: Path, on_mariadb: Place
) -> None:
    """The server has ended all connections, as when it restarts; the jobs stay with the service that runs them."""
    world = DatabaseWorld(tmp_path, on_mariadb, interval=300.0)
    world.table.add(job("a"))
    with world.running():
        assert on_mariadb.server is not None
        other = Other(on_mariadb)
        own = str(other.connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
        found = on_mariadb.server.sql("SELECT id FROM information_schema.processlist WHERE user = 'tester'")
        on_mariadb.server.sql(*(f"KILL {number}" for (number,) in found if str(number) != own))
        with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} on host"):
            other.take()
        assert world.ids() == ["a"]
        assert world.words("database.taken") == []
        other.end()


def test_a_lock_that_was_held_a_moment_ago_is_left_to_its_holder(
    on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server frees it between two questions of another service, amid the end of a connection."""
    table_of(on_mariadb)
    holder, other = Other(on_mariadb), Other(on_mariadb, host="third-host", instance="third")
    holder.take()
    ask = server_kinds.KINDS["mysql"].holder_id

    def held_until_now(connection: Connection, name: str) -> int | None:
        number = ask(connection, name)
        if number is not None:
            end_connection(other, number)
            wait_until(lambda: ask(connection, name) is None)
        return number

    monkeypatch.setattr(server_kinds.KINDS["mysql"], "holder_id", held_until_now)
    with pytest.raises(DatabaseInUse, match="process 4711 on host `other-host`"):
        other.take()
    other.end()


def test_a_frozen_server_is_named_within_seconds_however_seldom_it_is_polled(tmp_path: Path, on_mariadb: Place) -> None:
    """`status` shows it first, then the log, with help. When the server goes on, the database is available again."""
    world = DatabaseWorld(tmp_path, on_mariadb, interval=300.0)
    world.table.add(job("a"))
    with world.running():
        assert on_mariadb.server is not None
        on_mariadb.server.hold()
        try:
            wait_until(lambda: any("has not answered for" in one for one in world.reloader.issues()), 8)
            wait_until(lambda: world.reconciler.verify_sources() or world.words("database.lost"), 15)
        finally:
            on_mariadb.server.go_on()
        assert "the database does not answer" in world.words("database.lost")[0]["problem"]
        assert world.ids() == ["a"]
        wait_until(lambda: world.reconciler.verify_sources() or world.words("database.found"), 15)
        assert world.reloader.issues() == ()


def test_the_lock_of_a_dead_process_of_this_host_is_ended(on_mariadb: Place) -> None:
    """Its connection is still open, as after a break of the network, and the service has the server end it."""
    table_of(on_mariadb)
    here = current_holder()
    with subprocess.Popen(["true"]) as ended:
        pass
    dead = Other(on_mariadb, host=here.host, boot=here.boot, pid=ended.pid)
    dead.take()
    living = Other(on_mariadb, host=here.host, boot=here.boot, pid=os.getpid())
    living.take()
    assert_ended(dead)
    living.end()


def test_the_lock_of_this_very_process_is_taken_back(on_mariadb: Place) -> None:
    """Of a connection that the server has yet to miss."""
    table_of(on_mariadb)
    before = Other(on_mariadb, instance="the same")
    before.take()
    after = Other(on_mariadb, instance="the same")
    after.take()
    assert_ended(before)
    after.end()


def test_a_connection_from_before_the_boot_of_this_host_is_waited_for(on_mariadb: Place) -> None:
    """It may be of another host of this name, so it is not ended; the server does that when it has been idle."""
    table_of(on_mariadb)
    before = Other(on_mariadb, host=os.uname().nodename)
    before.take()
    now = Other(on_mariadb, host=os.uname().nodename, boot="this-boot/pid:[1]")
    with pytest.raises(Unavailable, match="before this host booted"):
        now.take()
    idle = before.connection.exec_driver_sql("SELECT @@session.wait_timeout").scalar_one()
    assert idle == 150
    before.end()
    wait_until(lambda: _can(now))
    now.end()


def _can(other: Other) -> bool:
    try:
        other.take()
    except (DatabaseInUse, Unavailable):
        return False
    return True


def test_another_account_of_the_server_cannot_guess_the_name_of_the_lock(on_mariadb: Place) -> None:
    """Each database has its own, of 128 bits, in a table that only its accounts read."""
    first, second = (table_of(Place(on_mariadb.server.fresh(), on_mariadb.server, Path("none"))) for _ in range(2))
    names = []
    for table in (first, second):
        with table.database.reading() as connection:
            names.append(connection.execute(select(SERVICE.c.lock_name)).scalar_one())
    assert names[0] != names[1]
    assert all(len(name) == len("jobscheduler.") + 32 for name in names)


def test_the_lock_file_of_sqlite_can_be_opened_by_its_owner_alone(tmp_path: Path, alice: ThrowawayUser) -> None:
    """Another user who can read the database cannot lock the service out of it."""
    shutil.chown(tmp_path, "root", "root")
    tmp_path.chmod(0o755)
    lock = FileLock(f"{tmp_path}/jobs.db", current_holder())
    lock.acquire()
    path = tmp_path / "jobs.db-service"
    assert path.stat().st_mode & 0o777 == 0o600
    with alice.popen(["cat", str(path)], stderr=subprocess.DEVNULL) as reading:
        assert reading.wait() != 0
    lock.release()
    path.chmod(0o644)
    with pytest.raises(Unavailable, match="can be opened by others"):
        lock.acquire()
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    lock.acquire()
    assert lock.problem is not None
    assert not (tmp_path / "elsewhere").exists()


def test_a_check_of_the_lock_during_a_start_does_not_refuse_the_start(tmp_path: Path) -> None:
    """`--wait` locks the file for a moment to check whether a service has it."""
    place = Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db")
    table_of(place)
    path = tmp_path / "jobs.db-service"
    path.touch(mode=0o600)
    asking = os.open(path, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    with subprocess.Popen(["sleep", "0.2"]) as moment:
        lock = FileLock(f"{tmp_path}/jobs.db", current_holder())
        threading.Thread(target=lambda: (moment.wait(), os.close(asking))).start()
        began = time.monotonic()
        lock.acquire()
    assert time.monotonic() - began > 0.1
    lock.release()


def test_tables_of_version_1_have_a_lock_too(place: Place, tmp_path: Path) -> None:
    """Only the name of the service that has it is unknown. The age of the tables is logged once."""
    table = make_version_1(place)
    world = DatabaseWorld.__new__(DatabaseWorld)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.database_world.table_of", lambda _: table)
        world.__init__(tmp_path, place)  # type: ignore[misc]
    with world.running():
        wait_until(lambda: world.words("database.outdated"))
        assert (
            "the tables have version 1, and this service knows version 2"
            in world.words("database.outdated")[0]["problem"]
        )
        assert table.is_used() is True
        other = Other(place)
        if place.server is not None:
            with pytest.raises(DatabaseInUse, match="one that does not say which"):
                ServerLock(other.me).acquire(other.connection, 1)
        world.table.add(job("a"))
        world.reloaded()
        assert len(world.words("database.outdated")) == 1


@pytest.mark.parametrize("verb", ["add", "put", "reload"])
def test_wait_without_a_service_ends_with_a_message(place: Place, tmp_path: Path, verb: str) -> None:
    """The change is made nevertheless."""
    table = table_of(place)
    file = tmp_path / "a.json"
    file.write_text('{"job_id": "a", "schedule": "@daily", "task": {"type": "execute_command", "command": "true"}}')
    options = [] if verb == "reload" else [str(file)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "db", verb, *options, "--wait"],
        env={**os.environ, "JOBSCHEDULER_DATABASE_URL": place.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "error: no service uses this database" in done.stderr
    assert "takes effect when a service on this database starts" in done.stderr
    assert len(table.list()) == (verb != "reload")


def test_wait_goes_on_where_it_is_unknown_whether_there_is_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints that once, and goes on waiting."""
    from jobscheduler.cli.db_wait import wait_for_reload

    class Jobs:
        looks = 0

        def is_used(self) -> None:
            return None

        def is_reloaded(self, _: int) -> bool:
            self.looks += 1
            return self.looks > 500

    clock = iter(range(10_000))
    assert wait_for_reload(Jobs(), 1, wait=True, monotonic=lambda: next(clock), sleep=lambda _: None) == 0  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert told.err.count("still waiting") == 1
    assert told.out == "reloaded\n"


def test_a_job_table_needs_no_lock(world: DatabaseWorld, place: Place) -> None:
    """Programs change jobs while the service has the database."""
    JobTable(place.url).add(job("b"))
    world.reloaded()
    assert world.ids() == ["a", "b"]
