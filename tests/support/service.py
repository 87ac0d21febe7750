"""The service as a process of its own, and what tests wait for and read."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadline import Deadline
from tests.support.fork_server import MAIN, can_fork, start_program

ROOT = Path(__file__).resolve().parent.parent.parent


def wait_until(condition: Callable[[], Any], seconds: float = 15.0, why: str = "", *, step: float = 0.005) -> Any:
    """Return what `condition` gives as soon as it is true; fail if it does not become so.

    `step` is in seconds, between two questions: more where each one starts a process. The pauses grow to 20 ms, which
    leaves the processor to what is waited for. A busy host has more time.
    """
    deadline = Deadline(seconds)
    pause = step
    while not (found := condition()):
        if deadline.is_over():
            pytest.fail(f"not within {seconds} s: {why or condition}")
        time.sleep(pause)
        pause = min(pause * 1.1, max(step, 0.02))
    return found


def threads_since(before: Collection[threading.Thread]) -> set[threading.Thread]:
    """Return the threads started since `before`, a list of `threading.enumerate()`.

    A count would be wrong when a thread of an earlier test ends in between.
    """
    return set(threading.enumerate()) - set(before)


LINE = re.compile(r"(\S+) (?:(SUCCESS|FAILURE|SKIPPED|MISSED)|(INFO|WARNING|ERROR) (\S+))(?: (.*))?")


PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


def parse_line(line: str) -> dict[str, str]:
    """Take a line of either format apart: `word` is its status or event, the rest its keys and values, as text."""
    if line.startswith("{"):
        told = json.loads(line)
        level = told.get("level") or told["status"]
        word = told.get("status") or told["event"]
        return {**{key: str(value) for key, value in told.items()}, "level": level, "word": word}
    found = LINE.fullmatch(line)
    assert found, f"not a line of the log: {line!r}"
    pairs = {key: json.loads(value) if value.startswith('"') else value for key, value in PAIR.findall(found[5] or "")}
    return {"time": found[1], "level": found[3] or found[2], "word": found[2] or found[4], **pairs}


class Service:
    """The real service as a process, on a directory and a log of its own."""

    def __init__(self, base: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.jobs = base / "jobs.d"
        self.log = base / "scheduler.log"
        self.errors = base / "stderr"
        self.socket = base / "control.sock"
        self.jobs.mkdir(mode=0o755, exist_ok=True)
        self.options = options
        self.forks = True  # false: a process that is executed, as users have it
        self.stdout: int | None = None  # a descriptor; None for that of the tests
        self.constants: dict[str, float] = {}  # that a forked process has instead of ours
        self.limits: dict[int, int] = {}
        self.env = {**os.environ, "TZ": "UTC", **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.program = [sys.executable, str(ROOT / "main.py")]
        self.code = ""  # that the program runs first
        self._read: tuple[int, int, list[dict[str, str]]] = (0, 0, [])

    def start(self, *, wait: bool = True) -> Service:
        """Start it; wait until it has read every file."""
        paths = ["--jobs-dir", str(self.jobs), "--log-file", str(self.log), "--socket", str(self.socket)]
        return self.start_with(*paths, *self.options, wait=wait)

    def start_with(self, *options: str, wait: bool = True) -> Service:
        """Start it with these options alone; they have to name the paths of this service."""
        before = len(self.words("service.started"))
        with self.errors.open("ab") as errors:
            streams = {"stdin": subprocess.DEVNULL, "stdout": self.stdout, "stderr": errors}
            command = [*self.program, *options]
            if not self.forks:
                self.process = subprocess.Popen(command, env=self.env, **streams)
            elif self.code and not can_fork(command, self.env):
                command = [self._script() if word == MAIN else word for word in command]
                self.process = subprocess.Popen(command, env=self.env, **streams)
            else:
                changes: dict[str, Any] = {"constants": self.constants, "code": self.code}
                self.process = start_program(command, env=self.env, **changes, **streams)
        for what, most in self.limits.items():
            resource.prlimit(self.process.pid, what, (most, most))
        if wait:
            wait_until(lambda: len(self.words("service.started")) > before or self._is_over(), why="it has started")
            assert len(self.words("service.started")) > before, f"it ended at its start: {self.stderr()[-2000:]}"
        return self

    def _is_over(self) -> bool:
        """Whether the process has ended; a start need not be waited for any longer."""
        return self.process is None or self.process.poll() is not None

    def patched(self, code: str) -> Service:
        """Have the program run with this code before it: a fault, injected where it cannot be had otherwise."""
        self.code += textwrap.dedent(code)
        return self

    def _script(self) -> str:
        """Write the code and the program into a file, for an interpreter that has to be started anew."""
        script = self.jobs.parent / "patched.py"
        head = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        tail = "\nfrom jobscheduler import cli\nraise SystemExit(cli.main(default='serve'))\n"
        script.write_text(head + self.code + tail, "utf-8")
        return str(script)

    def lines(self) -> list[dict[str, str]]:
        """All complete lines of the log so far; only what was added is read again."""
        inode, at, known = self._read
        try:
            now = self.log.stat()
        except FileNotFoundError:
            return []
        if (now.st_ino, now.st_size) == (inode, at):
            return known
        with self.log.open("rb") as file:
            found = os.fstat(file.fileno())
            if inode != (inode := found.st_ino) or found.st_size < at:
                at, known = 0, []
            file.seek(at)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        known = [*known, *(parse_line(line) for line in text.decode("utf-8").split("\n")[:-1])]
        self._read = (inode, at + len(text), known)
        return known

    def words(self, word: str, **values: str) -> list[dict[str, str]]:
        """The lines with this status or event and these values."""
        return [
            line
            for line in self.lines()
            if line["word"] == word and all(line.get(key) == value for key, value in values.items())
        ]

    def wait_for(self, word: str, count: int = 1, **values: str) -> list[dict[str, str]]:
        """Wait until there are so many such lines."""
        seen: list[dict[str, str]] | None = None

        def found() -> list[dict[str, str]] | None:
            nonlocal seen
            before, seen = seen, self.lines()
            fitting = [] if seen is before else self.words(word, **values)  # most questions find no further line
            return fitting if len(fitting) >= count else None

        why = f"{count} x {word} {values}; the log has {[line['word'] for line in self.lines()][-30:]}"
        return wait_until(found, why=why)

    def write(self, name: str, definition: Any) -> Path:
        """Put a job file in place, at once and complete."""
        text = definition if isinstance(definition, str | bytes) else json.dumps(definition)
        raw = text.encode() if isinstance(text, str) else text
        temporary = self.jobs / f".{name}.tmp"
        temporary.write_bytes(raw)
        temporary.chmod(0o644)
        return temporary.rename(self.jobs / name)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """Signal it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def stderr(self) -> str:
        """Return what it wrote to standard error."""
        return self.errors.read_text("utf-8")

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def job(job_id: str = "a", schedule: str = "* * * * * *", command: Any = "true", **fields: Any) -> dict[str, Any]:
    """A definition that runs a command."""
    return {"job_id": job_id, "schedule": schedule, "task": {"type": "execute_command", "command": command}, **fields}
