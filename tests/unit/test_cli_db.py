"""`db`: jobs between files and a table, and its messages when that fails. On SQLite."""

from __future__ import annotations

import errno
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli import main
from jobscheduler.database import JobTable, queries
from tests.support.in_memory import tmp_path
from tests.support.service import job, wait_until
from tests.support.throwaway_users import ThrowawayUser

__all__ = ["tmp_path"]


class Here:
    """A directory, a database with its tables, and the command."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self.url = f"sqlite:///{base}/jobs.db"
        self.directory = base / "jobs.d"
        self.directory.mkdir()
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Run a verb; return its status, what it printed, and its errors."""
        try:
            status = main(["db", *words, "--database-url", self.url])
        except SystemExit as ended:
            status = int(str(ended.code))
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err

    def write(self, name: str, definition: Any, indent: int | None = None) -> str:
        """Put a job file into the directory; return its path."""
        path = self.directory / name
        path.write_text(definition if isinstance(definition, str) else json.dumps(definition, indent=indent))
        return str(path)

    def table(self) -> JobTable:
        """The table itself."""
        return JobTable(self.url)

    def ids(self) -> list[str]:
        """The ids in the table."""
        return [row.job_id for row in self.table().list()]


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """One whose tables are made."""
    monkeypatch.setenv("TZ", "UTC")
    made = Here(tmp_path, capsys)
    assert made("init")[0] == 0
    return made


