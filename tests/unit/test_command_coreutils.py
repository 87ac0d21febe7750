"""Commands behind the helpers of GNU and of uutils: the same outcome, and the same words about a failed start.

uutils 0.0.30 (Debian 13) differs most: its `env` starts the command as a child, has no `--default-signal`, and says
`unknown error` of what it does not know. `tests/support/uutils_env` behaves like it on hosts that lack it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.tasks import TaskFailed
from jobscheduler.tasks.command import accounts, posix_spawn
from jobscheduler.tasks.command.leftover_killer import find_tree
from tests.support.service import ROOT
from tests.support.tasks import as_root, context, execute, failure, no_strangers, open_to_all, text

__all__ = ["no_strangers"]

INSTALLED = Path("/usr/lib/cargo/bin/coreutils")  # where Debian's package `rust-coreutils` has them


def understands_split() -> bool:
    """Return whether an installed `env` of uutils has `-S`, without which no job can have a user (0.0.17)."""
    env = INSTALLED / "env"
    return env.exists() and subprocess.run([env, "-S-i", "true"], check=False, capture_output=True).returncode == 0


COREUTILS = ["host", "fake", *(["installed"] if understands_split() else [])]
FIELDS = [{"nice": 5}, pytest.param({"user": "nobody"}, marks=as_root), {}]
HELPED = FIELDS[:2]


@pytest.fixture(params=COREUTILS)
def coreutils(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Find the helpers of one kind first."""
    directory = tmp_path / "helpers"
    directory.mkdir()
    open_to_all(directory)
    if request.param == "fake":
        shutil.copy(ROOT / "tests/support/uutils_env", directory / "env")
    elif request.param == "installed":
        for name in ("env", "nice"):
            (directory / name).symlink_to(INSTALLED / name)
    monkeypatch.setattr(accounts, "PATH", f"{directory}:{accounts.PATH}")
    forget()
    yield request.param
    monkeypatch.undo()
    forget()


def forget() -> None:
    """Have asked anew what depends on the search path, also by tests that come later in this process."""
    asked = (accounts.find_helper, accounts.env_restores_signals, accounts.ignored_signals)
    for cached in (*asked, accounts._full_environment, posix_spawn._library):
        cached.cache_clear()


def test_a_command_is_searched_behind_the_helpers_of_its_own_test(coreutils: str, tmp_path: Path) -> None:
    """The search path of an earlier test, whose helpers other users may not execute, is not kept."""
    assert text("echo $PATH").startswith(f"{tmp_path}/helpers:")


def script(directory: Path, content: str, mode: int = 0o755) -> str:
    file = directory / "program"
    file.write_text(content)
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("fields", HELPED)
def test_a_command_has_its_variables_and_its_exit_status(coreutils: str, tmp_path: Path, fields: dict[str, object]):
    """Whatever is in the values, and in names that a shell would not take."""
    values = {"A": "x y", "B": "'\"$HOME `id` \\ ${C}", "C": "a=b\nc", "D-E.F": "1", "G'H": "2"}
    shown = text(["/usr/bin/env", "-0"], env=values, **fields)
    variables = dict(item.partition("=")[::2] for item in shown.split("\0"))
    assert values.items() <= variables.items()
    assert not any(name.startswith("JOB_VARIABLE") for name in variables)
    failed = failure("echo out; exit 3", **fields)
    assert (failed.reason, failed.outcome.details) == ("exit", (("exit_code", 3),))


@pytest.mark.parametrize("fields", HELPED)
def test_a_program_whose_name_is_an_assignment_is_run(coreutils: str, tmp_path: Path, fields: dict[str, object]):
    program = tmp_path / "A=b"
    program.symlink_to("/bin/echo")
    assert text([str(program), "done"], **fields) == "done\n"


@pytest.mark.parametrize("fields", HELPED)
@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "no such command: `{program}`"),
        ("#!/bin/sh\n", 0o644, "no permission to execute `{program}`"),
        ("#!/no/such/interpreter\n", 0o755, "no such command: `{program}`"),
    ],
)
def test_a_failed_start_is_told_as_one(coreutils, tmp_path, fields, content, mode, words):
    program = str(tmp_path / "program") if content is None else script(tmp_path, content, mode)
    failed = failure([program], **fields)
    assert failed.reason == "start"
    assert words.format(program=program) in str(failed)


@pytest.mark.parametrize("fields", HELPED)
def test_a_program_that_is_being_written_is_a_failed_start(coreutils: str, tmp_path: Path, fields: dict[str, object]):
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    with program.open("ab"):
        failed = failure([str(program)], **fields)
    assert (failed.reason, str(failed)) == ("start", "the program file is still being written")


@pytest.mark.parametrize("fields", HELPED)
def test_a_file_that_is_no_program_is_run_by_a_shell_or_is_a_failed_start(coreutils, tmp_path, fields):
    """GNU, and uutils since 0.1, give it to a shell."""
    program, env = script(tmp_path, "echo hello\n"), accounts.find_helper("env")
    if subprocess.run([env, program], check=False, capture_output=True).returncode == 0:
        assert text([program], **fields) == "hello\n"
        return
    failed = failure([program], **fields)
    assert failed.reason == "start"
    assert "is not a program" in str(failed)


@as_root
def test_a_missing_directory_is_a_failed_start(coreutils: str):
    failed = failure(["true"], user="nobody", cwd="/no/such/directory")
    assert failed.reason == "start"
    assert str(failed).startswith("cannot change directory to '/no/such/directory': No such file or directory")


@pytest.mark.parametrize("fields", HELPED)
@pytest.mark.parametrize("status", [125, 126, 127])
@pytest.mark.parametrize(
    "words", ["sh: 1: lib/x: not found", "{program}: No such file or directory", "/: Is a directory"]
)
def test_a_command_that_has_begun_is_told_by_its_exit_status(coreutils, tmp_path, fields, status, words):
    """Also where `env` waits for it, and so is the process that the kernel shows."""
    program = script(tmp_path, f'#!/bin/sh\necho "{words.format(program="$0")}"\nexit {status}\n')
    failed = failure([program], cwd="/", **fields)
    assert (failed.reason, failed.outcome.details) == ("exit", (("exit_code", status),))


@pytest.mark.parametrize("fields", FIELDS)
def test_a_service_that_ignores_a_signal_runs_commands_that_do_not(coreutils: str, fields: dict[str, object]):
    """As after `nohup`; in a process of its own, because the signal is ignored from the beginning."""
    program = (
        "import os, threading\n"
        "from jobscheduler.tasks.command import accounts\n"
        f"accounts.PATH = {accounts.PATH!r}\n"
        "from tests.support.tasks import text\n"
        f"run = lambda: print(text(['grep', 'SigIgn', '/proc/self/status'], **{fields!r}))\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join()\n"
    )
    command = 'trap \'\' HUP USR1; exec "$0" -c "$1"'
    shown = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, program], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    ignored = int(shown.split()[1], 16)
    assert ignored & (1 << signal.SIGHUP - 1 | 1 << signal.SIGUSR1 - 1) == 0


@pytest.mark.parametrize("fields", HELPED)
def test_a_command_behind_helpers_is_stopped_with_all_its_processes(coreutils: str, fields: dict[str, object]):
    told = context()
    threading.Timer(0.5, told.stop, ["timeout"]).start()
    with pytest.raises(TaskFailed):
        execute("sleep 60 & sleep 60", told, **fields)
    assert find_tree([told.run_id]) == ()
