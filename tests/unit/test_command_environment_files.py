"""`execute_command`: where its variables come from, and what becomes of an environment file that cannot be used."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.control.redact import redacted_definition
from jobscheduler.runner.attempt_result import execute_task
from jobscheduler.tasks import hung_paths
from jobscheduler.tasks.command import environment_files
from jobscheduler.tasks.command.task import ExecuteCommand
from jobscheduler.util.hang_guard import HangGuard
from tests.support.tasks import as_root, context, execute, failure, job, no_strangers, text
from tests.support.throwaway_users import ThrowawayUser

__all__ = ["no_strangers"]


def env_file(directory: Path, content: str | bytes = "PASSWORD=of-file\n", name: str = "a.env") -> str:
    """Make an environment file that only its owner may read."""
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return str(path)


def warnings(**fields: Any) -> list[tuple[tuple[str | int, ...], str, str | None, bool]]:
    """Return what `validate` says of a task."""
    found = ExecuteCommand.warnings({"command": "true", **fields})
    return [(one.path, one.message, one.help, one.host_dependent) for one in found]


def test_what_is_nearest_to_the_definition_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`env`, then the files from the last to the first, then what is passed on, then what the scheduler sets."""
    for name in ("A", "B", "C", "D", "LANG"):
        monkeypatch.setenv(name, "service")
    first = env_file(tmp_path, "A=first\nB=first\nC=first\n", "first.env")
    second = env_file(tmp_path, "A=second\nB=second\n", "second.env")
    fields = {"pass_env": ["A", "B", "C", "D", "USER"], "env_file": [first, second], "env": {"A": "env"}}
    assert text("echo $A $B $C $D", **fields).split() == ["env", "second", "first", "service"]
    assert text("echo $PASSWORD", env_file=env_file(tmp_path)) == "of-file\n"


def test_a_variable_that_the_service_does_not_have_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not empty either; and no other one is passed on."""
    monkeypatch.delenv("NOT_THERE", raising=False)
    monkeypatch.setenv("OTHER", "x")
    monkeypatch.setenv("ODD", "\udcff")
    printed = execute(["env"], pass_env=["NOT_THERE", "ODD"]).output
    assert b"NOT_THERE" not in printed
    assert b"OTHER" not in printed
    assert b"ODD=\xff\n" in printed


@as_root
def test_the_service_reads_the_file_and_the_user_of_the_job_need_not(tmp_path: Path, alice: ThrowawayUser) -> None:
    """The file belongs to root; the command gets the variable all the same."""
    path = env_file(tmp_path)
    assert text("echo $PASSWORD; id -un", user=alice.name, env_file=path).split() == ["of-file", alice.name]
    assert alice.popen(["cat", path], stderr=subprocess.DEVNULL).wait(60) != 0


def test_the_file_is_read_for_each_attempt(tmp_path: Path) -> None:
    """So a password that was changed in between is the new one."""
    spec = job(own={"command": "test $PASSWORD = new", "env_file": env_file(tmp_path)}).task
    assert execute_task(spec, context()).reason == "exit"
    env_file(tmp_path, "PASSWORD=new\n")
    assert execute_task(spec, context(attempt=2)).reason is None


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("A=b\nhunter2\n", 2, "there is no `=` in the line; write `NAME=value`"),
        ("export A=hunter2\n", 1, "what is before the `=` is not the name of a variable; leave out `export`"),
        ("A=b\n\nC='hunter2\n", 3, "the quote of a value does not end; end the value"),
        (b"A=b\nC=hunter2\xff\n", 2, "the text is not UTF-8; save the file as UTF-8"),
        ("A=b\nC=hunter2\0\n", 2, "a NUL character cannot be passed to a program; drop it"),
        ("JOB_RUN_ID=hunter2\n", 1, "`JOB_RUN_ID` is how the scheduler knows the processes of a run; drop it"),
    ],
)
def test_a_broken_file_fails_the_attempt_and_names_its_line(
    tmp_path: Path, content: str | bytes, line: int, words: str
) -> None:
    """With the way out, and without what stands there. `validate` says the same."""
    path = env_file(tmp_path, content)
    failed = failure("true", env_file=path)
    assert failed.reason == "start"
    assert str(failed).startswith(f"the environment file `{path}`, line {line}: {words}")
    assert "hunter2" not in str(failed)
    ((place, message, help_, host_dependent),) = warnings(env_file=path)
    assert (place, host_dependent) == (("env_file",), True)
    assert f"{message}; {help_}" == str(failed)


def test_a_missing_an_open_and_a_large_file_fail_the_attempt(tmp_path: Path) -> None:
    """With a way out that opens nothing to others."""
    missing = str(tmp_path / "no.env")
    assert str(failure("true", env_file=missing)) == (
        f"the environment file `{missing}` cannot be read: No such file or directory; "
        f"make it with `install -D -m 600 /dev/null {missing}`, and write `NAME=value` lines into it"
    )
    path = env_file(tmp_path)
    for mode, words in ((0o644, "is open to others; `chmod 600 "), (0o622, "is open to others, who may write it;")):
        Path(path).chmod(mode)
        failed = failure("true", env_file=[path])
        assert failed.reason == "start"
        assert f"`{path}` {words}" in str(failed)
    assert [one[0] for one in warnings(env_file=[missing, path])] == [("env_file", 0), ("env_file", 1)]
    Path(path).chmod(0o640)
    assert text("echo $PASSWORD", env_file=path) == "of-file\n"
    large = env_file(tmp_path, "A=" + "x" * environment_files.MAX_BYTES, "large.env")
    assert "is larger than 65536 bytes; is it the right file?" in str(failure("true", env_file=large))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    assert "is not a regular file; put the secret into a file" in str(failure("true", env_file=str(fifo)))
    assert "is not a regular file" in str(failure("true", env_file=str(tmp_path)))


@as_root
def test_the_whole_way_to_the_file_is_judged(tmp_path: Path, alice: ThrowawayUser) -> None:
    """Who may replace the file decides what the job gets."""
    path = env_file(tmp_path)
    tmp_path.chmod(0o777)
    assert "cannot be trusted" in str(failure("true", env_file=path))
    tmp_path.chmod(0o700)
    os.chown(path, alice.uid, alice.gid)
    assert "does not belong to root" in str(failure("true", env_file=path))


def test_the_values_are_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a message of the failure, even if it quotes the command; what is passed on only if it looks like one."""
    monkeypatch.setenv("API_TOKEN", "of-service")
    monkeypatch.setenv("MODE", "harmless")
    path = env_file(tmp_path)
    own = {"command": ["/no/of-file/of-service/harmless"], "env_file": path, "pass_env": ["API_TOKEN", "MODE"]}
    details = dict(execute_task(job(own=own).task, context()).details)
    assert details["error"] == "no such command: `/no/[secret]/[secret]/harmless`"
    shown = redacted_definition(job(own={"command": "true", "env_file": path}))
    assert shown["task"]["env_file"] == path
    assert "of-file" not in str(shown)