def test_init_says_whether_it_made_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, and then that they are there; before it every verb says what to do."""
    here = Here(tmp_path, capsys)
    status, _, errors = here("list")
    assert status == 1
    assert "cannot be used: no such file" in errors
    assert "help: `jobscheduler db init` makes it" in errors
    assert here("init") == (0, f"created the tables in `{tmp_path}/jobs.db`\n", "")
    assert here("init") == (0, f"the tables in `{tmp_path}/jobs.db` exist already\n", "")


def test_init_and_upgrade_change_the_tables_of_every_database_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of jobs and of a cluster. An upgrade makes no table and no file; without a database both are wrong usage."""
    jobs = ["--database-url", f"sqlite:///{tmp_path}/jobs.db"]
    cluster = ["--cluster-url", f"sqlite:///{tmp_path}/cluster.db"]

    def tables(*words: str) -> tuple[int, str, str]:
        status = main(["db", *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    status, _, errors = tables("upgrade", *cluster)
    assert (status, list(tmp_path.iterdir())) == (1, [])
    assert "help: `jobscheduler db init` makes it" in errors
    of_jobs, of_cluster = f"the tables in `{tmp_path}/jobs.db`", f"the tables of the cluster in `{tmp_path}/cluster.db`"
    assert tables("init", *cluster, *jobs) == (0, f"created {of_jobs}\ncreated {of_cluster}\n", "")
    for verb in ("init", "upgrade"):
        assert tables(verb, *cluster, *jobs) == (0, f"{of_jobs} exist already\n{of_cluster} exist already\n", "")
    assert tables("init")[0] == 2


def test_the_url_of_a_cluster_is_a_secret_like_that_of_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A password is refused on the command line and not repeated; a file with it has to be closed."""
    assert main(["db", "init", "--cluster-url", "mysql://user:hunter2@db/x"]) == 2
    told = capsys.readouterr().err
    assert "--cluster-url-file FILE" in told
    assert "hunter2" not in told
    file = tmp_path / "url"
    file.write_text(f"sqlite:///{tmp_path}/cluster.db\n")
    file.chmod(0o644)
    assert main(["db", "init", "--cluster-url-file", str(file)]) == 1
    file.chmod(0o600)
    assert main(["db", "init", "--cluster-url-file", str(file)]) == 0


def test_import_and_export_make_a_table_and_a_directory_the_same_thing(here: Here, tmp_path: Path) -> None:
    """To the letter; what is the same is not touched."""
    text = json.dumps(job("a", description="Größe"), indent=4, ensure_ascii=False) + "\n"
    here.write("a.json", text)
    here.write("other-name.json", job("b"))
    assert here("import", str(here.directory)) == (0, "2 added, 0 updated, 0 removed, 0 unchanged\n", "")
    assert here("import", str(here.directory)) == (0, "0 added, 0 updated, 0 removed, 2 unchanged\n", "")
    new = tmp_path / "new.d"
    assert here("export", str(new)) == (0, "2 written, 0 removed, 0 unchanged\n", "")
    assert here("export", str(new)) == (0, "0 written, 0 removed, 2 unchanged\n", "")
    assert sorted(path.name for path in new.iterdir()) == ["a.json", "b.json"]
    assert (new / "a.json").read_text("utf-8") == text
    assert here("import", str(new))[1] == "0 added, 0 updated, 0 removed, 2 unchanged\n"


def test_jobs_are_removed_only_with_delete(here: Here) -> None:
    """Rows that are not in the directory, files that are not in the table."""
    here.write("a.json", job("a"))
    here("import", str(here.directory))
    (here.directory / "a.json").unlink()
    here.write("b.json", job("b"))
    status, printed, errors = here("import", str(here.directory))
    assert (status, printed) == (1, "")
    assert "error: the table also holds the job `a`" in errors
    assert here.ids() == ["a"]
    status, printed, errors = here("export", str(here.directory))
    assert (status, printed) == (1, "")
    assert "this job file is not in the table" in errors
    assert sorted(path.name for path in here.directory.iterdir()) == ["b.json"]

    assert here("export", str(here.directory), "--delete")[1] == "1 written, 1 removed, 0 unchanged\n"
    here.write("c.json", job("c"))
    (here.directory / "a.json").unlink()
    assert here("import", str(here.directory), "--delete")[1] == "1 added, 0 updated, 1 removed, 0 unchanged\n"
    assert here.ids() == ["c"]


def test_jobs_are_added_changed_and_removed(here: Here) -> None:
    """By file, and by id; each asks for a reload."""
    path = here.write("a.json", job("a"))
    assert here("add", path, here.write("b.json", job("b"))) == (0, "2 jobs added\n", "")
    here.write("a.json", job("a", description="changed"))
    assert here("update", path) == (0, "1 job updated\n", "")
    assert here("remove", "b") == (0, "1 job removed\n", "")
    assert here("reload") == (0, "requested a reload\n", "")
    answer = json.loads(here("list", "--json")[1])["jobs"]
    assert [(one["job_id"], one["definition"]) for one in answer] == [("a", job("a", description="changed"))]
    lines = here("list")[1].splitlines()
    assert lines[0].split() == ["JOB", "SCHEDULE", "UPDATED", "DESCRIPTION"]
    assert lines[1].startswith("a    * * * * * *")
    with here.table().database.reading() as connection:
        assert len(queries.pending_reloads(connection)) == 4


def test_problems_are_shown_as_everywhere_and_nothing_is_written(here: Here) -> None:
    """All of all files, with their places."""
    bad = here.write("bad.json", {**job("c"), "shedule": "x"}, indent=1)
    here.write("a.json", job("a"))
    here.write("b.json", job("a"))
    status, printed, errors = here("import", str(here.directory))
    assert (status, printed) == (1, "")
    assert f"  --> {bad}:8:2\n" in errors
    assert "help: did you mean `schedule`?" in errors
    assert "the id `a` already belongs to" in errors
    assert here.ids() == []
    here("add", str(here.directory / "a.json"))
    assert "error: there is already a job `a`\n" in here("add", str(here.directory / "b.json"))[2]
    assert "error: there is no job `x` in the database\n" in here("remove", "x")[2]
    assert "error: the file cannot be read: No such file" in here("add", "nowhere.json")[2]


def test_an_id_that_is_no_name_of_a_file_is_not_exported(here: Here, tmp_path: Path) -> None:
    """Whatever the table holds, nothing is written elsewhere."""
    from datetime import UTC, datetime

    with here.table().database.writing() as connection:
        queries.insert_jobs(connection, {"../evil": "{}"}, datetime.now(UTC))
    status, _, errors = here("export", str(here.directory))
    assert status == 1
    assert "no file can be called `../evil.json`" in errors
    assert not (tmp_path / "evil.json").exists()


def test_waiting_ends_with_the_reload(here: Here) -> None:
    """As the service marks it."""
    path = here.write("a.json", job("a"))

    def mark() -> None:
        database = here.table().database
        with database.reading() as connection:
            found = wait_until(lambda: queries.pending_reloads(connection))
        with database.writing() as connection:
            from datetime import UTC, datetime

            queries.complete_reloads(connection, found, datetime.now(UTC))

    here("add", path)
    marking = threading.Timer(0.5, mark)
    marking.start()
    assert here("reload", "--wait") == (0, "reloaded\n", "")
    marking.join()


def test_without_a_database_it_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how to name one."""
    monkeypatch.delenv("JOBSCHEDULER_DATABASE_URL", raising=False)
    assert main(["db", "list"]) == 2
    assert "name the database with `--database-url URL`" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(here: Here, tmp_path: Path) -> None:
    """Which it is, and why."""
    (tmp_path / "taken").write_text("")
    status, _, errors = here("export", str(tmp_path / "taken"))
    assert status == 1
    assert f"this cannot be written: file exists\n --> {tmp_path}/taken\n" in errors


@pytest.mark.parametrize("verb", ["init", "import", "export", "add", "update", "remove", "list", "reload"])
def test_the_help_of_each_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As that of every other verb."""
    with pytest.raises(SystemExit) as ended:
        main(["db", verb, "--help"])
    assert ended.value.code == 0
    assert f"\nexample:\n  jobscheduler db {verb} " in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root can")
def test_an_export_follows_no_planted_link(here: Here, alice: ThrowawayUser) -> None:
    """A directory of a stranger's is refused; in one of root's a link gives way to the file, and its target stays."""
    here("add", here.write("tick.json", job("tick")))
    victim = here.base / "victim"
    victim.write_text("kept")
    theirs = alice.home / "exp"
    theirs.mkdir()
    os.chown(theirs, alice.uid, alice.gid)
    (theirs / ".tick.json.new").symlink_to(victim)
    (theirs / "tick.json").symlink_to(victim)
    status, _, errors = here("export", str(theirs))
    assert status == 1
    assert f"belongs to `{alice.name}`, not to root" in errors
    assert "help: " in errors

    ours = here.base / "exp"
    ours.mkdir()
    planted = [".tick.json.new", "tick.json"]
    for name in planted:
        (ours / name).symlink_to(victim)
    assert here("export", str(ours))[0] == 0
    assert victim.read_text() == "kept"
    assert not (ours / "tick.json").is_symlink()
    assert sorted(path.name for path in ours.iterdir()) == planted


def test_an_export_that_fails_leaves_no_half_file(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one under another name."""
    here("add", here.write("tick.json", job("tick")))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    status, _, errors = here("export", str(here.base / "exp"))
    assert status == 1
    assert "no space left on device" in errors
    assert list((here.base / "exp").iterdir()) == []


def test_put_adds_and_changes_and_says_so(here: Here) -> None:
    """Of several files each is what it has to be."""
    first, second = here.write("a.json", job("a")), here.write("b.json", job("b"))
    assert here("put", first) == (0, "1 added, 0 updated, 0 unchanged\n", "")
    here.write("a.json", job("a", command="false"))
    assert here("put", first, second) == (0, "1 added, 1 updated, 0 unchanged\n", "")
    assert here("put", first, second) == (0, "0 added, 0 updated, 2 unchanged\n", "")
    assert here.ids() == ["a", "b"]


def test_a_command_of_bash_for_sh_is_warned_of_and_added(here: Here) -> None:
    """With its place, as `validate` does it."""
    status, out, err = here("add", here.write("a.json", job("a", command="sleep 3 &> /dev/null")))
    assert (status, out) == (0, "1 job added\n")
    assert err.startswith("warning: `&>` is bash's")
    assert "a.json:1:" in err
    assert here.ids() == ["a"]


def test_a_row_that_was_not_read_to_its_end_is_not_exported(here: Here, tmp_path: Path) -> None:
    """A file with half of it would be worse than none."""
    with here.table().database.writing() as connection:
        queries.insert_jobs(connection, {"large": "x" * 1_200_000}, datetime.now(UTC))
    status, out, err = here("export", str(tmp_path / "out"))
    assert (status, out) == (1, "")
    assert "the row is larger than 1 MiB" in err
    assert "jm_jobs/large" in err
    assert not (tmp_path / "out").exists()
