"""What fields of a schedule mean in JobsManager (as APScheduler reads them) beside what they mean here (pure).

1. Weekdays as numbers: there 0 is Monday, here 0 and 7 are Sunday.
2. `day` and `day_of_week` both restricted: there both have to match, here either may, unless one begins with `*`.
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
    """Return how a field of JobsManager is written here that has another form, None for any other."""
    if name != "day":
        return None
    items = [one.strip() for one in value.split(",")]
    if all(one.lower() == "last" for one in items):
        return 'day="L"'
    found = [_NTH.fullmatch(one) for one in items]
    if not all(found):
        return None
    return f'day_of_week="{",".join(_nth(one[1].lower(), one[2].lower()) for one in found if one)}"'


def _nth(which: str, day: str) -> str:
    return f"{day}L" if which == "last" else f"{day}#{_ORDINALS[which]}"


def different_days(day: str, day_of_week: str) -> Iterator[str]:
    """Say where a job is due on other days than JobsManager has it, and what to write to mean the same."""
    there, here = _days(day_of_week, first=0), _days(day_of_week, first=1)
    if there is not None and there != here:
        names = ",".join(_NAMES[one] for one in sorted(there))
        yield (
            f"`day_of_week` {day_of_week} is {_day_names(here)} here, and {_day_names(there)} in JobsManager, which "
            f'counts from 0 for Monday; `day_of_week="{names}"` means the same in both'
        )
    if not day.startswith("*") and not day_of_week.startswith(("*", "?")):
        instead = _both(day, there, day_of_week)
        yield f"it is due when `day` or `day_of_week` matches, and in JobsManager only when both do; {instead}"


def _both(day: str, there: set[int] | None, day_of_week: str) -> str:
    names = ",".join(_NAMES[one] for one in sorted(there)) if there else day_of_week
    week = _WEEKS.get(day)
    if week is not None:
        return f'for that write `day="*", day_of_week="{",".join(f"{one}#{week}" for one in names.split(","))}"`'
    such = f', such as `[ "$(date +%-d)" = {day} ] || exit 0; ...`' if day.isdigit() else ""
    return f'for that write `day="*"` and let the command look at the day of the month{such}'


def _days(field: str, *, first: int) -> set[int] | None:
    """Return the days that numbers mean, Monday as 0; None for a field with other words. `first` is Monday's number."""
    found: set[int] = set()
    for item in field.split(","):
        match = _RANGE.fullmatch(item)
        if match is None:
            return None
        low, high, step = match[1], match[2], int(match[3] or 1)
        if low == "*":
            low, high = "0", "6"
        last = int(high) if high else (6 if match[3] else int(low))
        found.update((number - first) % 7 for number in range(int(low), last + 1, max(1, step)))
    return None if field == "*" else found


def _day_names(days: set[int] | None) -> str:
    return ", ".join(_NAMES[one] for one in sorted(days or ()))
