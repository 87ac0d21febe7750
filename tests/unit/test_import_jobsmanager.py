"""`import jobsmanager`: what becomes of each row, into a directory or a table, and that nothing of theirs is lost."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler import cli
from jobscheduler.cli import import_jobsmanager, import_target
from jobscheduler.database import JobTable
from jobscheduler.database.jobsmanager_tables import move_aside
from jobscheduler.imports.jobsmanager_job import ImportedJob, imported_job, job_id_of
from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.stored_job import read_job
from tests.support.jobsmanager import LOGGER, TheirJobs, make_tables, state

NOW = datetime(2026, 11, 30, 20, 30, tzinfo=UTC)


class Theirs:
    """A database of JobsManager, and the command."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        base.chmod(0o755)
        self.base = base
        self.file = base / "theirs.db"
        self.url = f"sqlite:///{self.file}"
        self.directory = base / "jobs.d"
        self.config = base / "scheduler.toml"
        self.config.touch(0o644)
        self._capsys = capsys

    def fill(self, *ids: str, **fields: Any) -> None:
        """Add jobs that are due each day at 5, unless the fields say otherwise."""
        jobs = TheirJobs(self.url)
        for job_id in ids:
            jobs.add(job_id, **{"second": 0, "minute": 0, "hour": 5, **fields})
        jobs.close()
        self.file.chmod(0o644)

    def __call__(self, *words: str | Path) -> tuple[int, str, str]:
        """Run `import jobsmanager`; return the exit status, what is printed, and the errors."""
        try:
            status = cli.main(["import", "jobsmanager", *map(str, words), "--config", str(self.config)])
        except SystemExit as ended:
            status = int(str(ended.code))
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err

    def verdicts(self, *words: str | Path) -> dict[str, dict[str, Any]]:
        """Run it with `--json`; return the verdicts by row."""
        _, out, err = self(self.url, "--json", *words)
        assert not err, err
        return {verdict["row"]: verdict for verdict in map(json.loads, out.splitlines())}

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on their database."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def tables(self) -> set[str]:
        """The tables in it."""
        return {name for (name,) in self.sql("SELECT name FROM sqlite_master WHERE type = 'table'")} - {
            "sqlite_sequence"
        }


@pytest.fixture
def theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Theirs:
    """One without tables."""
    for name in [name for name in os.environ if name.startswith("JOBSCHEDULER_")]:
        monkeypatch.delenv(name)
    return Theirs(tmp_path, capsys)


def imported(**more: Any) -> ImportedJob:
    """Return what a job becomes; it is due each day at 5."""
    given = {"second": 0, "minute": 0, "hour": 5, **more}
    return imported_job(read_job(given.pop("job_id", "a"), state(**given), is_paused=False), NOW)


# --- definitions -------------------------------------------------------------------------------------------


def test_a_job_becomes_a_definition() -> None:
    """Only what differs from the defaults of a job is in it."""
    assert imported(command="/opt/bin/report --all", timeout=90).definition == {
        "$comment": "imported from JobsManager: a",
        "job_id": "a",
        "schedule": "0 0 5 * * *",
        "timezone": "Europe/Berlin",
        "timeout": 90,
        "task": {"type": "execute_command", "command": "/opt/bin/report --all"},
    }


@pytest.mark.parametrize(
    ("more", "field", "value", "remark"),
    [
        ({"timeout": None}, "timeout", None, ""),
        ({"timeout": 0.5}, "timeout", 0.5, ""),
        ({"name": "the report"}, "description", "the report", ""),
        ({"max_instances": 3}, "overlap", "allow", "at most 3 of its runs"),
        ({"misfire_grace_time": 300}, "catch_up", 300, ""),
        ({"misfire_grace_time": None}, "catch_up", "366d", ""),
        ({"misfire_grace_time": 1}, "catch_up", None, ""),
        ({"coalesce": False}, None, None, "each slot that was missed"),
        ({"executor": "processes"}, None, None, "its executor `processes` is left out"),
        ({"next_run_time": None}, "enabled", False, "it is paused there"),
    ],
)
def test_properties_of_a_job_carry_over_or_are_told(
    more: dict[str, Any], field: str | None, value: Any, remark: str
) -> None:
    """Nothing is left out without a word."""
    found = imported(**more)
    if field is not None:
        assert found.definition.get(field) == value
    assert any(remark in text for text in found.remarks) if remark else not found.remarks


