"""Lines of other programs' grammars, drawn together with what they mean there.

Nothing here uses the code under test. The rules are those of the programs' own documentation and sources:

- Quartz (`CronExpression`): seconds minutes hours day-of-month month day-of-week [year]; weekdays from 1, Sunday;
  just one `?`; `a/b` from a to the end; ranges may run over the end; `L`, `6L`, `6#3`, `W`, `LW`, `L-3`.
- AWS EventBridge: minutes hours day-of-month month day-of-week year, else like Quartz.
- Spring (`CronExpression`): seconds first, no year; weekdays from 1, Monday, to 7 or 0, Sunday; `?` is a star.
- APScheduler (`CronTrigger`): minutes hours day-of-month month day-of-week; the day may be `last`, `2nd tue` or
  `last fri`, or a list of these; all fields must match. Also as it is written by mistake, without the last star.
- Single steps: five or six fields of crontab in which `a/b` stands, which crontab itself refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.support.crontab_cases import MONTHS, WEEKDAYS, Meaning

Times = tuple[set[int], set[int], set[int]]
EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY = set(range(1, 32)), set(range(1, 13)), set(range(7))


@dataclass
class Line:
    """A line and every meaning that a grammar gives it; None is one that crontab cannot say."""

    text: str
    meanings: list[Meaning | None]


def quartz(random: Random) -> Line:
    """Draw a line of six or seven fields with one `?`; six may be Spring's as well, which is a second meaning."""
    times, fields = _times(random, seconds=True)
    clock = _follows_real_time(fields)
    day, weekday, month, month_text = _quartz_days(random)
    year = random.choice(("", "", " *", " 2027", " 2027-2030"))
    text = " ".join([*fields, day.text, month_text, weekday.text]) + year
    bounded = year.strip() not in ("", "*")
    meanings = [None if bounded else _meaning(text, times, day, weekday, month, clock)]
    if not year:
        meanings.append(_meaning(text, times, day, weekday, month, clock, spring=True))
    return Line(text, meanings)


def aws(random: Random) -> Line:
    """Draw a line of EventBridge."""
    times, fields = _times(random, seconds=False)
    clock = _follows_real_time(fields)
    day, weekday, month, month_text = _quartz_days(random)
    year = random.choice(("*", "*", "*", "2027", "2027-2030", "2027,2029"))
    text = " ".join([*fields, day.text, month_text, weekday.text, year])
    return Line(text, [None if year != "*" else _meaning(text, times, day, weekday, month, clock)])


def apscheduler(random: Random) -> Line:
    """Draw a line with a day of the month that is counted in words, and perhaps a weekday beside it."""
    times, fields = _times(random, seconds=False)
    clock = _follows_real_time(fields)
    months, month_text, _ = _months(random)
    lasts, nths, texts = set(), set(), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        weekday, nth = random.randint(0, 6), random.randint(1, 6)
        (lasts if nth == 6 else nths).add(weekday if nth == 6 else (weekday, nth))
        count = "last" if nth == 6 else ("1st", "2nd", "3rd", "4th", "5th")[nth - 1]
        texts.append(f"{count} {random.choice((str.lower, str.title))(WEEKDAYS[weekday])}")
    days, last_day = ",".join(texts), random.random() < 0.15
    rest = random.choice((f"{month_text} *", f"{month_text} *", month_text, f"{month_text} mon", f"{month_text} last"))
    if last_day:
        days, lasts, nths, rest = "last", set(), set(), random.choice((f"{month_text} *", f"{month_text} fri"))
    text = " ".join([*fields, days, rest])
    weekdays, ordinary = (EVERY_WEEKDAY, set()) if last_day else (set(), EVERY_DAY)
    if rest.endswith(("mon", "last", "fri")):  # an intersection, or refused there as well
        return Line(text, [None])
    return Line(
        text, [Meaning(text, *times, months, ordinary, weekdays, last_day, lasts, nths, both=True, real_time=clock)]
    )


