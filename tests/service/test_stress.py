"""Half an hour on a host that is busy with everything: every slot is kept, and every limit.

How long it takes, in seconds, can be said by `STRESS_SECONDS`; without, it is half an hour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.service import Service, job, wait_until

SECONDS = float(os.environ.get("STRESS_SECONDS", "1800"))
LOAD = 16
"""So many processes want a processor, the disk, or much memory for their environment, all the time."""

LIMIT = 2.0
"""The time limit of the jobs that never end by themselves, in seconds."""

GRACE = 10.0
"""Seconds after its limit in which a run has to have ended, at any load: TERM, 5 s, KILL, and a busy host."""

BUSY = "while True: sum(range(10_000))"
WRITING = """
import os, sys
path = sys.argv[1]
while True:
    with open(path, "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 16))
        file.flush()
        os.fsync(file.fileno())
"""
STARTING = """
import subprocess, time
large = {f"VARIABLE_{number}": "x" * 100_000 for number in range(12)}
while True:
    many = [subprocess.Popen(["sleep", "1"], env={**large, "PATH": "/usr/bin:/bin"}) for _ in range(8)]
    for one in many:
        one.wait()
"""

JOBS: dict[str, dict[str, Any]] = {
    "tick": {"schedule": "* * * * * *"},
    "allowed": {"schedule": "* * * * * *", "then": "sleep 1.5", "overlap": "allow"},
    "queued": {"schedule": "*/5 * * * * *", "then": "sleep 2", "overlap": "queue"},
    "failing": {"schedule": "*/7 * * * * *", "then": "exit 3", "retry": {"attempts": 2, "delay": "1s"}},
    "noisy": {"schedule": "*/3 * * * * *", "then": "seq 20000"},
    "endless": {"schedule": "*/15 * * * * *", "then": "sleep 777 & exec sleep 778", "timeout": LIMIT},
    "stubborn": {"schedule": "*/20 * * * * *", "then": "trap '' TERM; sleep 779 & sleep 780", "timeout": LIMIT},
}


@contextmanager
def load(directory: Path) -> Iterator[None]:
    """Keep processor, disk and memory busy."""
    programs = [[BUSY]] * (LOAD - 6) + [[WRITING, str(directory / f"{n}")] for n in range(3)] + [[STARTING]] * 3
    processes = [subprocess.Popen([sys.executable, "-c", *one], start_new_session=True) for one in programs]
    try:
        yield
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with jobs of all kinds."""
    made = Service(tmp_path, "--log-max-bytes", "4M", "--log-backups", "99", "--max-workers", "64")
    for name, kind in JOBS.items():
        fields = {key: value for key, value in kind.items() if key not in {"schedule", "then"}}
        command = f"{MARKING.format(tmp_path / 'marks')}; {kind.get('then', 'true')}"
        made.write(f"{name}.json", job(name, kind["schedule"], command, catch_up="10m", **fields))
    yield made
    made.close()


def instant(text: str) -> datetime:
    """Read an instant of the log."""
    return datetime.fromisoformat(text)


@pytest.mark.deep
@pytest.mark.timeout(SECONDS + 600)
def test_a_busy_host_makes_runs_late_and_neither_loses_nor_skips_one_nor_forgets_a_limit(
    service: Service, tmp_path: Path
) -> None:
    """A slot is skipped behind a run at work only; no limit is missed, no thread is lost, and nothing stands still."""
    with load(tmp_path):
        service.start(wait=False)
        wait_until(lambda: service.words("service.started"), 60)
        assert service.process is not None
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and service.process.poll() is None:
            threading.Event().wait(1)
        assert service.process.poll() is None, service.words("service.stopping")
        assert service.stop(seconds=90) == 0

    lines = lines_of(service.log)
    timetables = {
        name: timetable_of(Job(name, Cron(kind["schedule"], "UTC"), TaskSpec("x", "{}")), "")
        for name, kind in JOBS.items()
    }
    Account(lines, timetables, tmp_path / "marks").check()
    words = Counter(line["word"] for line in lines)
    print(figures(lines, words))  # noqa: T201 - what `pytest -rP` shows
    assert [words[one] for one in ("runner.stuck", "pool.lost", "task.crashed", "MISSED")] == [0, 0, 0, 0]
    assert {line["part"] for line in lines if line["word"] == "service.late"} <= {"the log writer"}
    assert not_kept(lines) == []
    assert skipped_for_nothing(lines) == []


def not_kept(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """List the runs with a limit that went on for longer than that and its grace, or say that a thread was lost."""
    limited = [line for line in lines if line["word"] == "FAILURE" and "timeout" in JOBS[line["job_id"]]]
    assert limited, "no run had to be ended"
    return [one for one in limited if float(one["duration"]) > LIMIT + GRACE or "is lost" in one.get("error", "")]


def skipped_for_nothing(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """List the slots that were skipped although no run of their job was at work, begun or about to begin."""
    runs: dict[str, list[tuple[datetime, datetime]]] = {}
    for line in lines:
        if line["word"] in {"SUCCESS", "FAILURE"}:
            runs.setdefault(line["job_id"], []).append((instant(line["scheduled"]), instant(line["time"])))
    skipped = [line for line in lines if line["word"] == "SKIPPED"]
    return [
        line
        for line in skipped
        if not any(first <= instant(line["time"]) <= last for first, last in runs.get(line["job_id"], []))
    ]


def figures(lines: list[dict[str, str]], words: Counter[str]) -> str:
    """Say in one line what the service has done."""
    runs = [line for line in lines if line["word"] in {"SUCCESS", "FAILURE"} and "started" in line]
    late = sorted((instant(one["started"]) - instant(one["scheduled"])).total_seconds() for one in runs)
    ends = [float(one["duration"]) - LIMIT for one in runs if "timeout" in JOBS[one["job_id"]]]
    statuses = {one: words[one] for one in ("SUCCESS", "FAILURE", "SKIPPED", "MISSED", "log.behind", "pool.full")}
    return (
        f"{SECONDS:g} s at load {os.getloadavg()[0]:.1f}: {statuses}; late by {late[len(late) // 2]:.3f} s (median), "
        f"{late[-1]:.1f} s (most); ended {max(ends):.1f} s after the limit (most of {len(ends)})"
    )
