r"""Read a file of `NAME=value` lines as systemd reads its `EnvironmentFile=`.

The rules are those of systemd.exec(5) and of its parser (src/basic/env-file.c):

1. Lines that begin with `#` or `;` are comments, lines without `=` are ignored.
2. A value may be quoted in part or whole: nothing is special in single quotes, a backslash escapes one of `"\\`$` in
   double quotes, and any character outside of quotes. Quotes may span lines.
3. A backslash at the end of a line continues the value. Blanks around an unquoted value do not count.
4. The later of two lines with one name counts. A name that no environment can hold is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT_FILE = Path("/etc/default/jobscheduler")  # systemd reads it before it starts the service

_BLANKS = " \t\n\r"
_NEWLINES = "\n\r"
_COMMENTS = "#;"
_ESCAPED_IN_DOUBLE_QUOTES = '"\\`$'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class _State(Enum):
    BEFORE_NAME = auto()
    NAME = auto()
    BEFORE_VALUE = auto()
    VALUE = auto()
    VALUE_ESCAPE = auto()
    SINGLE_QUOTES = auto()
    DOUBLE_QUOTES = auto()
    DOUBLE_QUOTES_ESCAPE = auto()
    COMMENT = auto()


_IN_VALUE = {
    _State.BEFORE_VALUE,
    _State.VALUE,
    _State.VALUE_ESCAPE,
    _State.SINGLE_QUOTES,
    _State.DOUBLE_QUOTES,
    _State.DOUBLE_QUOTES_ESCAPE,
}


_IN_QUOTES = {_State.SINGLE_QUOTES, _State.DOUBLE_QUOTES, _State.DOUBLE_QUOTES_ESCAPE}


class Fault(NamedTuple):
    """What systemd leaves out with a warning, or reads as hardly meant, and in which line (from 1).

    The message does not show the line: a part of a secret may stand there.
    """

    line: int
    message: str
    help: str


def parse_environment_file(text: str) -> dict[str, str]:
    """Return the variables of a file, by name."""
    return {one.name: one.value for one in assignments(text)}


class Assignment(NamedTuple):
    """A variable with its value, and the first and the last line (from 1) on which that stands."""

    name: str
    value: str
    line: int
    last_line: int


def assignments(text: str) -> Iterator[Assignment]:
    """Yield each assignment, in the order of the file."""
    yield from _parsed(_Parser(), text)


def parse_strictly(text: str) -> tuple[dict[str, Assignment], list[Fault]]:
    """Return the variables of a file by name, and its faults, which systemd would pass over."""
    parser = _Parser()
    variables = {one.name: one for one in _parsed(parser, text)}
    return variables, parser.faults


def _parsed(parser: _Parser, text: str) -> Iterator[Assignment]:
    for character in text:
        yield from parser.feed(character)
    yield from parser.end()


class _Parser:
    """systemd's parser, a character at a time."""

    def __init__(self) -> None:
        self._state = _State.BEFORE_NAME
        self._name = ""
        self._name_line = 1
        self._value = ""
        self._kept = 0  # characters of the value up to its last one that is quoted, escaped, or not blank
        self._line = 1
        self.faults: list[Fault] = []

    def feed(self, character: str) -> Iterator[Assignment]:
        """Take the next character; yield the assignment that it ends."""
        match self._state:
            case _State.BEFORE_NAME:
                self._begin(character)
            case _State.COMMENT:
                if character in _NEWLINES:
                    self._state = _State.BEFORE_NAME
            case _State.NAME:
                self._feed_name(character)
            case _State.BEFORE_VALUE | _State.VALUE if character in _NEWLINES:
                yield from self._assignment()
            case _State.BEFORE_VALUE | _State.VALUE:
                self._feed_value(character)
            case _:
                self._feed_quoted(character)
        self._line += character == "\n"

    def end(self) -> Iterator[Assignment]:
        """Yield the assignment that the end of the text ends."""
        if self._state in _IN_QUOTES:
            help_ = "end the value with the quote that it begins with"
            self.faults.append(Fault(self._name_line, "the quote of a value does not end", help_))
        if self._state is _State.NAME:
            self._note_line()
        if self._state in _IN_VALUE:
            yield from self._assignment()

    def _begin(self, character: str) -> None:
        if character in _COMMENTS:
            self._state = _State.COMMENT
        elif character not in _BLANKS:
            self._state, self._name, self._name_line = _State.NAME, character, self._line

    def _feed_name(self, character: str) -> None:
        if character in _NEWLINES:
            self._state = _State.BEFORE_NAME
            self._note_line()
        elif character == "=":
            self._state, self._value, self._kept = _State.BEFORE_VALUE, "", 0
        else:
            self._name += character

    def _feed_value(self, character: str) -> None:
        is_before = self._state is _State.BEFORE_VALUE
        if character == "\\":
            self._state = _State.VALUE_ESCAPE
        elif is_before and character == "'":
            self._state = _State.SINGLE_QUOTES
        elif is_before and character == '"':
            self._state = _State.DOUBLE_QUOTES
        elif not is_before or character not in _BLANKS:
            self._state = _State.VALUE
            self._value += character
            if character not in _BLANKS:
                self._kept = len(self._value)

    def _feed_quoted(self, character: str) -> None:
        match self._state:
            case _State.VALUE_ESCAPE:
                self._state = _State.VALUE
                self._keep("" if character in _NEWLINES else character)
            case _State.SINGLE_QUOTES if character == "'":
                self._state = _State.BEFORE_VALUE
            case _State.DOUBLE_QUOTES if character == '"':
                self._state = _State.BEFORE_VALUE
            case _State.DOUBLE_QUOTES if character == "\\":
                self._state = _State.DOUBLE_QUOTES_ESCAPE
            case _State.DOUBLE_QUOTES_ESCAPE:
                self._state = _State.DOUBLE_QUOTES
                is_escaped = character in _ESCAPED_IN_DOUBLE_QUOTES
                self._keep(character if is_escaped else "" if character == "\n" else "\\" + character)
            case _:
                self._keep(character)

    def _keep(self, text: str) -> None:
        self._value += text
        self._kept = len(self._value)

    def _assignment(self) -> Iterator[Assignment]:
        self._state = _State.BEFORE_NAME
        name = self._name.rstrip(_BLANKS)
        if _NAME.fullmatch(name):
            yield Assignment(name, self._value[: self._kept], self._name_line, self._line)
        else:
            is_exported = name.startswith(("export ", "export\t"))
            help_ = "leave out `export`" if is_exported else "a name has letters, digits and `_`, and no digit in front"
            self.faults.append(Fault(self._name_line, "what is before the `=` is not the name of a variable", help_))

    def _note_line(self) -> None:
        help_ = "write `NAME=value`, or `#` in front of a comment"
        self.faults.append(Fault(self._name_line, "there is no `=` in the line", help_))
