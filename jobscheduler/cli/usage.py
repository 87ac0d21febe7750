"""Read the arguments of a verb, and report wrong usage as a problem: what, help with the nearest word, usage.

The private members of argparse that we use, and why (`tests/unit/test_library_members.py` holds them and this list):

| class            | member                    | why                                                         |
|------------------|---------------------------|-------------------------------------------------------------|
| `ArgumentParser` | `_get_formatter`          | the usage line without the list of options                  |
| `ArgumentParser` | `_get_positional_actions` | the same; and which arguments may be empty                  |
| `ArgumentParser` | `_actions`                | what shells complete, and what the manual page shows        |
| `ArgumentParser` | `_option_string_actions`  | which options there are, for the nearest word and the order |
| `ArgumentParser` | `_subparsers`             | whether there are verbs below this one                      |
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.model import Problem
from jobscheduler.util.text import nearest, quote

if TYPE_CHECKING:
    from jobscheduler.cli.exclusive_options import ExclusiveOptions

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_LONG = 2  # hyphens before a long option


class UsageError(ArgumentProblem):
    """The command line is wrong; `usage` is the usage line of the verb."""

    def __init__(self, problem: Problem, usage: str) -> None:
        super().__init__(problem)
        self.usage = usage


class VerbParser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` where argparse prints its own words and ends the process."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **{**options, "allow_abbrev": False})
        self._exclusive: list[ExclusiveOptions] = []

    def add_mutually_exclusive_group(self, **options: Any) -> ExclusiveOptions:  # type: ignore[override]
        """Add options of which one excludes the others."""
        from jobscheduler.cli.exclusive_options import ExclusiveOptions  # noqa: PLC0415 - few verbs have such options

        group = ExclusiveOptions(super().add_mutually_exclusive_group(**options).add_argument)
        self._exclusive.append(group)
        return group

    @property
    def usage_line(self) -> str:
        """The usage without the list of options.

        It is made of the arguments alone: Python 3.14 shows an argument that excludes an option in one bracket with it.
        """
        formatter = self._get_formatter()
        formatter.add_usage(None, self._get_positional_actions(), [])
        text = " ".join(_COLOUR.sub("", formatter.format_help()).split())
        head, _, rest = text.partition(self.prog)
        return f"{head}{self.prog} [OPTIONS]{rest}"

    @property
    def arguments(self) -> list[argparse.Action]:
        """The options and arguments, in the order of the help; the verbs below this one are `verbs`."""
        return [action for action in self._actions if action is not self._verbs_action]

    @property
    def verbs(self) -> dict[str, VerbParser]:
        """The parsers of the verbs below this one."""
        action = self._verbs_action
        return {} if action is None else {str(name): parser for name, parser in action.choices.items()}

    @property
    def _verbs_action(self) -> Any:
        return next((action for action in self._actions if isinstance(action.choices, dict)), None)

    def excluded_by(self, action: argparse.Action) -> list[str]:
        """Return the options that cannot stand beside one."""
        groups = [group.actions for group in self._exclusive if action in group.actions]
        return [name for group in groups for other in group if other is not action for name in other.option_strings]

    def parse_words(self, words: list[str]) -> argparse.Namespace:
        """Return the arguments.

        Raises:
            UsageError: they are wrong.

        """
        try:
            arguments, unknown = self.parse_known_args(self._options_first(words))
        except UsageError:
            raise
        except ArgumentProblem as value:
            raise UsageError(value.problem, self.usage_line) from None
        if unknown:
            self._refuse_unknown(unknown[0])
        return arguments

    def parse_known_args(  # type: ignore[override]
        self, *arguments: Any, **options: Any
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the arguments, and those that are unknown.

        Raises:
            UsageError: they are wrong; also an empty name, as from a variable of the shell that is not set.

        """
        found, unknown = super().parse_known_args(*arguments, **options)
        for action in self._get_positional_actions():
            given = getattr(found, action.dest, None)
            if given == "" or (isinstance(given, list) and "" in given):
                what = action.metavar if isinstance(action.metavar, str) else action.dest
                help_ = "is a variable of the shell not set? `jobscheduler list` shows all jobs"
                raise UsageError(Problem(f"{what} is empty", help=help_), self.usage_line)
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raise an error in place of a message of argparse.

        Raises:
            UsageError: always.

        """
        from jobscheduler.cli.argparse_messages import problem_of_argparse  # noqa: PLC0415 - for wrong usage alone

        raise UsageError(problem_of_argparse(message, self.prog), self.usage_line)

    def _options_first(self, words: list[str]) -> list[str]:
        """Return the words with the options in front: argparse takes no arguments on both sides of an option.

        Raises:
            UsageError: an option is unknown, which argparse would hide behind an argument that is missing.

        """
        if self._subparsers is not None:
            return words  # the verb below has options of its own
        options: list[str] = []
        others: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                return [*options, word, *others, *rest]
            if not self._is_option(word):
                others.append(word)
                continue
            takes_value = self._takes_next_word(word)
            value = [*islice(rest, takes_value)]
            if len(value) < takes_value:
                return [*options, *others, word]
            options += [word, *value]
        return [*options, *others]

    def _is_option(self, word: str) -> bool:
        """Return whether a word is an option, by the rules of argparse.

        Raises:
            UsageError: it is one that is unknown.

        """
        if not word.startswith("-") or word == "-":
            return False
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        is_known = name in self._option_strings()
        if not is_known and " " not in word and not _NEGATIVE_NUMBER.fullmatch(word):
            self._refuse_unknown(word)
        return is_known

    def _takes_next_word(self, word: str) -> bool:
        """Return whether the value of a known option is the word after it; the last of `-fn` may be such an option."""
        names = [word] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]
        for place, name in enumerate(names, 1):
            action = self._option_string_actions.get(name)
            if action is None or action.nargs is None:
                return action is not None and place == len(names)
        return False

    def _refuse_unknown(self, word: str) -> NoReturn:
        name = word.partition("=")[0]
        if not word.startswith("-") or word == "-":
            problem = Problem(f"{quote(word)} is one argument too many")
        else:
            near = nearest_option(name, self._option_strings())
            help_ = f"did you mean `{near}`?" if near else f"`{self.prog} --help` lists the options"
            problem = Problem(f"`{self.prog}` has no option {quote(name)}", help=help_)
        raise UsageError(problem, self.usage_line)

    def _option_strings(self) -> Collection[str]:
        return self._option_string_actions.keys()


class SubverbParser(VerbParser):
    """The parser of a verb below a verb: it refuses what it does not know itself, with its own options and usage."""

    def parse_known_args(  # type: ignore[override]
        self, args: list[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the arguments, of which none is unknown.

        Raises:
            UsageError: one is.

        """
        known, unknown = super().parse_known_args(self._options_first([*(args or ())]), namespace)
        if unknown:
            self._refuse_unknown(unknown[0])
        return known, unknown


