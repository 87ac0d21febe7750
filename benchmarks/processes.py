"""Read the figures of a process from the kernel: processor time, memory, threads, descriptors."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

_UNUSUAL = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"})
"""Settings of a developer's shell that no service has: without compiled modules each first use takes longer."""

_OWN = "JOBSCHEDULER_"
"""What the service's settings begin with: those of the caller's own service, with its real jobs, are not for us."""

TICKS = os.sysconf("SC_CLK_TCK")


def processor_time(pid: int) -> float:
    """Return the processor time that a process itself has used, in seconds; its children's is not in it."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> int:
    """Return the memory of a process in bytes; shared memory is split evenly (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii", "replace").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("the kernel does not tell the memory of processes")


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int) -> int:
    """Return how many files, sockets and the like a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def heed_signals() -> None:
    """Start measured programs with the usual signals, and end them when the harness gets a signal to end.

    A shell has its background jobs ignore some, and a service that ignores signals starts each command by way of a
    program that restores them: a benchmark in the background would measure something else than one in front.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda number, _: sys.exit(128 + number))


@contextmanager
def running(command: Iterable[str | Path], **options: object) -> Iterator[Popen[bytes]]:
    """Run a program while the block runs; discard its output unless `options` redirect it."""
    settings = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL, "env": environment(), **options}
    process = Popen([str(part) for part in command], **settings)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except BaseException:
            process.kill()
            process.wait()
            raise


def environment(**more: str) -> dict[str, str]:
    """Return the environment of every measured program.

    It is the harness's, with UTC, without what slows Python down, and without settings of another service.
    """
    usual = {name: value for name, value in os.environ.items() if name not in _UNUSUAL and not name.startswith(_OWN)}
    return {**usual, "TZ": "UTC", **more}


def settle(pid: int, within: float = 300.0, quiet: float = 0.02) -> float:
    """Wait until a process has used next to no processor time for a second; return the seconds until that began."""
    began = since = time.monotonic()
    used = processor_time(pid)
    while (now := time.monotonic()) < began + within:
        time.sleep(0.05)
        if (more := processor_time(pid)) - used > quiet:
            used, since = more, time.monotonic()
        elif now - since > 1.0:
            return since - began
    raise TimeoutError("a program did not come to rest")
