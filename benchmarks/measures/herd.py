"""Many jobs due in the same second: when the first one starts, and when the last one does.

Every candidate has the same shell commands, which leave their marks. The service and the plain scheduler are given
jobs for one second; the other peers know minutes only, so theirs are due each minute, and one is waited for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.peers import Peer
from benchmarks.plan import Plan
from benchmarks.processes import settle
from benchmarks.service import PATIENCE, ran, service

OURS = frozenset({"ours", "floor"})
"""Without these there is no row; anybody else may fail, and is then left out altogether."""

PLAIN = 10_000
"""How many jobs the plain scheduler gets at most: with more it would take most of the time."""

Herd = tuple[float, float]
"""The first start and the last one, in seconds after they were due."""


def measure(plan: Plan) -> list[Row]:
    """Measure herds of a thousand and of ten thousand jobs."""
    sizes = plan.pick((1_000, 10_000), (1_000,), (20,))
    return [row for size in sizes for row in of_size(plan, size)]


def of_size(plan: Plan, size: int) -> list[Row]:
    """Measure the herd of every candidate, one after the other, in each round."""
    found: dict[str, list[Herd]] = {}
    failed: set[str] = set()
    with fleet.workplace() as base, fleet.marks() as marks:
        for _ in plan.each_round(f"herd of {size}"):
            for name, herd in candidates(plan, size).items():
                if name in failed:
                    continue
                try:
                    found.setdefault(name, []).append(herd(base, marks, size))
                except (TimeoutError, fleet.TooLate) as late:
                    if name in OURS:
                        raise
                    failed.add(name)
                    print(f"{name} is left out: {late}", file=sys.stderr)
    return _rows(size, {name: herds for name, herds in found.items() if name not in failed})


def candidates(plan: Plan, size: int) -> dict[str, Callable[[Path, fleet.Marks, int], Herd]]:
    """Return the candidates for a herd of this size, by name; peers that load jobs slowly get small herds only."""
    plain = {"plain": of_plain} if size <= PLAIN else {}
    peers = {peer.name: _of_peer(peer) for peer in plan.peers if size <= peer.most}
    return {"ours": of_service, "floor": of_floor, **plain, **peers}


def _rows(size: int, found: dict[str, list[Herd]]) -> list[Row]:
    first, last = ({name: tuple(herd[at] for herd in herds) for name, herds in found.items()} for at in (0, 1))
    peers = {name: values for name, values in last.items() if name not in OURS}
    what = f"{size:,} jobs due in one second"
    goal = Goal(1.25, "ratio")
    milliseconds = tuple(value * 1000 for value in first["ours"])
    return [
        Row("herd", f"{what}: the last run's start", "s", last["ours"], last["floor"], peers, goal, size),
        Row("first", f"{what}: the first run's start", "ms", milliseconds, goal=Goal(10.0), size=size),
    ]


def of_service(base: Path, marks: fleet.Marks, size: int) -> Herd:
    """Measure the service; the first start is in its log, to the millisecond."""
    return fleet.patiently(partial(_of_service, base, marks, size))


def _of_service(base: Path, marks: fleet.Marks, size: int, slack: float) -> Herd:
    due = fill(base, marks, size, slack)
    with service(base) as started:
        fleet.await_second(due)
        times = marks.wait(size, due + PATIENCE)
        runs = [ran(line) for line in started.log.wait("SUCCESS", size, pause=0.2)]
    return min(run.late for run in runs), times[-1] - due


def of_plain(base: Path, marks: fleet.Marks, size: int) -> Herd:
    """Measure the plain APScheduler program."""
    return fleet.patiently(partial(_of_plain, base, marks, size))


def _of_plain(base: Path, marks: fleet.Marks, size: int, slack: float) -> Herd:
    due = fill(base, marks, size, slack)
    with floors.plain(base):
        fleet.await_second(due)
        return _herd(marks.wait(size, due + PATIENCE), due)


def of_floor(base: Path, marks: fleet.Marks, size: int) -> Herd:
    """Measure the commands started from one loop."""
    marks.clear()
    due = ceil(time.time() + 2)
    floors.spawn(due, (["/bin/sh", "-c", marks.command(number)] for number in range(size)), base)
    return _herd(marks.wait(size, due + PATIENCE), due)


def _of_peer(peer: Peer) -> Callable[[Path, fleet.Marks, int], Herd]:
    def herd(base: Path, marks: fleet.Marks, size: int) -> Herd:
        with peer.running(base, [marks.command(number) for number in range(size)]) as pid:
            settle(pid)
            due = _next_minute()
            time.sleep(due - 1 - time.time())
            marks.clear()  # of an earlier minute, which came while it was read
            time.sleep(due - time.time())
            return _herd(marks.wait(size, due + PATIENCE), due)

    return herd


def fill(base: Path, marks: fleet.Marks, size: int, slack: float) -> int:
    """Put the jobs in place, due when everybody has read them; return when that is."""
    marks.clear()
    due = fleet.lead(size, slack)
    schedule = fleet.at_second(due)
    fleet.fill(base / "jobs.d", size, lambda number: fleet.job(number, schedule, marks.command(number)))
    return due


def _next_minute() -> float:
    """Return the next full minute that is far enough ahead; a herd at the present minute is over by then."""
    due = ceil(time.time() / 60) * 60
    return due if due - time.time() > 3 else due + 60


def _herd(times: list[float], due: float) -> Herd:
    return times[0] - due, times[-1] - due
