"""A fault of reading -> the refusal that the author of a schedule sees."""

from __future__ import annotations

import unicodedata

from jobscheduler.crontab.grammar import LARGEST_STEP, LONGEST, MACROS, WEEKDAY, Fault, Field, words_of
from jobscheduler.crontab.mending import IGNORES, form_of, mended
from jobscheduler.crontab.refused import Refused, quoted

_EXAMPLE = "0 1 * * *"
_NEVER = "Debian's cron accepts this and never runs it"


def refusal(text: str, fault: Fault) -> Refused:
    """Turn a fault of reading `text` into the refusal that its author sees."""
    message, notes = _said(text, fault)
    start, instead = fault.word.start, _guess(text, fault)
    return Refused(
        message,
        start=start,
        end=start + len(fault.word.text),
        instead=instead,
        help=None if instead else f"write five fields, for example `{_EXAMPLE}` for 01:00 every day",
        notes=notes,
    )


def _guess(text: str, fault: Fault) -> str | None:
    """Mend the line, if that is possible. It is a courtesy: should a rule of it fail, the refusal stands without."""
    try:
        return mended(text, fault)
    except Exception:
        return None


def _said(text: str, fault: Fault) -> tuple[str, tuple[str, ...]]:
    """Give the message about a fault, and notes."""
    what, name = quoted(fault.word.text), fault.field.name if fault.field else ""
    if fault.kind == "form":
        form = form_of(fault.word.text)
        return f"{what} is no {name}{': ' + form.says if form.says else ''}", form.notes or _known(fault.field)
    if fault.kind == "character":
        code = ord(fault.word.text)
        called = unicodedata.name(fault.word.text, "a control character").lower()
        return f"{what} (U+{code:04X}, {called}) cannot be in a schedule", ()
    messages: dict[str, tuple[str, tuple[str, ...]]] = {
        "long": (f"the schedule has {len(text)} characters, more than {LONGEST}", ()),
        "macro": (f"unknown or misplaced macro {what}", (f"known are `{'`, `'.join([*MACROS, '@reboot'])}`",)),
        "count": _said_of_count(text),
        "never": (f"{what} matches no date of any year", (_NEVER,)),
        "empty": (f"empty item in the list {what}", ()),
        "single step": (f"{what} has a step but no range to step through", ()),
        "nth": (f"{what} asks for a week other than the first to fifth", (IGNORES,)),
        "backwards": (f"the range {what} runs backwards", (_NEVER, "only a range of weekdays may end in Sunday")),
        "step": (f"the step of {what} is not a number from 1 to {LARGEST_STEP}", ()),
        "name": (f"{what} is no {name}", _known(fault.field)),
        "range": (_said_of_range(fault), ()),
    }
    return messages[fault.kind]


def _said_of_count(text: str) -> tuple[str, tuple[str, ...]]:
    count = len(words_of(text[:LONGEST]))  # what is longer is refused for its length
    if not count:
        return "the schedule is empty", ()
    notes = ("the order is minute, hour, day of the month, month, weekday; a sixth field of seconds goes first",)
    return f"a schedule has five fields, or six with the seconds first, and this has {count}", notes


def _known(field: Field | None) -> tuple[str, ...]:
    """Say what may stand in a field."""
    if field is None:
        return ()
    names = f", or `{'`, `'.join(field.names)}`" if field.names else ""
    return (f"the {field.name} is a number from {field.low} to {field.high}{names}",)


def _said_of_range(fault: Fault) -> str:
    field = fault.field or WEEKDAY
    return f"{quoted(fault.word.text)} is out of range: the {field.name} is {field.low} to {field.high}"
