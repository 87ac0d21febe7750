"""`validate` and trust: for whom is judged, what is a warning, and no advice that opens a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from jobscheduler import cli
from jobscheduler.util.exposed_secrets import exposed_in_definition, exposed_in_environment_file
from tests.support.fork_server import run_program
from tests.support.job_files import put
from tests.support.service import ROOT, job
from tests.support.tasks import open_to_all
from tests.support.throwaway_users import ThrowawayUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="acts as other users, which only root can")


@pytest.fixture
def jobs() -> Iterator[Path]:
    """A jobs directory of root's that all users may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="validate-") as made:
        directory = Path(made) / "jobs.d"
        directory.mkdir()
        for path in (Path(made), directory):
            path.chmod(0o755)
        yield directory


@contextmanager
def acting_as(user: ThrowawayUser) -> Iterator[None]:
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def validate(
    capsys: pytest.CaptureFixture[str], user: ThrowawayUser | None, *arguments: str | Path
) -> tuple[int, list[dict[str, Any]]]:
    """Run `validate --json` as a user, root if none; return the exit status and the findings."""
    import_module("jobscheduler.jobs.parser.validator")  # what is imported has to be read by root here
    cli.main(["validate", str(ROOT / "examples" / "jobs.d")])
    capsys.readouterr()
    words = ["validate", "--json", *map(str, arguments)]
    if user is None:
        status = cli.main(words)
    else:
        with acting_as(user):
            status = cli.main(words)
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_that_roots_service_refuses_is_a_warning_for_an_ordinary_user(
    jobs: Path, alice: ThrowawayUser, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an error for root, and for a pipeline that says whom it is for."""
    put(jobs, "a.json", job("a")).chmod(0o664)
    status, found = validate(capsys, alice, jobs)
    assert status == 0
    assert [(one["level"], one["problem"]) for one in found] == [
        ("warning", f"`{jobs}/a.json` may be written by its group (mode 0664)")
    ]
    assert "install -T -o root -g root -m 644" in found[0]["help"]
    for user, arguments in ((None, ()), (alice, ("--as", "root"))):
        status, found = validate(capsys, user, *arguments, jobs)
        assert (status, [one["level"] for one in found]) == (1, ["error"])


def test_what_a_third_user_owns_is_judged_for_root_and_what_the_caller_owns_is_not(
    jobs: Path, alice: ThrowawayUser, mallory: ThrowawayUser, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is theirs is on its way to a place of root's; a checkout with a warning for each file helps no user."""
    os.chown(put(jobs, "a.json", job("a")), mallory.uid, mallory.gid)
    os.chown(put(jobs, "b.json", job("b")), alice.uid, alice.gid)
    (jobs / "b.json").chmod(0o664)
    status, found = validate(capsys, alice, jobs)
    assert (status, [one["file"] for one in found]) == (0, [f"{jobs}/a.json"])
    assert "not to root" in found[0]["problem"]
    assert "-o root -g root" in found[0]["help"]
    status, found = validate(capsys, alice, "--as", "root", jobs)
    assert (status, [one["file"] for one in found]) == (1, [f"{jobs}/a.json", f"{jobs}/b.json"])


def test_a_directory_of_another_user_is_a_warning_and_its_files_are_checked(
    jobs: Path, alice: ThrowawayUser, mallory: ThrowawayUser, capsys: pytest.CaptureFixture[str]
) -> None:
    """All problems of all files, as everywhere."""
    put(jobs, "a.json", job("a"))
    put(jobs, "bad.json", {"job_id": "bad"})
    os.chown(jobs, mallory.uid, mallory.gid)
    status, found = validate(capsys, alice, jobs)
    assert status == 1
    assert (found[0]["level"], found[0]["file"]) == ("warning", str(jobs))
    assert {one["file"] for one in found[1:]} == {f"{jobs}/bad.json"}
    (jobs / "bad.json").unlink()
    assert validate(capsys, alice, jobs)[0] == 0
    assert validate(capsys, alice, "--as", "root", jobs)[0] == 1


@pytest.mark.parametrize("closed", ["file", "directory", "parent", "target"])
def test_what_may_not_be_read_is_never_to_be_opened_to_the_caller(
    jobs: Path, alice: ThrowawayUser, closed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """There may be a password in it: the service's user checks it."""
    file = put(jobs, "a.json", job("a"))
    if closed == "target":
        file.rename(jobs.parent / "target")
        file.symlink_to("../target")
    {"file": file, "directory": jobs, "parent": jobs.parent, "target": jobs.parent / "target"}[closed].chmod(0o700)
    status, found = validate(capsys, alice, jobs)
    assert found
    assert all(one["help"] == "only root has to read it: run this as root" for one in found)
    assert status == (0 if closed in {"file", "target"} else 1)


def test_the_user_of_as_has_to_exist(jobs: Path) -> None:
    """Wrong usage is reported without a trace."""
    command = [sys.executable, ROOT / "main.py", "validate", "--as", "nobody-here", jobs]
    done = run_program(command, text=True, timeout=60)
    assert done.returncode == 2
    assert "there is no user `nobody-here`" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_file_that_a_run_could_not_use_is_an_error_for_the_user_of_the_service(
    jobs: Path, alice: ThrowawayUser, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a warning for all others, who may not even read it, and are never told to open it."""
    secrets = jobs.parent / "a.env"
    secrets.write_text("A=b\nno assignment\n")
    definition = job("a")
    definition["task"]["env_file"] = str(secrets)
    put(jobs, "a.json", definition)

    status, found = validate(capsys, None, jobs)
    assert (status, [one["level"] for one in found]) == (1, ["error"])
    assert found[0]["problem"] == f"the environment file `{secrets}` is open to others"
    subprocess.run(found[0]["help"].split("`")[1], shell=True, check=True)
    status, found = validate(capsys, None, jobs)
    assert (status, found[0]["line"]) == (1, 1)
    assert found[0]["problem"] == f"the environment file `{secrets}`, line 2: there is no `=` in the line"
    assert validate(capsys, None, "--as", alice.name, jobs)[1][-1]["level"] == "warning"

    status, found = validate(capsys, alice, jobs)
    assert (status, [one["level"] for one in found]) == (0, ["warning"])
    assert found[0]["help"] == "only the user of the service has to read it: it belongs to that user, with mode 600"
    secrets.write_text("A=b\n")
    assert validate(capsys, None, jobs) == (0, [])


SECRET = job("a")
SECRET["task"]["env"] = {"PGPASSWORD": "x", "PATH": "/bin"}  # type: ignore[index]


def test_a_secret_in_a_file_that_all_users_may_read_is_a_warning(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not if the file is closed, or a directory on the way: so it is in /etc/scheduler. The secret is not shown."""
    file = put(jobs, "a.json", SECRET)
    status, found = validate(capsys, None, jobs)
    assert status == 0
    (one,) = found
    assert (one["level"], one["problem"].split("`")[1]) == ("warning", "task.env.PGPASSWORD")
    subprocess.run(one["help"].split("`")[1], shell=True, check=True)
    assert validate(capsys, None, jobs) == (0, [])
    file.chmod(0o644)
    jobs.parent.chmod(0o750)
    assert validate(capsys, None, jobs) == (0, [])


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ({"headers": {"Authorization": "Bearer abcdefghij"}}, "task.headers.Authorization"),
        ({"url": "https://user:pw@host/"}, "task.url"),
        ({"command": ["curl", "https://user:pw@host/"]}, "task.command.1"),
        ({"command": "curl -H 'Authorization: Bearer abcdefghij' x"}, "task.command"),
        ({"env": {"API_KEY": "x"}}, "task.env.API_KEY"),
        ({"type": "notify", "to": "slack://T1/A1/tok"}, "task.to"),
        ({"type": "notify", "to": ["ntfy://ntfy.sh/topic"], "body": "see https://x"}, "task.to.0"),
        ({"type": "notify", "to_file": "/etc/scheduler/receivers"}, None),
        ({"env": {"KEYMAP": "x", "PASSES": "3", "TOKEN": ""}}, None),
        ({"env": {"DB_PASSWORD_FILE": "/run/secrets/db", "TOKEN-PATH": "/run/t"}}, None),
        ({"url": "https://host:80/a@b", "command": "echo basic"}, None),
    ],
)
def test_secrets_are_known_by_their_names_and_forms(task: dict[str, Any], named: str | None) -> None:
    """In any task type, also in what is done on a failure."""
    found = [one.message.split("`")[1] for one in exposed_in_definition(json.dumps({"task": task}).encode(), "a.json")]
    assert found == ([] if named is None else [named])


def test_the_password_of_the_database_in_the_settings_of_the_unit_is_a_warning(tmp_path: Path) -> None:
    """All users may read that file; a comment, or a URL without a password, is no matter."""
    settings = tmp_path / "jobscheduler"
    settings.write_text(
        "#JOBSCHEDULER_DATABASE_URL=mysql://a:b@c/d\nJOBSCHEDULER_DATABASE_URL=sqlite:////srv/jobs.db\n"
    )
    open_to_all(tmp_path)
    assert exposed_in_environment_file(settings) == ()
    settings.write_text("# of the unit\nJOBSCHEDULER_DATABASE_URL='mysql://sched:pw@host/jobs'\nAPI_TOKEN=abc\n")
    url, token = exposed_in_environment_file(settings)
    assert (url.line, token.line) == (2, 3)
    assert "JOBSCHEDULER_DATABASE_URL_FILE" in str(url.help)
    assert token.message.startswith("`API_TOKEN` looks like a secret")
    settings.chmod(0o640)
    assert exposed_in_environment_file(settings) == ()
    assert exposed_in_environment_file(tmp_path / "none") == ()


def test_the_user_of_a_service_gets_the_verdict_of_that_service(
    jobs: Path, alice: ThrowawayUser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of a user may be open to that user's group; what depends on the host is an error, as it is for root."""
    own, socket = jobs / "own.d", jobs / "control.sock"
    own.mkdir()
    socket.touch()
    put(own, "a.json", job("a", "@daily")).chmod(0o664)
    bad = job("b", "@daily")
    bad["task"]["user"] = "nobody-knows-this-user"
    put(own, "b.json", bad).chmod(0o664)
    for path in (own, socket, own / "a.json", own / "b.json"):
        os.chown(path, alice.uid, alice.gid)
    for given, expected in ((socket, (1, ["error"])), (jobs / "none.sock", (0, ["warning"]))):
        status, found = validate(capsys, alice, "--socket", given, own)
        assert (status, sorted(one["level"] for one in found)) == expected, found


def test_a_plan_of_another_user_refuses_nothing_for_what_only_that_user_lacks(
    jobs: Path, alice: ThrowawayUser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only root can start commands as another user, so a job that asks for that is fine for root's service."""
    new = jobs / "new.d"
    new.mkdir(mode=0o755)
    definition = job("a", "@daily")
    definition["task"]["user"] = "daemon"
    put(new, "a.json", definition).chmod(0o666)
    words = ["plan", "--json", str(new), "--jobs-dir", str(jobs), "--socket", str(jobs / "none.sock")]
    assert cli.main(words) == 0  # which also imports what root has to read
    capsys.readouterr()
    with acting_as(alice):
        status = cli.main(words)
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (status, found["change"], found["job_id"]) == (0, "new", "a")
    definition["task"]["user"] = "nobody-knows-this-user"
    put(new, "a.json", definition)
    assert cli.main(words) == 1
