"""A service with a job that fails until it is told not to, and a file in which its alerts note themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job


class Host:
    """A service, a job that fails as long as there is no file `works`, and a file in which alerts note themselves."""

    def __init__(self, service: Service, base: Path) -> None:
        self.service = service
        self.base = base
        self.works = base / "works"
        self.notes = base / "notes"

    def note(self, then: str = "true") -> dict[str, Any]:
        """A task that notes its alert."""
        return {"type": "execute_command", "command": f'echo "$JOB_ALERT $JOB_RECORD_RUN_ID" >> {self.notes}; {then}'}

    def job(self, **fields: Any) -> dict[str, Any]:
        """The job, each second."""
        return job("a", command=f"test -e {self.works}", **fields)

    def answer(self) -> list[list[str]]:
        return [line.split() for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def file(self, name: str, content: Any) -> Path:
        """A file beside the jobs directory that only its owner may write."""
        path = self.base / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(0o644)
        return path

    def wait_for_result(self, word: str, count: int = 1) -> list[dict[str, str]]:
        """Wait for that many more records."""
        return self.service.wait_for(word, len(self.service.words(word)) + count, job_id="a")


@pytest.fixture
def host(service: Service, tmp_path: Path) -> Host:
    """One that has not been started yet."""
    tmp_path.chmod(0o755)
    return Host(service, tmp_path)


def run_verb(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """Call the command as a user would."""
    command = [sys.executable, str(ROOT / "main.py"), *words, "--socket", str(service.socket)]
    return run_program(command, text=True, timeout=60)
