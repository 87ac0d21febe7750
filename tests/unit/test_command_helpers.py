"""The record of a command with helpers, which is never repeated to find out what happened."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from jobscheduler.tasks.command import task
from jobscheduler.tasks.command.child import ChildProcess
from jobscheduler.tasks.command.helpers import HELPERS_STATUS, failed_helper, helper_error
from jobscheduler.tasks.command.processes import Process, read_process
from tests.support.tasks import as_root, failure, open_to_all

ENDED = Process(7, 7, 1, 7, "Z", 7, "env")
FIELDS = [{"nice": 1}, pytest.param({"user": "nobody"}, marks=as_root)]
LIES = [
    "/usr/bin/env: 'x': Resource temporarily unavailable",
    "/usr/bin/env: '/bin/sh': Text file busy",
    "env: '/bin/sh': Text file busy (os error 26)",
    "setpriv: failed to execute /usr/bin/env: Resource temporarily unavailable",
]


def counted(tmp_path: Path) -> Path:
    open_to_all(tmp_path)
    tmp_path.chmod(0o777)
    return tmp_path / "count"


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("lie", LIES)
def test_a_command_that_prints_what_a_helper_prints_has_run_once(tmp_path, fields, lie):
    count = counted(tmp_path)
    failed = failure(f'echo x >> {count}; echo "{lie}"; exit 126', **fields)
    assert count.read_text() == "x\n"
    assert failed.reason == "exit"
    assert "126 was not permitted" in str(failed)


@pytest.mark.parametrize("lie", LIES)
def test_a_command_that_also_takes_the_name_of_a_helper_has_run_once(tmp_path, lie):
    """Its record may be wrong then, but it is not run again."""
    count, script = counted(tmp_path), tmp_path / "script.py"
    name = lie.partition(": ")[0].rpartition("/")[2]
    script.write_text(
        "import ctypes, sys\n"
        f"open({str(count)!r}, 'a').write('x')\n"
        f"ctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\n"
        f"print({lie!r})\n"
        "sys.stdout.flush()\n"
        "import os; os._exit(126)\n"
    )
    failure([sys.executable, str(script)], nice=1)
    assert count.read_text() == "x"


@as_root
def test_a_user_with_too_many_processes_gets_that_reason_without_a_retry(alice, monkeypatch):
    """The kernel refuses the exec after the change of user. A command could imitate all signs of that."""
    tries = []
    start = task.ChildProcess.start
    monkeypatch.setattr(task.ChildProcess, "start", lambda plan: (tries.append(1), start(plan))[1])
    busy = [alice.popen(["sleep", "1000"]) for _ in range(2)]
    before = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, before[1]))
    try:
        failed = failure(["true"], user=alice.name)
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, before)
        for process in busy:
            process.kill()
            process.wait()
    assert failed.reason == "start"
    assert "no process left" in str(failed)
    assert len(tries) == 1


PRETENDER = """\
#!/bin/sh
echo x >> {count}
if {is_busy}; then
    exec 9>> {program}
    sleep 0.2 > /dev/null 2>&1 &