def single_step(random: Random) -> Line:
    """Draw a line of crontab with `a/b` in it; a weekday may go on to 6 or to 7."""
    seconds = random.random() < 0.3
    times, fields = _times(random, seconds=seconds, single=0.5)
    clock = _follows_real_time(fields)
    days, day_text = _numbers(random, 1, 31, star=0.4, single=0.5)
    months, month_text = _numbers(random, 1, 12, star=0.6, single=0.5)
    kind = random.random()
    until: list[set[int]]
    if kind < 0.4:
        weekday_text, until = "*", [EVERY_WEEKDAY]
    elif kind < 0.6:
        number = random.randint(0, 6)
        weekday_text, until = random.choice((str(number), WEEKDAYS[number])), [{number}]
    else:
        first, step = random.randint(0, 6), random.randint(1, 4)
        weekday_text = f"{random.choice((str(first), WEEKDAYS[first]))}/{step}"
        until = [{day % 7 for day in range(first, end + 1, step)} for end in (6, 7)]
    text = " ".join([*fields, day_text, month_text, weekday_text])
    both = day_text.startswith("*") or weekday_text.startswith("*")
    meanings: list[Meaning | None] = []
    for weekdays in until:
        for rule in (both, True) if seconds else (both,):  # in Spring, which has six fields, both days must match
            meanings.append(Meaning(text, *times, months, days, weekdays, False, set(), set(), rule, clock))
    return Line(text, meanings)


@dataclass
class _Weekday:
    """A field of weekdays: its text, and what it means where Sunday is 1 and where it is 7; None where it is wrong."""

    text: str
    quartz: tuple[set[int], set[int], set[tuple[int, int]]] | None
    spring: tuple[set[int], set[int], set[tuple[int, int]]] | None


@dataclass
class _Day:
    """A field of days of the month; `days` is None for what crontab cannot say, `wraps` for what Spring refuses."""

    text: str
    days: set[int] | None
    last: bool = False
    wraps: bool = False


def _meaning(
    text: str,
    times: Times,
    day: _Day,
    weekday: _Weekday,
    month: tuple[set[int], bool],
    clock: bool,
    *,
    spring: bool = False,
) -> Meaning | None:
    found = weekday.spring if spring else weekday.quartz
    months, month_wraps = month
    if spring and (found is None or day.wraps or month_wraps):
        return None
    if found is None or day.days is None:
        return None
    weekdays, lasts, nths = found
    return Meaning(text, *times, months, day.days, weekdays, day.last, lasts, nths, both=True, real_time=clock)


def _follows_real_time(fields: list[str]) -> bool:
    """Say whether minute or hour starts with a star, the rule of Debian's cron."""
    return any(field.startswith("*") for field in fields[-2:])


def _times(random: Random, *, seconds: bool, single: float = 0.3) -> tuple[Times, list[str]]:
    second, second_text = _numbers(random, 0, 59, star=0.2, single=single) if seconds else ({0}, "")
    minute, minute_text = _numbers(random, 0, 59, star=0.2, single=single)
    hour, hour_text = _numbers(random, 0, 23, star=0.3, single=single)
    return (second, minute, hour), [text for text in (second_text, minute_text, hour_text) if text]


def _numbers(random: Random, low: int, high: int, *, star: float, single: float) -> tuple[set[int], str]:
    kind = random.random()
    step = random.choice((1, 2, 3, 5, 7, 10, 12))
    if kind < star:
        return (set(range(low, high + 1, step)), f"*/{step}") if kind < star / 3 else (set(range(low, high + 1)), "*")
    first = random.choice((low, low, random.randint(low, high)))
    if random.random() < single:
        return set(range(first, high + 1, step)), f"{first}/{step}"
    last = random.randint(first, high)
    if random.random() < 0.5:
        return {first}, str(first)
    if random.random() < 0.3:
        return set(range(first, last + 1, step)), f"{first}-{last}/{step}"
    return {first, last}, f"{first},{last}"


