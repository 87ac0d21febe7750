"""What was probably meant: a line that could not be read -> one that is accepted.

A line may have several faults; each is mended where reading stopped, until the line is read. Every rule gives what
the text means where people bring it from: Quartz, Jenkins, cronie, a crontab's user column, another field.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from jobscheduler.crontab.foreign import NoGuess, rewritten
from jobscheduler.crontab.grammar import (
    DAY,
    FIELDS,
    LONGEST,
    MACROS,
    MONTH,
    MONTH_NAMES,
    WEEKDAY,
    WEEKDAY_NAMES,
    Fault,
    Field,
    Word,
    read,
    words_of,
)

_MOST_FAULTS = 60
IGNORES = "Debian's cron accepts this and ignores the part it does not understand"
_QUARTZ = "here weekdays count from 0 or 7, Sunday; in Quartz from 1, Sunday"
_JITTER = "to spread jobs over time, give them a `jitter`"


def mended(text: str, fault: Fault) -> str | None:
    """Mend fault after fault until the line is read; None when there is nothing to go by."""
    if fault.kind == "long" or (fault.kind == "count" and not fault.word.text):
        return None
    try:
        text = rewritten(text)
        for _ in range(_MOST_FAULTS):
            further = _fault_of(text)
            if further is None:
                return text
            text = _without_extra(text, further) or _MEND[further.kind](text, further)
    except NoGuess:
        return None
    return None


def _fault_of(text: str) -> Fault | None:
    try:
        read(text)
    except Fault as fault:
        return fault
    return None


_FIELD_LIKE = re.compile(rf"(?:[0-9*?,/#LW-]|{'|'.join((*MONTH_NAMES, *WEEKDAY_NAMES))})+", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|2[01])[0-9]{2}")


def _without_extra(text: str, fault: Fault) -> str | None:
    """Take off a sixth word that is no weekday but a year, a user or a command after five good fields."""
    words = [word.text for word in words_of(text)]
    if len(words) != 6 or fault.field is not WEEKDAY or fault.kind not in ("form", "name", "range"):
        return None
    odd = _YEAR.fullmatch(words[5]) or not _FIELD_LIKE.fullmatch(_shortened(words[5]))
    return " ".join(words[:5]) if odd else None


# How each kind of fault is mended: the line and the fault -> a better line.


def _swapped(text: str, word: Word, new: str) -> str:
    return text[: word.start] + new + text[word.start + len(word.text) :]


def _plain(text: str, _: Fault) -> str:
    """Write the text in ASCII: digits of other scripts, dashes, other blanks, without quotes and the invisible."""
    replaced = unicodedata.normalize("NFKC", text[:LONGEST])
    return "".join(_PLAIN.get(c) or _plain_character(c) for c in replaced).strip()


_PLAIN = {"\u2217": "*", "\u00d7": "*", "\u2022": "*", "\u2044": "/", "\u2215": "/", "\u2212": "-"}


def _plain_character(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.category(character) == "Pd":
        return "-"
    return " " if character.isspace() else ""


def _macro(text: str, fault: Fault) -> str:
    """Take the macro that is spelled most like it."""
    close = difflib.get_close_matches(fault.word.text.lower()[:20], [*MACROS, "@reboot"], 1)
    if not close:
        raise NoGuess
    return close[0]


def _count(text: str, _: Fault) -> str:
    """Add the fields that are missing, or take off what follows: Quartz's year, a user, a command."""
    words = [word.text for word in words_of(text)]
    if len(words) == 1 and f"@{words[0].lower()}" in MACROS:
        return f"@{words[0].lower()}"
    if len(words) < 5:
        if not all(_FIELD_LIKE.fullmatch(word) for word in words):
            raise NoGuess
        return " ".join([*words, *"*****"][:5])
    with_seconds = len(words) > 6 and all(_FIELD_LIKE.fullmatch(word) for word in words[:6])
    return " ".join(words[:6] if with_seconds else words[:5])


def _never(text: str, _: Fault) -> str:
    """Take the last day of the month for one that the months do not have; leave a date out where a weekday counts."""
    words = [word.text for word in words_of(text)]
    words[-3] = "L" if words[-1].startswith("*") else "*"
    return " ".join(words)


def _empty(text: str, fault: Fault) -> str:
    items = ",".join(filter(None, fault.word.text.split(",")))
    if not items:
        raise NoGuess
    return _swapped(text, fault.word, items)


def _single_step(text: str, fault: Fault) -> str:
    field = fault.field or WEEKDAY
    first, step = fault.word.text.split("/")
    if first.isdigit() and int(first) == field.low:
        return _swapped(text, fault.word, f"*/{step}")
    if field is WEEKDAY:
        return _swapped(
            text, fault.word, first if first == "7" else f"{first}-{6 if first.isdigit() else 'sat'}/{step}"
        )
    return _swapped(text, fault.word, f"{first}-{field.high}/{step}")


