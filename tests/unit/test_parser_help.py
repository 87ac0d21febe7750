"""Mistakes as people make them: a file that is changed as the help says is the file that was meant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from jobscheduler import tasks
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.model import Job, Problem
from tests.support.definitions import full_job
from tests.support.zone_data import ZONE_DATA

RULES = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
MEANT = full_job()
TEXT = json.dumps(MEANT, indent=2)
MAX_HELPS = 5  # until a file must be accepted


def parse_text(text: str) -> Job | tuple[Problem, ...]:
    return parse(text.encode(), "a.json", RULES)


JOB = parse_text(TEXT)


def follow_help(text: str, problem: Problem) -> str:
    """Change the text as the help of a problem says, at its location."""
    assert problem.help, problem
    assert problem.line, problem
    lines = text.split("\n")
    start = sum(len(line) + 1 for line in lines[: problem.line - 1]) + (problem.column or 1) - 1
    before, meant, after = text[:start], text[start : start + problem.width], text[start + problem.width :]
    if problem.help in ("delete it", "remove the comma"):
        return before + after
    if problem.help == "replace it by a blank":
        return f"{before} {after}"
    if problem.help == "is a comma missing before it?":
        return f"{before},{meant}{after}"
    if problem.help == "is the rest missing, or a closing `}`?":
        return text + "}"
    if problem.help == "write `\"` instead of `'`":
        closing = after.index("'")
        return f'{before}"{after[:closing]}"{after[closing + 1 :]}'
    found = re.match(r"(?:write|did you mean) `(.+?)`(?: instead)?(?:$|\?$|,)", problem.help)
    assert found, problem
    quoted = meant.startswith('"') and not found[1].startswith('"')
    return before + (f'"{found[1]}"' if quoted else found[1]) + after


def repaired(text: str) -> Job:
    """Follow the first help again and again until the file is accepted."""
    for _ in range(MAX_HELPS):
        found = parse_text(text)
        if isinstance(found, Job):
            return found
        text = follow_help(text, found[0])
    raise AssertionError(text, parse_text(text))


def outside(random: Random, marks: str, text: str = TEXT) -> int:
    """Pick the location of one of these characters outside of texts."""
    places = [m.start() for m in re.finditer(r'"(?:[^"\\]|\\.)*"|.', text) if m[0] in marks]
    return random.choice(places)


def put(text: str, at: int, new: str, width: int = 0) -> str:
    return text[:at] + new + text[at + width :]


def picked(random: Random, pattern: str) -> re.Match[str]:
    return random.choice(list(re.finditer(pattern, TEXT)))


def blank(random: Random) -> str:
    return put(TEXT, outside(random, "{}[]:,"), random.choice("\u00a0\u2003\u3000\u200b\ufeff\u2028\u202f\u00ad"))


def full_width(random: Random) -> str:
    at = outside(random, ":,{[")
    return put(TEXT, at, chr(ord(TEXT[at]) + 0xFEE0), 1)


def curly(random: Random) -> str:
    found = picked(random, r'"[^"]*"')
    return put(TEXT, found.start(), f"\u201c{found[0][1:-1]}\u201d", len(found[0]))


def curly_end(random: Random) -> str:
    return put(TEXT, picked(random, r'"[^"]*"').end() - 1, "\u201d", 1)


def single_quotes(random: Random) -> str:
    found = picked(random, r'"[^"]*"')
    return put(TEXT, found.start(), f"'{found[0][1:-1]}'", len(found[0]))


def trailing_comma(random: Random) -> str:
    return put(TEXT, outside(random, "}]"), ",")


def no_comma(random: Random) -> str:
    return put(TEXT, outside(random, ","), "", 1)


def no_end(random: Random) -> str:
    return TEXT.rstrip("}")


def bare_key(random: Random) -> str:
    found = picked(random, r'"([a-z_]+)":')
    return put(TEXT, found.start(), f"{found[1]}:", len(found[0]))


def bare_word(random: Random) -> str:
    found = picked(random, r': "([a-z]+|[0-9]+[a-z])"')
    return put(TEXT, found.start(), f": {found[1]}", len(found[0]))


def yes(random: Random) -> str:
    return TEXT.replace("true", random.choice(("yes", "True", "on", "TRUE", "Yes")))


def number(random: Random) -> str:
    number = random.choice(("32", "3600"))
    forms = (f"0{number}", f"+{number}", hex(int(number)), f"{number}.", f"00{number}", f"{number[0]}_{number[1:]}")
    return TEXT.replace(f": {number}", f": {random.choice(forms)}")


def other_mark(random: Random) -> str:
    at = outside(random, ":,")
    return put(TEXT, at, {":": "=", ",": ";"}[TEXT[at]], 1)


def misspelt_key(random: Random) -> str:
    found = picked(random, r'"(description|schedule|timezone|enabled|overlap|attempts|command|catch_up)"')
    at = found.start() + random.randint(2, len(found[1]))
    return put(TEXT, at, "", 1)


def misspelt_zone(random: Random) -> str:
    at = TEXT.index("Tokyo") + random.randint(1, 4)
    return (
        put(TEXT, at, random.choice(("", "q")), random.randint(0, 1)) if random.random() < 0.5 else put(TEXT, at, "q")
    )


def misspelt_word(random: Random) -> str:
    return TEXT.replace(*random.choice((("queue", "queu"), ("execute_command", "exec_command"), ("queue", "Queue"))))


MISTAKES = (
    *(blank, full_width, curly, curly_end, single_quotes, trailing_comma, no_comma, no_end, bare_key, bare_word, yes),
    *(number, other_mark, misspelt_key, misspelt_zone, misspelt_word),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_following_the_help_gives_the_intended_job(mistake: Callable[[Random], str]) -> None:
    """Thirty files of each mistake, at drawn places: after at most five helps the very job that was meant."""
    random = Random(5)
    for _ in range(30):
        text = mistake(random)
        if text != TEXT and not isinstance(parse_text(text), Job):
            assert repaired(text) == JOB, text


SCHEDULES = (
    "0/15 9-17 * * 1-5",
    "0 10 * * ? *",
    "0 0 25 12 * root",
    "60 * * * *",
    "0 0 * * L5",
    "@always",
    "0 0 ? * 5#2",
)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_that_is_suggested_is_accepted_in_the_file(schedule: str) -> None:
    """As the help has it, each of several if there are several."""
    found = parse_text(json.dumps({**MEANT, "schedule": schedule}))
    assert isinstance(found, tuple)
    suggested = re.findall(r"`([^`]+)`", found[0].help or "")
    assert suggested
    for one in suggested:
        assert isinstance(parse_text(json.dumps({**MEANT, "schedule": one})), Job)


def test_a_zone_that_is_suggested_for_a_misspelt_one_is_that_zone() -> None:
    """One letter more, less, other or swapped, in any name: the zone itself, one of the same name, or no suggestion."""
    random = Random(9)
    for zone in random.sample(sorted(name for name in available_timezones() if "/" in name), 150):
        at = random.randint(zone.index("/") + 1, len(zone) - 1)
        wrong = random.choice((put(zone, at, "q"), put(zone, at, "", 1), put(zone, at, "q", 1)))
        found = parse_text(json.dumps({**MEANT, "timezone": wrong}))
        if isinstance(found, Job):
            continue
        guessed = re.fullmatch(r"did you mean `(.*)`\?", found[0].help or "")
        if guessed and guessed[1] != zone:
            assert same_rules(guessed[1], zone), (wrong, guessed[1])


def same_rules(one: str, other: str) -> bool:
    """Return whether two zones have the same offsets today and in the years to come."""
    files = [ZONE_DATA / name for name in (one, other)]
    rules = []
    for file in files:
        with open(file, "rb") as opened:
            rules.append(opened.read().split(b"\n")[-2])
    return rules[0] == rules[1]
