"""Measure the cost of the next slot: medians per schedule, warm (its days were asked for before) and cold (never).

In service it is in between: jobs share the facts about a day in their zone, so the first of them pays for it.

Run: python -m benchmarks.measures.slots for each schedule by itself.
The budget is 15 us for common schedules and 200 us for the rarest one, 29 February.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from jobscheduler.timetable.crontab import Crontab, parse
from jobscheduler.timetable.crontab.parser import parse_expression
from jobscheduler.timetable.crontab.wall_clock import constant_offset

START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULES = {
    "* * * * *": 2000,
    "*/5 * * * *": 2000,
    "0 1 * * *": 1000,
    "30 2 * * 1-5": 1000,
    "0 0 1 * *": 400,
    "*/10 * * * * *": 2000,
    "0 0 * * friL": 400,
    "0 0 29 2 *": 40,
    "0 0 29 2 */7": 5,
}
ROUNDS = 7


RARE = frozenset(text for text in SCHEDULES if " 29 2 " in text)


def measure(plan: Plan) -> list[Row]:
    """Measure the costliest common schedule, warm and cold, and the costliest rare one, cold."""
    zone = ZoneInfo("Europe/Berlin")
    warm: dict[str, list[float]] = {text: [] for text in SCHEDULES}
    cold: dict[str, list[float]] = {text: [] for text in SCHEDULES}
    for _ in plan.each_round("next slot"):
        for text, count in SCHEDULES.items():
            constant_offset.cache_clear()
            cold[text].append(walk(parse(text), zone, count))
            warm[text].append(walk(parse(text), zone, count))
    return [
        _costliest("slot", "next slot, the costliest common schedule", warm, SCHEDULES.keys() - RARE, Goal(15.0)),
        _costliest("slot-cold", "the same on days never asked for before", cold, SCHEDULES.keys() - RARE, None),
        _costliest("slot-rare", "next slot, the costliest rare schedule", cold, RARE, Goal(200.0)),
    ]


def _costliest(key: str, what: str, costs: dict[str, list[float]], texts: Iterable[str], goal: Goal | None) -> Row:
    text = max(texts, key=lambda text: statistics.median(costs[text]))
    return Row(key, f"{what} (`{text}`)", "µs", tuple(costs[text]), goal=goal)


def walk(crontab: Crontab, zone: ZoneInfo, count: int) -> float:
    """Find so many slots, one after the other; gives microseconds of processor time for each."""
    moment, found = START, 0
    began = time.thread_time()
    while found < count and (following := crontab.next(moment, zone)) is not None:
        moment, found = following, found + 1
    return (time.thread_time() - began) / found * 1e6


def measured(text: str, count: int) -> tuple[float, float]:
    """Give the medians of a warm and a cold walk."""
    zone, crontab = ZoneInfo("Europe/Berlin"), parse(text)
    cold = []
    for _ in range(ROUNDS):
        constant_offset.cache_clear()
        cold.append(walk(crontab, zone, count))
    return statistics.median(walk(crontab, zone, count) for _ in range(ROUNDS)), statistics.median(cold)


def parsing() -> float:
    """Give the median cost of reading an expression that was not read before, in microseconds."""
    costs = []
    for number in range(300):
        text = f"{number % 60} {number % 24} * * 1-5"
        parse_expression.cache_clear()
        began = time.perf_counter()
        parse(text)
        costs.append((time.perf_counter() - began) * 1e6)
    return statistics.median(costs)


def main() -> None:
    """Print one line for each schedule."""
    print(f"{'schedule':<18} {'warm us':>9} {'cold us':>9}")
    for text, count in SCHEDULES.items():
        warm, cold = measured(text, count)
        print(f"{text:<18} {warm:>9.1f} {cold:>9.1f}")
    print(f"reading an expression: {parsing():.1f} us")


if __name__ == "__main__":
    main()
