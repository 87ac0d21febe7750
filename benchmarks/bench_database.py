"""Measure a reload of 10,000 jobs of which few have changed: its time until the marker is done, and its cost.

Run: python -m benchmarks.bench_database [JOBS] [URL]
The real service with its real log; without a URL on an SQLite file. From the commit of the change to the commit of its
marker, the pause between two looks (0.1 s) included; medians, least and most of the rounds. Goal: within 2 s.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, Popen

from jobscheduler.database import JobTable
from tests.support.service import parse_line

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7


def definition(number: int, version: int = 0) -> dict[str, object]:
    """Build the definition of a numbered job in a numbered version."""
    task = {"type": "execute_command", "command": ["true", str(version)]}
    return {"job_id": f"job-{number}", "schedule": f"{number % 60} {number // 60 % 24} 1 6 *", "task": task}


def wait(table: JobTable, marker: int) -> None:
    """Wait until a marker is done."""
    while not table.is_reloaded(marker):
        time.sleep(0.005)


def measure(name: str, table: JobTable, count: int, log: Path) -> None:
    """Change so many jobs in each round; print how long it took until their marker was done."""
    seconds, told = [], []
    for version in range(1, ROUNDS + 1):
        marker = table.update(*(definition(number, version) for number in range(count))) if count else table.reload()
        began = time.perf_counter()
        wait(table, marker)
        seconds.append(time.perf_counter() - began)
        time.sleep(0.3)
        lines = [parse_line(line) for line in log.read_text("utf-8").splitlines()]
        told.append([line for line in lines if line["word"] == "database.reloaded"][-1])
    took = statistics.median(float(line["took"]) for line in told)
    shown = f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
    print(f"{name}: {shown}; the reload itself {took:.3f} s, changed={told[-1]['changed']}")


def main() -> None:
    """Fill a table, run the service on it, change things."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as base:
        url = sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{base}/jobs.db"
        table = JobTable(url)
        table.init()
        table.replace_all(definition(number) for number in range(count))
        jobs, log = Path(base, "jobs.d"), Path(base, "scheduler.log")
        jobs.mkdir(mode=0o755)
        command = [sys.executable, str(ROOT / "main.py"), "--jobs-dir", str(jobs), "--log-file", str(log)]
        command += ["--socket", str(Path(base, "socket")), "--reload-interval", "0.1"]
        environment = {**os.environ, "TZ": "UTC", "JOBSCHEDULER_DATABASE_URL": url}
        began = time.perf_counter()
        process = Popen(command, stderr=DEVNULL, env=environment)
        try:
            wait(table, table.reload())
            print(f"{count} jobs, the first reload, the start included: {time.perf_counter() - began:.3f} s")
            for changed in (0, 10, 1000):
                measure(f"{changed} of them changed, and a marker", table, changed, log)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
