"""Execute a task once and return its result as a value."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime

from jobscheduler.model import LogValue, ResourceUse, TaskSpec, log_key
from jobscheduler.tasks import Context, Outcome, Task, TaskFailed, UnknownTask, UnusableTask, task_type

REDACTED = "[secret]"  # stands in a message in place of a secret

_MIN_SECRET_CHARS = 4  # shorter secrets are not redacted: hiding every `1` would hide more than the secret

_MAX_DETAILS = 32  # a log line has a limit, and only values can be shortened

# Reasons for which a task may fail; the last four follow a request to stop.
_REASONS = frozenset({"exit", "start", "http", "task", "oom", "timeout", "replaced", "stopped", "shutdown"})

# Keys with a meaning of their own in a log line; a recovery reads slots back from them.
# fmt: off
_RESERVED = frozenset({
    "job_id", "run_id", "scheduled", "started", "duration", "reason", "output", "time", "status", "level",
    "event", "word", "last", "count", "more", "attempt", "attempts", "attempts_left", "retry_in", "trigger", "by",
    "settled", "parts", "in_flight", "pending", "cpu", "max_rss",
})
# fmt: on

_DIGITS = 2**63  # larger integers are slow to print, and Python refuses to print very large ones


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The end of an attempt. No `reason` means success; `traceback` is that of a crashed task."""

    reason: str | None = None
    details: tuple[tuple[str, LogValue], ...] = ()
    output: bytes = b""
    traceback: str | None = None
    use: ResourceUse | None = None


def execute_task(spec: TaskSpec, context: Context) -> AttemptResult:
    """Make the task and run it. Any exception becomes the result, even one that would end the thread or the process."""
    task: Task | None = None
    try:
        task = task_type(spec.type)(spec.params)
        return from_outcome(task.run(context))
    except BaseException as raised:
        return from_exception(raised, task)


def from_outcome(outcome: Outcome | None) -> AttemptResult:
    """Return the result of a task that succeeded. Raises: `TypeError` if `outcome` is not an `Outcome`."""
    return _ended(None, outcome)


def from_exception(raised: BaseException, task: Task | None) -> AttemptResult:
    """Return the result of a task that raised an exception."""
    try:
        return _explained(raised, task)
    except Exception as crash:  # a `TaskFailed` with values of a wrong type
        return _crashed(crash, task)


def _explained(raised: BaseException, task: Task | None) -> AttemptResult:
    if isinstance(raised, TaskFailed):
        return _ended(_reason(raised.reason), raised.outcome, _redact(str(raised), task))
    if isinstance(raised, UnknownTask | UnusableTask):
        return AttemptResult("start", (("error", str(raised)),))
    return _crashed(raised, task)


def _reason(given: object) -> str:
    """Return the reason of a failure: `task` if it is not a known reason. None must not pass, as it means success."""
    return given if isinstance(given, str) and given in _REASONS else "task"


def _ended(reason: str | None, outcome: Outcome | None, message: str = "") -> AttemptResult:
    outcome = Outcome() if outcome is None else outcome
    if not isinstance(outcome, Outcome):
        raise TypeError(f"run() returned {type(outcome).__name__}, not an Outcome")
    error = (("error", message),) if message else ()
    details = (*map(_sanitize, outcome.details[:_MAX_DETAILS]), *error)
    use = outcome.use if isinstance(outcome.use, ResourceUse) else None
    return AttemptResult(reason, details, bytes(outcome.output), use=use)


def _sanitize(pair: tuple[str, LogValue]) -> tuple[str, LogValue]:
    """Return a pair that fits a log line. A task of another package may return any value."""
    key, value = pair
    name = log_key(str(key))
    return f"task_{name}" if name in _RESERVED else name, _plain_value(value)


def _plain_value(value: object) -> LogValue:
    match value:
        case str():
            return value
        case int():
            return value if abs(value) < _DIGITS else hex(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime():
            return _plain_instant(value)
        case _:
            return str(value)


def _plain_instant(at: datetime) -> LogValue:
    try:
        return at.astimezone(UTC)
    except (OverflowError, ValueError):  # the first and the last day of the calendar, in most zones
        return str(at)


def _crashed(crash: BaseException, task: Task | None) -> AttemptResult:
    error = _redact("".join(traceback.format_exception_only(crash)).strip(), task)
    full_traceback = _redact("".join(traceback.format_exception(crash)), task)
    return AttemptResult("task", (("error", error),), traceback=full_traceback)


def _redact(text: str, task: Task | None) -> str:
    """Return `text` without the secrets of the task."""
    try:
        secrets = () if task is None else tuple(task.secrets())
    except Exception:  # the class of another package
        return "the task could not list its secrets, so its message is not shown"
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET_CHARS:
            text = text.replace(secret, REDACTED)
    return text
