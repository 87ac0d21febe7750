"""Collect the log lines about one slot: its record, and later changes of its job and the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.model.log_line import RECORD_KINDS, Line, parse_instant, slot_range

JOB_KINDS = RECORD_KINDS | {  # the lines about a job that are evidence
    *("run.started", "run.attempt_failed"),
    *("job.added", "job.updated", "job.removed", "job.expired", "job.refused", "job.stale", "job.mended"),
}
# The lines about the service that are evidence.
SERVICE_KINDS = frozenset({"service.started", "service.stopping", "service.stopped", "service.died"})

_DEFINITION_KINDS = frozenset({"job.added", "job.updated", "job.removed"})
_SLOT_KINDS = frozenset(
    {"schedule", "timezone", "enabled", "not_before", "not_after", "catch_up", "jitter", "zone_rules"}
)


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The log lines that matter for one slot; None where there is no such line.

    `begins`: the time of the oldest line that still exists.
    `record`: the record of the slot, or a summary of several slots that covers it.
    `started`, `failed`: the start of its run and its last failed attempt.
    `first_change`: the first change of the definition after the slot (added, updated, removed).
    `rescheduled`: the last change of a field that decides the slots.
    `expired`: the only time of the job was over.
    `last_change`, `last`: the latest change and the latest record of the job, for any slot.
    `paused`: the begin of the pause that the slot was skipped for.
    `service`, `last_service`: the first event of the service after the slot, and the latest one.
    """

    begins: datetime | None = None
    record: Line | None = None
    started: Line | None = None
    failed: Line | None = None
    first_change: Line | None = None
    last_change: Line | None = None
    rescheduled: Line | None = None
    expired: Line | None = None
    last: Line | None = None
    service: Line | None = None
    last_service: Line | None = None
    paused: Line | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the log has no line about the job."""
        return not (self.last or self.last_change or self.started or self.expired)


def collect_evidence(
    slot: datetime | None,
    of_the_job: Iterable[Line],
    of_the_service: Iterable[Line] = (),
    begins: datetime | None = None,
) -> LogEvidence:
    """Collect the evidence for a slot from lines about its job and about the service, newest first.

    Lines are read one by one and only the evidence stays in memory. Without a slot the evidence is for the present: the
    latest record and the latest change.
    """
    lines: dict[str, Line] = {}
    for line in of_the_job:
        for name, is_newest in _roles(line, slot):
            if is_newest:
                lines.setdefault(name, line)
            else:
                lines[name] = line
    for line in of_the_service:
        lines.setdefault("last_service", line)
        if _is_after(line, slot):
            lines["service"] = line
    if "group" in lines:
        lines.setdefault("record", lines.pop("group"))
    lines.pop("group", None)
    return LogEvidence(begins=begins, **lines)


def instant(line: Line, key: str) -> datetime | None:
    """Return the instant under a key of a line; None without a valid one."""
    with suppress(ValueError):
        return parse_instant(line, key)
    return None


def _roles(line: Line, slot: datetime | None) -> Iterator[tuple[str, bool]]:
    """Yield the fields of the evidence that a line may fill, each with whether the newest such line counts."""
    kind = line["word"]
    if kind in RECORD_KINDS:
        yield "last", True
        if slot is not None and _covers(line, slot):
            yield "record" if instant(line, "scheduled") == slot else "group", True
    elif kind in {"run.started", "run.attempt_failed"}:
        if slot is not None and instant(line, "scheduled") == slot:
            yield "started" if kind == "run.started" else "failed", True
    elif kind in _DEFINITION_KINDS:
        yield "last_change", True
        if _is_after(line, slot):
            yield "first_change", False
            if _reschedules(line):
                yield "rescheduled", True
    elif kind == "job.expired":
        yield "expired", True


def _covers(line: Line, slot: datetime) -> bool:
    with suppress(ValueError):
        slots = slot_range(line)
        return slots is not None and slots[0] <= slot <= slots[1]
    return False


def _is_after(line: Line, slot: datetime | None) -> bool:
    at = instant(line, "time")
    return slot is None or at is None or at > slot


def _reschedules(line: Line) -> bool:
    return line["word"] == "job.updated" and not _SLOT_KINDS.isdisjoint(line.get("changed", "").split(","))
