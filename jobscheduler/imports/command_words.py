"""Find in a shell command what it is about: the program behind checks, locks and helpers, and its first arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_PARTS = re.compile(r"&&|\|\||;|\||&|\n")
_REDIRECTION = re.compile(r"[0-9]*(?:&>>?|>>?|<)&?[ \t]*[^\s;|&]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*")
_BRACKETS = "(){}'\"`!"
_CHECK_WORDS = "test [ [[ cd sleep export . source fi : true set umask ulimit echo date return"
_CHECKS = frozenset(_CHECK_WORDS.split())
_KEYWORDS = frozenset(("if", "then", "elif", "else", "do", "while", "until"))
_MAX_ARGUMENTS = 3  # of a command that tell it from others
_HELPER_WORDS = "nice ionice env exec command time nohup setsid chronic cronic sudo timeout flock sh bash systemd-cat"
_HELPERS = frozenset(_HELPER_WORDS.split())
_WITH_ARGUMENT = {"flock": 1, "timeout": 1}  # words that a helper takes before the command
_OPTION_VALUES = {"nice": "n", "ionice": "cn", "sudo": "ug", "flock": "wE", "timeout": "ks", "systemd-cat": "tp"}
_INTERPRETERS = re.compile(r"(?:python|perl|ruby|node|php|lua)[0-9.]*|run-parts")


class CommandWords(NamedTuple):
    """The name of the program, and its first arguments, each without the way to it."""

    program: str
    arguments: tuple[str, ...]


def command_words(command: str) -> CommandWords:
    """Return what a command is about. An interpreter is named by its script, `run-parts` by its directory."""
    found = [words for words in _simple_commands(command) if words]
    telling = [words for words in found if words[0] not in _CHECKS and not _is_aside(words)]
    program, *rest = (telling or found or [["command"]])[0]
    arguments = [word for word in rest if re.search(r"\w", word)]
    name = _base(program)
    if _INTERPRETERS.fullmatch(name):
        script = next((number for number, word in enumerate(arguments) if not word.startswith("-")), None)
        if script is not None:
            name, arguments = _base(arguments[script]), arguments[script + 1 :]
    return CommandWords(name, tuple(map(_base, arguments[:_MAX_ARGUMENTS])))


def _simple_commands(command: str) -> Iterator[list[str]]:
    for part in _PARTS.split(_REDIRECTION.sub(" ", command)):
        words = [word for raw in part.split() if (word := raw.strip(_BRACKETS) or ("[" if raw == "[" else ""))]
        yield _without_helpers(words)


def _without_helpers(words: list[str]) -> list[str]:
    """Return the words of a command behind `nice`, `flock FILE` and the like, and behind variables."""
    while words and (
        words[0] in _KEYWORDS
        or _ASSIGNMENT.fullmatch(words[0])
        or (len(words) > 1 and _base(words[0]) in _HELPERS and words[1] != "-v")
    ):
        if words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
            continue
        name, rest = _base(words[0]), words[1:]
        while rest and rest[0].startswith("-"):
            takes_value = len(rest[0]) == 2 and rest[0][1] in _OPTION_VALUES.get(name, "")
            rest = rest[2 if takes_value else 1 :]
        words = rest[_WITH_ARGUMENT.get(name, 0) :] or words[:1]
        if words[:1] == [name]:
            break
    return words


def _is_aside(words: list[str]) -> bool:
    """Return whether a command only looks for a program, or sleeps."""
    is_sleep = words[0].endswith("perl") and any("sleep" in word for word in words)
    return is_sleep or words[:2] == ["command", "-v"]


def _base(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2] or word