def _quartz_days(random: Random) -> tuple[_Day, _Weekday, tuple[set[int], bool], str]:
    months, month_text, wraps = _months(random)
    if random.random() < 0.5:
        return (
            _day(random),
            _Weekday("?", (EVERY_WEEKDAY, set(), set()), (EVERY_WEEKDAY, set(), set())),
            (
                months,
                wraps,
            ),
            month_text,
        )
    return _Day("?", EVERY_DAY), _weekday(random), (months, wraps), month_text


def _months(random: Random) -> tuple[set[int], str, bool]:
    kind = random.random()
    if kind < 0.6:
        return EVERY_MONTH, "*", False
    first, last = random.randint(1, 12), random.randint(1, 12)
    if kind < 0.75:
        return {first}, random.choice((str(first), MONTHS[first - 1].upper())), False
    names = random.random() < 0.5
    text = f"{MONTHS[first - 1].upper()}-{MONTHS[last - 1].upper()}" if names else f"{first}-{last}"
    numbers = range(first, last + 1 if last >= first else last + 13)
    return {(number - 1) % 12 + 1 for number in numbers}, text, last < first


def _day(random: Random) -> _Day:
    kind = random.random()
    first, last, step = random.randint(1, 31), random.randint(1, 31), random.choice((1, 2, 3, 5, 10))
    if kind < 0.2:
        return _Day("*", EVERY_DAY)
    if kind < 0.35:
        return _Day("L", set(), last=True)
    if kind < 0.5:
        return _Day(random.choice(("LW", f"{first}W", "L-3")), None)
    if kind < 0.7:
        return _Day(f"{first}/{step}", set(range(first, 32, step)))
    if kind < 0.85:
        return _Day(f"{first},{last}", {first, last})
    numbers = range(first, last + 1 if last >= first else last + 32)
    return _Day(f"{first}-{last}", {(number - 1) % 31 + 1 for number in numbers}, wraps=last < first)


def _weekday(random: Random) -> _Weekday:
    kind = random.random()
    first, last, step = random.randint(1, 7), random.randint(1, 7), random.choice((1, 2, 3))
    name, other = WEEKDAYS[first - 1].upper(), WEEKDAYS[last - 1].upper()
    if kind < 0.1:
        return _Weekday("*", (EVERY_WEEKDAY, set(), set()), (EVERY_WEEKDAY, set(), set()))
    if kind < 0.2:
        return _Weekday("L", ({6}, set(), set()), None)
    if kind < 0.35:
        return _Weekday(f"{first}L", (set(), {first - 1}, set()), (set(), {first % 7}, set()))
    if kind < 0.5:
        nth = random.randint(1, 5)
        return _Weekday(f"{first}#{nth}", (set(), set(), {(first - 1, nth)}), (set(), set(), {(first % 7, nth)}))
    if kind < 0.6:
        nth = random.randint(1, 5)
        named: tuple[set[int], set[int], set[tuple[int, int]]] = (set(), set(), {(first - 1, nth)})
        return _Weekday(f"{name}#{nth}", named, named)
    if kind < 0.7:
        plain: tuple[set[int], set[int], set[tuple[int, int]]] = ({first - 1, last - 1}, set(), set())
        return _Weekday(f"{name},{other}", plain, plain)
    if kind < 0.8:
        return _Weekday(f"{first}", ({first - 1}, set(), set()), ({first % 7}, set(), set()))
    if kind < 0.9:
        stepped = {number - 1 for number in range(first, 8, step)}
        return _Weekday(
            f"{first}/{step}", (stepped, set(), set()), ({n % 7 for n in range(first, 8, step)}, set(), set())
        )
    return _range(first, last, names=random.random() < 0.5)


def _range(first: int, last: int, *, names: bool) -> _Weekday:
    text = f"{WEEKDAYS[first - 1].upper()}-{WEEKDAYS[last - 1].upper()}" if names else f"{first}-{last}"
    in_quartz = {(number - 1) % 7 for number in range(first, last + 1 if last >= first else last + 8)}
    low, high = ((first - 1) or 7, (last - 1) or 7) if names else (first, last)
    low = 0 if low == 7 else low
    in_spring = {number % 7 for number in range(low, high + 1)}
    return _Weekday(text, (in_quartz, set(), set()), (in_spring, set(), set()) if low <= high else None)