def test_what_is_different_for_many_jobs_is_told() -> None:
    """Lateness, and the zone that JobsManager's settings do not give to triggers."""
    assert [text.partition(":")[0] for text in imported().shared] == ["lateness", "time zone"]
    assert "at most 366d old" in imported(misfire_grace_time=None).shared[0]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ls /srv", "ls /srv"),
        ("ls &> /dev/null", "ls > /dev/null 2>&1"),
        ("a; b &> /dev/null", "exec > /dev/null 2>&1; a; b"),
        ("a | b   &> /dev/null", "exec > /dev/null 2>&1; a | b"),
        ("ls &> /dev/null ", "ls &> /dev/null "),
        ("ls &>/dev/null", "ls &>/dev/null"),
        ("a &> /dev/null; b", "a &> /dev/null; b"),
    ],
)
def test_a_command_does_what_jobsmanager_does_with_it(command: str, expected: str) -> None:
    """It takes only this one ending away, and discards the output of the whole command."""
    found = imported(command=command)
    assert found.definition["task"]["command"] == expected
    assert bool(found.remarks) == (command != expected)


def test_jitter_is_told_to_be_different() -> None:
    """There it is at random each time."""
    from apscheduler.triggers.cron import CronTrigger

    raw = state(CronTrigger(hour=5, jitter=30, timezone="UTC"))
    found = imported_job(read_job("a", raw, is_paused=False), NOW)
    assert found.definition["jitter"] == 30
    assert any(text.startswith("`jitter`") for text in found.remarks)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"func": print, "args": ["x"]}, "it calls `builtins:print`, not `Task.run_command`"),
        ({"args": [LOGGER, 5, 60]}, "its command is not a text"),
        ({"args": [LOGGER, "a\ud800", 60]}, "its command is not a text"),
        ({"timeout": "60"}, "its time limit is not a number"),
        ({"timeout": 0}, "its time limit is 0 seconds"),
        ({"timeout": float("inf")}, "its time limit is inf seconds"),
    ],
)
def test_a_job_that_no_definition_says_is_refused(more: dict[str, Any], message: str) -> None:
    """With the reason."""
    with pytest.raises(NotExpressible) as caught:
        imported(**more)
    assert message in caught.value.message
    assert caught.value.help


@pytest.mark.parametrize(
    ("job_id", "expected"),
    [
        ("job_echo-1.x", "job_echo-1.x"),
        ("first mon", "first-mon-57c8d7"),
        ("grüße", "gr-e-8285d1"),
        ("a/b", "a-b-c14cdd"),
        ("-a", "a-c27489"),
        ("§", "job-f8bf31"),
    ],
)
def test_an_id_is_the_same_one_or_made_of_it(job_id: str, expected: str) -> None:
    """Always the same, whatever the other rows are."""
    assert job_id_of(job_id) == expected
    assert len(job_id_of(job_id * 60)) <= 128


# --- into a directory --------------------------------------------------------------------------------------


def test_each_job_becomes_a_file_with_a_verdict(theirs: Theirs) -> None:
    """And its schedule is shown as it is written there and here."""
    theirs.fill("report", day_of_week="0-4")
    theirs.fill("first mon", day="1-7", day_of_week="mon", command="ls &> /dev/null")
    status, out, err = theirs(theirs.url, "--to", theirs.directory)
    assert (status, err) == (0, "")
    assert f"written    report -> {theirs.directory}/report.json" in " ".join(out.split("\n           "))
    assert 'day_of_week="0-4", hour="5", minute="0", second="0" -> 0 0 5 * * mon-fri' in " ".join(out.split())
    assert "notes:" in out
    assert "exit status" in out
    assert "2 jobs: 2 written" in out
    assert "stop it before the service runs them" in " ".join(out.split())
    names = sorted(path.name for path in theirs.directory.iterdir())
    assert names == ["first-mon-57c8d7.json", "report.json"]
    assert (theirs.directory / "report.json").stat().st_mode & 0o777 == 0o600
    assert cli.main(["validate", str(theirs.directory), "--config", str(theirs.config)]) == 0


