"""`execute_command`: when a command cannot be started."""

import errno
import os
import resource
import subprocess
import threading
from contextlib import suppress

import pytest

from jobscheduler.tasks.command import task
from tests.support.tasks import (
    as_root,
    children,
    context,
    descriptors,
    eventually,
    execute,
    failure,
    no_strangers,
    open_to_all,
)

__all__ = ["no_strangers"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"command": ["no-such-command-at-all"]}, "no such command: `no-such-command-at-all`"),
        ({"command": ["/etc/passwd"]}, "no permission to execute `/etc/passwd`"),
        ({"command": ["/etc"]}, "no permission to execute `/etc`"),
        ({"command": ["true"], "cwd": "/no/such/directory"}, "no such directory: `/no/such/directory`"),
        ({"command": ["true"], "cwd": "/etc/passwd"}, "cannot enter the directory `/etc/passwd`: not a directory"),
        ({"command": ["echo", "x" * 200_000]}, "too long"),
        ({"command": ["true"], "env": {"A": "x" * 200_000}}, "too long"),
        ({"command": ["echo", "\0"]}, "null byte"),
        ({"command": "true", "shell": "/no/such/shell"}, "no such command: `/no/such/shell`"),
        ({"command": ["true"], "user": "no-such-user"}, "this host knows no user `no-such-user`"),
        ({"command": ["true"], "group": "no-such-group"}, "this host knows no group `no-such-group`"),
    ],
)
def test_each_failed_start_is_explained(fields, words):
    """Each has the reason `start` and says what is wrong."""
    failed = failure(**fields)
    assert failed.reason == "start"
    assert words in str(failed)


def test_a_missing_interpreter_is_named(tmp_path):
    """The kernel only says that there is no such file."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert "the interpreter named in the first line" in str(failure([str(script)]))


def test_a_file_that_is_not_a_program_is_explained(tmp_path, monkeypatch):
    """No shell runs a script without its first line, unless a helper has to start it."""
    monkeypatch.setattr("jobscheduler.tasks.command.accounts.ignored_signals", lambda: ())
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert "is not a program" in str(failure([str(script)]))


class Scarce:
    """Popen on a host that lacks something for the first few starts."""

    def __init__(self, number: int, times: int) -> None:
        self.number = number
        self.left = times
        self.asked = threading.Event()

    def __call__(self, *arguments, **options):
        """Start a process, or lack what it takes."""
        self.asked.set()
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return subprocess.Popen(*arguments, **options)


@pytest.fixture
def scarce(monkeypatch):
    def make(number: int, times: int) -> Scarce:
        popen = Scarce(number, times)
        module = type("subprocess", (), {"Popen": popen, "DEVNULL": subprocess.DEVNULL})
        monkeypatch.setattr("jobscheduler.tasks.command.child.subprocess", module)
        return popen

    return make


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETXTBSY])
def test_a_temporary_failure_is_retried(scarce, number):
    """A moment later there is a process or a descriptor again."""
    scarce(number, 2)
    assert execute("true").details == (("exit_code", 0),)


def test_a_command_without_a_pidfd_is_waited_for(monkeypatch):
    """It runs already, so it is neither forgotten nor started again."""

    def scarce(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("jobscheduler.tasks.command.child.os.pidfd_open", scarce)
    monkeypatch.setattr("jobscheduler.tasks.command.waiter.os.eventfd", scarce)
    assert execute("echo hello").output == b"hello\n"


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.EAGAIN, "no process left"),
        (errno.EMFILE, "no file descriptor left"),
        (errno.ENFILE, "no file descriptor left"),
        (errno.ENOMEM, "memory"),
    ],
)
def test_a_failure_that_stays_is_reported(scarce, monkeypatch, number, word):
    """After a few seconds of retries."""
    monkeypatch.setattr(task, "START_RETRY_S", 0.1)
    scarce(number, 1000)
    failed = failure("true")
    assert failed.reason == "start"
    assert word in str(failed)


def test_a_stop_ends_the_retries(scarce):
    """A run that has to end makes no further try."""
    popen = scarce(errno.EAGAIN, 1000)
    run_context = context()

    def stop():
        popen.asked.wait()
        run_context.stop("shutdown")

    thread = threading.Thread(target=stop)
    thread.start()
    assert "stopped before it could be started" in str(failure("true", run_context))
    thread.join()


def test_a_service_without_descriptors_says_so_and_recovers(monkeypatch):
    """With the real limit: nothing leaks, and the next start works."""
    monkeypatch.setattr(task, "START_RETRY_S", 0.1)
    execute("true")
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        failed = failure("true")
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "no file descriptor left" in str(failed)
    assert execute("true").details == (("exit_code", 0),)
    assert descriptors() == before


def test_a_failed_start_leaves_nothing():
    """No descriptor and no zombie."""
    execute("true")
    before = descriptors()
    for _ in range(20):
        failure(["no-such-command-at-all"])
    assert descriptors() == before
    eventually(lambda: not children())


@as_root
def test_a_missing_helper_is_reported(monkeypatch):
    """A host without setpriv never runs the command as root instead."""
    monkeypatch.setattr("jobscheduler.tasks.command.accounts.find_helper", lambda name: None)
    failed = failure("true", user="nobody")
    assert (failed.reason, str(failed)) == ("start", "no such command: `setpriv`")


def test_a_failed_start_is_not_a_success_even_if_its_status_is_one():
    """Helpers end with 125 to 127, which a job may list as exit codes of success."""
    assert failure(["/no/such/program"], nice=1, success_exit_codes=[0, 125, 126, 127]).reason == "start"
    assert execute("exit 127", nice=1, success_exit_codes=[127]).details == (("exit_code", 127),)


@pytest.mark.parametrize("fields", [{}, {"nice": 1}])
def test_a_command_that_prints_like_a_helper_is_not_taken_for_one(fields):
    """It was started, and ended with 127 by itself."""
    assert failure("echo 'env: no such thing'; exit 127", **fields).reason == "exit"


def test_a_program_that_is_still_being_written_is_waited_for(tmp_path):
    """The service itself finds it busy, so the command cannot have begun."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    run_context = context()
    with program.open("a") as still:
        timer = threading.Timer(0.3, still.close)
        timer.start()
        assert execute([str(program)], run_context).output == b"hello\n"
        timer.join()


