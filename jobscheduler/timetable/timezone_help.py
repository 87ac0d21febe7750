"""What to write for a time zone that cannot be had, and what surprises people about one that can."""

from __future__ import annotations

import re

from jobscheduler.timetable.former_zone_names import CURRENT_NAME

_OFFSET = re.compile(
    r"(?:UTC|GMT)?(?P<sign>[+\-\u2212])(?P<hours>0?[0-9]|1[0-9])(?::?(?P<minutes>[0-5][0-9]))?", re.IGNORECASE
)
_ETC = re.compile(r"(?:Etc/)?GMT(?P<sign>[+-])(?P<hours>[1-9][0-9]?)")
_NO_SUMMER_TIME = {"EST": "America/New_York", "MST": "America/Denver", "HST": None}
_BROKEN_HOURS = {
    "+03:30": "Asia/Tehran",
    "+04:30": "Asia/Kabul",
    "+05:30": "Asia/Kolkata",
    "+05:45": "Asia/Kathmandu",
    "+06:30": "Asia/Yangon",
    "+08:45": "Australia/Eucla",
    "+09:30": "Australia/Darwin",
    "-09:30": "Pacific/Marquesas",
}
_LEGACY = "install the package `tzdata-legacy` for names of former releases"


def zone_note(name: str) -> str | None:
    """Say what surprises people about a zone: the turned sign of `Etc/GMT+3`, no summer time; None if nothing does."""
    if found := _ETC.fullmatch(name):
        hours = int(found["hours"])
        where = "behind" if found["sign"] == "+" else "ahead of"
        return (
            f"`{name}` is {hours} {'hour' if hours == 1 else 'hours'} {where} UTC: the sign in these names is reversed"
        )
    if name not in _NO_SUMMER_TIME:
        return None
    other = _NO_SUMMER_TIME[name]
    return f"`{name}` has no summer time" + (f"; `{other}` has" if other else "")


def current_name(name: str, names: tuple[str, ...]) -> str | None:
    """Say what to write for a name that is right and not on this host: a former one, or one that is too new for it."""
    today = CURRENT_NAME.get(name)
    if today is not None:
        return _help_for_former(name, today) if today in names else _LEGACY
    formers = [former for former, one in CURRENT_NAME.items() if one == name and former in names]
    return f"write `{formers[0]}`, its former name, or bring the package `tzdata` up to date" if formers else None


def _help_for_former(name: str, today: str) -> str:
    with_summer_time = _NO_SUMMER_TIME.get(name)
    unlike = f" (without summer time, unlike `{with_summer_time}`)" if with_summer_time else ""
    return f"write `{today}`, its name today{unlike}, or {_LEGACY}"


def unknown_zone_help(name: str, names: tuple[str, ...]) -> str:
    """Say what to write for a name that is no zone's."""
    if found := _OFFSET.fullmatch(name):
        return _help_for_offset(found, names)
    guess = _suggestion(name, names)
    return f"did you mean `{guess}`?" if guess else "write an IANA name such as `Europe/Berlin`"


def _help_for_offset(found: re.Match[str], names: tuple[str, ...]) -> str:
    """Name the zone of a fixed offset. Those in Etc have the sign of POSIX, which counts hours behind UTC."""
    ahead, hours, minutes = found["sign"] == "+", int(found["hours"]), int(found["minutes"] or 0)
    etc = f"Etc/GMT{'-' if ahead else '+'}{hours}" if hours else "Etc/UTC"
    if not minutes and etc in names:
        where = f", which is {hours} h {'ahead of' if ahead else 'behind'} UTC: the sign in these names is reversed"
        return f"write `{etc}`{where if hours else ''}"
    place = _BROKEN_HOURS.get(f"{'+' if ahead else '-'}{hours:02}:{minutes:02}")
    if place in names:
        return f"write the name of a place; `{place}` has that offset all year"
    return "write the name of a place, such as `Europe/Berlin`; no place has that offset all year"


def _suggestion(name: str, names: tuple[str, ...]) -> str | None:
    """Find the zone that was meant: other case, a place without its region, one typing mistake.

    A zone that is merely spelled alike has other rules, so none is taken for another.
    """
    wanted = without_prefix(name.rpartition("zoneinfo/")[2]).strip(" /.:").replace(" ", "_").lower()
    by_lower = {one.lower(): one for one in (*CURRENT_NAME, *reversed(names))}
    places = {lower.rpartition("/")[2]: one for lower, one in by_lower.items() if "/" in lower and one in names}
    exact = by_lower.get(wanted) or places.get(wanted)
    if exact or len(wanted) < 5:  # an abbreviation such as CEST is no typo of another
        return exact if exact in names else CURRENT_NAME.get(exact or "")
    close = {by_lower[one] for one in by_lower if _is_typo(wanted, one)}
    close |= {places[one] for one in places if _is_typo(wanted, one)}
    todays = {CURRENT_NAME.get(one, one) for one in close} & set(names)
    return todays.pop() if len(todays) == 1 else None


def _is_typo(wrong: str, right: str) -> bool:
    """Say whether two names are one typing mistake apart: a letter more, less or other, or two of them swapped."""
    if abs(len(wrong) - len(right)) > 1:
        return False
    while wrong and right and wrong[0] == right[0]:
        wrong, right = wrong[1:], right[1:]
    while wrong and right and wrong[-1] == right[-1]:
        wrong, right = wrong[:-1], right[:-1]
    return max(len(wrong), len(right)) <= 1 or (len(wrong) == 2 and wrong == right[::-1])


def is_prefixed(name: str) -> bool:
    """Say whether a name is one of the copies of the zone data in other directories."""
    return name.startswith(("posix/", "right/"))


def without_prefix(name: str) -> str:
    """Take off `posix/` and `right/`: the same zones in other directories, the latter with leap seconds."""
    return name[6:] if is_prefixed(name) else name
