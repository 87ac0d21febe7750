"""Print problems for people: what, where, the line itself, note, help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from jobscheduler.cli.table import use_colour
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.terminal_text import printable


class ArgumentProblem(ProblemError):
    """An argument that cannot be read."""

    exit_status = 2


def print_problem(problem: Problem, to: TextIO, *, level: str = "error") -> None:
    """Print one problem, in colour on a terminal unless `NO_COLOR` is set."""
    print("\n".join(format_problem(problem, level=level, colour=use_colour(to))), file=to)


def format_problem(problem: Problem, *, level: str = "error", colour: bool = False) -> Iterator[str]:
    """Yield the lines of one problem."""
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


def problem_json(problem: Problem, level: str) -> dict[str, Any]:
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