def test_without_a_target_the_files_are_printed(theirs: Theirs) -> None:
    """And with `--dry-run`, too."""
    theirs.fill("report")
    for words in ((theirs.url,), (theirs.url, "--to", theirs.directory, "--dry-run")):
        status, out, _ = theirs(*words)
        assert status == 0
        assert '"job_id": "report"' in out
        assert "1 job: 1 new" in out
    assert not theirs.directory.exists()


def test_a_further_import_changes_nothing(theirs: Theirs) -> None:
    """A job that was edited since stays, under whatever name and id it has now."""
    theirs.fill("a", "b", "c")
    theirs("--to", theirs.directory, theirs.url)
    edited = theirs.directory / "b.json"
    edited.write_text(edited.read_text().replace('"timeout": 60', '"timeout": 61'))
    renamed = (theirs.directory / "c.json").rename(theirs.directory / "renamed.json")
    renamed.write_text(renamed.read_text().replace('"job_id": "c"', '"job_id": "renamed"'))
    before = {path.name: path.read_bytes() for path in theirs.directory.iterdir()}
    found = theirs.verdicts("--to", theirs.directory)
    assert [found[name]["state"] for name in "abc"] == ["unchanged", "kept", "unchanged"]
    assert found["b"]["help"] == "`--force` overwrites it"
    assert {path.name: path.read_bytes() for path in theirs.directory.iterdir()} == before
    assert theirs.verdicts("--to", theirs.directory, "--force")["b"]["state"] == "replaced"
    assert '"timeout": 60' in edited.read_text()


def test_an_id_of_another_file_is_refused(theirs: Theirs) -> None:
    """Nothing is overwritten."""
    theirs.fill("a")
    theirs.directory.mkdir()
    (theirs.directory / "other.json").write_text('{"job_id": "a"}')
    found = theirs.verdicts("--to", theirs.directory)["a"]
    assert (found["state"], found["reason"]) == ("refused", "its id `a` belongs to `other.json`")


def test_two_rows_that_get_the_same_id_are_told(theirs: Theirs) -> None:
    """The first one has it."""
    theirs.fill("first mon", "first-mon-57c8d7")
    found = theirs.verdicts("--to", theirs.directory)
    assert found["first mon"]["state"] == "written"
    assert found["first-mon-57c8d7"]["reason"] == "its id here, `first-mon-57c8d7`, is that of `first mon` too"


def test_a_row_that_cannot_be_read_stops_none_of_the_others(theirs: Theirs, tmp_path: Path) -> None:
    """Whatever is in it; nothing of it is executed."""
    theirs.fill("a", "b", "huge", "none")
    marker = tmp_path / "executed"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    theirs.sql("UPDATE jm_jobs SET job_state = ? WHERE id = 'a'", pickle.dumps({"trigger": Hostile()}))
    theirs.sql("UPDATE jm_jobs SET job_state = ? WHERE id = 'huge'", b"\x80\x04" + b"]" * 100_000)
    theirs.sql("UPDATE jm_jobs SET job_state = 'text' WHERE id = 'none'")
    found = theirs.verdicts("--to", theirs.directory)
    assert {row: verdict["state"] for row, verdict in found.items()} == {
        "a": "refused",
        "b": "written",
        "huge": "refused",
        "none": "refused",
    }
    assert found["a"]["reason"] == (
        "its `job_state` cannot be read: it refers to `posix.system`, which no job of JobsManager holds; "
        "nothing of it was executed"
    )
    assert "longer than 65535 bytes" in found["huge"]["reason"]
    assert not marker.exists()


def test_a_job_that_is_paused_by_its_column_is_disabled(theirs: Theirs) -> None:
    """APScheduler looks for due jobs by the column, whatever the pickle says."""
    theirs.fill("a")
    theirs.sql("UPDATE jm_jobs SET next_run_time = NULL")
    assert theirs.verdicts()["a"]["definition"]["enabled"] is False


