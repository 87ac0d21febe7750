"""Problems as people see them: what, where, the line itself, note, help."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TextIO

from jobscheduler.model import Problem


def show(problem: Problem, to: TextIO, *, level: str = "error") -> None:
    """Print one problem, in colour on a terminal unless `NO_COLOR` is set."""
    colour = to.isatty() and not os.environ.get("NO_COLOR")
    print("\n".join(lines_of(problem, level=level, colour=colour)), file=to)


def lines_of(problem: Problem, *, level: str = "error", colour: bool = False) -> Iterator[str]:
    """Lay out one problem."""
    red, bold, plain = ("\x1b[31m" if level == "error" else "\x1b[33m", "\x1b[1m", "\x1b[0m") if colour else ("",) * 3
    yield f"{red}{bold}{level}{plain}: {bold}{printable(problem.message)}{plain}"
    number = str(problem.line or "")
    margin = " " * len(number)
    if problem.file:
        place = f":{problem.line}:{problem.column}" if problem.line else ""
        yield f"{margin} --> {printable(problem.file)}{place}"
    if problem.excerpt is not None:
        yield f"{margin} |"
        yield f"{number} | {problem.excerpt}"
        yield f"{margin} | {' ' * problem.caret}{red}{'^' * problem.width}{plain}"
    for note in problem.notes:
        yield f"{margin} note: {printable(note)}"
    if problem.help:
        yield f"{margin} help: {printable(problem.help)}"


def as_object(problem: Problem, level: str) -> dict[str, Any]:
    """Return a problem as the object that `--json` prints."""
    return {
        "level": level,
        "problem": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "notes": list(problem.notes),
        "help": problem.help,
    }


def printable(text: str) -> str:
    """Return a text that cannot disturb a terminal, whatever a file is called or holds."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
