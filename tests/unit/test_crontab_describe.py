"""The English sentence, read back by a small reader and held against the value; and what clock changes do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.timetable.crontab import Crontab, DstKind, ScheduleError, describe, dst_effect_at, parse, why_not_due
from tests.support.crontab_cases import draw

SENTENCES = {
    "0 1 * * 1-5": "At 01:00 on Monday through Friday",
    "0 1 * * *": "At 01:00 every day",
    "0 1 * 3 *": "At 01:00 every day in March",
    "0,30 1,13 * * *": "At 01:00, 01:30, 13:00 and 13:30 every day",
    "30 5 1 * * *": "At 01:05:30 every day",
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "*/90 * * * *": "At minute 0 of every hour",
    "*/7 * * * *": "At every 7th minute from 0 through 56 of every hour",
    "@hourly": "At minute 0 of every hour",
    "7 */2 * * *": "At minute 7 of every 2nd hour from 0",
    "*/15 9-17 * * mon-fri": "Every 15 minutes of hours 9 through 17 on Monday through Friday",
    "* * * * * *": "Every second",
    "*/10 * * * * *": "Every 10 seconds",
    "30 * * * * *": "At second 30 of every minute",
    "* * 2 * * *": "Every second of hour 2",
    "@yearly": "At 00:00 on day 1 of the month in January",
    "0 0 13 * 5": "At 00:00 on day 13 of the month or on Friday",
    "0 0 13 3 5": "At 00:00 on day 13 of the month or on Friday, in March",
    "0 0 */2 * sun": "At 00:00 on every 2nd day from 1 through 31 of the month if that is Sunday",
    "0 0 1,L * *": "At 00:00 on day 1 and the last day of the month",
    "0 0 * * friL,mon#1,wed": "At 00:00 on Wednesday, the first Monday of the month and the last Friday of the month",
    "0 0 1-31 * mon": "At 00:00 every day",
    "0 0 * * fri-sun": "At 00:00 on Friday through Sunday",
    "0 0 * 1,3-5 *": "At 00:00 every day in January and March through May",
    "@reboot": "Once after each boot of the host, when the service first starts",
}


@pytest.mark.parametrize("text", SENTENCES)
def test_a_schedule_has_a_sentence(text):
    """What people read."""
    assert describe(parse(text)) == SENTENCES[text]


MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
WEEKDAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()  # noqa: SIM905
NTH = "first second third fourth fifth".split()  # noqa: SIM905


class Reader:
    """Understands the sentences as a person would, knowing nothing of how they were made."""

    def __init__(self, said: str) -> None:
        times, days, months = self._split(said)
        self.months = self._names(months, MONTHS, 1) if months else set(range(1, 13))
        self.clock = self._clock(times) if ":" in times else self._units(times)
        self.rule, self.dates, self.weekdays = self._days(days)

    def _split(self, said: str) -> tuple[str, str, str]:
        said, _, months = said.partition(" in ")
        found = re.fullmatch(r"(.*?)(?: every day| on (.*?))?,?", said)
        return found[1], found[2] or "", months

    def _clock(self, times: str) -> set[tuple[int, int, int]]:
        found = re.findall(r"(\d\d):(\d\d)(?::(\d\d))?", times)
        return {(int(hour), int(minute), int(second or 0)) for hour, minute, second in found}

    def _units(self, times: str) -> set[tuple[int, int, int]]:
        sizes = {"second": 60, "minute": 60, "hour": 24}
        unit: dict[str, set[int]] = {}
        for part in re.sub(r"^(At|Every) ?", lambda m: "every " if m[1] == "Every" else "", times).split(" of "):
            name = next(name for name in sizes if name in part)
            unit[name] = self._numbers(part.replace("every every", "every"), name, sizes[name])
        seconds = unit.get("second", {0})
        return {
            (hour, minute, second)
            for hour in unit.get("hour", set(range(24)))
            for minute in unit.get("minute", set(range(60)))
            for second in seconds
        }

    def _numbers(self, part: str, name: str, size: int, low: int = 0) -> set[int]:
        if part == f"every {name}":
            return set(range(low, size))
        if found := re.fullmatch(rf"every (\d+) {name}s", part):
            return set(range(0, size, int(found[1])))
        if found := re.fullmatch(rf"every (\d+)(?:st|nd|rd|th) {name} from (\d+)(?: through (\d+))?", part):
            return set(range(int(found[2]), int(found[3]) + 1 if found[3] else size, int(found[1])))
        return self._names(re.sub(rf"^{name}s? ", "", part), [str(n) for n in range(size)], 0)

    def _names(self, said: str, names: list[str], first: int) -> set[int]:
        found: set[int] = set()
        for part in re.split(r", | and ", said):
            low, _, high = part.partition(" through ")
            start, end = names.index(low), names.index(high or low)
            found |= set(range(start, (end if end >= start else end + len(names)) + 1))
        return {number % len(names) + first for number in found}

    def _days(self, said: str) -> tuple[str, set, set]:
        rule = next((rule for rule in (" or on ", " if that is ") if rule in said), "")
        dates, weekdays = (
            said.split(rule)
            if rule
            else (said, "")
            if "day of the month" in said or said.startswith(("day", "every"))
            else ("", said)
        )
        if not rule and re.search("Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday", said):
            dates, weekdays = "", said
        return rule, self._dates(dates), self._weekdays(weekdays)

    def _dates(self, said: str) -> set:
        if not said:
            return set()
        said = said.removesuffix(" of the month")
        last = {"last"} if said.endswith("the last day") else set()
        said = re.sub(r"(^| and )the last day$", "", said)
        return last | (self._numbers(said, "day", 32, 1) if said else set())

    def _weekdays(self, said: str) -> set:
        found: set = set()
        for part in re.split(r", | and ", said.replace(" of the month", "")) if said else ():
            words = part.split()
            if words[0] == "the":
                found.add((words[1], WEEKDAYS.index(words[2])))
            else:
                found |= self._names(part, WEEKDAYS, 0)
        return found

    def has_date(self, length: int, first: int, day: int) -> bool:
        """Say whether a day matches in a month of that length that begins on that weekday (0 is Sunday)."""
        weekday = (first + day - 1) % 7
        dates = day in self.dates or ("last" in self.dates and day == length)
        weekdays = (
            weekday in self.weekdays
            or (NTH[(day - 1) // 7], weekday) in self.weekdays
            or (day > length - 7 and ("last", weekday) in self.weekdays)
        )
        if self.rule == " or on ":
            return dates or weekdays
        return (dates or not self.dates) and (weekdays or not self.weekdays)


def clock_of(crontab: Crontab) -> set[tuple[int, int, int]]:
    def numbers(mask: int) -> list[int]:
        return [n for n in range(64) if mask >> n & 1]

    return {
        (h, m, s) for h in numbers(crontab.hours) for m in numbers(crontab.minutes) for s in numbers(crontab.seconds)
    }


def check(text: str) -> None:
    crontab = parse(text)
    reader = Reader(describe(crontab))
    told = (text, describe(crontab))
    assert reader.clock == clock_of(crontab), told
    assert sum(1 << month for month in reader.months) == crontab.months, told
    for length in (28, 29, 30, 31):
        for first in range(7):
            mask = crontab.day_rule.mask_for(length, first)
            assert mask == sum(1 << day for day in range(1, length + 1) if reader.has_date(length, first, day)), told


@pytest.mark.parametrize("text", [text for text in SENTENCES if text != "@reboot"])
def test_the_known_sentences_are_understood(text):
    """So that the reader is not at fault."""
    check(text)


def test_sentences_say_what_the_value_is():
    """400 drawn schedules: a reader of the sentence knows the same times and days as the value."""
    random, checked = Random(7), 0
    while checked < 400:
        text = draw(random, seconds=random.random() < 0.1, hour=random.choice((None, None, 3))).text
        if text.startswith("* * ") and len(text.split()) == 6:
            continue  # 86,400 times a day are slow to compare
        try:
            check(text)
        except ScheduleError:
            continue
        checked += 1


# What clock changes do to single slots.

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "slot", "kind", "says"),
    [
        ("30 2 * * *", "2026-03-29T03:00+02:00", DstKind.MOVED, "the clock skips 02:30; runs right after the gap"),
        (
            "0,30 2 * * *",
            "2026-03-29T03:00+02:00",
            DstKind.MERGED,
            "the clock skips 02:00; the 2 times up to 02:30 run once, together",
        ),
        (
            "0 2,3 * * *",
            "2026-03-29T03:00+02:00",
            DstKind.MERGED,
            "the clock skips 02:00; the 2 times up to 03:00 run once, together",
        ),
        ("30 2 * * *", "2026-10-25T02:30+02:00", DstKind.ONCE, "the clock shows 02:30 twice; runs the first time only"),
        (
            "*/30 2 * * *",
            "2026-10-25T02:30+02:00",
            DstKind.TWICE,
            "the clock shows 02:30 twice; this is the first time",
        ),
        (
            "*/30 2 * * *",
            "2026-10-25T02:30+01:00",
            DstKind.TWICE,
            "the clock shows 02:30 twice; this is the second time",
        ),
    ],
)
def test_a_slot_at_a_clock_change_says_what_happens(text, slot, kind, says):
    """Moved, merged, run once, run twice."""
    change = dst_effect_at(parse(text), at(slot), BERLIN)
    assert change is not None
    assert (change.kind, change.text) == (kind, says)


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("30 2 * * *", "2026-03-28T02:30+01:00"),
        ("0 3 * * *", "2026-03-29T03:00+02:00"),
        ("*/30 * * * *", "2026-03-29T03:00+02:00"),
        ("0 3 * * *", "2026-10-25T03:00+01:00"),
        ("*/30 1 * * *", "2026-10-25T01:30+02:00"),
    ],
)
def test_an_ordinary_slot_has_no_note(text, slot):
    """Also beside a change."""
    assert dst_effect_at(parse(text), at(slot), BERLIN) is None
    assert why_not_due(parse(text), at(slot), BERLIN) == ()


def test_a_merged_slot_tells_how_many():
    """For a day that was skipped as well."""
    change = dst_effect_at(parse("0 0-23 30 12 *"), at("2011-12-30T10:00Z"), ZoneInfo("Pacific/Apia"))
    assert change is not None
    assert (change.count, change.first.hour, change.last.hour, change.last.day) == (24, 0, 23, 30)


@pytest.mark.parametrize(
    ("text", "moment", "reasons"),
    [
        (
            "0 1 * * *",
            "2026-11-22T02:30:15+01:00",
            ("the second is 15, not 0", "the minute is 30, not 0", "the hour is 2, not 1"),
        ),
        (
            "30 2 1 1,3 *",
            "2026-11-22T02:30+01:00",
            ("the month is November, not January or March", "Sunday 2026-11-22 is not one of its days"),
        ),
        ("30 2 * * mon", "2026-11-22T02:30+01:00", ("Sunday 2026-11-22 is not one of its days",)),
        ("30 2 * * *", "2026-10-25T02:30+01:00", ("the clock has shown 02:30 before; it ran then",)),
        ("30 2 * * *", "2026-10-25T02:30+02:00", ()),
        ("30 2 * * *", "2026-03-29T03:00+02:00", ()),
        ("*/30 2 * * *", "2026-03-29T03:00+02:00", ("the hour is 3, not 2",)),
        ("@reboot", "2026-03-29T03:00+02:00", ("it is due only when the service first starts after a boot",)),
    ],
)
def test_a_moment_that_is_no_slot_says_why(text, moment, reasons):
    """Field by field, and the second pass of a repeated hour."""
    assert why_not_due(parse(text), at(moment), BERLIN) == reasons
