"""The definitions in force, as the socket shows them: so that a client can compare others with them.

Tasks may hold secrets. Of each there is only its type and a digest, by a key that is new for each answer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from jobscheduler.jobs.catalog import ItemState, ItemStatus
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.jobs.preview import ItemInForce
from jobscheduler.model import NO_TASK, Cron, Job, TaskSpec
from jobscheduler.status.snapshot_json import definition_json, instant

_TASKS = ("task", "on_failure", "on_recovery")


def definitions_answer(
    items: Iterable[tuple[str, Job | None, ItemStatus]], next_slots: Mapping[str, datetime | None]
) -> dict[str, Any]:
    """Return the items in force as JSON, with the next slot of each active job."""
    key = secrets.token_hex(16)
    return {
        "key": key,
        "items": [
            {
                "file": name,
                "definition": None if job is None else described(job, key),
                "active": job is not None and status.state in {ItemState.GOOD, ItemState.STALE},
                "bad": bool(status.problems),
                "next": instant(next_slots.get(job.id)) if job is not None else None,
            }
            for name, job, status in items
        ],
    }


def items_of_answer(answer: Mapping[str, Any]) -> list[ItemInForce]:
    """Return the items that an answer has.

    Raises:
        ValueError: a definition has fields that this version does not know.

    """
    return [
        ItemInForce(
            item["file"],
            None if item["definition"] is None else restored(item["definition"], item["file"]),
            item["active"],
            item["bad"],
        )
        for item in answer["items"]
    ]


def masked(job: Job, key: str) -> Job:
    """Return a job as an answer with this key shows it: equal to what is in force if the definition is."""
    return restored(described(job, key), job.source_name)


def described(job: Job, key: str) -> dict[str, Any]:
    """Return a definition as in a job file, with digests in the place of the fields of its tasks."""
    fields = definition_json(job)
    if not isinstance(job.schedule, Cron):
        fields["schedule"] = instant(job.schedule.at)
    for name in _TASKS:
        spec: TaskSpec | None = getattr(job, name)
        if spec is not None:
            digest = hmac.digest(key.encode(), spec.params_json.encode(), hashlib.sha256).hex()[:32]
            fields[name] = None if spec == NO_TASK else {"type": spec.type, "digest": digest}
    return fields


def restored(fields: Mapping[str, Any], source_name: str) -> Job:
    """Return the job that was described.

    Raises:
        ValueError: it has fields that this version does not know.

    """
    job = parse(json.dumps(fields).encode(), source_name, _context())
    if not isinstance(job, Job):
        raise ValueError(job[0].message)
    return job


class _AnyTask:
    """A task type that accepts every field."""

    schema: ClassVar[Mapping[str, Any]] = {"type": "object"}

    @staticmethod
    def check(fields: Mapping[str, Any]) -> Iterable[Any]:
        del fields
        return ()


@cache
def _context() -> ParseContext:
    """Return what a definition is read with. Not made by the import, which has to work on a host without zone data."""
    return ParseContext(ZoneInfo("UTC"), lambda _: _AnyTask, is_portable=True)
