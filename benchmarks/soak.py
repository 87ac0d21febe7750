"""Half an hour at fifty runs a second: memory, threads and descriptors have to be flat.

Run: python -m benchmarks.soak [MINUTES] [--save]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from benchmarks import fleet, processes
from benchmarks.flat import compared, grown
from benchmarks.report import DOCUMENT, RESULTS, write
from benchmarks.results import load, save
from benchmarks.service import Service, moment, service

RATE = 50
CROWD = 40
"""So many longer runs come at once at the beginning, so that all workers are there before anything is compared."""

SAMPLES = 180
ROTATING = ("--log-max-bytes", "4000000", "--log-backups", "99")
"""Small log files, so that they are rotated as in months of service."""


@dataclass(frozen=True, slots=True)
class Course:
    """Samples over time: minutes, MiB, threads, descriptors, and percent of a core since the sample before."""

    minutes: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    amiss: Counter[str] = field(default_factory=Counter)

    def named(self) -> dict[str, list[float]]:
        """Return all figures by name."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "amiss"}


def soak(minutes: float) -> Course:
    """Run the service under that load and look at it now and then."""
    with fleet.workplace() as base:
        crowd = fleet.at_second(fleet.lead(RATE, 1.0))
        fleet.fill(base / "jobs.d", RATE + CROWD, lambda number: _job(number, crowd))
        with service(base, *ROTATING) as started:
            time.sleep(15)
            since = time.time()
            course = _watch(started, minutes * 60)
        course.amiss.update(outcomes(base, since))
        course.runs.extend((course.amiss.pop("SUCCESS", 0), course.amiss.total()))
    return course


def _job(number: int, crowd: str) -> fleet.Definition:
    """One of the many, or of the crowd that comes once, at the beginning."""
    if number >= RATE:
        return fleet.job(number, crowd, ["/bin/sleep", "2"])
    return fleet.job(number, "* * * * * *", ["/bin/true"], jitter=1)


def _watch(started: Service, seconds: float) -> Course:
    course = Course()
    times, used = [time.monotonic()], [processes.processor_time(started.pid)]
    for number in range(1, SAMPLES + 1):
        time.sleep(max(0.0, times[0] + number * seconds / SAMPLES - time.monotonic()))
        times.append(time.monotonic())
        used.append(processes.processor_time(started.pid))
        course.minutes.append((times[-1] - times[0]) / 60)
        course.memory.append(processes.memory(started.pid) / 2**20)
        course.threads.append(processes.threads(started.pid))
        course.descriptors.append(processes.descriptors(started.pid))
    spans = zip(pairwise(times), pairwise(used), strict=True)
    course.processor.extend((after - before) / (end - begin) * 100 for (begin, end), (before, after) in spans)
    return course


def outcomes(base: Path, since: float) -> Counter[str]:
    """Count the records in the log from an instant on: statuses, with the reason where there is one.

    Earlier ones are left out: the crowd takes all workers, so each of the other jobs skips a slot then.
    """
    found: Counter[str] = Counter()
    for path in base.glob("scheduler.log*"):
        for line in path.read_text().splitlines():
            _, status, *words = line.split(" ")
            if status in {"SUCCESS", "FAILURE", "SKIPPED", "MISSED"} and moment(line) >= since:
                found[" ".join([status, *(word for word in words if word.startswith("reason="))])] += 1
    return found


def main() -> int:
    """Run the soak and print its result; return 1 if a figure grew."""
    processes.heed_signals()
    words = [word for word in sys.argv[1:] if word != "--save"]
    soaked = soak(float(words[0]) if words else 30.0)
    course = soaked.named()
    for name, (before, after) in compared(course).items():
        print(f"{name}: {before:.1f} in the second quarter, {after:.1f} at the end")
    print(f"{course['runs'][0]:.0f} runs, {course['runs'][1]:.0f} not run, or without success")
    for what, count in soaked.amiss.most_common():
        print(f"{count} times {what}")
    if "--save" in sys.argv:
        results = replace(load(RESULTS), soak=course)
        save(results, RESULTS)
        write(results, DOCUMENT)
    growing = grown(course)
    for name, ratio in growing.items():
        print(f"{name} is not flat: {ratio:.2f} times as much", file=sys.stderr)
    return 1 if growing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
