"""Read a job of JobsManager from the pickle in which APScheduler keeps it (pure).

JobsManager knows one kind of job: its function `Task.run_command` with a logger, a command and a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from jobscheduler.imports import apscheduler_fields, apscheduler_times
from jobscheduler.imports.apscheduler_fields import Field, read_fields, state_of
from jobscheduler.imports.apscheduler_times import instant, zone_name
from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.pickle_values import Made, Name, UnreadablePickle, read_pickle
from jobscheduler.util.text import quote

CRON, DATE = "CronTrigger", "DateTrigger"

_TRIGGERS = {  # the modules of triggers; of those without one the reason says more than of an unknown name
    ("apscheduler.triggers.cron", CRON),
    ("apscheduler.triggers.date", DATE),
    ("apscheduler.triggers.interval", "IntervalTrigger"),
    ("apscheduler.triggers.calendarinterval", "CalendarIntervalTrigger"),
    ("apscheduler.triggers.combining", "AndTrigger"),
    ("apscheduler.triggers.combining", "OrTrigger"),
}
NAMES = frozenset({*apscheduler_fields.NAMES, *apscheduler_times.NAMES, *_TRIGGERS, ("logging", "getLogger")})

_FUNCTION = re.compile(r"[\w.]+:Task\.run_command")
_PARAMETERS = ("logger", "cmd", "timeout")  # of that function
_BY_HAND = "write the job by hand, with a command that does the same"


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """The fields of a trigger with its zone and its bounds, both inclusive; `jitter` is seconds."""

    fields: Mapping[str, Field]
    zone: str
    start: datetime | None
    end: datetime | None
    jitter: float


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it is stored. `trigger` is an instant for a job that is due once; `grace` and `timeout` are seconds."""

    id: str
    name: str
    command: str
    timeout: float | None
    trigger: CronTrigger | datetime
    grace: float | None
    is_coalescing: bool
    max_instances: int
    executor: str
    is_paused: bool


def read_job(job_id: str, raw: bytes, *, is_paused: bool) -> StoredJob:
    """Return the job of a row. `is_paused` is what its column `next_run_time` says: that it has none.

    Raises:
        NotExpressible: it is no job of JobsManager, or cannot be read. Nothing else is raised, whatever the bytes are.

    """
    try:
        state = read_pickle(raw, NAMES)
    except UnreadablePickle as error:
        message = f"its `job_state` cannot be read: {error}; nothing of it was executed"
        raise NotExpressible(message, "look at what wrote the row, and write the job by hand") from None
    if type(state) is not dict:
        raise NotExpressible("its `job_state` holds no job of APScheduler", _BY_HAND)
    if state.get("version", 1) != 1:
        raise NotExpressible("its `job_state` is of another version than those of APScheduler 3", _BY_HAND)
    command, timeout = _call(state)
    return StoredJob(
        id=job_id,
        name=_text(state, "name", ""),
        command=command,
        timeout=timeout,
        trigger=_trigger(state.get("trigger")),
        grace=_optional_number(state, "misfire_grace_time"),
        is_coalescing=state.get("coalesce") is not False,
        max_instances=int(_optional_number(state, "max_instances") or 1),
        executor=_text(state, "executor", "default"),
        is_paused=is_paused or state.get("next_run_time") is None,
    )


def _call(state: Mapping[str, Any]) -> tuple[str, float | None]:
    """Return the command and its time limit."""
    function, arguments, named = state.get("func"), state.get("args"), state.get("kwargs")
    if type(function) is not str or not _FUNCTION.fullmatch(function):
        shown = quote(function) if type(function) is str else "no function"
        raise NotExpressible(f"it calls {shown}, not `Task.run_command` of JobsManager", _BY_HAND)
    if type(arguments) not in {list, tuple} or type(named) is not dict or len(arguments or ()) > len(_PARAMETERS):
        raise NotExpressible("its function has no arguments as JobsManager gives them", _BY_HAND)
    given = {**dict(zip(_PARAMETERS, arguments or (), strict=False)), **named}
    command, timeout = given.get("cmd"), given.get("timeout")
    if type(command) is not str or not _is_text(command):
        raise NotExpressible("its command is not a text", _BY_HAND)
    if timeout is not None and type(timeout) not in {int, float}:
        raise NotExpressible("its time limit is not a number, so JobsManager ends each run at once", _BY_HAND)
    if timeout is not None and not 0 < timeout < inf:
        message = f"its time limit is {timeout:g} seconds, so JobsManager ends each run at once"
        raise NotExpressible(message, "write the job with a `timeout`, or with none")
    return command, timeout


def _trigger(value: Any) -> CronTrigger | datetime:
    maker = value.maker if isinstance(value, Made) else None
    if not isinstance(maker, Name) or (maker.module, maker.name) not in _TRIGGERS:
        raise NotExpressible("it has no trigger of APScheduler", _BY_HAND)
    if maker.name not in {CRON, DATE}:
        message = f"its trigger is an `{maker.name}`, which does not go by the clock"
        raise NotExpressible(message, "write a schedule such as `*/10 * * * *`")
    state = state_of(value, maker.module)
    if maker.name == DATE:
        return instant(state.get("run_date"))
    start, end = state.get("start_date"), state.get("end_date")
    return CronTrigger(
        fields=read_fields(state.get("fields")),
        zone=zone_name(state.get("timezone")),
        start=None if start is None else instant(start),
        end=None if end is None else instant(end),
        jitter=_optional_number(state, "jitter") or 0,
    )


def _text(state: Mapping[str, Any], name: str, default: str) -> str:
    value = state.get(name, default)
    return value if type(value) is str and _is_text(value) else default


def _is_text(value: str) -> bool:
    """Return whether a text can be written: a pickle may hold half of a pair of surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _optional_number(state: Mapping[str, Any], name: str) -> float | None:
    """Return a number that is at least 0."""
    value = state.get(name)
    if value is None:
        return None
    if type(value) not in {int, float} or not 0 <= value < 10**9:
        raise NotExpressible(f"its `{name}` is not a number as APScheduler has it", _BY_HAND)
    return float(value) if type(value) is float else int(value)
