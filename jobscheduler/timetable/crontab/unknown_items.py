"""Known forms of invalid items, with the message and the replacement for each."""

from __future__ import annotations

import re
from typing import NamedTuple

from jobscheduler.timetable.crontab.full_names import shorten_names
from jobscheduler.timetable.crontab.jenkins import JITTER
from jobscheduler.timetable.crontab.parser import DAY, WEEKDAY, Field

DEBIAN_IGNORES = "Debian's cron accepts this and ignores the part it does not understand"
_QUARTZ = "here weekdays count from 0 or 7, Sunday; in Quartz and AWS EventBridge from 1, Sunday"
_NEAREST = "crontab cannot say the nearest working day"


class KnownForm(NamedTuple):
    """The pattern of an item, its message, its replacement, notes, and the only field it is meant for.

    `suggestion` may use the groups of the pattern, and `{low}`, `{high}` and `{last}` of the field. None means that the
    item belongs to the weekday. With `is_ambiguous` nothing is suggested: crontab cannot express the meaning.
    """

    pattern: str
    message: str
    suggestion: str | None
    notes: tuple[str, ...] = ()
    is_ambiguous: bool = False
    field: Field | None = None


_WEEKDAY = r"([0-9]+|[A-Za-z]{3})"
_FORMS = (
    KnownForm(rf"[Ll]{_WEEKDAY}", "the `L` follows the weekday", r"\1L", field=WEEKDAY),
    KnownForm(rf"{_WEEKDAY}#(?:[Ll]|[Ll][Aa][Ss][Tt]|-1)", "the last one of a month is written with `L`", r"\1L"),
    KnownForm(r"(?:[0-9]+|[A-Za-z]{3})(?:[Ll]|#[0-9]+)", "it belongs to the weekday", None),
    KnownForm(
        r"\?",
        "Quartz, Spring and AWS EventBridge have `?` for a day field that does not matter",
        None,
        (_QUARTZ,),
        is_ambiguous=True,
    ),
    KnownForm(r"(?i:h)(?:\(.*\))?(?:/[0-9]+)?", "`H` is Jenkins's", None, (JITTER,), is_ambiguous=True),
    KnownForm(r"(?i:lw|wl)", "`W` is Quartz's", None, (_NEAREST,), is_ambiguous=True),
    KnownForm(r"([0-9]+)[Ww]", "`W` is Quartz's", None, (_NEAREST,), is_ambiguous=True),
    KnownForm(
        r"[Ll]-[0-9]+",
        "days before the last cannot be counted",
        None,
        ("give one job for each length of month, such as day 28 in months of 31 days and 27 in those of 30",),
        is_ambiguous=True,
    ),
    KnownForm(r"[Ll]/.*", "`L` is one day and has no steps", None, is_ambiguous=True),
    KnownForm(r"([0-9]+)-[Ll]", "`L` cannot end a range", r"\1-{high}"),
    KnownForm(r"[Ll]", "only the day of the month has a last one", "{last}"),
    KnownForm(r"([0-9]+|[A-Za-z]{3})(?:[Ll]|#(?:[Ll]|-1))/.*", "it has no steps", None, is_ambiguous=True),
    KnownForm(
        r"([0-9]+|[A-Za-z]{3})#+[1-5]..*", "it has neither ranges nor steps", None, (DEBIAN_IGNORES,), is_ambiguous=True
    ),
    KnownForm(r"([0-9]+|[A-Za-z]{3})##+([1-5])", "there is one `#`", r"\1#\2", (DEBIAN_IGNORES,)),
    KnownForm(r"([0-9]+|[A-Za-z]{3})#.*", "the number after `#` is 1 to 5", None, (DEBIAN_IGNORES,), is_ambiguous=True),
    KnownForm(r"-1", "the last day is written with `L`", "L", field=DAY),
    KnownForm(r"\+([0-9]+)", "numbers have no sign", r"\1"),
    KnownForm(r"-([0-9]+)", "numbers have no sign", None, is_ambiguous=True),
    KnownForm(r"\*([0-9]+)", "the step has a slash before it", r"*/\1", (DEBIAN_IGNORES,)),
    KnownForm(r"\*-([0-9]+)", "a star is already the whole range", None, (DEBIAN_IGNORES,), is_ambiguous=True),
    KnownForm(r"/([0-9]+)", "a step needs something to step through", r"*/\1"),
    KnownForm(r"(.*)/", "the step is missing", None, is_ambiguous=True),
    KnownForm(r"([0-9]+)\.\.+([0-9]+)", "a range is written with one `-`", r"\1-\2", (DEBIAN_IGNORES,)),
    KnownForm(r"([0-9]+)-{2,}([0-9]+)", "a range is written with one `-`", r"\1-\2"),
    KnownForm(r"([0-9]+)(?:[.;|&+]|:(?=[0-9]$))([0-9]+)", "a list is written with commas", r"\1,\2", (DEBIAN_IGNORES,)),
    KnownForm(r"([0-9]+)(?:st|nd|rd|th)", "what follows is not understood", r"\1"),
    KnownForm(r"([0-9]+)~([0-9]*)", "`~` is cronie's random time", r"\1", (DEBIAN_IGNORES, JITTER)),
    KnownForm(
        r"(\*(?:/[0-9]+)?|[0-9]+(?:-[0-9]+(?:/[0-9]+)?)?)[^0-9A-Za-z]+",
        "what follows is not understood",
        None,
        (DEBIAN_IGNORES,),
        is_ambiguous=True,
    ),
)
NO_FORM = KnownForm("", "", None)


def find_form(item: str, field: Field | None) -> KnownForm:
    """Return the form of an invalid item; `NO_FORM` if none fits."""
    if shorten_names(item) != item:
        return KnownForm("", "names have three letters", None)
    fitting = (form for form in _FORMS if form.field in (None, field))
    return next((form for form in fitting if re.fullmatch(form.pattern, item, re.DOTALL)), NO_FORM)
