"""Put the messages of argparse into our words. Pure."""

from __future__ import annotations

import re

from jobscheduler.model import Problem
from jobscheduler.util.text import nearest, quote

_OF_ARGUMENT = re.compile(r"argument ([^:]+): (.*)", re.DOTALL)


def problem_of_argparse(message: str, prog: str) -> Problem:
    """Return the problem that a message of argparse tells, with what to do."""
    match = _OF_ARGUMENT.fullmatch(message)
    if match is None:
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            names = " and ".join(missing.split(", "))
            return Problem(f"`{prog}` needs {names}", help=f"`{prog} --help` has examples")
        return Problem(message)
    argument, text = match[1], match[2]
    if text.startswith("expected"):
        return Problem(f"`{argument}` needs a value", help=f"`{prog} --help` says which")
    if text.startswith("ignored explicit argument"):
        return Problem(f"`{argument}` takes no value")
    if text.startswith("not allowed with argument"):
        other = text.removeprefix("not allowed with argument ")
        return Problem(f"`{argument}` and `{other}` exclude each other", help="leave out one of the two")
    if text.startswith("invalid choice"):
        return _unknown_choice(argument, text)
    return Problem(f"`{argument}`: {text}")


def _unknown_choice(argument: str, text: str) -> Problem:
    word, known = re.findall(r"choice: '(.*?)' \(choose from (.*)\)", text)[0]
    choices = [choice.strip("'") for choice in known.split(", ")]
    near = nearest(word, choices)
    help_ = f"did you mean `{near}`?" if near else f"there are {', '.join(choices)}"
    return Problem(f"there is no {argument.lower()} {quote(word)}", help=help_)
