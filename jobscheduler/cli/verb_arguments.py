"""The arguments of all verbs as data: what shells complete, and what the manual page shows.

`scripts/update-arguments` writes them to `arguments.json`. So a shell that asks at each Tab need not import all verbs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from jobscheduler.cli.usage import VerbParser, some_of
from jobscheduler.cli.verbs import VERBS
from jobscheduler.config import OPTIONS

_WORDS_OF_SETTINGS = {option.name: option.words for option in OPTIONS}
_AppendAction = type(argparse.ArgumentParser().add_argument("--any", action="append"))
_MANY = ("*", "+")  # the `nargs` of arguments that may stand several times


def all_arguments() -> dict[str, Any]:
    """Return the arguments of every verb, as their parsers have them."""
    from jobscheduler.cli.run_verb import verb_parser  # noqa: PLC0415 - it imports every verb

    return {verb: described(verb_parser(verb), summary) for verb, summary in VERBS.items()}


def write_arguments(to: Path) -> None:
    """Write the file from which shells are answered."""
    to.write_text(json.dumps(all_arguments(), indent=1, ensure_ascii=False) + "\n", "utf-8")


def described(parser: VerbParser, summary: str) -> dict[str, Any]:
    """Return a verb: its summary, its options, its arguments, and the verbs below it."""
    actions = [(action, _argument(parser, action)) for action in parser.arguments]
    return {
        "summary": summary,
        "options": [argument for action, argument in actions if action.option_strings],
        "arguments": [argument for action, argument in actions if not action.option_strings],
        "verbs": {name: described(below, _summary(below)) for name, below in parser.verbs.items()},
    }


def _argument(parser: VerbParser, action: argparse.Action) -> dict[str, Any]:
    """Return one option or argument. A `metavar` of null is an option without a value."""
    is_flag = bool(action.option_strings) and action.nargs == 0
    words = getattr(action.type, "words", None) or _WORDS_OF_SETTINGS.get(action.dest, ())
    return {
        "names": list(action.option_strings),
        "metavar": None if is_flag else action.metavar,
        "help": (action.help or "") % vars(action),
        "words": list(words),
        "is_list": isinstance(action.type, some_of),
        "repeats": action.nargs in _MANY or isinstance(action, _AppendAction),
        "excludes": parser.excluded_by(action),
    }


def _summary(parser: VerbParser) -> str:
    text = parser.description or ""
    return text[:1].lower() + text[1:].removesuffix(".")
