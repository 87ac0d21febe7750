"""Measure a start: own processor time of a run, and starts as another user against plain ones.

    python -m benchmarks.starts [RUNS] [BALLAST_MIB]

The ballast is memory that this process holds meanwhile, as a service with many jobs does: the cost of a start must
not grow with it. Plain starts and starts as another user alternate, so that a noisy moment meets both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.runner import Runner

SLOT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def job(**own: object) -> Job:
    """Make a job that runs a command."""
    return Job("bench", Cron("* * * * *", "UTC"), TaskSpec.from_params("execute_command", own))


def bare() -> None:
    """Measure the floor: the standard library starts a program and reads its output to the end."""
    with subprocess.Popen(
        ["/bin/true"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, cwd="/", env={}
    ) as process:
        process.communicate()


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and seconds of own processor time that `work` takes."""
    clock, own = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - own


def batches(seconds: list[float], size: int = 25) -> list[float]:
    """Means of batches: a noisy neighbour spoils some of them and not the others."""
    return [statistics.fmean(seconds[at : at + size]) for at in range(0, len(seconds), size)]


def attempt(runner: Runner, one: Job) -> None:
    """Run it once."""
    runner.new_run(one, SLOT).attempt()


def main() -> None:
    """Measure on a thread, as the service starts commands: the main thread belongs to the caller."""
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()


def measure() -> None:
    """Print medians and ratios."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    ballast = bytearray(os.urandom(1 << 20) * (int(sys.argv[2]) if len(sys.argv) > 2 else 400))
    runner = Runner(id, id)
    kinds = {
        "list": job(command=["/bin/true"]),
        "shell": job(command="exec /bin/true"),
        "list as nobody": job(command=["/bin/true"], user="nobody"),
    }
    works: dict[str, Callable[[], object]] = {"bare Popen": bare}
    works |= {kind: partial(attempt, runner, one) for kind, one in kinds.items()}
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in works}
    for _ in range(runs):
        for kind, work in works.items():
            taken[kind].append(measured(work))
    runner.close()
    print(f"{runs} runs each, {len(ballast) >> 20} MiB held")
    for kind, seconds in taken.items():
        clock = statistics.median(wall for wall, _ in seconds)
        own = batches([cpu for _, cpu in seconds])
        print(
            f"{kind:16} median {clock * 1e3:6.2f} ms   own processor time a run: "
            f"median {statistics.median(own) * 1e6:4.0f} us, in the quietest batch {min(own) * 1e6:4.0f} us"
        )
    plain, other = (statistics.median(wall for wall, _ in taken[kind]) for kind in ("list", "list as nobody"))
    print(f"another user / plain: {other / plain:.2f} (goal: at most 4)")


if __name__ == "__main__":
    main()
