"""Measure the floors: the least possible programs for the same work, as processes of their own."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen, check_output

from benchmarks.processes import environment, running
from benchmarks.service import ROOT

PROGRAMS = Path(__file__).resolve().parent / "programs"
_CLOSED, _MOVED = 0x8, 0x80


@contextmanager
def plain(base: Path) -> Iterator[tuple[Popen[bytes], float]]:
    """Run the plain scheduler on `base/jobs.d`; give its process and the seconds until it had scheduled all."""
    began = time.perf_counter()
    command: list[str | Path] = [
        sys.executable,
        PROGRAMS / "plain.py",
        ROOT / "schemas" / "job.schema.json",
        base / "jobs.d",
    ]
    with running(command, stdout=PIPE) as process:
        _ready(process)
        yield process, time.perf_counter() - began


def spawn(due: float, commands: Iterable[list[str]], base: Path) -> float:
    """Have a bare loop start these commands from `due` on, four at a time; return its own seconds for each."""
    (base / "commands").write_text("".join(json.dumps(command) + "\n" for command in commands), "utf-8")
    command = [sys.executable, str(PROGRAMS / "spawner.py"), str(due), str(base / "commands")]
    return float(check_output(command, env=environment()))


@contextmanager
def importing(modules: Iterable[str]) -> Iterator[Popen[bytes]]:
    """Run an interpreter that has imported these modules."""
    where = environment(PYTHONPATH=str(ROOT))
    with running([sys.executable, PROGRAMS / "importer.py"], stdin=PIPE, stdout=PIPE, env=where) as process:
        assert process.stdin is not None
        process.stdin.write("\n".join(modules).encode())
        process.stdin.close()
        _ready(process)
        yield process


def _ready(process: Popen[bytes]) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != b"READY\n":
        raise RuntimeError(f"a floor did not start: {process.args!r}")


@contextmanager
def looking(directory: Path) -> Iterator[int]:
    """Run a program that looks at a directory as often as an idle service does; give its pid."""
    with running([sys.executable, PROGRAMS / "looker.py", directory], stdout=PIPE) as process:
        _ready(process)
        yield process.pid


@contextmanager
def watching(directory: Path) -> Iterator[int]:
    """Watch a directory with nothing but inotify; give the descriptor to read events from."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(directory), _CLOSED | _MOVED) < 0:
        raise OSError(ctypes.get_errno(), "no inotify")
    try:
        yield descriptor
    finally:
        os.close(descriptor)
