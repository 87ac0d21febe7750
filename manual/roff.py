"""A manual page in the language of man(7), from plain text with `code` in backticks.

What is written is the same for the same texts: it has no date but that of `SOURCE_DATE_EPOCH`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobscheduler import __version__

LINE_CHARS = 78  # of a line of text in the source
_CODE = r"`(?P<code>[^`]+)`"
_OPTION = r"(?<![\w/.-])(?P<option>--[a-z][a-z-]*[a-z]|-[a-zA-Z]|JOBSCHEDULER_[A-Z_]*[A-Z])\b"
_PAGE = r"\b(?P<page>[a-z][a-z.-]*)\((?P<section>[1578])\)"
_MARKED = re.compile("|".join((_CODE, _OPTION, _PAGE)))
_LITERAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_WORD = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""")
_EXAMPLE_CHARS = 68  # of a line of an example, which is indented by eleven
_SHORT_CHARS = 24  # of what is not broken
_MANUALS = {1: "User Commands", 5: "File Formats"}


def literal(text: str) -> str:
    """Escape what a user types, or a file holds: it is copied from the page, so every character stays what it is."""
    return "".join(_LITERAL.get(character, character) for character in text)


def bold(text: str) -> str:
    """Return a literal text in bold."""
    return rf"\fB{literal(text)}\fR"


def italic(text: str) -> str:
    """Return a text that stands for a value, in italics."""
    return rf"\fI{literal(text)}\fR"


def prose(text: str) -> str:
    """Escape a text for people: `code`, options, variables and other pages become bold."""
    parts, end = [], 0
    for match in _MARKED.finditer(text):
        section = f"({match['section']})" if match["section"] else ""
        parts += [
            _plain(text[end : match.start()]),
            _whole(match["code"] or match["option"] or match["page"]) + section,
        ]
        end = match.end()
    return "".join([*parts, _plain(text[end:])])


def _whole(text: str) -> str:
    """Return a literal text in bold whose words are not hyphenated; a short one stays in one line."""
    blank = r"\~" if len(text) <= _SHORT_CHARS else " "
    return r"\fB" + blank.join(r"\%" + literal(word) for word in text.split()) + r"\fR"


def _plain(text: str) -> str:
    return text.replace("\\", r"\e").replace("~", r"\(ti").replace("^", r"\(ha")


def sentence(text: str) -> str:
    """Return a help text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def continued(command: str) -> str:
    """Break a long command at blanks outside quotes, so that a shell still takes it for one."""
    lines = [""]
    for word in _WORD.findall(command):
        if lines[-1].strip() and len(lines[-1]) + len(word) + len(" " + " \\") > _EXAMPLE_CHARS:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def _lines(text: str) -> list[str]:
    """Break a text into lines, none of which is taken for a request."""
    broken = textwrap.wrap(text, LINE_CHARS, break_long_words=False, break_on_hyphens=False)
    return [rf"\&{line}" if line.startswith((".", "'")) else line for line in broken]


@dataclass(slots=True)
class Page:
    """One page, which is written from top to bottom. `date` is in seconds since 1970, None for none."""

    name: str
    section: int
    summary: str
    date: int | None = None
    _written: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the whole page."""
        day = "" if self.date is None else datetime.fromtimestamp(self.date, UTC).strftime("%Y-%m-%d")
        title = f'.TH {literal(self.name.upper())} {self.section} "{day}" "jobscheduler {__version__}"'
        head = [
            r".\" Made by `python -m manual`: the texts are those of the program.",
            f'{title} "{_MANUALS[self.section]}"',
            ".ad l",
            ".SH NAME",
            rf"{literal(self.name)} \- {prose(self.summary)}",
        ]
        return "\n".join([*head, *self._written]) + "\n"

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._written.append(f".SH {text.upper()}")

    def subheading(self, text: str) -> None:
        """Begin a part of a section."""
        self._written.append(f".SS {literal(text)}")

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self._written += [] if self._is_after_heading() else [".PP"]
        self._written += _lines(prose(text))

    def usage(self, *lines: str) -> None:
        """Add lines of usage, each with the command in bold."""
        for number, line in enumerate(lines):
            self._written += [".br"] if number else [] if self._is_after_heading() else [".PP"]
            command, _, rest = line.partition(" [")
            self._written.append(bold(command) + (literal(f" [{rest}") if rest else ""))

    def entry(self, *tags: str, texts: Iterable[str]) -> None:
        """Add an entry with one or several tags, which are escaped already."""
        for number, tag in enumerate(tags):
            self._written += [".TQ" if number else ".TP", tag]
        for number, text in enumerate(texts):
            self._written += [".IP"] if number else []
            self._written += _lines(prose(text))

    def example(self, text: str) -> None:
        """Add lines that are shown as they are."""
        lines = [rf"\&{literal(line)}" if line.startswith((".", "'")) else literal(line) for line in text.splitlines()]
        self._written += [*([] if self._is_after_heading() else [".PP"]), ".RS 4", ".EX", *lines, ".EE", ".RE"]

    def indent(self) -> None:
        """Have what follows stand below the last entry, until `outdent`."""
        self._written.append(".RS")

    def outdent(self) -> None:
        """End what `indent` began."""
        self._written.append(".RE")

    def _is_after_heading(self) -> bool:
        return bool(self._written) and self._written[-1].startswith((".SH", ".SS"))