fi
printf env > /proc/$$/comm
echo "/usr/bin/env: '{program}': {words}"
exit {status}
"""
"""A command that leaves what `env` leaves when it cannot start it: its name, its text, its exit status."""


def pretender(directory: Path, words: str, status: int, *, is_busy: bool = False) -> Path:
    count, program = counted(directory), directory / "program"
    values = {"count": count, "program": program, "is_busy": str(is_busy).lower()}
    program.write_text(PRETENDER.format(**values, words=words, status=status))
    program.chmod(0o777)
    return program


@pytest.mark.parametrize("fields", FIELDS)
def test_a_command_that_pretends_that_its_own_program_is_busy_runs_once(tmp_path, fields):
    """A child of it really has the file open for writing at the end of the run."""
    program = pretender(tmp_path, "Text file busy", 126, is_busy=True)
    failure([str(program)], **fields)
    assert (tmp_path / "count").read_text() == "x\n"


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize(("words", "status"), [("Text file busy", 126), ("No such file or directory", 127)])
def test_no_file_of_a_user_is_read_when_a_run_has_ended(tmp_path, monkeypatch, fields, words, status):
    """Its path may lead to a device or to a hung file system, and the ends of all runs wait here."""
    program, looked = pretender(tmp_path, words, status), []
    watched = [(os, name) for name in ("open", "stat", "lstat", "access", "readlink", "scandir", "listdir")]
    end = task.RunningCommand.collect

    def end_watched(command, *left):
        with pytest.MonkeyPatch.context() as patched:
            for module, name in [*watched, (builtins, "open"), (io, "open")]:
                call = getattr(module, name)
                spy = lambda path, *more, call=call, **kwargs: (looked.append(path), call(path, *more, **kwargs))[1]  # noqa: E731
                patched.setattr(module, name, spy)
            return end(command, *left)

    monkeypatch.setattr(task.RunningCommand, "collect", end_watched)
    failure([str(program)], **fields)
    assert (tmp_path / "count").read_text() == "x\n"
    assert looked, "the process itself is looked at"
    assert [path for path in looked if str(tmp_path) in os.fsdecode(str(path))] == []


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("/usr/bin/env: './x': No such file or directory\n", errno.ENOENT),  # GNU 9.1
        ("env: './x': No such file or directory\n", errno.ENOENT),  # GNU 9.7
        ("env: './x': No such file or directory (os error 2)\n", errno.ENOENT),  # uutils
        ("env: \u2018./x\u2019: Permission denied\n", errno.EACCES),
        ("env: './x': Text file busy\nenv: use -[v]S to pass options in shebang lines\n", errno.ETXTBSY),
        ("error: ./x (os error 8)", errno.ENOEXEC),
    ],
)
def test_messages_of_a_helper_are_understood_in_each_spelling(said, number):
    error = helper_error(ENDED, said.encode(), b"./x", "/")
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (number, b"./x")


@pytest.mark.parametrize("said", ["env: cannot change directory to '/closed': Permission denied", "?? /closed ??"])
def test_a_directory_that_cannot_be_entered_is_reported_in_the_words_of_the_helper(said):
    error = helper_error(ENDED, said.encode(), b"./x", "/closed")
    assert str(error) == said.removeprefix("env: ")


def test_a_command_that_becomes_env_has_begun():
    """Its message is about another program."""
    assert helper_error(ENDED, b"env: 'other': No such file or directory", b"/bin/sh", "/") is None


@pytest.mark.parametrize(
    ("name", "program", "is_helper"),
    [("env", b"/bin/sh", True), ("sh", b"/bin/sh", False), ("env", b"/usr/bin/env", False), ("setpriv", b"x", True)],
)
def test_the_name_of_the_process_in_the_kernel_decides(name, program, is_helper):
    ended = Process(7, 7, 1, 7, "Z", 7, name)
    assert failed_helper(ended, program) == (ended if is_helper else None)


def test_a_process_whose_end_was_missed_counts_as_begun():
    assert failed_helper(None, b"x") is None


def test_a_zombie_still_has_the_name_of_its_last_program():
    """All tests here rest on that."""
    process = subprocess.Popen(["/usr/bin/env", "/bin/sh", "-c", "exit 3"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    seen = read_process(process.pid)
    assert seen is not None
    assert (seen.name, seen.is_zombie) == ("sh", True)
    process.wait()


@pytest.mark.parametrize(("status", "is_seen"), [(0, False), (1, False), (124, False), (125, True), (127, True)])
def test_an_ended_process_is_read_only_with_an_exit_status_of_a_helper(status: int, is_seen: bool) -> None:
    """It is read before it is reaped, and that would cost each run more than it costs to look at the status."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {status}"], {})
    child = ChildProcess(pid, os.open(os.devnull, os.O_RDONLY))
    child.remember(HELPERS_STATUS)  # it may not even have ended
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    child.remember(HELPERS_STATUS)
    assert (child.last_seen is not None) == is_seen
    assert child.close() == status
