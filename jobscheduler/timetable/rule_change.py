"""What new rules of a time zone mean for the slots around the moment at which they apply. Pure.

New rules set the clock of the zone, ahead or back. For a job of real time nothing follows. For a job with fixed times
(see `crontab.crontab`) each time of day counts once:

1. Set back, the clock shows times again whose slots are decided. Those do not run a second time.
2. Set ahead, the clock skips times whose slots were still to come. By the new rules those have passed, undecided.

Example: `30 12 * * *` ran at 17:30Z. At 18:00Z new rules put 12:30 at 18:30Z: today's slot is decided already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobscheduler.timetable.crontab import to_epoch_seconds
from jobscheduler.timetable.crontab.wall_clock import first_instant_showing, latest_wall_time, to_datetime
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK, TimeSpan

MAX_SLOTS = 1000  # of one job, at whose wall-clock times a change of rules looks


@dataclass(frozen=True, slots=True)
class RuleChange:
    """The slots that need care: `repeated` ones to come are decided already; `passed` ones are not, and are over.

    `decided` are the slots of the former rules among those that have passed.
    """

    repeated: tuple[TimeSpan, ...] = ()
    passed: tuple[datetime, ...] = ()
    decided: tuple[TimeSpan, ...] = ()


NO_CHANGE = RuleChange()


def rule_change(former: Timetable, new: Timetable, since: datetime, now: datetime) -> RuleChange:
    """Compare two timetables of a job that differ in the rules of their zone alone; its slots count from `since` on."""
    if not _differ_in_rules(former, new):
        return NO_CHANGE
    instant = to_epoch_seconds(now)
    shown, shows = latest_wall_time(former.zone, instant), latest_wall_time(new.zone, instant)
    if shows < shown:
        return RuleChange(repeated=_repeated(former, new, _start(former, shows, since), now))
    if shows > shown:
        return _passed(former, new, _start(new, shown, since), now)
    return NO_CHANGE


def _differ_in_rules(former: Timetable, new: Timetable) -> bool:
    if former.zone is new.zone or former.zone.key != new.zone.key:  # the first is so for nearly every definition
        return False
    return new.has_fixed_times and former.schedule == new.schedule


def _start(timetable: Timetable, wall: int, since: datetime) -> datetime:
    """Return the moment after which a zone's clock shows times later than `wall`, but not before `since`."""
    return max(since, to_datetime(first_instant_showing(timetable.zone, wall + 1)) - TICK)


def _repeated(former: Timetable, new: Timetable, after: datetime, now: datetime) -> tuple[TimeSpan, ...]:
    walls = (latest_wall_time(former.zone, to_epoch_seconds(slot)) for slot in former.slots(after, now, MAX_SLOTS))
    instants = (to_datetime(first_instant_showing(new.zone, wall)) for wall in walls)
    return tuple((slot, slot) for slot in instants if slot > now and new.next(slot - TICK) == slot)


def _passed(former: Timetable, new: Timetable, after: datetime, now: datetime) -> RuleChange:
    decided = frozenset(former.slots(after, now, MAX_SLOTS))
    passed = tuple(slot for slot in new.slots(after, now, MAX_SLOTS) if slot not in decided)
    return RuleChange(passed=passed, decided=tuple((slot, slot) for slot in sorted(decided)))
