"""The service with a database, as a process: beside a directory or alone, through crashes, and with its secret kept."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from jobscheduler.config import BadSetting, load_settings
from jobscheduler.database import JobTable, queries
from jobscheduler.database.tables import MARKERS, SYSLOG
from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.host.test_database import table_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.databases import EACH_DEEP, PASSWORD, QUOTED, Place, on_mariadb, place, server
from tests.support.service import ROOT, Service, job, wait_until

__all__ = ["on_mariadb", "place", "server"]


def url_file(base: Path, place: Place) -> Path:
    """A file with the URL that nobody else may read."""
    file = base / "url"
    file.touch(mode=0o600)
    file.write_text(place.url + "\n")
    return file


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Service]:
    """A service that has not been started yet."""
    with closing(Service(tmp_path)) as made:
        yield made


def with_database(made: Service, place: Place) -> JobTable:
    """Give a service a database with tables; return the table of jobs."""
    table = table_of(place)
    file = url_file(made.jobs.parent, place)
    made.options = (*made.options, "--database-url-file", str(file), "--reload-interval", "0.2")
    return table


def test_jobs_of_a_directory_and_of_a_database_run_side_by_side(base: Service, place: Place) -> None:
    """Edits of both are active; the table of lines has what the file has; nothing that is told has the password."""
    table = with_database(base, place)
    base.write("file.json", job("file"))
    table.add(job("row", command="echo one; exit 1"))
    base.start()
    assert base.words("service.started")[0]["jobs"] == "2"
    base.wait_for("SUCCESS", job_id="file")
    base.wait_for("FAILURE", job_id="row", output="one")
    marker = table.update(job("row", command="echo two; exit 1"))
    base.wait_for("FAILURE", job_id="row", output="two")
    with table.database.writing() as connection:
        queries.update_jobs(connection, {"row": '{"job_id": "row", "shedule": "@daily"}'}, datetime.now(UTC))
        queries.request_reload(connection, datetime.now(UTC))
    base.wait_for("job.stale", job_id="row", file="jm_jobs/row")
    assert table.is_reloaded(marker)
    told = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "status", "--socket", str(base.socket)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    ).stdout
    assert "database   " in told
    assert base.process is not None
    shown = Path(f"/proc/{base.process.pid}/cmdline").read_text("utf-8")
    assert base.stop() == 0

    everything = told + shown + base.log.read_text("utf-8") + base.stderr()
    assert PASSWORD not in everything
    assert QUOTED not in everything
    assert "Traceback" not in base.stderr()
    with table.database.reading() as connection:
        found = list(connection.execute(select(SYSLOG.c.message).order_by(SYSLOG.c.id)).scalars())
    assert found == base.log.read_text("utf-8").splitlines()


def test_a_service_can_have_a_database_and_no_directory(base: Service, tmp_path: Path) -> None:
    """If nobody named one and the usual one is not there."""
    place = Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db")
    with_database(base, place).add(job("row"))
    base.patched(
        f"""
        import sys
        from pathlib import Path
        from jobscheduler.config import Settings
        Settings.__init__.__defaults__ = (Path({str(tmp_path / "none")!r}), *Settings.__init__.__defaults__[1:])
        sys.argv = [one for at, one in enumerate(sys.argv) if "--jobs-dir" not in sys.argv[max(at - 1, 0) : at + 1]]
        """
    )
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert base.process is not None
    base.process.send_signal(signal.SIGHUP)
    base.wait_for("service.reloaded")
    assert base.stop() == 0
    assert base.words("directory.lost") == base.words("watch.degraded") == []
    assert "Traceback" not in base.stderr()


def test_a_reload_of_the_service_reads_the_table_too(base: Service, tmp_path: Path) -> None:
    """Also when no marker asks for it: `systemctl reload` looks at everything again."""
    table = with_database(base, Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db"))
    base.start()
    with table.database.writing() as connection:
        queries.insert_jobs(connection, {"row": json.dumps(job("row"))}, datetime.now(UTC))
    assert base.process is not None
    base.process.send_signal(signal.SIGHUP)
    base.wait_for("job.added", job_id="row")
    assert base.stop() == 0


@EACH_DEEP
def test_a_service_without_its_database_starts_and_has_it_when_it_comes(base: Service, place: Place) -> None:
    """It says so; a mark that vouches for jobs that are not known is not written."""
    table = with_database(base, place)
    base.write("file.json", job("file"))
    table.add(job("row"))
    place.go()
    base.start()
    base.wait_for("SUCCESS", job_id="file")
    assert base.words("database.lost")[0]["jobs"] == "0"
    assert base.words("service.alive") == []
    place.come()
    base.wait_for("database.found")
    base.wait_for("SUCCESS", job_id="row")
    base.wait_for("service.alive")
    assert base.stop() == 0
    assert "Traceback" not in base.stderr()


@EACH_DEEP
def test_the_account_is_exact_with_jobs_of_a_database(base: Service, place: Place, tmp_path: Path) -> None:
    """Killed at any moment, edited meanwhile, its database gone for a while: one record for each slot, no run twice."""
    table = with_database(base, place)
    marks = tmp_path / "marks"
    chance = random.Random(7)
    kinds = {"tick": "* * * * * *", "strict": "* * * * * *", "other": "*/2 * * * * *"}
    extra = {"strict": {"catch_up": 0}}
    for name, schedule in kinds.items():
        table.add(job(name, schedule, MARKING.format(marks), **extra.get(name, {})))
    base.start()
    for turn in range(3):
        threading.Event().wait(chance.uniform(0.2, 1.2))
        if turn == 1:
            place.go()
            threading.Event().wait(0.5)
            place.come()
        table.update(job("tick", kinds["tick"], MARKING.format(marks), description=str(turn)))
        assert base.process is not None
        base.process.kill()
        base.process.wait(10)
        base.start()
    threading.Event().wait(1.2)
    assert base.stop() == 0
    assert sum(map(len, checked(base, marks, kinds).records.values())) > 9


def checked(base: Service, marks: Path, kinds: dict[str, str]) -> Account:
    """Hold the whole log against the schedules, and against what the commands say."""
    jobs = [Job(name, Cron(schedule, "UTC"), TaskSpec("x", "{}")) for name, schedule in kinds.items()]
    account = Account(lines_of(base.log), {one.id: timetable_of(one, "") for one in jobs}, marks)
    account.check()
    return account


def test_a_start_without_its_database_closes_no_account(base: Service, tmp_path: Path) -> None:
    """What its jobs missed meanwhile is told by the start that knows them; the directory's have theirs all the time."""
    place = Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db")
    table, marks = with_database(base, place), tmp_path / "marks"
    kinds = {"file": "* * * * * *", "row": "* * * * * *"}
    base.write("file.json", job("file", kinds["file"], MARKING.format(marks)))
    table.add(job("row", kinds["row"], MARKING.format(marks)))
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert base.stop() == 0
    place.go()
    known = len(base.words("SUCCESS", job_id="file"))
    base.start()
    base.wait_for("SUCCESS", known + 2, job_id="file")
    assert base.process is not None
    base.process.kill()
    base.process.wait(10)
    place.come()
    known = len(base.words("SUCCESS", job_id="row"))
    base.start()
    base.wait_for("SUCCESS", known + 1, job_id="row")
    assert base.stop() == 0

    checked(base, marks, kinds)
    assert base.words("MISSED", job_id="row")[0]["reason"] == "down"


