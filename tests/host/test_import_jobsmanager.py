"""`import jobsmanager` from JobsManager's own schema on real servers, beside it and in its place."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from jobscheduler import cli
from jobscheduler.database import JobTable
from jobscheduler.database.jobsmanager_tables import SUFFIX
from tests.support import databases, postgresql
from tests.support.databases import PASSWORD, QUOTED
from tests.support.jobsmanager import TheirJobs, driver_url, make_tables
from tests.support.service import Service

NAMES = ("jm_jobs", "jm_syslog", "jm_update_info")
KINDS = {"mariadb": databases.running, "postgresql": postgresql.running}


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[databases.Server | postgresql.Server]:
    """A private server of each kind."""
    with KINDS[request.param]() as made:
        yield made


@pytest.fixture
def theirs(server: databases.Server | postgresql.Server) -> str:
    """The URL of a database with the three tables of JobsManager, and some jobs."""
    url = server.fresh()
    jobs = TheirJobs(url)
    jobs.add("report", "report &> /dev/null", second=0, minute=30, hour=1, day_of_week="0-4")
    jobs.add("grüße", "echo grüße 🎉", second=0, minute=0, hour=3, day="last fri")
    jobs.add("stand", second=0, minute=0, hour=4, next_run_time=None)
    jobs.close()
    make_tables(url)
    return url


def url_file(url: str, tmp_path: Path) -> Path:
    """A file with the URL, which has a password on a server that asks for one."""
    file = tmp_path / "url"
    file.touch(mode=0o600)
    file.write_text(url)
    return file


def run(url: str, tmp_path: Path, *words: str) -> int:
    """Import from the URL."""
    (tmp_path / "scheduler.toml").touch(0o644)
    settings = ["--config", str(tmp_path / "scheduler.toml")]
    return cli.main(["import", "jobsmanager", "--url-file", str(url_file(url, tmp_path)), *settings, *words])


def tables(url: str) -> dict[str, int]:
    """Return the tables, with how many rows each has."""
    engine = create_engine(driver_url(url))
    with closing(engine.connect()) as connection:
        names = inspect(connection).get_table_names()
        found = {name: int(str(connection.scalar(text(f"SELECT count(*) FROM {name}")))) for name in names}
    engine.dispose()
    return found


@contextmanager
def jobsmanager_at_work(url: str) -> Iterator[None]:
    """Hold the transaction that JobsManager never ends."""
    engine = create_engine(driver_url(url))
    with closing(engine.connect()) as connection:
        connection.execute(text("UPDATE jm_update_info SET updated = 1 WHERE updated = 0"))
        yield
    engine.dispose()


def test_the_jobs_take_the_place_of_theirs(theirs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    rows = {row.job_id: json.loads(row.definition) for row in JobTable(theirs).list()}
    assert rows["report"]["schedule"] == "0 30 1 * * mon-fri"
    assert rows["report"]["task"]["command"] == "report > /dev/null 2>&1"
    assert rows["stand"]["enabled"] is False
    assert any(row["task"]["command"] == "echo grüße 🎉" for row in rows.values())
    assert run(theirs, tmp_path, "--to-database") == 0
    assert "3 jobs: 3 unchanged" in capsys.readouterr().out
    assert tables(theirs) == after


def test_nothing_is_renamed_while_jobsmanager_runs(
    theirs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its transaction never ends, and holds the table of markers: that is said, and all tables stay."""
    before = tables(theirs)
    with jobsmanager_at_work(theirs):
        assert run(theirs, tmp_path, "--to-database") == 1
    errors = " ".join(capsys.readouterr().err.split())
    assert "another program uses the tables of JobsManager" in errors
    assert "stop JobsManager" in errors
    assert tables(theirs) == before
    assert PASSWORD not in errors
    assert QUOTED not in errors
    assert run(theirs, tmp_path, "--to-database") == 0


def test_its_jobs_become_files_while_it_runs(theirs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading changes nothing there."""
    before = tables(theirs)
    tmp_path.chmod(0o755)
    with jobsmanager_at_work(theirs):
        assert run(theirs, tmp_path, "--to", str(tmp_path / "jobs.d")) == 0
    assert len(list((tmp_path / "jobs.d").iterdir())) == 3
    assert PASSWORD not in capsys.readouterr().out
    assert tables(theirs) == before


def test_the_service_runs_the_jobs_from_the_table_that_took_the_place_of_theirs(theirs: str, tmp_path: Path) -> None:
    """With their commands, and its lines in our table of lines; a paused one is known and never due."""
    jobs = TheirJobs(theirs)
    jobs.add("tick", "echo from the table", second="*")
    jobs.add("slow", "sleep 60 & wait", second="*", timeout=1)
    jobs.close()
    with closing(Service(tmp_path)) as service:
        file = url_file(theirs, tmp_path)
        service.options = ("--database-url-file", str(file), "--reload-interval", "0.2")
        assert run(theirs, tmp_path, "--to-database") == 0
        service.start()
        service.wait_for("SUCCESS", job_id="tick")
        service.wait_for("FAILURE", job_id="slow", reason="timeout")
        assert service.words("service.started")[0]["jobs"] == "5"
        assert service.words("run.started", job_id="stand") == []
        JobTable(theirs).remove("slow")
        service.wait_for("job.removed", job_id="slow")
        service.stop(signal.SIGTERM)
    after = tables(theirs)
    assert after["jm_syslog"] >= len(service.words("SUCCESS", job_id="tick"))
    assert after[f"jm_syslog{SUFFIX}"] == 1
