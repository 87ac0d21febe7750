"""What a request says of the changed jobs: definitions without secrets, within the size that a server takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jobscheduler import tasks
from jobscheduler.util.redact import redacted

MAX_CHARS = 2_000_000  # bytes of definitions in a request, before and after together; beyond that only ids

REDACTED = "***"  # replaces a secret

_ESCAPED = 2  # bytes that one byte may become when a driver quotes it

_SURROGATE = re.compile("[\ud800-\udfff]")
_Definitions = Mapping[str, str] | None


def before_and_after(
    before: _Definitions, after: _Definitions, max_packet: int | None
) -> tuple[str | None, str | None]:
    """Return both texts: the definitions; if those are too large, the ids alone; if those are too large, nothing.

    `max_packet` is how many bytes one statement may have, None for any number.
    """
    max_bytes = MAX_CHARS if max_packet is None else min(MAX_CHARS, max_packet // _ESCAPED - 512)
    for write in (_definitions, _ids):
        texts = write(before, max_bytes), write(after, max_bytes)
        if sum(len(text.encode()) for text in texts if text) <= max_bytes and _TOO_LONG not in texts:
            return texts
    return None, None


_TOO_LONG = "\0"


def _definitions(definitions: _Definitions, max_bytes: int) -> str | None:
    if definitions is None:
        return None
    if sum(map(len, definitions.values())) > 2 * max_bytes:
        return _TOO_LONG
    return _json({job_id: redact_definition(text) for job_id, text in definitions.items()})


def _ids(definitions: _Definitions, _: int) -> str | None:
    return None if definitions is None else _json(list(definitions))


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return json.dumps(value)  # a lone surrogate, which no database takes unescaped


def redact_definition(definition: str) -> Any:
    """Parse a definition, and redact the secrets of its tasks; None if it cannot be parsed."""
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
        type_ = tasks.task_type(str(kind))
        assert type_ is not None  # noqa: S101 - handled like any other error
        secrets = {
            secret for secret in type_({key: value for key, value in task.items() if key != "type"}).secrets() if secret
        }
    except Exception:  # without its list of secrets show no parameters
        return {"type": kind}
    return {key: redacted(value, secrets, REDACTED) for key, value in task.items()}
