"""The fields of APScheduler's cron triggers, as they stand in a pickled job (pure).

Weekdays count from 0 for Monday. A field matches if one of its items does, and all fields have to match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.pickle_values import Made, Name

_FIELDS = "apscheduler.triggers.cron.fields"
_EXPRESSIONS = "apscheduler.triggers.cron.expressions"

RANGES = {  # the lowest and the highest value of each field
    "year": (1970, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "week": (1, 53),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
FIELD_NAMES = tuple(RANGES)  # in the order in which APScheduler looks at them

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_LAST = 5  # the position of the last weekday of a month, after the first to the fifth
_MAX_ITEMS = 1000  # of one field
_FIELD_CLASSES = ("BaseField", "WeekField", "DayOfMonthField", "DayOfWeekField", "MonthField")
_ALL, _RANGE, _MONTHS, _WEEKDAYS, _POSITION, _LAST_DAY = (
    "AllExpression",
    "RangeExpression",
    "MonthRangeExpression",
    "WeekdayRangeExpression",
    "WeekdayPositionExpression",
    "LastDayOfMonthExpression",
)
NAMES = frozenset(
    {
        *((_FIELDS, name) for name in _FIELD_CLASSES),
        *((_EXPRESSIONS, name) for name in (_ALL, _RANGE, _MONTHS, _WEEKDAYS, _POSITION, _LAST_DAY)),
    }
)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a field: the values that it has in every month, and its text in a crontab.

    `position` is the weekday (Monday is 0) with its place in the month: 1 to 5, or 0 for the last one.
    """

    text: str
    values: frozenset[int] = frozenset()
    position: tuple[int, int] | None = None
    is_last_day: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field with its items."""

    name: str
    items: tuple[Item, ...]

    @property
    def values(self) -> frozenset[int]:
        """The values that match whatever the month is."""
        return frozenset().union(*(item.values for item in self.items))

    @property
    def positions(self) -> frozenset[tuple[int, int]]:
        """The weekdays with a place in the month."""
        return frozenset(item.position for item in self.items if item.position is not None)

    @property
    def has_last_day(self) -> bool:
        """Whether the last day of a month matches."""
        return any(item.is_last_day for item in self.items)

    @property
    def is_restricted(self) -> bool:
        """Whether there is a value that does not match."""
        low, high = RANGES[self.name]
        return len(self.values) <= high - low


Fields = Mapping[str, Field]


def read_fields(value: Any) -> dict[str, Field]:
    """Return the fields of a trigger by name.

    Raises:
        NotExpressible: they are not those that APScheduler writes.

    """
    if type(value) is not list or len(value) != len(FIELD_NAMES):
        raise _odd()
    fields = {field.name: field for field in map(_field, value)}
    if tuple(fields) != FIELD_NAMES:
        raise _odd()
    return fields


def state_of(value: Any, module: str = "") -> Mapping[str, Any]:
    """Return what an object's attributes are; `module` is the one that its class has to be of.

    APScheduler 3.0 wrote those of classes with slots in the second part of a tuple.
    """
    if not isinstance(value, Made) or not isinstance(value.maker, Name) or value.maker.module != module:
        raise _odd()
    state = value.state
    if type(state) is tuple and len(state) == 2:
        state = state[1]
    if state is None:  # an object without attributes, as APScheduler 3.0 wrote the last day of a month
        return {}
    if type(state) is not dict:
        raise _odd()
    return state


def _field(value: Any) -> Field:
    state = state_of(value, _FIELDS)
    name, expressions = state.get("name"), state.get("expressions")
    if name not in FIELD_NAMES or type(expressions) is not list or not 0 < len(expressions) <= _MAX_ITEMS:
        raise _odd()
    return Field(name, tuple(_item(one, name) for one in expressions))


def _item(value: Any, field: str) -> Item:
    state = state_of(value, _EXPRESSIONS)
    kind = value.maker.name
    if kind == _POSITION and field == "day":
        return _position_item(_number(state, "option_num", (0, _LAST)), _number(state, "weekday", (0, 6)))
    if kind == _LAST_DAY and field == "day":
        return Item("L", is_last_day=True)
    low, high = RANGES[field]
    step = None if state.get("step") is None else _number(state, "step", (1, high))
    if kind == _ALL:
        return Item("*" if step in {None, 1} else f"*/{step}", frozenset(range(low, high + 1, step or 1)))
    if kind not in {_RANGE, _MONTHS, _WEEKDAYS}:
        raise _odd()
    return _range_item(state, kind, field, step)


def _range_item(state: Mapping[str, Any], kind: str, field: str, step: int | None) -> Item:
    """Return a range. Without a last value and with a step it goes on to the highest one."""
    low, high = RANGES[field]
    first = _number(state, "first", (low, high))
    last = first if step is None else high
    if state.get("last") is not None:
        last = _number(state, "last", (first, high))
    text = "-".join(_word(number, kind) for number in dict.fromkeys((first, last)))
    is_stepped = step not in {None, 1} and last != first
    return Item(f"{text}/{step}" if is_stepped else text, frozenset(range(first, last + 1, step or 1)))


def _word(number: int, kind: str) -> str:
    return MONTHS[number - 1] if kind == _MONTHS else str(number)


def _position_item(option: int, weekday: int) -> Item:
    name = WEEKDAYS[weekday]
    if option == _LAST:
        return Item(f"{name}L", position=(weekday, 0))
    return Item(f"{name}#{option + 1}", position=(weekday, option + 1))


def position_text(position: tuple[int, int]) -> str:
    """Return a weekday with its place in the month as a crontab says it."""
    weekday, place = position
    return _position_item(place - 1 if place else _LAST, weekday).text


def _number(state: Mapping[str, Any], name: str, bounds: tuple[int, int]) -> int:
    value = state.get(name)
    if type(value) is not int or not bounds[0] <= value <= bounds[1]:
        raise _odd()
    return value


def _odd() -> NotExpressible:
    return NotExpressible("the job holds no trigger as APScheduler writes it")


def theirs(fields: Fields) -> Iterator[str]:
    """Yield the restricted fields as a call of `Job` in JobsManager has them, for messages."""
    for name, field in fields.items():
        if field.is_restricted:
            yield f'{name}="{",".join(_their_text(item, name) for item in field.items)}"'


def _their_text(item: Item, name: str) -> str:
    if item.is_last_day:
        return "last"
    if item.position is None:
        return item.text
    weekday, place = item.position
    return f"{('last', '1st', '2nd', '3rd', '4th', '5th')[place]} {WEEKDAYS[weekday]}"