def refuse_both(first: str, second: str) -> NoReturn:
    """Refuse two options, or an option and a word, that are both there.

    Raises:
        ArgumentProblem: always.

    """
    raise ArgumentProblem(Problem(f"`{first}` and `{second}` exclude each other", help="leave out one of the two"))


def nearest_option(name: str, known: Iterable[str]) -> str | None:
    """Return the option that is most like a misspelt one: also one that begins so, or that has the letter."""
    options = [option for option in known if option.startswith("--")]
    begun = [option for option in options if option.startswith(name)] if len(name) > _LONG else []
    if begun:
        return min(begun, key=len)
    return nearest(name, options) if name.startswith("--") else None


class _Words:
    """The words that an argument takes; shells complete them."""

    def __init__(self, noun: str, known: Iterable[str]) -> None:
        self._noun = noun
        self._by_lower = {word.lower(): word for word in known}

    @property
    def words(self) -> list[str]:
        """The words, as users type them."""
        return list(self._by_lower)

    def read(self, text: str) -> str:
        """Return the word that a text means, in any case.

        Raises:
            ArgumentProblem: it means none.

        """
        return _known_word(text.strip().lower(), self._noun, self._by_lower)


class one_of(_Words):  # noqa: N801 - used as the functions beside it
    """Read a word that is one of a few, in any case. Raises: `ArgumentProblem` if it is another."""

    def __call__(self, text: str) -> str:
        """Return the word."""
        return self.read(text)


class some_of(_Words):  # noqa: N801 - used as the functions beside it
    """Read words with commas between them, each one of a few, in any case. Raises: `ArgumentProblem` for another."""

    def __call__(self, text: str) -> frozenset[str]:
        """Return the words."""
        return frozenset(map(self.read, text.split(",")))


def _known_word(word: str, noun: str, by_lower: Mapping[str, str]) -> str:
    if word in by_lower:
        return by_lower[word]
    is_only, near = len(by_lower) == 1, nearest(word, by_lower)
    listed = f"the only {noun} is `{next(iter(by_lower))}`" if is_only else f"there are {', '.join(by_lower)}"
    what = f"there is no {noun} {quote(word)}" if word else f"the {noun} is empty"
    help_ = f"did you mean `{near}`? {listed}" if near else listed
    raise ArgumentProblem(Problem(what, help=help_))


def whole_number(flag: str, least: int, most: int = 999_999_999) -> Callable[[str], int]:
    """Return a reader of a whole number within bounds."""

    def read(text: str) -> int:
        """Read the number.

        Raises:
            ArgumentProblem: it is not a number, or out of the bounds.

        """
        if not text.isascii() or not text.isdigit() or not least <= int(text[:10]) <= most:
            bounds = f"{least} or more" if most == 999_999_999 else f"from {least} to {most}"
            raise ArgumentProblem(Problem(f"`{flag}` takes a whole number {bounds}, not {quote(text)}"))
        return int(text)

    return read
