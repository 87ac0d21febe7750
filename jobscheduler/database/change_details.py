"""What a marker tells of the jobs that changed: their definitions without secrets, and no more than a server takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jobscheduler import tasks
from jobscheduler.util.redact import redacted

MAX_CHARS = 2_000_000
"""How many bytes of definitions a marker has at most, before and after together; of more it has the ids alone."""

REDACTED = "***"
"""What stands in the place of a secret."""

_ESCAPED = 2
"""How many bytes one may become at most when a driver quotes it."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_Definitions = Mapping[str, str] | None


def before_and_after(before: _Definitions, after: _Definitions, most: int | None) -> tuple[str | None, str | None]:
    """Return the texts of both; of too many definitions the ids alone, of too many ids nothing.

    `most` is how many bytes one statement may have, None for any number.
    """
    room = MAX_CHARS if most is None else min(MAX_CHARS, most // _ESCAPED - 512)
    for tell in (_definitions, _ids):
        texts = tell(before, room), tell(after, room)
        if sum(len(text.encode()) for text in texts if text) <= room and _TOO_LONG not in texts:
            return texts
    return None, None


_TOO_LONG = "\0"


def _definitions(definitions: _Definitions, room: int) -> str | None:
    if definitions is None:
        return None
    if sum(map(len, definitions.values())) > 2 * room:
        return _TOO_LONG
    return _json({job_id: redact_definition(text) for job_id, text in definitions.items()})


def _ids(definitions: _Definitions, _: int) -> str | None:
    return None if definitions is None else _json(list(definitions))


def _json(value: Any) -> str:
    told = json.dumps(value, ensure_ascii=False)
    if told.isascii() or not _SURROGATE.search(told):
        return told
    return json.dumps(value)  # half a character, which no database takes as it is


def redact_definition(definition: str) -> Any:
    """Read a definition, and blot out the secrets of its tasks; of one that cannot be read nothing is told."""
    try:
        value = json.loads(definition)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    for name in ("task", "on_failure", "on_recovery"):
        if name in value:
            value[name] = _task(value[name])
    return value


def _task(task: Any) -> Any:
    if not isinstance(task, dict):
        return None
    kind = task.get("type")
    try:
        made = tasks.task_type(str(kind))
        assert made is not None  # noqa: S101 - told as any other fault
        secrets = {one for one in made({key: one for key, one in task.items() if key != "type"}).secrets() if one}
    except Exception:  # what cannot be told apart is not shown
        return {"type": kind}
    return {key: redacted(one, secrets, REDACTED) for key, one in task.items()}