@pytest.mark.parametrize("fields", [{}, {"nice": 1}, pytest.param({"user": "nobody"}, marks=as_root)])
def test_a_busy_program_has_the_same_message_with_and_without_helpers(tmp_path, monkeypatch, fields):
    """With helpers it is not retried, because the command could imitate the message."""
    open_to_all(tmp_path)
    monkeypatch.setattr(task, "START_RETRY_S", 0.1)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with program.open("a"):
        failed = failure([str(program)], **fields)
    assert (failed.reason, str(failed)) == ("start", "the program file is still being written")


@pytest.mark.parametrize("fields", [{}, {"nice": 1}, pytest.param({"user": "nobody"}, marks=as_root)])
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("./script", "the interpreter named in the first line of `./script` does not exist"),
        ("./a=b", "the interpreter named in the first line of `./a=b` does not exist"),
        ("./closed", "no permission to execute `./closed`"),
        ("./it's not", "no such command: `./it's not`"),
        ("nowhere", "no such command: `nowhere`"),
    ],
)
def test_messages_are_the_same_with_and_without_helpers(tmp_path, fields, program, words):
    """A relative name counts from the directory of the command, not from the service's.

    After a run its files are not looked at, so of a script one more thing may be missing.
    """
    if fields and "no such command" in words and "/" in program:
        words += " (or the interpreter named in its first line does not exist)"
    if fields and words.startswith("the interpreter"):
        words = f"no such command: `{program}` (or the interpreter named in its first line does not exist)"
    open_to_all(tmp_path)
    for name, mode in (("script", 0o755), ("a=b", 0o755), ("closed", 0o644)):
        (tmp_path / name).write_text("#!/no/such/interpreter\n")
        (tmp_path / name).chmod(mode)
    failed = failure([program], cwd=str(tmp_path), **fields)
    assert (failed.reason, str(failed)) == ("start", words)
