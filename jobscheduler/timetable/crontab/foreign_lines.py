"""Translate whole lines of other programs to crontab: text around the fields, other grammars, English.

A rule exists only for lines with one meaning. A line that crontab cannot express gets no suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from jobscheduler.timetable.crontab.dialects import AWS, from_dialect, one_day_field
from jobscheduler.timetable.crontab.full_names import shorten_names
from jobscheduler.timetable.crontab.jenkins import from_jenkins
from jobscheduler.timetable.crontab.ordinals import from_ordinals
from jobscheduler.timetable.crontab.parser import MONTH_NAMES, WEEKDAY_NAMES, SyntaxFault, parse_expression
from jobscheduler.timetable.crontab.suggestion import NoSuggestion, Suggestion
from jobscheduler.timetable.crontab.years import looks_like_years, parse_years

_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_MINUTES, _HOURS = 60, 24
_WEEKDAYS, _MONTHS = "|".join(WEEKDAY_NAMES), "|".join(MONTH_NAMES)
_ZONE = re.compile(r"(?:CRON_)?TZ=(?P<zone>[A-Za-z0-9_+/-]+)\s+")
_CALL = re.compile(r"cron\s*\(\s*(?P<fields>[^()]*?)\s*\)", re.IGNORECASE)
_FIELD_LIKE = re.compile(rf"(?:[0-9*?,/#LW-]|{_MONTHS}|{_WEEKDAYS})+", re.IGNORECASE)
_OTHER_WEEKDAYS = "mo|di|mi|do|fr|sa|so|tu|we|th|su|lu|ma|me|je|ve"
_NO_COMMAND = "a schedule has no user or command; they belong in the `task`"
_USER = re.compile(r"[a-z_][a-z0-9_-]*\$?")
_OF_TIME = frozenset({"after", "and", "at", "before", "every", "except", "from", "in", "of", "on", "or", "until"})


def to_crontab(text: str) -> Suggestion:
    """Translate a whole line of a known foreign form to crontab; return any other line unchanged.

    Raises:
        NoSuggestion: the form is known, but crontab cannot express its meaning, or it has two meanings.

    """
    notes: tuple[str, ...] = ()
    if zone := _ZONE.match(text.strip(_QUOTES + " \t")):
        notes = (f'the zone has a field of its own: `"timezone": "{zone["zone"]}"`',)
    text = _strip_wrapping(text)
    call = _CALL.fullmatch(text)
    text = call["fields"] if call else text
    for pattern, rule in _LINES:
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match:
            return Suggestion(rule(match), None, notes)
    words = text.split()
    if call and len(words) == 6 and "?" not in words:  # minute first and year last, not seconds first
        raise NoSuggestion(notes=(one_day_field(AWS),))
    if with_ordinals := from_ordinals(words):
        return Suggestion(with_ordinals, None, notes)
    translation = from_dialect(words) or from_jenkins(words) or _without_extra(words)
    return (
        translation._replace(notes=notes + translation.notes)
        if translation
        else Suggestion(_reordered(words), None, notes)
    )


def looks_like_field(word: str) -> bool:
    """Return whether a word may be a field of a schedule, valid or not."""
    return bool(_FIELD_LIKE.fullmatch(shorten_names(word)))


def is_user_or_command(word: str) -> bool:
    """Return whether a word after a schedule is most likely the user or the command of a crontab line."""
    return not looks_like_field(word) and word.lower() not in _OF_TIME and _is_user_or_command(word)


def _strip_wrapping(text: str) -> str:
    """Remove quotes around the line, a `TZ` variable before it (a job has `timezone` for that) and a comment."""
    text = text.strip().strip(_QUOTES).strip()
    text = re.sub(r"^(?:(?:CRON_)?TZ=\S+|#+)\s+", "", text)
    return re.sub(r"\s#(?:\s.*|[^0-9\s].*)?$", "", text).strip()


# --- text after the fields -------------------------------------------------------------------------------


def _without_extra(words: Sequence[str]) -> Suggestion | None:
    """Remove text after five or six valid fields: a year, a user, a command, Jenkins's `H`; None if there is none.

    Raises:
        NoSuggestion: it is not clear which words are the schedule.

    """
    if len(words) < 6 or _is_good(words):
        return None
    if len(words) == 6 or not looks_like_field(words[5]):
        return _five_fields(words)
    if not looks_like_field(words[6]):
        return Suggestion(" ".join(words[:6]), None, (_NO_COMMAND,))
    if len(words) == 7 and _is_year(words[6]) and not re.search(r"(?<![#/0-9])[1-7]", words[5]):
        return _with_years(words[:6], words[6])
    raise NoSuggestion  # with years the fields may be Quartz's, whose weekdays count from 1


def _five_fields(words: Sequence[str]) -> Suggestion | None:
    """Return a suggestion for a line whose sixth word may not be a field of the schedule."""
    five, extra = words[:5], words[5]
    if _is_good(five) and _is_year(extra):
        return _with_years(five, extra)
    if _is_good(five) and re.fullmatch(r"[Hh?]", extra):
        return Suggestion(" ".join(five))
    if not looks_like_field(extra) and (len(words) > 6 or _is_user_or_command(extra)):
        return Suggestion(" ".join(five), None, (_NO_COMMAND,))
    if _is_good(five) and not looks_like_field(extra):
        raise NoSuggestion
    return None


def _is_good(words: Sequence[str]) -> bool:
    try:
        parse_expression(" ".join(words))
    except SyntaxFault:  # then it is not the meaning of these words
        return False
    return True


def _is_year(word: str) -> bool:
    return word == "*" or looks_like_years(word)


def _with_years(fields: Sequence[str], word: str) -> Suggestion:
    years = parse_years(word)
    return Suggestion(" ".join(fields), None, () if years is None else (years.note,))


def _is_user_or_command(word: str) -> bool:
    if word[0] in "/.~$":
        return True
    return bool(_USER.fullmatch(word)) and not re.fullmatch(rf"(?:{_OTHER_WEEKDAYS})(?:-(?:{_OTHER_WEEKDAYS}))*", word)


# --- names -----------------------------------------------------------------------------------------------


def _reordered(words: list[str]) -> str:
    """Swap a month and a weekday that are in each other's field; write `last` as `L`."""
    if (
        len(words) >= 5
        and re.fullmatch(rf"(?:{_WEEKDAYS})", words[-2], re.IGNORECASE)
        and re.fullmatch(_MONTHS, words[-1], re.IGNORECASE)
    ):
        words[-2:] = [words[-1], words[-2]]
    if len(words) in {5, 6} and words[-3].lower() == "last":
        words[-3] = "L"
    return " ".join(words)


