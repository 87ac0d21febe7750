"""Turn a syntax fault into the error that the author of a schedule sees."""

from __future__ import annotations

import unicodedata

from jobscheduler.timetable.crontab.errors import ScheduleError
from jobscheduler.timetable.crontab.parser import (
    ALL_MACROS,
    FIELDS,
    MAX_SCHEDULE_CHARS,
    MAX_STEP,
    WEEKDAY,
    Field,
    SyntaxFault,
    Word,
    parse_expression,
    split_words,
)
from jobscheduler.timetable.crontab.suggest import suggestion
from jobscheduler.timetable.crontab.suggestion import Suggestion
from jobscheduler.timetable.crontab.unknown_items import DEBIAN_IGNORES, find_form
from jobscheduler.timetable.crontab.years import looks_like_years
from jobscheduler.util.text import quote

_ANY = "write five fields, for example `0 1 * * *` for 01:00 every day, or six with the seconds first"
_EXAMPLES = {
    "second": "*/20",
    "minute": "*/15",
    "hour": "6",
    "day of the month": "1",
    "month": "jan",
    "weekday": "mon-fri",
}
_NEVER = "Debian's cron accepts this and never runs it"


def build_error(text: str, fault: SyntaxFault) -> ScheduleError:
    """Build the error for a syntax fault of `text`, with a suggestion if there is one."""
    proposal = _suggestion(text, fault)
    extra_word = _word_after_five(text, proposal)
    word = extra_word or fault.word
    message, notes = (_extra_word_message(extra_word), ()) if extra_word else _message(text, fault)
    return ScheduleError(
        message,
        start=word.start,
        end=word.start + len(word.text),
        instead=proposal.text,
        help=proposal.help or (None if proposal.text else _example(text, fault.field)),
        notes=(*notes, *(note for note in proposal.notes if note not in notes)),
    )


def _example(text: str, field: Field | None) -> str:
    """Return an example: the line with another value in the field at fault; any line, if the rest is wrong, too."""
    words = text.split()
    if field is None or len(words) not in (5, 6):
        return _ANY
    fields = FIELDS[-len(words) :]
    position = fields.index(field)
    words[position] = _EXAMPLES[field.name]
    for line in (words, ["0", *"****", "*"][-len(words) :]):
        whole = " ".join([*line[:position], _EXAMPLES[field.name], *line[position + 1 :]])
        if _is_valid(whole):
            return f"write {_article(field.name)} there, for example `{whole}`"
    return _ANY


def _is_valid(text: str) -> bool:
    try:
        parse_expression(text)
    except SyntaxFault:  # then it is not suggested
        return False
    return True


def _suggestion(text: str, fault: SyntaxFault) -> Suggestion:
    """Return a suggestion, if one is possible. An unexpected failure of a rule costs only the suggestion."""
    try:
        return suggestion(text, fault)
    except Exception:
        return Suggestion()


def _word_after_five(text: str, proposal: Suggestion) -> Word | None:
    """Return the sixth word if the suggestion is the five words before it; else None."""
    words = split_words(text[:MAX_SCHEDULE_CHARS])
    if len(words) == 6 and proposal.text == " ".join(word.text for word in words[:5]):
        return words[5]
    return None


def _extra_word_message(word: Word) -> str:
    quoted = quote(word.text)
    if word.text == "*" or looks_like_years(word.text):
        return f"{quoted} is one field too many: cron does not have a field for the year"
    if word.text in {"H", "h", "?"}:
        return f"{quoted} is one field too many: the five fields before it are complete"
    return f"{quoted} is one word too many: a schedule does not name a user or a command"


def _message(text: str, fault: SyntaxFault) -> tuple[str, tuple[str, ...]]:
    """Return the message about a fault, and its notes."""
    quoted, name = quote(fault.word.text), _article(fault.field.name) if fault.field else "part of a schedule"
    if fault.kind == "form":
        form = find_form(fault.word.text, fault.field)
        return f"{quoted} is not {name}{': ' + form.message if form.message else ''}", form.notes or _valid_values(
            fault.field
        )
    if fault.kind == "character":
        code = ord(fault.word.text)
        character_name = unicodedata.name(fault.word.text, "a control character").lower()
        return f"{quoted} (U+{code:04X}, {character_name}) cannot be in a schedule", ()
    messages: dict[str, tuple[str, tuple[str, ...]]] = {
        "long": (f"the schedule has {len(text)} characters, more than {MAX_SCHEDULE_CHARS}", ()),
        "macro": (f"unknown or misplaced macro {quoted}", (f"known are `{'`, `'.join(ALL_MACROS)}`",)),
        "count": _count_message(text),
        "never": (f"{quoted} matches no date in any year", (_NEVER,)),
        "empty": (f"empty item in the list {quoted}", ()),
        "single step": (f"{quoted} has a step but no range to step through", ()),
        "nth": (f"{quoted} asks for a week other than the first to the fifth", (DEBIAN_IGNORES,)),
        "backwards": (f"the range {quoted} runs backwards", (_NEVER, "only a range of weekdays may end in Sunday")),
        "step": (f"the step of {quoted} is not a number from 1 to {MAX_STEP}", ()),
        "name": (f"{quoted} is not {name}", _valid_values(fault.field)),
        "range": (_range_message(fault), ()),
    }
    return messages[fault.kind]


def _article(name: str) -> str:
    return f"an {name}" if name == "hour" else f"a {name}"


def _count_message(text: str) -> tuple[str, tuple[str, ...]]:
    count = len(split_words(text[:MAX_SCHEDULE_CHARS]))  # a longer text is refused for its length
    if not count:
        return "the schedule is empty", ()
    notes = ("the order is minute, hour, day of the month, month, weekday; a sixth field of seconds goes first",)
    return f"a schedule has five fields, or six with the seconds first, and this has {count}", notes


def _valid_values(field: Field | None) -> tuple[str, ...]:
    """Return a note on the valid values of a field."""
    if field is None:
        return ()
    names = f", or `{'`, `'.join(field.names)}`" if field.names else ""
    return (f"the {field.name} is a number from {field.low} to {field.high}{names}",)


def _range_message(fault: SyntaxFault) -> str:
    field = fault.field or WEEKDAY
    return f"{quote(fault.word.text)} is out of range: the {field.name} is {field.low} to {field.high}"