@EACH_DEEP
def test_slots_that_fell_due_before_the_database_came_are_accounted_for(
    base: Service, place: Place, tmp_path: Path
) -> None:
    """The start did not know of them, and the log says so of each when it does."""
    table, marks = with_database(base, place), tmp_path / "marks"
    kinds = {"row": "* * * * * *"}
    table.add(job("row", kinds["row"], MARKING.format(marks)))
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert base.stop() == 0
    known = len(base.words("SUCCESS", job_id="row"))
    place.go()
    base.start()
    lost = datetime.fromisoformat(base.wait_for("database.lost")[0]["time"])
    wait_until(lambda: datetime.now(UTC) - lost > timedelta(seconds=2.5))
    place.come()
    base.wait_for("SUCCESS", known + 1, job_id="row")
    assert base.stop() == 0

    checked(base, marks, kinds)
    missed = base.words("MISSED", job_id="row")[-1]
    assert datetime.fromisoformat(missed.get("last", missed["scheduled"])) > lost


def serve(*options: str, code: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Try to start a service that is not going to."""
    program = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nfrom jobscheduler import cli\n"
        "sys.exit(cli.main(default='serve'))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "serve", *options],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_without_the_extra_jobs_run_and_the_command_that_installs_it_is_named(base: Service, tmp_path: Path) -> None:
    """And a service without a database needs none of it."""
    base.patched(
        """
        import jobscheduler.database.setup as one
        found = one.find_spec
        one.find_spec = lambda name: None if name == "pymysql" else found(name)
        """
    )
    base.options = ("--database-url", f"sqlite:///{tmp_path}/jobs.db")
    base.write("a.json", job("a"))
    base.start().wait_for("SUCCESS", job_id="a")
    (error,) = base.words("part.unusable", part="the database")
    assert error["problem"] == "`--database-url` needs the extra `database`"
    assert "make install EXTRAS=database" in error["help"]
    code = (
        "from jobscheduler import cli, service; print([one for one in sys.modules if 'sqlalchemy' in one]); sys.exit(0)"
    )
    assert serve(code=code).stdout == "[]\n"


def test_a_password_on_the_command_line_is_refused(base: Service) -> None:
    """Everybody sees it there; a variable or a file is the place, and no error repeats it."""
    for url in (f"mysql://me:{QUOTED}@host/db", f"mysql://me@host/db?password={QUOTED}"):
        with pytest.raises(BadSetting, match="`ps` shows a password there to all users") as caught:
            load_settings({"database_url": url}, {})
        assert QUOTED not in str(caught.value)
        settings = load_settings({}, {"JOBSCHEDULER_DATABASE_URL": url})
        assert settings.database_url == url
        assert QUOTED not in repr(settings)
    done = serve("--database-url", f"mysql://me:{QUOTED}@host/db")
    assert done.returncode == 2
    assert QUOTED not in done.stderr
    base.env["JOBSCHEDULER_DATABASE_URL"] = f"nosuch://me:{QUOTED}@host/db"
    base.start()
    assert "knows no database `nosuch`" in base.words("part.unusable")[0]["problem"]
    assert QUOTED not in base.stderr()
    with pytest.raises(BadSetting) as caught:
        load_settings({}, {"JOBSCHEDULER_DATABASE_URL": f"me:{QUOTED}@host/db"})
    assert QUOTED not in str(caught.value)


def test_the_rights_in_the_documentation_are_enough(base: Service, on_mariadb: Place, tmp_path: Path) -> None:
    """For the tables, for programs that change jobs, and for the service; a replica that is read-only too."""
    assert on_mariadb.server is not None
    name = on_mariadb.url.rpartition("/")[2]
    text = (ROOT / "docs" / "database.md").read_text("utf-8")
    for who, row in (("init", "`db init`"), ("program", "programs that change jobs"), ("service", "the service")):
        rights = re.search(rf"^\| {re.escape(row)} \| (.*) \|$", text, re.MULTILINE)
        assert rights is not None
        on_mariadb.server.sql(f"CREATE OR REPLACE USER {who}@'127.0.0.1' IDENTIFIED BY '{who}'")
        for grant in rights[1].split("; "):
            what, _, where = grant.partition(" on ")
            for table in ["*"] if who == "init" else re.findall("`(jm_[a-z_]+)`", where):
                on_mariadb.server.sql(f"GRANT {what.replace('`', '')} ON {name}.{table} TO {who}@'127.0.0.1'")
        if who == "init":
            assert JobTable(f"mysql://init:init@127.0.0.1:{on_mariadb.server.port}/{name}").init() is True
    programs = JobTable(f"mysql://program:program@127.0.0.1:{on_mariadb.server.port}/{name}")
    programs.put(job("row"), job("other"))
    programs.remove("other")
    on_mariadb.server.sql(
        "INSERT INTO jm_syslog (created_at, level, logger_name, message) VALUES ('2020-01-01', 'INFO', 'x', 'old')",
        database=name,
    )
    base.patched("import jobscheduler.database.retention as one; one.FIRST_AFTER_S = 0.1")
    url = f"mysql://service:service@127.0.0.1:{on_mariadb.server.port}/{name}"
    file = url_file(tmp_path, Place(url, None, tmp_path / "none"))
    base.options = (*base.options, "--database-url-file", str(file), "--reload-interval", "0.2")
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert programs.is_used() is True
    marker = programs.update(job("row", command="false"))
    base.wait_for("FAILURE", job_id="row")
    wait_until(lambda: programs.is_reloaded(marker))
    messages = "SELECT message FROM jm_syslog ORDER BY id"
    wait_until(lambda: ("old",) not in on_mariadb.server.sql(messages, database=name))
    assert base.stop() == 0
    words = {line["word"] for line in base.lines() if line["word"].startswith("database.")}
    assert words == {"database.reloaded"}
    lines = tuple((line,) for line in base.log.read_text("utf-8").splitlines())
    assert on_mariadb.server.sql(messages, database=name) == lines


def test_a_connection_that_others_can_read_is_told_at_the_start(base: Service, place: Place, tmp_path: Path) -> None:
    """As a warning; the service runs."""
    table = with_database(base, place)
    table.add(job("row"))
    base.patched("import jobscheduler.database.engine as one; one._is_loopback = lambda host: False")
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert len(base.words("database.exposed")) == (place.server is not None)
    assert base.stop() == 0


def test_a_clock_of_the_server_that_differs_is_shown_by_status(base: Service, on_mariadb: Place) -> None:
    """As long as it does."""
    table = with_database(base, on_mariadb)
    table.add(job("row"))
    base.patched(
        """
        import datetime
        import jobscheduler.database.queries as one
        known = one.read_server
        def server_of(connection):
            found = known(connection)
            return one.Server(found.now and found.now + datetime.timedelta(hours=5), found.max_packet)
        one.read_server = server_of
        """
    )
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert "ahead of this host's" in base.words("database.clock")[0]["problem"]
    command = [sys.executable, str(ROOT / "main.py"), "status", "--socket", str(base.socket)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert "the clock of the database's server is 18" in done.stdout
    assert done.returncode == 1
    assert base.stop() == 0


def test_a_clock_of_the_server_that_is_behind_makes_no_run_from_before_the_job_was(
    base: Service, on_mariadb: Place
) -> None:
    """Nor a slot that was missed: the row is no older than the last look that did not find it."""
    table = with_database(base, on_mariadb)
    table.add(job("first"))
    base.start()
    base.wait_for("SUCCESS", job_id="first")
    added = datetime.now(UTC)
    with table.database.writing() as connection:
        queries.insert_jobs(connection, {"late": json.dumps(job("late"))}, added - timedelta(hours=1))
        queries.request_reload(connection, added)
    base.wait_for("SUCCESS", job_id="late")
    assert base.stop() == 0
    assert base.words("MISSED", job_id="late") == []
    assert all(datetime.fromisoformat(one["scheduled"]) > added for one in base.words("SUCCESS", job_id="late"))


def test_a_job_that_a_server_whose_clock_is_behind_got_in_an_outage_has_no_slot_from_before_it(
    base: Service, on_mariadb: Place
) -> None:
    """Its row says that it was there an hour earlier, and so when the service was stopped."""
    server, name = on_mariadb.server, on_mariadb.url.rpartition("/")[2]
    assert server is not None
    user = "behind@'127.0.0.1'"
    server.sql(f"CREATE USER {user} IDENTIFIED BY 'behind'", f"GRANT ALL ON {name}.* TO {user}")
    server.sql("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() - 3600'")
    try:
        url = f"mysql://behind:behind@127.0.0.1:{server.port}/{name}"
        table = with_database(base, Place(url, server, base.jobs.parent / "none"))
        base.start()
        assert base.stop() == 0
        threading.Event().wait(2.2)
        added = datetime.now(UTC)
        with table.database.writing() as connection:
            row = (json.dumps(job("late")),)
            connection.exec_driver_sql("INSERT INTO jm_jobs (job_id, definition) VALUES ('late', %s)", row)
        base.start()
        base.wait_for("SUCCESS", job_id="late")
        assert base.stop() == 0
    finally:
        server.sql("SET GLOBAL init_connect = ''")
    slots = [
        datetime.fromisoformat(one["scheduled"])
        for one in base.lines()
        if one.get("job_id") == "late" and "scheduled" in one
    ]
    assert slots
    assert min(slots) > added - timedelta(seconds=1)


def test_a_row_that_a_clock_ahead_has_written_loses_no_slot_of_an_outage(base: Service, tmp_path: Path) -> None:
    """Its time lies in the future for hours: what counts is that the service has had it active."""
    table = with_database(base, Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db"))
    marks, ahead = tmp_path / "marks", datetime.now(UTC) + timedelta(hours=5)
    with table.database.writing() as connection:
        queries.insert_jobs(connection, {"row": json.dumps(job("row", command=MARKING.format(marks)))}, ahead)
        queries.request_reload(connection, ahead)
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    assert base.stop() == 0
    known = len(base.words("SUCCESS", job_id="row"))
    threading.Event().wait(2.2)
    base.start()
    wait_until(lambda: len(base.words("SUCCESS", job_id="row")) > known)
    assert base.stop() == 0
    assert base.words("MISSED", job_id="row", reason="down") != []
    checked(base, marks, {"row": "* * * * * *"})


def test_a_stop_while_the_database_takes_nothing_says_how_many_lines_it_lacks(base: Service, tmp_path: Path) -> None:
    """Each line of the log is in the table, or counted there as missing."""
    table = with_database(base, Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db"))
    table.add(job("row"))
    base.start()
    base.wait_for("SUCCESS", job_id="row")
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        known = len(base.words("SUCCESS"))
        wait_until(lambda: len(base.words("SUCCESS")) > known + 1)
        assert base.stop() == 0
    (told,) = base.words("database.log_lost")
    with table.database.reading() as connection:
        there = connection.execute(select(func.count()).select_from(SYSLOG)).scalar_one()
    assert there + int(told["lines_not_kept"]) == len(lines_of(base.log))


def test_lines_and_requests_stay_for_as_long_as_the_settings_say(base: Service, tmp_path: Path) -> None:
    """Each kind has its own: of two days, lines may stay for three and requests for one."""
    table = with_database(base, Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db"))
    base.options = (*base.options, "--keep-log-rows", "3d", "--keep-markers", "1d")
    base.patched("import jobscheduler.database.retention as one; one.FIRST_AFTER_S = 0.1")
    days = [datetime.now(UTC) - timedelta(days=number) for number in (0, 2, 4)]
    with table.database.writing() as connection:
        line = {"level": "INFO", "logger_name": "x"}
        connection.execute(insert(SYSLOG), [{**line, "created_at": at, "message": f"line {at}"} for at in days])
        marker = {"updated": 1}
        connection.execute(insert(MARKERS), [{**marker, "insert_time": at, "update_time": at} for at in days])
    base.start()

    def left() -> tuple[int, int]:
        with table.database.reading() as connection:
            lines = connection.execute(select(SYSLOG.c.message).where(SYSLOG.c.logger_name == "x")).all()
            return len(lines), len(connection.execute(select(MARKERS.c.id)).all())

    wait_until(lambda: left() == (2, 1))
    assert base.stop() == 0