# --- English and macros ------------------------------------------------------------------------------------


def _at(match: re.Match[str]) -> str:
    """Translate a time of day."""
    hour, minute = int(match["hour"]), int(match["minute"])
    if hour >= _HOURS or minute >= _MINUTES:
        raise NoSuggestion
    return f"{minute} {hour} * * *"


def _every(match: re.Match[str]) -> str:
    """Translate an interval. Crontab can express it only if it divides the next larger unit."""
    count, unit = int(match["count"] or 1), match["unit"][0].lower()
    form, unit_size = {"s": ("*/{} * * * * *", 60), "m": ("*/{} * * * *", 60), "h": ("0 */{} * * *", 24)}[unit]
    if count == 0 or unit_size % count or count == unit_size:
        raise NoSuggestion
    return form.format(count).replace("*/1 ", "* ")


def _no_suggestion(match: re.Match[str]) -> str:
    raise NoSuggestion


_MACROS = {
    "always": "* * * * *",
    "minutely": "* * * * *",
    "every_minute": "* * * * *",
    "everyminute": "* * * * *",
    "secondly": "* * * * * *",
    "every_second": "* * * * * *",
    "everysecond": "* * * * * *",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "weekdays": "0 0 * * mon-fri",
}


def _macro(match: re.Match[str]) -> str:
    return _MACROS[match["name"].lower()]


_UNIT = r"(?P<unit>s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?)"
_LINES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(?:at\s+)?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?:\s+\*\s+\*(?:\s+\*(?:\s+\*)?)?)?", _at),
    (rf"@?every\s+(?P<count>[0-9]{{1,4}})?\s*{_UNIT}", _every),
    (rf"rate\s*\(\s*(?P<count>[0-9]{{1,4}})\s+{_UNIT}\s*\)", _every),
    (rf"@(?P<count>[0-9]{{1,4}}){_UNIT}", _every),
    (rf"@(?P<name>{'|'.join(_MACROS)})", _macro),
    (r"@?every.*", _no_suggestion),
)
