"""Read a pickle as data: nothing in it is imported, called or compared, so nothing in it is executed.

1. `pickletools` splits the bytes into operations; none of them reads past the end, or more than is there.
2. A stack machine builds values: those of JSON, tuples and bytes as they are, an object as a `Made` with its name.
   The names of objects are those that the caller allows, any other ends the reading.
3. Each operation takes the same small time and memory, so both are bounded by the length of the pickle. Keys are texts:
   the hash of a nested tuple would take time exponential in its depth.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

from jobscheduler.util.text import truncate

MAX_PICKLE_BYTES = 65_535  # as much as a BLOB of MySQL holds

_MAX_NUMBER_BITS = 64
_MAX_NAME_CHARS = 100  # of a name in a message


class UnreadablePickle(Exception):
    """A pickle that holds something else than the values and names that are allowed."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a pickle refers to by the name of a module and a name in it."""

    module: str
    name: str

    def __str__(self) -> str:
        return truncate(f"{self.module}.{self.name}", _MAX_NAME_CHARS)


@dataclass(slots=True, eq=False, repr=False)
class Made:
    """What unpickling would make by calling `maker` with `arguments`, and `state`, which it would then be given."""

    maker: Any
    arguments: tuple[Any, ...]
    state: Any = None


class _Mark:
    """Where the items of a list, a tuple or a dictionary begin on the stack."""


_MARK = _Mark()


def read_pickle(raw: bytes, allowed: Container[tuple[str, str]]) -> Any:
    """Return the value of a pickle. `allowed` are the names that it may refer to: of a module, and in it.

    Raises:
        UnreadablePickle: it holds something else, or is damaged. Nothing else is raised.

    """
    if len(raw) > MAX_PICKLE_BYTES:
        raise UnreadablePickle(f"it is longer than {MAX_PICKLE_BYTES} bytes")
    machine = _Machine(allowed)
    try:
        for operation, argument, _ in pickletools.genops(raw):
            if operation.name == "STOP":
                return machine.pop()
            machine.run(operation.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error):
        raise UnreadablePickle("it is damaged: this is not a whole pickle") from None
    raise UnreadablePickle("it is damaged: it has no end")


class _Machine:
    """The stack and the memo of one reading."""

    def __init__(self, allowed: Container[tuple[str, str]]) -> None:
        self._allowed = allowed
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """Take the top of the stack."""
        value = self._stack.pop()
        if value is _MARK:
            raise IndexError
        return value

    def run(self, name: str, argument: Any) -> None:
        """Run one operation."""
        if name in _IGNORED:
            return
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self._stack.append(_sized(argument))
        elif name in _MEMO_WRITES:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self._top()
        elif name in _MEMO_READS:
            self._stack.append(self._memo[argument])
        elif name == "GLOBAL":
            self._refer(*argument.split(" ", 1))
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        else:
            raise UnreadablePickle(f"it holds the operation {name}, which no job has")

    def _top(self) -> Any:
        value = self._stack[-1]
        if value is _MARK:
            raise IndexError
        return value

    def _refer(self, module: str, name: str) -> None:
        found = Name(module, name)
        if (module, name) not in self._allowed:
            raise UnreadablePickle(f"it refers to `{found}`, which no job of JobsManager holds")
        self._stack.append(found)

    def refer_to_stack(self) -> None:
        """Push what the two texts on the stack name."""
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError
        self._refer(module, name)

    def make(self) -> None:
        """Push the object that a call would make; nothing is called."""
        arguments, maker = self.pop(), self.pop()
        if type(arguments) is not tuple or not isinstance(maker, Name | Made):
            raise TypeError
        self._stack.append(Made(maker, arguments))

    def build(self) -> None:
        """Give an object its state."""
        state, made = self.pop(), self._top()
        if type(made) is not Made or made.state is not None:
            raise TypeError
        made.state = state

    def items(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        found: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            found.append(value)
        found.reverse()
        return found

    def tuple_of(self, count: int) -> None:
        """Push a tuple of the upper values."""
        found = [self.pop() for _ in range(count)]
        self._stack.append(tuple(reversed(found)))

    def push(self, value: Any) -> None:
        """Push a value."""
        self._stack.append(value)

    def extend(self, items: list[Any]) -> None:
        """Append to the list on the stack."""
        target = self._top()
        if type(target) is not list:
            raise TypeError
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        """Set the keys of the dictionary on the stack."""
        target, keys = self._top(), items[::2]
        if type(target) is not dict or len(items) % 2 or any(type(key) is not str for key in keys):
            raise TypeError
        target.update(zip(keys, items[1::2], strict=True))

    def set_one(self) -> None:
        """Set one key of the dictionary below."""
        value, key = self.pop(), self.pop()
        self.update([key, value])


def _sized(value: Any) -> Any:
    """Return a literal, unless it is a number that no job has."""
    if type(value) is int and value.bit_length() > _MAX_NUMBER_BITS:
        raise UnreadablePickle("it holds a number of more than 64 bits")
    return value


_IGNORED = frozenset({"PROTO", "FRAME"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_LITERALS = frozenset({*_NUMBERS, *_TEXTS, "SHORT_BINBYTES", "BINBYTES"})
_MEMO_WRITES = frozenset({"MEMOIZE", "BINPUT", "LONG_BINPUT"})
_MEMO_READS = frozenset({"BINGET", "LONG_BINGET"})
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "STACK_GLOBAL": _Machine.refer_to_stack,
    "REDUCE": _Machine.make,
    "NEWOBJ": _Machine.make,
    "BUILD": _Machine.build,
    "EMPTY_LIST": lambda machine: machine.push([]),
    "EMPTY_DICT": lambda machine: machine.push({}),
    "TUPLE": lambda machine: machine.push(tuple(machine.items())),
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "APPEND": lambda machine: machine.extend([machine.pop()]),
    "APPENDS": lambda machine: machine.extend(machine.items()),
    "SETITEM": _Machine.set_one,
    "SETITEMS": lambda machine: machine.update(machine.items()),
}
