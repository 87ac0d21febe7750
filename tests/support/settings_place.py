"""A service whose paths and zone stand in a settings file, and verbs that know nothing but that file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service


class Place:
    """A service with all its paths in a settings file, and verbs that know nothing but that file."""

    def __init__(self, base: Path) -> None:
        base.chmod(0o755)
        self.file = base / "scheduler.toml"
        self.service = Service(base)
        self.settings: dict[str, Any] = {
            "jobs-dir": str(self.service.jobs),
            "log-file": str(self.service.log),
            "socket": str(self.service.socket),
        }

    def write(self, further: str = "", **settings: Any) -> None:
        """Write the settings file."""
        given = {**self.settings, **{name.replace("_", "-"): value for name, value in settings.items()}}
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in given.items()]
        self.file.write_text("".join(lines) + further)
        self.file.chmod(0o644)

    def start(self) -> None:
        """Start the service with the settings file alone."""
        self.service.start_with("--config", str(self.file))

    def verb(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a verb with the settings file."""
        environ = {**os.environ, "TZ": "UTC", "NO_COLOR": "1", **env}
        command = [sys.executable, str(ROOT / "main.py"), *words, "--config", str(self.file)]
        done: subprocess.CompletedProcess[str] = run_program(command, env=environ, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """One that has not been started yet."""
    made = Place(tmp_path)
    yield made
    made.service.close()
