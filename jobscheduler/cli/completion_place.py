"""Find what the word under the cursor is: a verb, an option, the value of an option, or an argument. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Argument = Mapping[str, Any]  # an option or an argument, as in `verb_arguments`
Verb = Mapping[str, Any]

DEFAULT_VERB = "status"  # whose options may stand without a verb


@dataclass(frozen=True, slots=True)
class Place:
    """What may stand under the cursor.

    `argument` is what the word would be the value of. `prefix` is what of the word stands before that value, as in
    `--sort=`. `options` may stand there too, and `verbs`, each with its summary. `given` are the values that the
    argument has already.
    """

    argument: Argument | None = None
    prefix: str = ""
    options: Sequence[Argument] = ()
    verbs: Mapping[str, str] = field(default_factory=dict)
    given: Sequence[str] = ()


def find_place(verbs: Mapping[str, Verb], words: Sequence[str], current: str) -> Place:
    """Return the place of the word `current`, which comes after `words`. The command itself is not among them."""
    summaries = {verb: described["summary"] for verb, described in verbs.items()}
    if words[:1] in (["help"], ["--help"], ["-h"]):
        return Place(verbs=summaries if len(words) == 1 else {})
    if words and words[0] in verbs:
        return _place_in(verbs[words[0]], words[1:], current)
    place = _place_in(verbs[DEFAULT_VERB], words, current)
    if words:
        return place if words[0].startswith("-") else Place()
    if current.startswith("-"):
        return Place(options=place.options, verbs={"--version": "show the version"})
    return Place(verbs={**summaries, "help": "tell more of a verb, with examples"})


@dataclass(slots=True)
class _Typed:
    """The words of a verb: the options that were `seen`, the other words, and what is `waiting` for its value.

    `below` are the words of the verb below, if one is named. `is_past_options` is set after `--`.
    """

    seen: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    waiting: Argument | None = None
    below: list[str] | None = None
    is_past_options: bool = False


def _place_in(verb: Verb, words: Sequence[str], current: str) -> Place:
    """Return the place among the arguments of a verb.

    1. Options take their values with them; what is left are the arguments, the first of which may be a verb below.
    2. An option that waits for its value gets it. `--option=` has its value in the same word.
    3. A word that begins as an option is one, unless `--` came before.
    4. Anything else is the next argument; the last one may repeat.
    """
    options = {name: option for option in verb["options"] for name in option["names"]}
    typed = _read(verb, options, words)
    if typed.below is not None:
        return _place_in(verb["verbs"][typed.others[0]], typed.below, current)
    if typed.waiting is not None:
        return Place(typed.waiting)
    if typed.is_past_options:
        return _argument_place(verb, typed.others, ())
    name, equals, _ = current.partition("=")
    if equals and name in options and options[name]["metavar"]:
        return Place(options[name], prefix=name + equals)
    left = tuple(_left(verb["options"], typed.seen))
    return Place(options=left) if current.startswith("-") else _argument_place(verb, typed.others, left)


def _read(verb: Verb, options: Mapping[str, Argument], words: Sequence[str]) -> _Typed:
    typed = _Typed()
    rest = iter(words)
    for word in rest:
        option = options.get(word.partition("=")[0] if word.startswith("--") else word[:2])
        if word == "--":
            typed.others += rest
            typed.is_past_options = True
        elif option is not None and word != "-":
            typed.seen += option["names"]
            if _waits(option, word) and next(rest, None) is None:
                typed.waiting = option
        else:
            typed.others.append(word)
            if len(typed.others) == 1 and word in verb["verbs"]:
                typed.below = [*rest]
    return typed


def _waits(option: Argument, word: str) -> bool:
    """Return whether the value of an option is the word after it; `-n5` and `--limit=5` have it in themselves."""
    return option["metavar"] is not None and word in option["names"]


def _left(options: Sequence[Argument], seen: Sequence[str]) -> Iterator[Argument]:
    """Yield the options that may still be given."""
    for option in options:
        is_seen = not option["repeats"] and option["names"][0] in seen
        if not is_seen and not set(option["excludes"]) & set(seen):
            yield option


def _argument_place(verb: Verb, others: Sequence[str], options: Sequence[Argument]) -> Place:
    """Return the place of an argument; where there is none any more, the place of an option."""
    if verb["verbs"]:
        return Place(verbs={} if others else {name: below["summary"] for name, below in verb["verbs"].items()})
    arguments = verb["arguments"]
    if len(others) < len(arguments):
        return Place(arguments[len(others)])
    if arguments and arguments[-1]["repeats"]:
        return Place(arguments[-1], given=others[len(arguments) - 1 :])
    return Place(options=options)
