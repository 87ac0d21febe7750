"""What the tests of tasks and runner share: contexts, jobs, and ways to wait for processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import AttemptOutput, Cron, Event, Job, LogEntry, Record, TaskSpec
from jobscheduler.runner import RetryAfter, Runner
from jobscheduler.tasks import Context, Outcome, TaskFailed
from jobscheduler.tasks.command import reaper_thread
from jobscheduler.tasks.command.processes import read_process
from jobscheduler.tasks.command.run_markers import NO_MARKERS, matches, read_markers
from jobscheduler.tasks.command.task import ExecuteCommand
from jobscheduler.util.instants import utc_now
from tests.support.deadline import Deadline

SLOT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start commands as another user")


def context(run_id: str = "", **more: Any) -> Context:
    return Context("report-001", run_id or os.urandom(6).hex(), SLOT, **more)


def execute(command: str | list[str], run_context: Context | None = None, **fields: Any) -> Outcome:
    """Run a command to its end; raises `TaskFailed`."""
    return ExecuteCommand({"command": command, **fields}).run(run_context or context())


def failure(command: str | list[str], run_context: Context | None = None, **fields: Any) -> TaskFailed:
    """Run a command that must fail, and return how it did."""
    with pytest.raises(TaskFailed) as caught:
        execute(command, run_context, **fields)
    return caught.value


def text(command: str | list[str], **fields: Any) -> str:
    return execute(command, **fields).output.decode()


def job(task: str = "execute_command", own: dict[str, Any] | None = None, **more: Any) -> Job:
    return Job("report-001", Cron("0 1 * * *", "UTC"), TaskSpec.from_params(task, own or {"command": "true"}), **more)


def run_once(
    job: Job,
    scheduled: datetime | None,
    record: Callable[[Record], object],
    emit: Callable[[Event], object],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> Record:
    """Run a job on the calling thread, with the pauses between its attempts."""
    runner = Runner(record, emit, clock=clock)
    try:
        run = runner.new_run(job, scheduled)
        while isinstance(end := run.attempt(), RetryAfter):
            time.sleep(end.delay)
        assert end is not None  # no other thread knows the run or can cancel it
        return end
    finally:
        runner.close()


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that no event tells; how long it takes is not judged, only that it comes."""
    deadline = Deadline(seconds)
    while not true():
        assert not deadline.is_over(), "it did not come"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and not process.is_zombie


def has_marker(pid: int, run_ids: Iterable[str]) -> bool:
    """Whether a process has the markers of one of these runs."""
    return matches(read_markers(pid) or NO_MARKERS, {run_id.encode() for run_id in run_ids})


def is_gone(pid: int) -> bool:
    """Neither alive nor a zombie."""
    return read_process(pid) is None


def open_to_all(directory: Path) -> None:
    """Let other users into a directory of the test: pytest's own are closed to them."""
    top = Path(tempfile.gettempdir())
    for one in (directory, *(parent for parent in directory.parents if top in parent.parents)):
        one.chmod(0o755)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def children() -> set[int]:
    """All children of this process, zombies too."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found |= set(map(int, (task / "children").read_text().split()))
    return found


@pytest.fixture(autouse=True)
def no_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """End what tests of other files have left to this process, which inherits orphans since it has run commands.

    The fork server is started again when it is needed. The thread that a test leaves notices sooner than in a service,
    after a second, that it has nothing to do.
    """
    monkeypatch.setattr(reaper_thread, "SCAN_INTERVAL_S", 0.1)
    eventually(lambda: not end_children() and nothing_to_look_after())


def end_children() -> set[int]:
    """Kill all children, also those that have come meanwhile; returns those that there were."""
    found = children()
    for pid in found:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
    return found


def nothing_to_look_after() -> bool:
    return not any(thread.name == "reaper" for thread in threading.enumerate())


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


class Pipe:
    """A named pipe between a command and a test: reading it waits for the command."""

    def __init__(self, directory: Path, name: str = "pipe") -> None:
        self.path = directory / name
        os.mkfifo(self.path)
        self.path.chmod(0o666)

    def read(self) -> str:
        """What one writer wrote; waits for it."""
        return self.path.read_text().strip()

    def pids(self) -> list[int]:
        """The numbers that one writer wrote; waits for it."""
        return [int(word) for word in self.read().split()]


class Kept:
    """Keeps what attempts have printed."""

    def __init__(self) -> None:
        self.outputs: list[AttemptOutput] = []

    def keep(self, output: AttemptOutput) -> None:
        """Keep one output."""
        self.outputs.append(output)

    def text(self, run_id: str) -> bytes:
        """Return what was kept of the last attempt of a run; empty if nothing was."""
        return next((output.kept.text for output in reversed(self.outputs) if output.run_id == run_id), b"")


class Log:
    """Takes records and events."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.recorded = threading.Event()

    def record(self, record: Record) -> None:
        """Take a record."""
        self.entries.append(record)
        self.recorded.set()

    def emit(self, event: Event) -> None:
        """Take an event."""
        self.entries.append(event)

    @property
    def records(self) -> list[Record]:
        """The records so far."""
        return [entry for entry in self.entries if isinstance(entry, Record)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The pairs of the events of this name so far."""
        return [dict(entry.fields()) for entry in self.entries if isinstance(entry, Event) and entry.name == name]


_HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
program = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def hanging_program(directory: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """A program whose start hangs, as one on a disk that does not answer; and what lets it go on (it ends with 0).

    Another process has a lease on the file, which the kernel lets nobody open until that process has agreed.
    """
    path = directory / "hanging"
    shutil.copy("/bin/true", path)
    command = [sys.executable, "-c", _HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        stdin = holder.stdin
        try:
            yield str(path), stdin.close
        finally:
            stdin.close()
