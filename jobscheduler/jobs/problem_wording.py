"""Problems of an item in the words of its source: a definition is judged without a thought of where it stands."""

from __future__ import annotations

from dataclasses import replace

from jobscheduler.model import Problem

FILE_NOUN = "file"
"""The word that problems have from the start."""


def reword_problem(noun: str, problem: Problem) -> Problem:
    """Say a problem of a definition for an item that is called `noun`."""
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
