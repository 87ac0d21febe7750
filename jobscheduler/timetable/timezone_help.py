"""Suggest names for unknown time zones, and note surprising properties of known ones."""

from __future__ import annotations

import re

from jobscheduler.timetable.former_zone_names import CURRENT_NAME

_OFFSET = re.compile(
    r"(?:UTC|GMT)?(?P<sign>[+\-\u2212])(?P<hours>0?[0-9]|1[0-9])(?::?(?P<minutes>[0-5][0-9]))?", re.IGNORECASE
)
_ETC = re.compile(r"(?:Etc/)?GMT(?P<sign>[+-])(?P<hours>[1-9][0-9]?)")
_NO_SUMMER_TIME = {"EST": "America/New_York", "MST": "America/Denver", "HST": None}
_PARTIAL_HOURS = {
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
    """Return a note on a surprising zone: the reversed sign of `Etc/GMT+3`, or no summer time; else None."""
    if match := _ETC.fullmatch(name):
        hours = int(match["hours"])
        where = "behind" if match["sign"] == "+" else "ahead of"
        return (
            f"`{name}` is {hours} {'hour' if hours == 1 else 'hours'} {where} UTC: the sign in these names is reversed"
        )
    if name not in _NO_SUMMER_TIME:
        return None
    other = _NO_SUMMER_TIME[name]
    return f"`{name}` has no summer time" + (f"; `{other}` has" if other else "")


def current_name(name: str, names: tuple[str, ...]) -> str | None:
    """Return the help for a valid name that this host lacks: a former name, or one too new for its data; else None."""
    today = CURRENT_NAME.get(name)
    if today is not None:
        return _help_for_former(name, today) if today in names else _LEGACY
    formers = [former for former, current in CURRENT_NAME.items() if current == name and former in names]
    return f"write `{formers[0]}`, its former name, or bring the package `tzdata` up to date" if formers else None


def _help_for_former(name: str, today: str) -> str:
    with_summer_time = _NO_SUMMER_TIME.get(name)
    remark = f" (without summer time, unlike `{with_summer_time}`)" if with_summer_time else ""
    return f"write `{today}`, its name today{remark}, or {_LEGACY}"


def unknown_zone_help(name: str, names: tuple[str, ...]) -> str:
    """Return the help for an unknown name."""
    if match := _OFFSET.fullmatch(name):
        return _help_for_offset(match, names)
    guess = _suggestion(name, names)
    return f"did you mean `{guess}`?" if guess else "write an IANA name such as `Europe/Berlin`"


def _help_for_offset(match: re.Match[str], names: tuple[str, ...]) -> str:
    """Return the help for a fixed offset. Zones in Etc have the POSIX sign, which counts hours behind UTC."""
    ahead, hours, minutes = match["sign"] == "+", int(match["hours"]), int(match["minutes"] or 0)
    etc = f"Etc/GMT{'-' if ahead else '+'}{hours}" if hours else "Etc/UTC"
    if not minutes and etc in names:
        where = f", which is {hours} h {'ahead of' if ahead else 'behind'} UTC: the sign in these names is reversed"
        return f"write `{etc}`{where if hours else ''}"
    place = _PARTIAL_HOURS.get(f"{'+' if ahead else '-'}{hours:02}:{minutes:02}")
    if place in names:
        return f"write the name of a place; `{place}` has that offset all year"
    return "write the name of a place, such as `Europe/Berlin`; no place has that offset all year"


def _suggestion(name: str, names: tuple[str, ...]) -> str | None:
    """Find the intended zone: different case, a place without its region, one typing mistake.

    A name that is merely similar is never suggested, because its zone has other rules.
    """
    wanted = without_prefix(name.rpartition("zoneinfo/")[2]).strip(" /.:").replace(" ", "_").lower()
    by_name = {known.lower(): known for known in (*CURRENT_NAME, *reversed(names))}
    by_place = {lower.rpartition("/")[2]: known for lower, known in by_name.items() if "/" in lower and known in names}
    exact = by_name.get(wanted) or by_place.get(wanted)
    if exact is not None:
        return exact if exact in names else CURRENT_NAME.get(exact)
    if len(wanted) < 5:  # an abbreviation such as CEST is not a typo of another
        return None
    similar = {
        known for spellings in (by_name, by_place) for lower, known in spellings.items() if _is_typo(wanted, lower)
    }
    candidates = {CURRENT_NAME.get(known, known) for known in similar} & set(names)
    return candidates.pop() if len(candidates) == 1 else None


def _is_typo(wrong: str, right: str) -> bool:
    """Return whether two names are one typing mistake apart: a letter more, less or other, or two of them swapped."""
    if abs(len(wrong) - len(right)) > 1:
        return False
    while wrong and right and wrong[0] == right[0]:
        wrong, right = wrong[1:], right[1:]
    while wrong and right and wrong[-1] == right[-1]:
        wrong, right = wrong[:-1], right[:-1]
    return max(len(wrong), len(right)) <= 1 or (len(wrong) == 2 and wrong == right[::-1])


def is_prefixed(name: str) -> bool:
    """Return whether a name is one of the copies of the zone data in other directories."""
    return name.startswith(("posix/", "right/"))


def without_prefix(name: str) -> str:
    """Remove `posix/` and `right/`: the same zones in other directories, the latter with leap seconds."""
    return name[6:] if is_prefixed(name) else name