def _nth(text: str, fault: Fault) -> str:
    weekday, nth = fault.word.text.split("#")
    return _swapped(text, fault.word, f"{weekday}#1" if int(nth) == 0 else f"{weekday}L")


def _backwards(text: str, fault: Fault) -> str:
    """Go on over the end of the hour, day, month, year or week, as `22-2` means in other crons."""
    field = fault.field or WEEKDAY
    span, _, step = fault.word.text.partition("/")
    low, high = span.split("-")
    first, last = (field.names.get(end.lower(), 0) if end.isalpha() else int(end) for end in (low, high))
    start = 1 if field is WEEKDAY else field.low
    if field is WEEKDAY and first == 7:
        return _swapped(text, fault.word, f"0-{high}" + (f"/{step}" if step else ""))
    if step:
        numbers = [*range(first, field.high + 1), *range(start, last + 1)][:: int(step) or 1]
        return _swapped(text, fault.word, ",".join(map(str, numbers)))
    top = _as_written(field, field.high, low)
    head = low if first == field.high else f"{low}-{top}"
    tail = high if last == start else f"{_as_written(field, start, high)}-{high}"
    return _swapped(text, fault.word, f"{head},{tail}")


def _as_written(field: Field, number: int, like: str) -> str:
    """Write a number as a name where its neighbour is one."""
    if not like.isalpha():
        return str(number)
    return (WEEKDAY_NAMES[number % 7]) if field is WEEKDAY else MONTH_NAMES[number - 1]


def _step(text: str, fault: Fault) -> str:
    field = fault.field or WEEKDAY
    base, _, step = fault.word.text.partition("/")
    if int(step) == 0:
        return _swapped(text, fault.word, base)
    return _swapped(text, fault.word, str(field.low) if base == "*" else base.split("-")[0])


def _name(text: str, fault: Fault) -> str:
    """Move the name to the field it belongs to, else take the name that is spelled most like it."""
    field = fault.field or WEEKDAY
    names = re.findall(r"[A-Za-z]{3}", fault.word.text)
    other = next((f for f in (MONTH, WEEKDAY) if all(name.lower() in f.names for name in names)), None)
    if other is not None:
        return _moved(text, fault, other)
    if not field.names:
        raise NoGuess
    wrong = next(name for name in names if name.lower() not in field.names)
    close = difflib.get_close_matches(wrong.lower(), list(field.names), 1, 0.5)
    if not close:
        raise NoGuess
    return _swapped(text, fault.word, fault.word.text.replace(wrong, close[0]))


def _moved(text: str, fault: Fault, to: Field) -> str:
    """Put an item into another field if that is free, and what was there, a star, where it was."""
    words = [word.text for word in words_of(text)]
    target = FIELDS.index(to) - len(FIELDS)
    source = next(n for n, word in enumerate(words_of(text)) if word.start + len(word.text) > fault.word.start)
    if words[target] not in ("*", words[source]) or words[source] != fault.word.text:
        raise NoGuess
    words[target], words[source] = words[source], "*"
    return " ".join(words)


def _range(text: str, fault: Fault) -> str:
    """Take the nearest number there is; a lone 60th minute or 24th hour is the 0th."""
    field = fault.field or WEEKDAY
    item = fault.word.text
    if field.low == 0 and item.isdigit() and field is not WEEKDAY and int(item) == field.high + 1:
        return _swapped(text, fault.word, "0")
    span, slash, step = item.partition("/")
    nearest = re.sub(r"[0-9]+", lambda number: str(min(max(int(number[0]), field.low), field.high)), span, count=2)
    if field is WEEKDAY and "#" in item:
        nearest = nearest.partition("#")[0] + "#" + item.partition("#")[2]
    return _swapped(text, fault.word, nearest + slash + step)


class _Form(NamedTuple):
    """An item of a form that is not known here: how it looks, what is said, what is written instead, notes.

    `instead` may use the groups of the pattern, and `{low}`, `{high}` and `{last}` of the field; None means that the
    item belongs to the weekday.
    """

    pattern: str
    says: str
    instead: str | None
    notes: tuple[str, ...] = ()


