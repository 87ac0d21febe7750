"""Compare what fields of a schedule mean in JobsManager (as APScheduler reads them) with their meaning here (pure).

1. Weekdays as numbers: there 0 is Monday, here 0 and 7 are Sunday.
2. `day` and `day_of_week` both restricted: there both must match, here either may, unless one begins with `*`.
3. `last`, `2nd tue`, `last fri` in `day` have other forms here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ORDINALS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5}
_NTH = re.compile(rf"({'|'.join(_ORDINALS)}|last)\s+({'|'.join(_NAMES)})", re.IGNORECASE)
_RANGE = re.compile(r"(\*|\d)(?:-(\d))?(?:/(\d+))?")
_WEEKS = {f"{7 * week + 1}-{7 * week + 7}": week + 1 for week in range(4)}


def reads_differently(name: str, value: str) -> str | None:
    """Return the form here of a JobsManager field that is written differently, None for any other."""
    if name != "day":
        return None
    items = [item.strip() for item in value.split(",")]
    if all(item.lower() == "last" for item in items):
        return 'day="L"'
    matches = [_NTH.fullmatch(item) for item in items]
    if not all(matches):
        return None
    return f'day_of_week="{",".join(_nth(item[1].lower(), item[2].lower()) for item in matches if item)}"'


def _nth(which: str, day: str) -> str:
    return f"{day}L" if which == "last" else f"{day}#{_ORDINALS[which]}"


def different_days(day: str, day_of_week: str) -> Iterator[str]:
    """Yield warnings for days on which a job is not due in JobsManager, with a form that means the same."""
    theirs, ours = _days(day_of_week, first=0), _days(day_of_week, first=1)
    if theirs is not None and theirs != ours:
        names = ",".join(_NAMES[day_number] for day_number in sorted(theirs))
        yield (
            f"`day_of_week` {day_of_week} is {_day_names(ours)} here, and {_day_names(theirs)} in JobsManager, which "
            f'counts from 0 for Monday; `day_of_week="{names}"` means the same in both'
        )
    if not day.startswith("*") and not day_of_week.startswith(("*", "?")):
        replacement = _both(day, theirs, day_of_week)
        yield f"it is due when `day` or `day_of_week` matches, and in JobsManager only when both do; {replacement}"


def _both(day: str, theirs: set[int] | None, day_of_week: str) -> str:
    names = ",".join(_NAMES[number] for number in sorted(theirs)) if theirs else day_of_week
    week = _WEEKS.get(day)
    if week is not None:
        return f'for that write `day="*", day_of_week="{",".join(f"{name}#{week}" for name in names.split(","))}"`'
    example = f', such as `[ "$(date +%-d)" = {day} ] || exit 0; ...`' if day.isdigit() else ""
    return f'for that write `day="*"` and let the command look at the day of the month{example}'


def _days(field: str, *, first: int) -> set[int] | None:
    """Return the days that numbers mean, Monday as 0; None for other words. `first` is Monday's number."""
    days: set[int] = set()
    for item in field.split(","):
        match = _RANGE.fullmatch(item)
        if match is None:
            return None
        low, high, step = match[1], match[2], int(match[3] or 1)
        if low == "*":
            low, high = "0", "6"
        last = int(high) if high else (6 if match[3] else int(low))
        days.update((number - first) % 7 for number in range(int(low), last + 1, max(1, step)))
    return None if field == "*" else days


def _day_names(days: set[int] | None) -> str:
    return ", ".join(_NAMES[day] for day in sorted(days or ()))
