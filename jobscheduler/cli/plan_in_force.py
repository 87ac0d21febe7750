"""What is in force now, which a plan compares with the files that would be put there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jobscheduler.cli.job_files import ReadFile, read_path
from jobscheduler.cli.plan_changes import next_slot
from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config import Settings
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.control.definitions import items_of_answer, masked
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.preview import ItemInForce
from jobscheduler.model import Job, Problem, name_sort_key

_MAX_NAMED = 20  # files for which the service is asked alone


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force, the next slots of its jobs, and the key by which it shows tasks.

    `is_part` says that these are only the items that the planned files may change.
    """

    items: list[ItemInForce]
    next_slots: Mapping[str, datetime | None]
    key: str = ""
    is_part: bool = False


def in_force_now(settings: Settings, rules: ParseContext, now: datetime, planned: Sequence[ReadFile]) -> InForce:
    """Return what the service has in force; without a service, and for a portable plan, what the jobs directory says.

    The service is asked for what a few planned files may change, and for everything if they are many, or none is given.
    """
    if rules.is_portable:
        return _of_directory(settings.jobs_dir, rules, now)
    is_part = 0 < len(planned) <= _MAX_NAMED
    try:
        answer = request(settings.socket, "GET", f"/v1/definitions?{_query(planned) if is_part else ''}")
        return InForce(items_of_answer(answer), dict(_next_slots(answer)), answer["key"], is_part)
    except ServiceUnreachable:
        note = f"note: no service was asked; compared with the jobs directory `{settings.jobs_dir}`"
        print_wrapped(note, sys.stderr)
    except (ApiError, ValueError) as error:
        message = "the running service cannot say what is in force: is it of another version?"
        raise ArgumentProblem(Problem(message, notes=(str(error),), help="ask with its own version")) from None
    return _of_directory(settings.jobs_dir, rules, now)


def _of_directory(directory: Path, rules: ParseContext, now: datetime) -> InForce:
    """Return what a service would have in force that had just read a directory."""
    items, owners = [], dict[str, str]()
    found = read_path(directory, rules, is_trusted=rules.is_portable)
    for read in sorted(found, key=lambda read: name_sort_key(read.name)):
        job = masked(read.result, "") if isinstance(read.result, Job) else None
        is_active = job is not None and owners.setdefault(job.id, read.name) == read.name
        items.append(ItemInForce(read.name, job, is_active, is_bad=job is None))
    jobs = [item.job for item in items if item.job is not None and item.is_active]
    return InForce(items, {job.id: next_slot(job, now) for job in jobs})


def _query(planned: Iterable[ReadFile]) -> str:
    jobs = [("job", read.result.id) for read in planned if isinstance(read.result, Job)]
    return urlencode([*(("file", read.name) for read in planned), *jobs])


def _next_slots(answer: Mapping[str, Any]) -> Iterator[tuple[str, datetime | None]]:
    for item in answer["items"]:
        if item["active"]:
            yield item["definition"]["job_id"], None if item["next"] is None else datetime.fromisoformat(item["next"])