def test_what_the_service_would_refuse_is_refused(theirs: Theirs) -> None:
    """In the words of the service."""
    theirs.fill("a", command="", name="empty")
    found = theirs.verdicts()["a"]
    assert found["state"] == "refused"
    assert found["reason"] == "`task.command` must not be empty"


def test_no_file_is_written_where_one_cannot_be(theirs: Theirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or none."""
    theirs.fill("a", "b")
    write, calls = import_target._write, []

    def failing(folder: int, temporary: str, file: import_target.NewFile) -> None:
        calls.append(file.name)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(folder, temporary, file)

    monkeypatch.setattr(import_target, "_write", failing)
    status, _, err = theirs(theirs.url, "--to", theirs.directory)
    assert status == 1
    assert "nothing was written: no space left on device" in err
    assert list(theirs.directory.iterdir()) == []


# --- which database ----------------------------------------------------------------------------------------


def test_a_password_on_the_command_line_is_refused(theirs: Theirs) -> None:
    """All users would see it; the file that is named instead has to be closed to others."""
    status, _, err = theirs("mysql://user:secret@127.0.0.1/jobs")
    assert status == 2
    assert "`--url-file`" in err
    assert "secret" not in err
    theirs.fill("a")
    file = theirs.base / "url"
    file.write_text(theirs.url)
    file.chmod(0o644)
    assert theirs("--url-file", file)[0] == 1
    file.chmod(0o600)
    assert theirs("--url-file", file)[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "no database of JobsManager is named"),
        (("sqlite:///x", "--url-file", "y"), 2, "`URL`"),
        (("sqlite:////none/none.db",), 1, "there is no database file `/none/none.db`"),
        (("sqlite:////none/none.db", "--to", "x", "--to-database"), 2, "`--to-database`"),
    ],
)
def test_wrong_words_are_told(theirs: Theirs, words: tuple[str, ...], status: int, message: str) -> None:
    """With the exit status of wrong usage, or of a database that cannot be used."""
    found = theirs(*words)
    assert (found[0], message in found[2].replace("--url-file", "URL` `--url-file")) == (status, True), found


def test_a_database_without_jobs_of_jobsmanager_is_told(theirs: Theirs) -> None:
    """Also one that has a table of that name."""
    theirs.sql("CREATE TABLE a (b)")
    theirs.file.chmod(0o644)
    assert "the database has no table `jm_jobs`" in theirs(theirs.url)[2]
    theirs.sql("CREATE TABLE jm_jobs (b)")
    assert "`jm_jobs` is not a table of JobsManager" in theirs(theirs.url)[2]


def test_a_table_of_another_name_is_read(theirs: Theirs) -> None:
    """JobsManager's settings name it."""
    theirs.fill("a")
    theirs.sql("ALTER TABLE jm_jobs RENAME TO our_jobs")
    assert theirs.verdicts("--table", "our_jobs")["a"]["state"] == "new"
    make_tables(theirs.url)
    assert theirs.verdicts("--table", "our_jobs", "--to-database")["a"]["state"] == "written"
    assert theirs.tables() == OURS | (RENAMED - {"jm_jobs_of_jobsmanager"}) | {"our_jobs"}


def test_without_the_extra_it_says_how_to_install_it(theirs: Theirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a stack trace."""
    monkeypatch.setattr(import_jobsmanager, "is_installed", lambda: False)
    status, _, err = theirs(theirs.url)
    assert status == 1
    assert "`import jobsmanager` needs the extra `database`" in err
    assert "make install EXTRAS=database" in err


# --- into a table ------------------------------------------------------------------------------------------

RENAMED = {"jm_jobs_of_jobsmanager", "jm_syslog_of_jobsmanager", "jm_update_info_of_jobsmanager"}
OURS = {"jm_jobs", "jm_syslog", "jm_update_info", "jm_version", "jm_service"}


def ids(url: str) -> list[str]:
    """Return the ids in our table."""
    return [row.job_id for row in JobTable(url).list()]


def test_their_tables_are_renamed_and_keep_their_rows(theirs: Theirs) -> None:
    """Ours have their place, with the jobs and one request for a reload."""
    theirs.fill("a", "b")
    make_tables(theirs.url)
    rows = theirs.sql("SELECT * FROM jm_jobs")
    status, out, err = theirs(theirs.url, "--to-database")
    assert (status, err) == (0, "")
    assert "table `jm_jobs` of JobsManager is renamed to `jm_jobs_of_jobsmanager`" in out
    assert "requested a reload" in out
    assert "a -> jm_jobs/a (" in " ".join(out.split())
    assert theirs.tables() == OURS | RENAMED
    assert theirs.sql("SELECT * FROM jm_jobs_of_jobsmanager") == rows
    assert theirs.sql("SELECT message FROM jm_syslog_of_jobsmanager") == [("theirs",)]
    assert ids(theirs.url) == ["a", "b"]
    assert theirs.sql("SELECT count(*) FROM jm_update_info") == [(1,)]


def test_a_second_import_into_the_table_does_nothing_twice(theirs: Theirs) -> None:
    """Their jobs are read from the renamed table; a job that was edited or removed there stays so, or comes again."""
    theirs.fill("a", "b", "c")
    theirs(theirs.url, "--to-database")
    table = JobTable(theirs.url)
    edited = json.loads(table.list()[1].definition) | {"timeout": 61}
    table.update(edited)
    markers = theirs.sql("SELECT count(*) FROM jm_update_info")
    found = theirs.verdicts("--to-database")
    assert [found[name]["state"] for name in "abc"] == ["unchanged", "kept", "unchanged"]
    assert theirs.sql("SELECT count(*) FROM jm_update_info") == markers
    assert theirs.tables() == OURS | {"jm_jobs_of_jobsmanager"}
    assert theirs.verdicts("--to-database", "--force")["b"]["state"] == "replaced"
    assert json.loads(table.list()[1].definition)["timeout"] == 60


def test_a_dry_run_changes_no_database(theirs: Theirs) -> None:
    """It says what would be renamed."""
    theirs.fill("a")
    make_tables(theirs.url)
    before = theirs.tables()
    status, out, _ = theirs(theirs.url, "--to-database", "--dry-run")
    assert status == 0
    assert "table `jm_jobs` of JobsManager would be renamed to `jm_jobs_of_jobsmanager`" in out
    assert theirs.tables() == before


def test_an_interrupted_import_goes_on_where_it_stopped(theirs: Theirs) -> None:
    """After the tables were renamed, and after ours were created."""
    theirs.fill("a")
    make_tables(theirs.url)
    move_aside(JobTable(theirs.url).database)
    assert theirs.tables() == RENAMED
    assert theirs.verdicts("--to-database")["a"]["state"] == "written"
    JobTable(theirs.url).remove("a")
    assert theirs.verdicts("--to-database")["a"]["state"] == "written"
    assert ids(theirs.url) == ["a"]


def test_a_table_that_has_the_new_name_is_not_overwritten(theirs: Theirs) -> None:
    """Nothing is renamed then."""
    theirs.fill("a")
    make_tables(theirs.url)
    theirs.sql("CREATE TABLE jm_syslog_of_jobsmanager (a)")
    before = theirs.tables()
    status, _, err = theirs(theirs.url, "--to-database")
    assert status == 1
    assert "there is a table `jm_syslog_of_jobsmanager` already" in " ".join(err.split())
    assert theirs.tables() == before


def test_the_jobs_go_beside_theirs_when_another_database_is_set(theirs: Theirs) -> None:
    """Theirs is not touched."""
    theirs.fill("a")
    make_tables(theirs.url)
    before = theirs.tables()
    ours = f"sqlite:///{theirs.base}/ours.db"
    status, out, _ = theirs(theirs.url, "--to-database", "--database-url", ours)
    assert status == 0
    assert "renamed" not in out
    assert theirs.tables() == before
    assert ids(ours) == ["a"]


def test_a_refused_row_does_not_keep_the_others_from_the_table(theirs: Theirs) -> None:
    """The exit status says that there was one."""
    theirs.fill("a", "b")
    theirs.sql("UPDATE jm_jobs SET job_state = x'00' WHERE id = 'a'")
    status, out, _ = theirs(theirs.url, "--to-database")
    assert status == 1
    assert "2 jobs: 1 written, 1 refused" in out
    assert ids(theirs.url) == ["b"]
