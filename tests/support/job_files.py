"""What the tests of the jobs directory share: what was told when, and a service on a mount of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.service import ROOT, Service

PROMPT = 2.0
"""Within so many seconds after its cause has ended, trouble is over."""

NOISE = 0.7
"""What is added to that because other things run on the machine of the tests."""


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def moment(line: dict[str, str]) -> datetime:
    """When a line was written."""
    return datetime.fromisoformat(line["time"])


def assert_prompt(line: dict[str, str], cause: datetime, seconds: float = PROMPT) -> None:
    """Hold a line against the moment at which its cause came or ended."""
    late = (moment(line) - cause).total_seconds()
    assert -0.002 <= late <= seconds + NOISE, f"{late} s after its cause: {line}"


def assert_every_second_once(service: Service, job_id: str, least: int = 3) -> None:
    """Each second from the first record of a job to the last has exactly one: a success, or it was skipped."""
    records = [line for line in service.lines() if line["word"] in {"SUCCESS", "FAILURE", "SKIPPED", "MISSED"}]
    slots = Counter(datetime.fromisoformat(line["scheduled"]) for line in records if line["job_id"] == job_id)
    first = min(slots)
    # a slot that was skipped for a run at work has its record before that run
    done = [line["scheduled"] for line in records if (line["job_id"], line["word"]) == (job_id, "SUCCESS")]
    last = max(map(datetime.fromisoformat, done))
    slots = Counter({slot: count for slot, count in slots.items() if slot <= last})
    wanted = [first + timedelta(seconds=number) for number in range(int((last - first).total_seconds()) + 1)]
    assert len(wanted) >= least
    assert slots == Counter(wanted)
    # a run of a busy host may take more than its second: then the next slot is skipped
    assert {line["word"] for line in records if line["job_id"] == job_id} <= {"SUCCESS", "SKIPPED"}


def assert_said_once(service: Service, bad: str, good: str, since: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """Return the one warning or error and the one all-clear; there is no other word of trouble."""
    lines = service.lines()[since:]
    worries = [line for line in lines if line["level"] in {"WARNING", "ERROR"}]
    clear = [line for line in lines if line["word"] == good]
    assert [line["word"] for line in worries] == [bad], worries
    assert len(clear) == 1, clear
    return worries[0], clear[0]


def in_force(lines: list[dict[str, str]]) -> set[str]:
    """Replay the events about jobs: the ids of active jobs."""
    ids: set[str] = set()
    for line in lines:
        if line["word"] == "job.added":
            ids.add(line["job_id"])
        elif line["word"] == "job.removed":
            ids.discard(line["job_id"])
    return ids


@contextmanager
def running(base: Path, *options: str) -> Iterator[Service]:
    """A service that is ended afterwards, whatever happens."""
    base.mkdir(exist_ok=True)
    service = Service(base, *options)
    try:
        yield service
    finally:
        service.close()


# --- a service in namespaces of its own ------------------------------------------------------------------


class Apart:
    """A service in a mount namespace (or a user namespace) of its own; all its mounts vanish with it.

    `first` is a shell script that runs in there before the service starts; the jobs directory is `$1`.
    """

    def __init__(self, base: Path, first: str, *options: str, kinds: tuple[str, ...] = ("--mount",)) -> None:
        need("unshare", "nsenter", "mount")
        if subprocess.run(["unshare", *kinds, "true"], check=False, capture_output=True).returncode:
            unavailable(f"`unshare {' '.join(kinds)}` is not allowed here")
        self.kinds = kinds
        self.service = Service(base, *options)
        script = f'{first}\nshift\nexec "$@"'
        self.service.program = [
            *("unshare", *kinds, "sh", "-e", "-c", script, "sh", str(self.service.jobs)),
            *(sys.executable, str(ROOT / "main.py")),
        ]

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.close()

    def inside(self, path: Path) -> Path:
        """Where a path of that namespace is for everybody."""
        assert self.service.process is not None
        return Path(f"/proc/{self.service.process.pid}/root{path}")

    @property
    def jobs(self) -> Path:
        """The jobs directory as the service sees it."""
        return self.inside(self.service.jobs)

    def run(self, command: str) -> str:
        """Run a shell command in there."""
        assert self.service.process is not None
        kinds = [kind for kind in self.kinds if kind != "--map-root-user"]
        user = ["--preserve-credentials"] if "--user" in kinds else []
        return subprocess.run(
            ["nsenter", "--target", str(self.service.process.pid), *kinds, *user, "sh", "-e", "-c", command],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout

    def umount(self, path: Path) -> None:
        """Take a mount away. The service holds its lock on the directory, so only in this way (or by force)."""
        self.run(f"umount --lazy {path}")


def put(directory: Path, name: str, definition: Any) -> Path:
    """Put a job file in place, at once and complete."""
    temporary = directory / f".{name}.tmp"
    temporary.write_text(definition if isinstance(definition, str) else json.dumps(definition))
    temporary.chmod(0o644)
    return temporary.rename(directory / name)


def need(*programs: str) -> None:
    """Skip a test whose programs are not there; where everything has to be there, let it fail."""
    from shutil import which

    missing = [program for program in programs if which(program) is None]
    if missing:
        unavailable(f"not installed: {', '.join(missing)}")


def unavailable(why: str) -> NoReturn:
    """Skip a test that this host cannot make, or fail in continuous integration, where it has to be made."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
