"""The log's lines in a table: in batches, never waited for, and what the table missed is counted and said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from jobscheduler.database import connecting
from jobscheduler.database.connecting import Database
from jobscheduler.database.lines import values_of
from jobscheduler.database.syslog import Syslog
from jobscheduler.database.tables import SYSLOG
from jobscheduler.model import Event, Level, Record, Status, Value
from jobscheduler.runlog import LogFile, RunLog
from tests.conftest import wait_until
from tests.databases import EACH_DEEP, Place, on_mariadb, place, server
from tests.test_database import table_of

__all__ = ["on_mariadb", "place", "server"]

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


class Copy:
    """A log with its copy in a table, of a short queue."""

    def __init__(self, base: Path, place: Place, queue: int) -> None:
        table_of(place)
        self.place = place
        self.database = Database(place.url)
        self.syslog = Syslog(Database(place.url), queue=queue)
        self.file = base / "scheduler.log"
        log_file = LogFile(self.file, 10_000_000, 3)
        log_file.claim()
        self.log = RunLog(log_file, echo=None, also=self.syslog.put)
        self.syslog.tell = self.tell
        self.told: list[tuple[str, dict[str, Value | None]]] = []

    def tell(self, level: Level, name: str, /, **values: Value | None) -> None:
        """Have an event written as the service does, then show it."""
        self.log.event(level, name, **values)
        self.told.append((name, values))

    def words(self, name: str) -> list[dict[str, Any]]:
        """The values of all events of this name."""
        return [values for word, values in self.told if word == name]

    def write(self, first: int, last: int) -> None:
        """Write so many lines, and wait until the file has them."""
        for number in range(first, last):
            self.log.event(Level.INFO, "test.line", number=number)
        assert self.log.write_through(Event(NOON, Level.INFO, "test.through"), 10)

    def rows(self) -> list[str]:
        """The messages in the table, in order."""
        with self.database.reading() as connection:
            return list(connection.execute(select(SYSLOG.c.message).order_by(SYSLOG.c.id)).scalars())

    def lines(self) -> list[str]:
        """The lines of the file."""
        return self.file.read_text("utf-8").splitlines()


@pytest.fixture
def copy(tmp_path: Path, place: Place) -> Iterator[Copy]:
    """One that runs."""
    made = Copy(tmp_path, place, 100)
    with made.syslog, made.log:
        yield made


def test_the_table_has_the_lines_of_the_file(copy: Copy) -> None:
    """The same text in the same order, with the instant, the level and the event for queries."""
    for part in range(4):
        copy.write(part * 40, part * 40 + 40)  # two parts fit the queue: a row is there before its line is let go
        wait_until(lambda: copy.rows() == copy.lines(), 40, f"the table has part {part}; {copy.told}")
    with copy.database.reading() as connection:
        columns = (SYSLOG.c.created_at, SYSLOG.c.level, SYSLOG.c.logger_name)
        found = connection.execute(select(*columns).where(SYSLOG.c.logger_name == "test.through").limit(1)).one()
    assert tuple(found) == (NOON, "INFO", "test.through")


def test_records_have_the_level_that_a_program_would_give_them() -> None:
    """So that a look for errors finds failures."""
    levels = {
        status: values_of(Record(NOON, status, "a"), b"line\n")["level"]
        for status in (Status.SUCCESS, Status.SKIPPED, Status.MISSED, Status.FAILURE)
    }
    assert [str(level) for level in levels.values()] == ["INFO", "INFO", "WARNING", "ERROR"]
    assert values_of(Record(NOON, Status.SUCCESS, "a"), b"line\n")["message"] == "line"


@EACH_DEEP
def test_with_the_database_away_the_file_has_it_all_and_what_the_table_missed_is_said(copy: Copy) -> None:
    """Nobody waits; what the queue holds follows, what it does not is counted, and the count is in both."""
    copy.write(0, 10)
    wait_until(lambda: len(copy.rows()) == 11)
    copy.place.go()
    copy.write(10, 60)
    wait_until(lambda: copy.words("database.log_lost"), 30)
    copy.write(60, 200)
    copy.place.come()
    wait_until(lambda: copy.words("database.log_restored"), 40)
    missed = copy.words("database.log_restored")[0]["lines_not_kept"]
    wait_until(lambda: any("database.log_restored" in row for row in copy.rows()))

    assert len(copy.words("database.log_lost")) == 1
    assert sum("test.line" in line for line in copy.lines()) == 200
    assert missed > 0
    assert len(copy.lines()) == len(copy.rows()) + missed
    assert len(set(copy.rows())) >= len(copy.rows()) - 3  # "test.through" is the same each time


def test_what_the_table_will_not_get_is_said_before_the_end(tmp_path: Path) -> None:
    """The log's last line says how many it misses, itself included."""
    place = Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db")
    made = Copy(tmp_path, place, 100)
    with made.syslog, made.log:
        made.write(0, 3)
        wait_until(lambda: len(made.rows()) == 4)
        place.go()
        made.write(3, 5)
        wait_until(lambda: made.words("database.log_lost"))
        assert made.log.catch_up(10)
        made.syslog.take_leave()
    place.come()
    missing = len(made.lines()) - len(made.rows())
    assert made.words("database.log_lost")[-1]["lines_not_kept"] == missing


@pytest.mark.parametrize("rounds", [1, pytest.param(8, marks=pytest.mark.deep)])
def test_a_server_that_dies_in_the_middle_of_a_batch_gets_all_of_it_or_is_given_it_again(
    tmp_path: Path, on_mariadb: Place, rounds: int
) -> None:
    """A batch is one transaction: half of one is never seen, and nothing is lost."""
    copy = Copy(tmp_path, on_mariadb, 100_000)
    with copy.syslog, copy.log:
        for part in range(rounds):
            copy.write(part * 2000, part * 2000 + 1000)
            on_mariadb.go()  # the batches of 500 are on their way
            copy.write(part * 2000 + 1000, part * 2000 + 2000)
            on_mariadb.come()
            wait_until(lambda: len(set(copy.rows())) >= len(set(copy.lines())), 40)
    numbers = [row.rpartition("number=")[2] for row in copy.rows() if "number=" in row]
    assert sorted(set(map(int, numbers))) == list(range(2000 * rounds))


def test_a_database_that_answers_nothing_holds_up_no_line(
    tmp_path: Path, on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the service runs nor, for long, when it ends."""
    monkeypatch.setattr(connecting, "PATIENCE", 30)
    copy = Copy(tmp_path, on_mariadb, 100)
    assert on_mariadb.server is not None
    ended = threading.Event()
    with copy.log:
        copy.syslog.__enter__()
        copy.write(0, 10)
        wait_until(lambda: len(copy.rows()) == 11)
        on_mariadb.server.hold()
        try:
            copy.write(10, 1000)  # waits for the file, and for nothing else
            ending = threading.Thread(target=lambda: (copy.syslog.__exit__(None, None, None), ended.set()))
            ending.start()
            assert ended.wait(10)
        finally:
            on_mariadb.server.go_on()
        ending.join()
    copy.syslog._thread.join(20)
