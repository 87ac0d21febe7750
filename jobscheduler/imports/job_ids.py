"""Give jobs ids made of the table and the command: the same at each import, whatever the other lines are."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jobscheduler.imports.command_words import command_words

_MAX_ID_CHARS = 100  # before a hash; an id may have 128


class NamedLine(NamedTuple):
    """What an id is made of: the table's short name, the line itself, and its command."""

    table: str
    text: str
    command: str


def assign_ids(lines: Sequence[NamedLine], known: Mapping[NamedLine, str]) -> list[str]:
    """Return the id of each line. `known` has the ids that lines got at an earlier import, which they keep.

    1. `table-program`, or the program alone if it has the name of the table.
    2. Lines that would share one: all of them with the first arguments.
    3. Lines that still share one: all of them with a hash of the line, so that their order does not matter.
    """
    texts = [[f"{_stem(line)}", _with_arguments(line), f"{_stem(line)}-{_digest(line)}"] for line in lines]
    levels = [0] * len(lines)
    for level in (0, 1):
        taken = Counter(texts[number][levels[number]] for number in range(len(lines)) if lines[number] not in known)
        taken.update(known.values())
        for number in range(len(lines)):
            if levels[number] == level and taken[texts[number][level]] > 1:
                levels[number] += 1
    found = [known.get(line, texts[number][levels[number]]) for number, line in enumerate(lines)]
    return _numbered(found)


def _numbered(ids: list[str]) -> list[str]:
    """Return ids with a number for each repetition: the same line stands in a table twice."""
    seen: Counter[str] = Counter()
    result = []
    for job_id in ids:
        seen[job_id] += 1
        result.append(job_id if seen[job_id] == 1 else f"{job_id}-{seen[job_id]}")
    return result


def _stem(line: NamedLine) -> str:
    table, program = _slug(line.table), _slug(command_words(line.command).program)
    return program if program.startswith(table) else f"{table}-{program}"[:_MAX_ID_CHARS]


def _with_arguments(line: NamedLine) -> str:
    arguments = command_words(line.command).arguments
    return "-".join((_stem(line), *map(_slug, arguments)))[:_MAX_ID_CHARS].rstrip("-.")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:_MAX_ID_CHARS] or "command"


def _digest(line: NamedLine) -> str:
    return hashlib.sha256(line.text.encode("utf-8", "surrogateescape")).hexdigest()[:6]