_FORMS = (
    _Form(r"(?:[0-9]+|[A-Za-z]{3})(?:[Ll]|#[0-9]+)", "it belongs to the weekday", None),
    _Form(r"\?", "`?` is Quartz's", "*", (_QUARTZ,)),
    _Form(r"(?i:h)(?:\(.*\))?/([0-9]+)", "`H` is Jenkins's", r"*/\1", (_JITTER,)),
    _Form(r"(?i:h)(?:\(.*\))?", "`H` is Jenkins's", "{low}", (_JITTER,)),
    _Form(r"(?i:lw|wl)", "`W` is Quartz's", "L", ("there is no word for the nearest working day",)),
    _Form(r"([0-9]+)[Ww]", "`W` is Quartz's", r"\1", ("there is no word for the nearest working day",)),
    _Form(
        r"[Ll]-[0-9]+",
        "days before the last cannot be counted",
        "L",
        ("give one job for each length of month, such as day 28 in months of 31 days and 27 in those of 30",),
    ),
    _Form(r"[Ll]/.*", "`L` is one day and has no steps", "L"),
    _Form(r"([0-9]+)-[Ll]", "`L` cannot end a range", r"\1-{high}"),
    _Form(r"[Ll]", "only the day of the month has a last one", "{last}"),
    _Form(r"([0-9]+|[A-Za-z]{3})(?:[Ll]|#(?:[Ll]|-1))/.*", "it has no steps", r"\1L"),
    _Form(r"([0-9]+|[A-Za-z]{3})#(?:[Ll]|-1)", "the last one of a month is written with `L`", r"\1L"),
    _Form(r"([0-9]+|[A-Za-z]{3})#+([1-5]).*", "it has neither ranges nor steps", r"\1#\2", (IGNORES,)),
    _Form(r"([0-9]+|[A-Za-z]{3})#.*", "after `#` comes 1 to 5", r"\1", (IGNORES,)),
    _Form(r"[+-]([0-9]+)", "numbers have no sign", r"\1"),
    _Form(r"\*([0-9]+)", "the step has a slash before it", r"*/\1", (IGNORES,)),
    _Form(r"\*-([0-9]+)", "a star is already the whole range", r"{low}-\1", (IGNORES,)),
    _Form(r"/([0-9]+)", "a step needs something to step through", r"*/\1"),
    _Form(r"(.*)/", "the step is missing", r"\1"),
    _Form(r"([0-9]+)\.\.+([0-9]+)", "a range is written with one `-`", r"\1-\2", (IGNORES,)),
    _Form(r"([0-9]+)-{2,}([0-9]+)", "a range is written with one `-`", r"\1-\2"),
    _Form(r"([0-9]+)(?:[.;|&+]|:(?=[0-9]$))([0-9]+)", "a list is written with commas", r"\1,\2", (IGNORES,)),
    _Form(r"([0-9]+)(?:x|st|nd|rd|th)", "what follows is not understood", r"\1"),
    _Form(r"([0-9]+)~([0-9]*)", "`~` is cronie's random time", r"\1", (IGNORES, _JITTER)),
    _Form(
        r"(\*(?:/[0-9]+)?|[0-9]+(?:-[0-9]+(?:/[0-9]+)?)?)[^0-9A-Za-z]+",
        "what follows is not understood",
        r"\1",
        (IGNORES,),
    ),
)
_NO_FORM = _Form("", "", None)


def form_of(item: str) -> _Form:
    """Give the rule for an item that is of no known form; one without words if there is none for it."""
    if _shortened(item) != item:
        return _Form("", "names have three letters", None)
    return next((form for form in _FORMS if re.fullmatch(form.pattern, item, re.DOTALL)), _NO_FORM)


def _form(text: str, fault: Fault) -> str:
    field, item = fault.field or WEEKDAY, fault.word.text
    if (shorter := _shortened(item)) != item:
        return _swapped(text, fault.word, shorter)
    form = form_of(item)
    if form is _NO_FORM:
        raise NoGuess
    if form.instead is None:
        return _moved(text, fault, WEEKDAY)
    last = "L" if field is DAY else "6" if field is WEEKDAY else str(field.high)
    new = re.fullmatch(form.pattern, item, re.DOTALL)
    written = new.expand(form.instead) if new else form.instead
    for name, value in {"{low}": str(field.low), "{high}": str(field.high), "{last}": last}.items():
        written = written.replace(name, value)
    return _swapped(text, fault.word, written)


_FULL_NAMES = (
    *(
        "january",
        "february",
        "march",
        "april",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ),
    *("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
)


def _shortened(item: str) -> str:
    """Cut full names of months and weekdays, in whole or in part, also in the plural, to three letters."""
    return re.sub(r"[A-Za-z]{4,}\.?", _short, item)


def _short(name: re.Match[str]) -> str:
    lower = name[0].lower().rstrip(".")
    full = any(known.startswith(lower) or lower in (known + "s", known + "l") for known in _FULL_NAMES)
    return (name[0][:3] + ("L" if lower.endswith("dayl") else "")) if full else name[0]


_MEND: dict[str, Callable[[str, Fault], str]] = {
    "character": _plain,
    "macro": _macro,
    "count": _count,
    "never": _never,
    "empty": _empty,
    "form": _form,
    "single step": _single_step,
    "nth": _nth,
    "backwards": _backwards,
    "step": _step,
    "name": _name,
    "range": _range,
}
