"""Run the real service as a process, started as a unit would start it, and read its log as it grows."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import IO

from benchmarks.processes import environment, running

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600.0
"""How long anything is waited for, in seconds."""

_TIMES = re.compile(r" job_id=(\S+) .*?scheduled=(\S+) started=(\S+) ")


@dataclass(frozen=True, slots=True)
class Ran:
    """One run as the log has it: when it was due and when it started, in seconds since the epoch."""

    job_id: str
    scheduled: float
    started: float

    @property
    def late(self) -> float:
        """By how many seconds it started later than it was due."""
        return round(self.started - self.scheduled, 6)  # seconds since the epoch are not more exact


class Log:
    """The log of the service. Each reading begins where the last one ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._rest = b""

    def skip(self) -> None:
        """Pass over everything that is there."""
        self._at, self._rest = self.path.stat().st_size, b""

    def lines(self) -> list[str]:
        """Return the complete lines that came since the last reading."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        self._at += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [line.decode() for line in lines]

    def wait(self, word: str, count: int = 1, pause: float = 0.001) -> list[str]:
        """Wait for so many lines with this status or event and return them. Raises TimeoutError."""
        found: list[str] = []
        deadline = time.monotonic() + PATIENCE
        while True:
            found += [line for line in self.lines() if word in line.split(" ", 3)[1:3]]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} lines {word} came")
            time.sleep(pause)


def moment(line: str) -> float:
    """Return when a line was written at the latest, in seconds since the epoch: its millisecond is cut off."""
    return _instant(line.partition(" ")[0]) + 0.001


def ran(line: str) -> Ran:
    """Read the record of a run. Raises ValueError for any other line."""
    found = _TIMES.search(line)
    if found is None:
        raise ValueError(f"not the record of a run: {line}")
    return Ran(found[1], _instant(found[2]), _instant(found[3]))


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is ready: its process, its log, and how many seconds it took."""

    process: Popen[bytes]
    log: Log
    ready: float

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid


def command_of(base: Path, *options: str, python: tuple[str, ...] = ()) -> list[str]:
    """Return the command that starts the service on `base/jobs.d`."""
    paths = {"--jobs-dir": "jobs.d", "--log-file": "scheduler.log", "--socket": "control.sock"}
    places = [part for flag, name in paths.items() for part in (flag, str(base / name))]
    places += ["--log-max-bytes", "900000000"]  # one file, so that it can be read from where the last reading ended
    return [sys.executable, *python, str(ROOT / "main.py"), "serve", *places, *options]


@contextmanager
def service(
    base: Path, *options: str, python: tuple[str, ...] = (), stderr: IO[bytes] | int = DEVNULL
) -> Iterator[Service]:
    """Run the service on `base/jobs.d` as long as the block takes; the block begins when it says `READY=1`.

    `options` are the service's, `python` the interpreter's.
    """
    (base / "scheduler.log").unlink(missing_ok=True)
    with _notify_socket(base / "notify") as told:
        began = time.perf_counter()
        environ = environment(NOTIFY_SOCKET=str(base / "notify"))
        with running(command_of(base, *options, python=python), env=environ, stderr=stderr) as process:
            _await_ready(told, process)
            yield Service(process, Log(base / "scheduler.log"), time.perf_counter() - began)


def _await_ready(told: socket.socket, process: Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            if b"READY=1" in told.recv(65536):
                return
        if process.poll() is not None:
            words = " ".join(map(str, process.args))  # type: ignore[arg-type] # `command_of` made it
            raise ChildProcessError(f"the service ended with status {process.returncode}; to see why: {words}")
    raise TimeoutError("the service did not become ready")


@contextmanager
def _notify_socket(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(0.5)
        made.bind(str(path))
        yield made
    path.unlink()
