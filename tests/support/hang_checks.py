"""A service that is impatient with what hangs, and what its tests ask of it."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.hung_mounts import Mount
from tests.support.service import ROOT, Service, job, wait_until

SOON = 6.0
"""Within so many seconds a thing that hangs is named."""

IMPATIENT = {
    "util.hang_guard.TIMEOUT_S": 0.7,
    "tasks.hung_paths.GUARD.patience": 0.7,
    "tasks.hung_paths.SLOW_START_S": 0.7,
    "tasks.hung_paths._PROBE_TIMEOUT_S": 0.2,
    "tasks.hung_paths.ACCOUNT_TIMEOUT_S": 2.0,
    "runner.runner.STOP_GRACE_S": 1.0,
    "jobs.guarded_directory.RETRY_PATIENCE_S": 0.1,
    "runlog.file_calls.CALL_TIMEOUT_S": 0.4,
    "runlog.backlog.CLOSE_TIMEOUT_S": 1.0,
    "service.supervisor.CHECK_INTERVAL_S": 0.3,
    "service.supervisor.HEALTH_INTERVAL_S": 1.0,
}
"""Seconds after which the service takes something for hung, and between two looks: users have 2 s and more."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a job of every second, which rescans every second and serves its page."""
    made = Service(tmp_path, "--rescan-interval", "0.3s", "--http", "127.0.0.1:0", "--drain-timeout", "2s")
    made.constants = IMPATIENT
    made.write("tick.json", job("tick"))
    yield made
    made.close()


def status(service: Service) -> tuple[int, str]:
    """Ask for the status as a person would; return the exit status and what was printed."""
    command = [sys.executable, str(ROOT / "main.py"), "status", "--socket", str(service.socket)]
    done = run_program(command, text=True, timeout=8)
    return done.returncode, done.stdout + done.stderr


def health(service: Service) -> tuple[int, str]:
    """Ask `/healthz`; return the status code and the body."""
    url = service.words("page.served")[-1]["url"] + "healthz"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def assert_named(service: Service, name: str) -> None:
    """`status` and `/healthz` say that it does not answer."""
    wait_until(lambda: health(service)[0] == 503, SOON, "the page says that it is not well")
    assert name in health(service)[1]
    code, said = status(service)
    assert code == 1
    assert f"{name} does not answer" in said


def assert_well(service: Service) -> None:
    """Nothing is wrong any more."""
    wait_until(lambda: health(service)[0] == 200, SOON, "the page says that all is well")
    code, said = status(service)
    assert code == 0, said


def assert_tick_goes_on(service: Service, seconds: int = 2) -> None:
    """The job of every second runs in time, each second, from now on."""
    before = len(service.words("SUCCESS", job_id="tick"))
    began = time.monotonic()
    service.wait_for("SUCCESS", before + seconds, job_id="tick")
    assert time.monotonic() - began < seconds + 1.5


def assert_every_slot_once(service: Service, job_id: str) -> None:
    """Every second between the first and the last record of a job has exactly one record."""
    found = [line for line in service.lines() if line.get("job_id") == job_id and "scheduled" in line]
    slots = [
        datetime.fromisoformat(line["scheduled"]) for line in found if line["word"] in {"SUCCESS", "FAILURE", "SKIPPED"}
    ]
    assert len(slots) == len(set(slots))
    assert len(slots) == (max(slots) - min(slots)).total_seconds() + 1


def assert_stops(service: Service) -> None:
    """SIGTERM ends it within its drain, in order."""
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 6


def linked(service: Service, mount: Mount, name: str = "x", **fields: object) -> None:
    """Put a job file on the mount, and a link to it into the jobs directory."""
    (mount.real / f"{name}.json").write_text(json.dumps(job(name, "@yearly", **fields)))
    (service.jobs / f"{name}.json").symlink_to(mount.path / f"{name}.json")


def threads(service: Service) -> int:
    """How many threads the service has."""
    assert service.process is not None
    return len(list(Path(f"/proc/{service.process.pid}/task").iterdir()))


def stderr_count(service: Service, begin: int, text: str) -> int:
    """How many lines of standard error after the first `begin` hold a text."""
    return sum(text in line for line in service.stderr().splitlines()[begin:])


def lateness(service: Service, job_id: str, since: int) -> list[timedelta]:
    """How late the runs of a job began, from that record on."""
    records = service.words("SUCCESS", job_id=job_id)[since:]
    return [datetime.fromisoformat(one["started"]) - datetime.fromisoformat(one["scheduled"]) for one in records]
