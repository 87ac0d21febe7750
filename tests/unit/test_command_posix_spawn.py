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


def aside(work: Callable[[], T]) -> T:
    """Do something on another thread."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def start(*command: str, output: int, directory: str = "/", umask: int = 0o022, **environment: str) -> int | None:
    variables = {name.encode(): value.encode() for name, value in environment.items()}
    return spawn([word.encode() for word in command], variables, directory, umask, output, output)


def out(script: str, umask: int = 0o022, **environment: str) -> str:
    """What a shell says that the calling thread starts so."""
    return heard(lambda output: start("/bin/sh", "-c", script, output=output, umask=umask, **environment))


def said(*command: str, **more: Any) -> str:
    """What a program says that another thread starts so."""
    return heard(lambda output: aside(lambda: start(*command, output=output, **more)))


def heard(make: Callable[[int], int | None]) -> str:
    ours, theirs = os.pipe()
    pid = make(theirs)
    os.close(theirs)
    assert pid is not None, "it was not started"
    with open(ours) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text.strip()


def test_it_gets_its_arguments_its_environment_and_its_directory(tmp_path: Path) -> None:
    """And nothing of ours."""
    script = 'echo "$0 $1 $A"; pwd; env'
    lines = said("/bin/sh", "-c", script, "zero", "o n e", directory=str(tmp_path), A="1=2").splitlines()
    assert lines[:2] == ["zero o n e 1=2", str(tmp_path)]
    assert {line.partition("=")[0] for line in lines[2:]} <= {"A", "PWD", "OLDPWD", "SHLVL", "_"}


def test_it_has_its_umask_and_nobody_else_gets_that() -> None:
    """Neither other threads nor those that the starting thread has made, nor the starting thread itself."""
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
        said_by = [out("umask", 0o027)]
        others = [threading.Thread(target=watch, args=(over,)) for _ in range(2)]
        for other in others:
            other.start()
        made.wait(10)
        said_by += [out("umask", 0o002) for _ in range(20)]
        over.set()
        for other in others:
            other.join()
        return [*said_by, mask()]

    try:
        assert aside(work) == ["0027", *["0002"] * 20, "0077"]
        assert set(seen) == {"0077"}
        assert mask() == "0077"
    finally:
        os.umask(before)


def test_it_leads_a_session_of_its_own() -> None:
    """A signal to our terminal does not reach it."""
    pid, session = said("/bin/sh", "-c", "echo $$; ps -o sid= -p $$").split()
    assert pid == session


def test_it_has_three_descriptors(tmp_path: Path) -> None:
    """Also none that another library forgot to protect."""
    forgotten = os.open(tmp_path / "forgotten", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(forgotten, True)
    try:
        assert said("/bin/sh", "-c", "ls /proc/$$/fd").split() == ["0", "1", "2"]
    finally:
        os.close(forgotten)


def test_its_signals_are_as_after_a_login() -> None:
    """Python ignores SIGPIPE, and a thread may block what it likes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        lines = said("/bin/cat", "/proc/self/status").splitlines()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    masks = {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Sig") and "/" not in line}
    assert masks["SigBlk:"] == 0
    assert not masks["SigIgn:"] & (1 << (signal.SIGPIPE - 1))


def test_a_name_is_looked_for_in_its_own_search_path(tmp_path: Path) -> None:
    """As the shell does it."""
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\necho mine\n")
    mine.chmod(0o755)
    assert said("mine", PATH=f"/no/such/directory:{tmp_path}") == "mine"


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
def test_what_it_cannot_do_is_left_to_others(command: list[str], more: dict[str, str]) -> None:
    """Nothing was started; who comes after it says what is wrong."""
    assert aside(lambda: start(*command, output=2, **more)) is None  # type: ignore[arg-type]


def test_the_main_thread_starts_nothing() -> None:
    """It belongs to who uses the package: a directory that it enters is to be entered for all of its threads."""
    assert start("/bin/true", output=2) is None


@pytest.mark.parametrize("missing", ["own_umask", "library"])
def test_a_host_without_the_means_starts_nothing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Containers may forbid a umask of one's own, and older libraries cannot enter a directory for the program."""
    if missing == "library":
        monkeypatch.setattr(spawning, "_library", lambda: None)
    else:
        monkeypatch.setattr(spawning._Library, "own_umask", lambda self: False)
    assert aside(lambda: start("/bin/true", output=2)) is None


def test_a_start_that_hangs_holds_up_only_its_own_thread(tmp_path: Path) -> None:
    """The program may be on a disk that does not answer; `subprocess` of older Pythons stops all threads then."""
    pids: list[int | None] = []
    with hanging_program(tmp_path) as (program, let_go):
        thread = threading.Thread(target=lambda: pids.append(aside(lambda: start(program, output=2))))
        thread.start()
        time.sleep(0.05)  # it hangs by now, or will; this thread goes on in either case
        assert pids == []
        let_go()
        thread.join()
    (pid,) = pids
    assert pid is not None
    assert os.waitpid(pid, 0)[1] == 0
