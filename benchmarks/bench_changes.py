"""How soon a changed file is in force, with 10,000 jobs loaded, and what looking around costs when nothing changes.

Run: python -m benchmarks.bench_changes [JOBS]
The real service, its real log: from the rename to the time of the line `job.updated`; medians, least and most of the
rounds. Goals: p50 10 ms, p99 50 ms, 1,000 files replaced at once within one second.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, Popen
from zoneinfo import ZoneInfo

from jobscheduler import tasks
from jobscheduler.parse import Rules
from jobscheduler.passes import Reconciler
from jobscheduler.sources.directory import DirectorySource

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
SINGLE = 300
AT_ONCE = 1_000


def definition(number: int, version: int = 0) -> str:
    """Make one job of many, in one of its versions."""
    task = {"type": "execute_command", "command": ["true", str(version)]}
    return json.dumps({"job_id": f"job-{number}", "schedule": f"{number % 60} {number // 60 % 24} 1 6 *", "task": task})


def fill(jobs: Path, count: int) -> None:
    """Write so many job files."""
    for number in range(count):
        path = jobs / f"{number:05}.json"
        path.write_text(definition(number))
        path.chmod(0o644)


class Log:
    """The log of the service, read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0

    def wait(self, word: str, count: int) -> list[float]:
        """Wait for so many lines with this event; return when each was written, in seconds since the epoch."""
        found: list[float] = []
        rest = b""
        while len(found) < count:
            if self.path.exists():
                with self.path.open("rb") as file:
                    file.seek(self.at)
                    text = file.read()
                self.at += len(text)
                *lines, rest = (rest + text).split(b"\n")
                found += [_moment(line) for line in lines if line.split(b" ")[2:3] == [word.encode()]]
            time.sleep(0.001)
        return found


def _moment(line: bytes) -> float:
    return datetime.fromisoformat(line.split(b" ", 1)[0].decode()).timestamp()


@contextmanager
def service(base: Path) -> Iterator[tuple[Popen[bytes], Log]]:
    """Run the service on what is there."""
    log = base / "scheduler.log"
    command = [sys.executable, str(ROOT / "main.py"), "--jobs-dir", str(base / "jobs.d"), "--log-file", str(log)]
    process = Popen([*command, "--rescan-interval", "1h"], stderr=DEVNULL, env={**os.environ, "TZ": "UTC"})
    try:
        reading = Log(log)
        reading.wait("service.started", 1)
        yield process, reading
    finally:
        process.terminate()
        process.wait(30)


def replace(jobs: Path, number: int, version: int) -> float:
    """Replace a file atomically; return when it was in place."""
    temporary = jobs / f".{number}.tmp"
    temporary.write_text(definition(number, version))
    temporary.chmod(0o644)
    began = time.time()
    temporary.rename(jobs / f"{number:05}.json")
    return began


def one_at_a_time(jobs: Path, log: Log, version: int) -> list[float]:
    """Replace one file after the other; return how long each took, in milliseconds."""
    late = []
    for number in range(SINGLE):
        began = replace(jobs, number, version)
        late.append(max(0.0, log.wait("job.updated", 1)[0] - began) * 1000)
    return late


def all_at_once(jobs: Path, log: Log, version: int) -> float:
    """Move many new files over old ones; return the milliseconds from the first rename to the last in force."""
    new = jobs.with_name("new")
    new.mkdir(exist_ok=True)
    for number in range(AT_ONCE):
        path = new / f"{number:05}.json"
        path.write_text(definition(number, version))
        path.chmod(0o644)
    began = time.time()
    for path in sorted(new.iterdir()):
        path.rename(jobs / path.name)
    return (log.wait("job.updated", AT_ONCE)[-1] - began) * 1000


def spread(name: str, values: list[float], unit: str = "ms") -> None:
    """Print the median and the extremes of the rounds."""
    print(f"{name:<52} {statistics.median(values):>8.1f} {min(values):>8.1f} {max(values):>8.1f} {unit}")


def cpu(process: Popen[bytes]) -> float:
    """Return the processor time of the service, in seconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


class Nowhere:
    """A schedule that does nothing, so that only the looking is measured."""

    def put(self, *_: object) -> None:
        """Do nothing."""

    drop = next_slot = put


def looking(jobs: Path, count: int) -> None:
    """Measure passes in this process: the first one, a rescan when nothing changed, and the check of each second."""
    rules = Rules(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
    reconciler = Reconciler([DirectorySource(jobs)], Nowhere(), rules, lambda *_, **__: None)  # type: ignore[arg-type]
    spread(f"reading {count} files for the first time", [timed(reconciler.look_at_everything)])
    time.sleep(0.2)
    reconciler.look_at_everything()  # what had been fresh is read once more
    spread("a rescan when nothing changed", [timed(reconciler.look_at_everything) for _ in range(ROUNDS * 2)])
    one = partial(reconciler.look_at, ["00001.json"])
    spread("a look at one file that did not change", [timed(one) for _ in range(50)])
    spread("the check of each second", [timed(reconciler.check) for _ in range(50)])


def main() -> None:
    """Print one line for each figure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{f'{count} jobs, {ROUNDS} rounds':<52} {'median':>8} {'min':>8} {'max':>8}")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        jobs = base / "jobs.d"
        jobs.mkdir(mode=0o755)
        fill(jobs, count)
        looking(jobs, count)
        with service(base) as (process, log):
            rounds = [one_at_a_time(jobs, log, version) for version in range(1, ROUNDS + 1)]
            for percent in (50, 99):
                spread(
                    f"from rename to in force, p{percent} of {SINGLE}",
                    [statistics.quantiles(one, n=100)[percent - 1] for one in rounds],
                )
            spread(
                f"{AT_ONCE} files replaced at once, the last in force",
                [all_at_once(jobs, log, version) for version in range(ROUNDS + 1, 2 * ROUNDS + 1)],
            )
            time.sleep(2)
            used = []
            for _ in range(ROUNDS):
                before = cpu(process)
                time.sleep(2)
                used.append((cpu(process) - before) / 2 * 1000)
            spread("the idle service, of each second", used)


if __name__ == "__main__":
    main()
