"""Starting a program without the interpreter's lock: what it gets, and what is left to `subprocess`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobscheduler.tasks.command import posix_spawn as spawning
from jobscheduler.tasks.command.posix_spawn import spawn
from tests.support.tasks import hanging_program, no_strangers

__all__ = ["no_strangers"]

T = TypeVar("T")


def in_other_thread(work: Callable[[], T]) -> T:
    """Call a function on another thread."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def start(*command: str, output: int, directory: str = "/", umask: int = 0o022, **environment: str) -> int | None:
    variables = {name.encode(): value.encode() for name, value in environment.items()}
    return spawn([word.encode() for word in command], variables, directory, umask, output, output)


def shell_output(script: str, umask: int = 0o022, **environment: str) -> str:
    """Return the output of a shell that the calling thread starts."""
    return heard(lambda output: start("/bin/sh", "-c", script, output=output, umask=umask, **environment))


def program_output(*command: str, **more: Any) -> str:
    """Return the output of a program that another thread starts."""
    return heard(lambda output: in_other_thread(lambda: start(*command, output=output, **more)))


def heard(make: Callable[[int], int | None]) -> str:
    ours, theirs = os.pipe()
    pid = make(theirs)
    os.close(theirs)
    assert pid is not None, "it was not started"
    with open(ours) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text.strip()


def test_a_program_gets_its_arguments_its_environment_and_its_directory(tmp_path: Path) -> None:
    """And none of the service's."""
    script = 'echo "$0 $1 $A"; pwd; env'
    lines = program_output("/bin/sh", "-c", script, "zero", "o n e", directory=str(tmp_path), A="1=2").splitlines()
    assert lines[:2] == ["zero o n e 1=2", str(tmp_path)]
    assert {line.partition("=")[0] for line in lines[2:]} <= {"A", "PWD", "OLDPWD", "SHLVL", "_"}


def test_a_program_has_its_umask_and_no_thread_gets_that() -> None:
    """Neither the starting thread, nor the threads that it has made, nor others."""
    before = os.umask(0o077)
    seen: list[str] = []
    made = threading.Event()

    def mask() -> str:
        status = Path("/proc/thread-self/status").read_text()
        return next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:"))

    def watch(over: threading.Event) -> None:
        while not over.is_set():
            seen.append(mask())
            made.set()

    def work() -> list[str]:
        over = threading.Event()
        said_by = [shell_output("umask", 0o027)]
        others = [threading.Thread(target=watch, args=(over,)) for _ in range(2)]
        for other in others:
            other.start()
        made.wait(10)
        said_by += [shell_output("umask", 0o002) for _ in range(20)]
        over.set()
        for other in others:
            other.join()
        return [*said_by, mask()]

    try:
        assert in_other_thread(work) == ["0027", *["0002"] * 20, "0077"]
        assert set(seen) == {"0077"}
        assert mask() == "0077"
    finally:
        os.umask(before)


def test_a_program_leads_a_session_of_its_own() -> None:
    """A signal to the service's terminal does not reach it."""
    pid, session = program_output("/bin/sh", "-c", "echo $$; ps -o sid= -p $$").split()
    assert pid == session


def test_a_program_has_three_descriptors(tmp_path: Path) -> None:
    """Not even one that another library forgot to protect."""
    forgotten = os.open(tmp_path / "forgotten", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(forgotten, True)
    try:
        assert program_output("/bin/sh", "-c", "ls /proc/$$/fd").split() == ["0", "1", "2"]
    finally:
        os.close(forgotten)


def test_a_program_has_the_signals_of_a_login() -> None:
    """Python ignores SIGPIPE, and a thread may block any signal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        lines = program_output("/bin/cat", "/proc/self/status").splitlines()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    masks = {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Sig") and "/" not in line}
    assert masks["SigBlk:"] == 0
    assert not masks["SigIgn:"] & (1 << (signal.SIGPIPE - 1))


def test_a_name_is_searched_in_the_path_of_the_program(tmp_path: Path) -> None:
    """As a shell does it."""
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\necho mine\n")
    mine.chmod(0o755)
    assert program_output("mine", PATH=f"/no/such/directory:{tmp_path}") == "mine"


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["/no/such/program"], {}),
        (["no-such-program"], {"PATH": "/usr/bin"}),
        (["true"], {"PATH": "bin:/usr/bin"}),  # a relative place counts from the directory of the command
        (["true"], {}),
        ([""], {"PATH": "/usr/bin"}),
        (["/etc/passwd"], {}),
        (["/bin/true", "a\0b"], {}),
        (["/bin/true"], {"A": "\0"}),
        (["/bin/true"], {"A=B": "C"}),
        (["/bin/true"], {"directory": "/no/such/directory"}),
    ],
)
def test_a_start_that_needs_more_is_left_to_subprocess(command: list[str], more: dict[str, str]) -> None:
    """No process was started. `subprocess` then reports the fault."""
    assert in_other_thread(lambda: start(*command, output=2, **more)) is None  # type: ignore[arg-type]


def test_the_main_thread_starts_no_program() -> None:
    """It belongs to the program that uses the package, and a directory that it enters counts for all of its threads."""
    assert start("/bin/true", output=2) is None


@pytest.mark.parametrize("missing", ["own_umask", "library"])
def test_a_host_without_the_system_calls_starts_no_program(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Containers may forbid a separate umask, and older C libraries cannot enter a directory for the program."""
    if missing == "library":
        monkeypatch.setattr(spawning, "_library", lambda: None)
    else:
        monkeypatch.setattr(spawning._Library, "own_umask", lambda self: False)
    assert in_other_thread(lambda: start("/bin/true", output=2)) is None


def test_a_start_that_hangs_delays_only_its_own_thread(tmp_path: Path) -> None:
    """The program may be on a hung disk. With older Pythons `subprocess` would stop all threads."""
    pids: list[int | None] = []
    with hanging_program(tmp_path) as (program, release):
        thread = threading.Thread(target=lambda: pids.append(in_other_thread(lambda: start(program, output=2))))
        thread.start()
        time.sleep(0.05)  # it hangs by now, or will; this thread goes on in either case
        assert pids == []
        release()
        thread.join()
    (pid,) = pids
    assert pid is not None
    assert os.waitpid(pid, 0)[1] == 0
