"""What may stand at a place of the command line: options, words, names that the service knows, zones."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobscheduler.cli.completion_place import Argument, Place

ASK_S = 1.0  # seconds that the service may take for each step of its answer

TIMES = ("now", "today", "yesterday", "tomorrow")
TAG_PREFIX = "tag:"

_KINDS = {"FILE": "files", "PATH": "files", "DIR": "directories", "USER": "users", "GROUP": "groups"}
_FINDING = ("--socket", "--config")  # the options by which a verb finds its service


@dataclass(frozen=True, slots=True)
class Answer:
    """The candidates, each with a description, and what the shell adds by itself (see `complete`).

    `note` says what is to be typed, `prefix` is what stands before the candidates in the same word.
    """

    candidates: Mapping[str, str] = field(default_factory=dict)
    kind: str = "words"
    note: str = ""
    prefix: str = ""


def answer(place: Place, words: Sequence[str], current: str) -> Answer:
    """Return what may stand at a place, as far as it goes on from what is typed there."""
    typed = current.removeprefix(place.prefix)
    if place.argument is not None:
        return _of_argument(place, words, typed)
    found = {**place.verbs, **dict(_options(place.options, typed))}
    return Answer({name: text for name, text in found.items() if name.startswith(typed)})


def _options(options: Sequence[Argument], typed: str) -> Iterator[tuple[str, str]]:
    """Yield the names of options; short ones only for a user who types one."""
    for option in options:
        for name in option["names"]:
            if name.startswith("--") or typed.startswith("-") or len(option["names"]) == 1:
                yield name, option["help"]


def _of_argument(place: Place, words: Sequence[str], typed: str) -> Answer:
    argument: Argument = place.argument or {}
    note = argument["help"]
    if argument["is_list"]:
        return Answer(_list(argument["words"], typed), "list", note, place.prefix)
    nouns = argument["metavar"].split("|")
    kind = next((_KINDS[noun] for noun in nouns if noun in _KINDS), "words")
    found = dict.fromkeys(argument["words"], "")
    if "ZONE" in nouns:
        found |= dict.fromkeys(_zones(), "")
    if "TIME" in nouns:
        found |= dict.fromkeys(TIMES, "")
    if names := {*nouns} & {"JOB", "ID", "RUN", "TAG"}:
        found |= _names(names, words, typed, with_tags=argument["repeats"] and "JOB" in names)
    left = {name: text for name, text in found.items() if name.startswith(typed) and name not in place.given}
    return Answer(left, kind, note, place.prefix)


def _list(known: Collection[str], typed: str) -> dict[str, str]:
    """Return lists of words, each with one word more than is typed and complete."""
    before, comma, begun = typed.rpartition(",")
    given = before.split(",")
    return {f"{before}{comma}{word}": "" for word in known if word.startswith(begun) and word not in given}


def _zones() -> Collection[str]:
    from jobscheduler.timetable.timezones import zone_names  # noqa: PLC0415 - for this alone

    return zone_names()


def _names(nouns: Collection[str], words: Sequence[str], typed: str, *, with_tags: bool) -> dict[str, str]:
    """Return ids and tags that the service knows, with descriptions; none if no service answers."""
    known = _ask(words, "" if typed.startswith(TAG_PREFIX) else typed)
    found: dict[str, str] = dict(known.get("jobs", {})) if {"JOB", "ID"} & {*nouns} else {}
    if "RUN" in nouns:
        found |= {run_id: f"a run of {job_id}" for run_id, job_id in known.get("runs", {}).items()}
    if "TAG" in nouns:
        found |= dict.fromkeys(known.get("tags", ()), "")
    if with_tags:
        found |= {f"{TAG_PREFIX}{tag}": "jobs with this tag" for tag in known.get("tags", ())}
    return found


def _ask(words: Sequence[str], begin: str) -> Mapping[str, Any]:
    """Ask the service that the command line means for the names that begin so. Whatever fails, there are none."""
    from jobscheduler.cli.options import client_settings  # noqa: PLC0415 - only for names
    from jobscheduler.control.client import request  # noqa: PLC0415
    from jobscheduler.model.errors import ProblemError  # noqa: PLC0415

    try:
        settings = client_settings(_finding(words), is_silent=True)
        path = f"/v1/names?begin={quote(begin, errors='surrogateescape')}"
        return request(settings.socket, "GET", path, hurry=ASK_S)
    except (ProblemError, OSError):
        return {}


def _finding(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments by which a verb finds its service, as they stand on the command line."""
    found = argparse.Namespace(user="--user" in words)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in _FINDING:
            setattr(found, name.removeprefix("--"), str(Path(value if equals else following).expanduser()))
    return found
