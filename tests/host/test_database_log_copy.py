"""The log's lines in a table: in batches. Nothing waits for them, and missing lines are counted and logged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from jobscheduler.database import engine
from jobscheduler.database.engine import Database
from jobscheduler.database.log_copy import LogCopier
from jobscheduler.database.log_rows import log_row
from jobscheduler.database.tables import SYSLOG
from jobscheduler.model import Event, Level, LogValue, Record, Status
from jobscheduler.runlog import LogFile, LogWriter
from tests.host.test_database import table_of
from tests.support.databases import EACH_DEEP, Place, on_mariadb, place, server
from tests.support.service import wait_until

__all__ = ["on_mariadb", "place", "server"]

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


class Copy:
    """A log with its copy in a table, of a short queue."""

    def __init__(self, base: Path, place: Place, queue: int) -> None:
        table_of(place)
        self.place = place
        self.database = Database(place.url)
        self.syslog = LogCopier(Database(place.url), self.tell, queue=queue)
        self.file = base / "scheduler.log"
        log_file = LogFile(self.file, 10_000_000, 3)
        log_file.claim()
        self.log = LogWriter(log_file, echo=None)
        self.log.subscribe(lines=[self.syslog.put])
        self.told: list[tuple[str, dict[str, LogValue | None]]] = []

    def tell(self, level: Level, name: str, /, **values: LogValue | None) -> None:
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
        assert self.log.write_and_wait(Event(NOON, Level.INFO, "test.through"), 10)

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
    """A search for errors finds failures."""
    levels = {
        status: log_row(Record(NOON, status, "a"), b"line\n")["level"]
        for status in (Status.SUCCESS, Status.SKIPPED, Status.MISSED, Status.FAILURE)
    }
    assert [str(level) for level in levels.values()] == ["INFO", "INFO", "WARNING", "ERROR"]
    assert log_row(Record(NOON, Status.SUCCESS, "a"), b"line\n")["message"] == "line"


@EACH_DEEP
def test_without_the_database_the_file_has_all_lines_and_missing_ones_are_counted(copy: Copy) -> None:
    """Nothing waits. Queued lines follow, others are counted, and the count is in the file and in the table."""
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


def test_lines_that_the_table_will_lack_are_counted_before_the_end(tmp_path: Path) -> None:
    """The count in the log includes the last line."""
    place = Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db")
    made = Copy(tmp_path, place, 100)
    with made.syslog, made.log:
        made.write(0, 3)
        wait_until(lambda: len(made.rows()) == 4)
        place.go()
        made.write(3, 5)
        wait_until(lambda: made.words("database.log_lost"))
        assert made.log.flush(10)
        made.syslog.report_unsent()
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


def test_a_database_that_does_not_answer_delays_no_line(
    tmp_path: Path, on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the service runs nor, for long, when it ends."""
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 30)
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


# --- lines that no database takes, bursts, the end -------------------------------------------------------


def test_a_line_that_the_server_refuses_delays_no_other(tmp_path: Path, on_mariadb: Place) -> None:
    """Tables in another character set take it with escapes; one that is refused even so is dropped and counted."""
    table = table_of(on_mariadb)
    with table.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE jm_syslog MODIFY message TEXT CHARACTER SET latin1 NOT NULL")
        connection.exec_driver_sql("ALTER TABLE jm_syslog ADD CHECK (message NOT LIKE '%%poison%%')")
    copy = Copy(tmp_path, on_mariadb, 10_000)
    with copy.syslog, copy.log:
        copy.log.event(Level.INFO, "test.word", text="Grüße ✓ 漢字")
        for number in range(300):
            copy.log.event(Level.INFO, "test.line", number=number)
            if number % 100 == 50:
                copy.log.event(Level.INFO, "test.poison", number=number)
        wait_until(lambda: copy.words("database.lines_refused"), 40)
        wait_until(lambda: "database.lines_refused" in "".join(copy.rows()), 40)
    found = copy.rows()
    assert sum("test.line" in row for row in found) == 300
    assert not any("poison" in row for row in found)
    assert any("\\u2713" in row for row in found if "test.word" in row)
    assert copy.words("database.log_lost") == copy.words("database.log_restored") == []
    refused = sum(int(str(one["lines_not_kept"])) for one in copy.words("database.lines_refused"))
    assert 1 <= refused <= 3