def test_a_file_that_does_not_answer_fails_the_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `validate` names it. When it answers, the next attempt is as ever."""
    has_answered, let_go = threading.Event(), threading.Event()
    monkeypatch.setattr(environment_files, "GUARD", HangGuard(has_answered.set, patience=0.2))
    read = environment_files.read_environment_file

    def hanging_read(path: str) -> dict[str, str]:
        let_go.wait()
        return read(path)

    monkeypatch.setattr(environment_files, "read_environment_file", hanging_read)
    path = env_file(tmp_path)
    failed = failure("true", env_file=path)
    assert (failed.reason, str(failed)) == ("start", f"the environment file `{path}` does not answer")
    ((place, message, _, host_dependent),) = warnings(env_file=path)
    assert (place, message, host_dependent) == (("env_file",), str(failed), True)
    let_go.set()
    assert has_answered.wait(20)
    assert text("echo $PASSWORD", env_file=path) == "of-file\n"


def test_status_names_a_file_that_does_not_answer() -> None:
    """The guard is that of all tasks, and `status` shows what hangs there."""
    assert environment_files.GUARD is hung_paths.GUARD


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"env_file": "a.env"}, ("env_file",), "`a.env` is not an absolute path"),
        ({"env_file": ["/a.env", "-/b.env"]}, ("env_file", 1), "`-/b.env` is not an absolute path"),
        ({"env_file": "/a\0b"}, ("env_file",), "a NUL character cannot be passed to a program"),
        ({"pass_env": ["A", "JOB_ID"]}, ("pass_env", 1), "`JOB_ID` is not passed on"),
        ({"pass_env": ["JOB_STATUS"]}, ("pass_env", 0), "`JOB_STATUS` is not passed on"),
        ({"pass_env": ["A=b"]}, ("pass_env", 0), "`A=b` cannot be the name of an environment variable"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], path: tuple[str | int, ...], words: str) -> None:
    """With its place in the definition, on every host."""
    found = list(ExecuteCommand.check({"command": "true", **fields}))
    assert [(one.path, one.host_dependent) for one in found] == [(path, False)]
    assert found[0].message.startswith(words)


def test_a_job_whose_file_is_missing_is_loaded(tmp_path: Path) -> None:
    """It may be there when the run starts; the attempt says so if it is not."""
    assert list(ExecuteCommand.check({"command": "true", "env_file": str(tmp_path / "no.env")})) == []
