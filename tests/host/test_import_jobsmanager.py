"""`import jobsmanager` from JobsManager's own schema on a real server, beside it and in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pymysql
import pytest

from jobscheduler import cli
from jobscheduler.database import JobTable
from jobscheduler.database.jobsmanager_tables import SUFFIX
from tests.support.databases import Place, Server, on_mariadb, server
from tests.support.jobsmanager import TheirJobs, make_tables

__all__ = ["on_mariadb", "server"]

NAMES = ("jm_jobs", "jm_syslog", "jm_update_info")


@pytest.fixture
def theirs(on_mariadb: Place) -> Place:
    """A database with the three tables of JobsManager, and some jobs."""
    jobs = TheirJobs(on_mariadb.url)
    jobs.add("report", "report &> /dev/null", second=0, minute=30, hour=1, day_of_week="0-4")
    jobs.add("grüße", "echo grüße 🎉", second=0, minute=0, hour=3, day="last fri")
    jobs.add("stand", second=0, minute=0, hour=4, next_run_time=None)
    jobs.close()
    make_tables(on_mariadb.url)
    return on_mariadb


def run(place: Place, tmp_path: Path, *words: str) -> int:
    """Import from the URL, which has a password."""
    file = tmp_path / "url"
    file.write_text(place.url)
    file.chmod(0o600)
    (tmp_path / "scheduler.toml").touch(0o644)
    return cli.main(
        ["import", "jobsmanager", "--url-file", str(file), "--config", str(tmp_path / "scheduler.toml"), *words]
    )


def tables(place: Place) -> dict[str, int]:
    """Return the tables, with how many rows each has."""
    server_, database = place.server, place.url.rpartition("/")[2]
    assert server_ is not None
    names = [str(name) for (name,) in server_.sql("SHOW TABLES", database=database)]
    return {name: _count(server_, name, database) for name in names}


def _count(server_: Server, name: str, database: str) -> int:
    return int(str(server_.sql(f"SELECT count(*) FROM {name}", database=database)[0][0]))


def test_the_jobs_take_the_place_of_theirs(theirs: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their tables keep their rows under other names; a second import does nothing twice."""
    before = tables(theirs)
    assert run(theirs, tmp_path, "--to-database", "--json") == 0
    verdicts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {verdict["row"]: verdict["state"] for verdict in verdicts} == {
        "report": "written",
        "grüße": "written",
        "stand": "written",
    }
    after = tables(theirs)
    assert {f"{name}{SUFFIX}": before[name] for name in NAMES}.items() <= after.items()
    rows = {row.job_id: json.loads(row.definition) for row in JobTable(theirs.url).list()}
    assert rows["report"]["schedule"] == "0 30 1 * * mon-fri"
    assert rows["report"]["task"]["command"] == "report > /dev/null 2>&1"
    assert rows["stand"]["enabled"] is False
    assert any(row["task"]["command"] == "echo grüße 🎉" for row in rows.values())
    assert run(theirs, tmp_path, "--to-database") == 0
    assert "3 jobs: 3 unchanged" in capsys.readouterr().out
    assert tables(theirs) == after


def test_nothing_is_renamed_while_jobsmanager_runs(
    theirs: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its transaction never ends, and holds the table of markers: that is said, and all tables stay."""
    before = tables(theirs)
    url = JobTable(theirs.url).database
    assert theirs.server is not None
    with pymysql.connect(
        host="127.0.0.1",
        port=theirs.server.port,
        user="tester",
        password="se:cr@t/pass",
        database=theirs.url.rpartition("/")[2],
    ) as running:
        running.cursor().execute("UPDATE jm_update_info SET updated = 1 WHERE updated = 0")
        assert run(theirs, tmp_path, "--to-database") == 1
    errors = " ".join(capsys.readouterr().err.split())
    assert "another program uses the tables of JobsManager" in errors
    assert "stop JobsManager" in errors
    assert tables(theirs) == before
    assert str(url) not in errors
    assert run(theirs, tmp_path, "--to-database") == 0


def test_its_jobs_become_files_while_it_runs(theirs: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading changes nothing there."""
    before = tables(theirs)
    tmp_path.chmod(0o755)
    assert run(theirs, tmp_path, "--to", str(tmp_path / "jobs.d")) == 0
    assert len(list((tmp_path / "jobs.d").iterdir())) == 3
    assert "se:cr@t" not in capsys.readouterr().out
    assert tables(theirs) == before
