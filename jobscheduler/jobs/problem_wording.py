"""Word the problems of an item for its source. The parser does not know whether it reads a file or a row."""

from __future__ import annotations

from dataclasses import replace

from jobscheduler.model import Problem

FILE_NOUN = "file"  # as the parser words its problems


def reword_problem(noun: str, problem: Problem) -> Problem:
    """Return a problem of a definition with `noun` in the place of the word file."""
    if noun == FILE_NOUN:
        return problem
    message = problem.message
    if message.startswith("the file "):
        message = f"the {noun} {message.removeprefix('the file ')}"
    help_ = problem.help
    if help_ is not None:
        help_ = help_.replace("the file", f"the {noun}").replace("job per file", f"job per {noun}")
        help_ = help_.replace("a job file holds", f"a {noun} holds")
    return replace(problem, message=message, help=help_)
