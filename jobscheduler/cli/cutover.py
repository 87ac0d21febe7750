"""Say how lines go from cron to the service without a slot lost or doubled: what to take out of cron, and when."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from jobscheduler.cli.import_lines import Verdict
from jobscheduler.imports.crontab_layout import CRON_D_NAME
from jobscheduler.util.instants import format_local, format_with_zone
from jobscheduler.util.time_spans import TICK

_FAR = timedelta(days=32)  # further back no last slot of cron is looked for


class Window(NamedTuple):
    """The time in which lines are to be taken out of cron: after its last slot, and before the first of the jobs."""

    last: datetime | None
    first: datetime | None


def window(lines: Sequence[Verdict], start: datetime, now: datetime) -> Window:
    """Return when lines leave cron, if the jobs count from `start` on. `last` is None if cron has none until then."""
    timetables = [line.slots for line in lines if line.slots is not None and line.slots.has_slots]
    last = [slot for one in timetables if (slot := one.last_between(max(now, start - _FAR), start - TICK))]
    first = [slot for one in timetables if (slot := one.next(start - TICK))]
    return Window(max(last, default=None), min(first, default=None))


def describe_window(found: Window, start: datetime, zone: tzinfo) -> str:
    """Return the window in words, in the time of a zone."""
    until = f"before {_clock(found.first, zone)}, the first slot of the jobs" if found.first else "then"
    after = f"after {_clock(found.last, zone)}, the last slot of cron, and " if found.last else ""
    parted = f"cron's lines count until {format_with_zone(start, zone)}, the jobs from then on"
    return f"{parted}: take the lines out {after}{until}"


def commands(lines: Sequence[Verdict], all_lines: Sequence[Verdict]) -> Iterator[str]:
    """Yield the command for each table that takes its imported lines out of cron."""
    by_table: dict[int, list[Verdict]] = defaultdict(list)
    for line in lines:
        by_table[id(line.table)].append(line)
    for group in by_table.values():
        table = group[0].table
        others = sum(line.table is table for line in all_lines) - len(group)
        script = "; ".join(f"{line.line - table.header_lines}s/^/# /" for line in group)
        if not table.has_users:
            edit = f"crontab -u {shlex.quote(table.user or '')}"
            yield f"{edit} -l | sed '{script}' | {edit} -"
        elif table.path is None:
            yield f"sed -i '{script}' TABLE"
        elif not others and table.path.parent.name == "cron.d" and CRON_D_NAME.fullmatch(table.path.name):
            name = shlex.quote(str(table.path))
            yield f"mv {name} {name}.imported"
        else:
            yield f"sed -i --follow-symlinks '{script}' {shlex.quote(str(table.path))}"


def _clock(at: datetime, zone: tzinfo) -> str:
    return format_local(at, zone).removesuffix(":00")
