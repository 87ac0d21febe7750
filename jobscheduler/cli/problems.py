"""Print problems for people: what, where, the line itself, note, help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from jobscheduler.cli.table import display_width, truncate_to_width, use_colour
from jobscheduler.cli.wrapping import width_of, wrap
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.terminal_text import printable


class ArgumentProblem(ProblemError):
    """An argument that cannot be read."""

    exit_status = 2


def print_problem(problem: Problem, to: TextIO, *, level: str = "error") -> None:
    """Print one problem: on a terminal in colour unless `NO_COLOR` is set, and in as many columns as it has."""
    lines = format_problem(problem, level=level, colour=use_colour(to), width=width_of(to))
    print("\n".join(lines), file=to)


def format_problem(
    problem: Problem, *, level: str = "error", colour: bool = False, width: int | None = None
) -> Iterator[str]:
    """Yield the lines of one problem."""
    red, bold, plain = ("\x1b[31m" if level == "error" else "\x1b[33m", "\x1b[1m", "\x1b[0m") if colour else ("",) * 3
    first, *more = wrap(printable(problem.message), width, indent=f"{level}: ", hanging=0)
    yield f"{red}{bold}{level}{plain}: {bold}{first[len(level) + 2 :]}{plain}"
    yield from (f"{bold}{line}{plain}" for line in more)
    number = str(problem.line or "")
    margin = " " * len(number)
    if problem.file:
        place = f":{problem.line}:{problem.column}" if problem.line else ""
        yield f"{margin} --> {printable(problem.file)}{place}"
    if problem.excerpt is not None:
        text, before, marked = _fitted(problem, None if width is None else width - len(number) - len(" | "))
        yield f"{margin} |"
        yield f"{number} | {text}"
        yield f"{margin} | {' ' * before}{red}{'^' * marked}{plain}"
    for note in problem.notes:
        yield from wrap(printable(note), width, indent=f"{margin} note: ", hanging=0)
    if problem.help:
        yield from wrap(printable(problem.help), width, indent=f"{margin} help: ", hanging=0)


def _fitted(problem: Problem, room: int | None) -> tuple[str, int, int]:
    """Return the excerpt as far as there is room for it, and the columns before the mark and below it."""
    text, caret, end = problem.excerpt or "", problem.caret, problem.caret + problem.width
    beyond = max(0, end - max(caret, len(text)))  # a mark behind the end, for what is missing there
    before, marked = display_width(text[:caret]), display_width(text[caret:end]) + beyond
    if room is None or display_width(text) <= room:
        return text, before, marked
    if before + marked >= room:  # the mark is what counts: what is before it goes
        text, before = f"…{text[caret:]}", 1
    return truncate_to_width(text, room), before, min(marked, max(1, room - before))


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