def test_a_table_that_takes_no_line_at_all_loses_none(tmp_path: Path, on_mariadb: Place) -> None:
    """What it refuses is then no fault of any line: they are kept until it takes them again."""
    copy = Copy(tmp_path, on_mariadb, 10_000)
    assert on_mariadb.server is not None
    with copy.syslog, copy.log:
        copy.write(0, 10)
        wait_until(lambda: len(copy.rows()) == 11)
        name = on_mariadb.url.rpartition("/")[2]
        on_mariadb.server.sql("RENAME TABLE jm_syslog TO away", database=name)
        copy.write(10, 60)
        wait_until(lambda: copy.words("database.log_lost"), 30)
        on_mariadb.server.sql("RENAME TABLE away TO jm_syslog", database=name)
        wait_until(lambda: copy.words("database.log_restored"), 40)
    assert copy.rows() == copy.lines()
    assert copy.words("database.lines_refused") == []


def test_a_server_with_small_packets_gets_every_line(tmp_path: Path, on_mariadb: Place) -> None:
    """No batch is larger than it takes."""
    assert on_mariadb.server is not None
    on_mariadb.server.sql("SET GLOBAL max_allowed_packet = 65536")
    try:
        copy = Copy(tmp_path, on_mariadb, 10_000)
        with copy.syslog, copy.log:
            for number in range(40):
                copy.log.event(Level.INFO, "test.line", number=number, text="x'\\" * 3_000)
            wait_until(lambda: len(copy.rows()) == 40, 30)
        assert copy.told == []
    finally:
        on_mariadb.server.sql("SET GLOBAL max_allowed_packet = 16777216")


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.deep)])
def test_a_burst_of_lines_loses_none_with_a_healthy_server(
    place: Place, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when fifty thousand jobs change at once, and again when that is written: full batches wait for nothing."""
    monkeypatch.setattr("jobscheduler.database.log_copy.BATCH_WAIT_S", 1000.0)
    table_of(place)
    told: list[str] = []
    syslog = LogCopier(Database(place.url), lambda _, name, **__: told.append(name))
    line = b"2026-11-22T01:00:00.012Z INFO job.updated job_id=report-001 file=jm_jobs/report-001 changed=task" + b"\n"
    with syslog:
        for _ in range(rounds):
            for number in range(50_000):
                syslog.put(Event(NOON, Level.INFO, "job.updated", (("number", number),)), line)
            wait_until(lambda: not syslog._queue, 60)
    with Database(place.url).reading() as connection:
        assert connection.execute(select(func.count()).select_from(SYSLOG)).scalar_one() == rounds * 50_000
    assert told == []


def test_a_stop_while_the_server_hangs_logs_how_many_lines_are_missing(tmp_path: Path, on_mariadb: Place) -> None:
    """It had not been noticed yet; the end waits a moment, says it, and gives nothing more to the table."""
    copy = Copy(tmp_path, on_mariadb, 100)
    assert on_mariadb.server is not None
    with copy.syslog, copy.log:
        copy.write(0, 10)
        wait_until(lambda: len(copy.rows()) == 11)
        on_mariadb.server.hold()
        try:
            copy.write(10, 30)
            assert copy.log.flush(10)
            began = time.monotonic()
            copy.syslog.report_unsent(further=1)
            copy.log.event(Level.INFO, "service.stopped")
            copy.syslog.__exit__(None, None, None)
            assert time.monotonic() - began < 15
        finally:
            on_mariadb.server.go_on()
        copy.syslog._thread.join(40)
    (lost,) = copy.words("database.log_lost")
    assert lost["problem"] == "the service ends before the database has taken all lines"
    missing = len(copy.lines()) - len(copy.rows())
    assert missing <= lost["lines_not_kept"] == 21 + 2  # what was on its way when it hung may have arrived


def test_a_stop_with_a_healthy_server_waits_for_the_last_lines(tmp_path: Path, place: Place) -> None:
    """It logs no warning."""
    copy = Copy(tmp_path, place, 100_000)
    with copy.syslog, copy.log:
        copy.write(0, 5_000)
        copy.syslog.report_unsent(further=1)
        copy.log.event(Level.INFO, "service.stopped")
    assert copy.rows() == copy.lines()
    assert copy.words("database.log_lost") == []
