"""What the log says about one slot: its record, and what happened to its job and to the service since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.model import Status

Line = Mapping[str, str]
"""A line of the log: `time`, `word` (status or event), and its pairs, as text."""

RECORDS = frozenset(status.value for status in Status)
JOB_KINDS = RECORDS | {
    *("run.started", "run.attempt_failed"),
    *("job.added", "job.updated", "job.removed", "job.expired", "job.refused", "job.stale", "job.mended"),
}
"""The words of the lines about a job that a story needs."""
SERVICE_KINDS = frozenset({"service.started", "service.stopping", "service.stopped", "service.died"})
"""The words of the lines about the service that a story needs."""

_DEFINITION_KINDS = frozenset({"job.added", "job.updated", "job.removed"})
_SLOT_KINDS = frozenset({"schedule", "timezone", "enabled", "not_before", "not_after", "catch_up", "jitter"})


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """Lines that matter for one slot; None where there is no such line.

    `record` is about the slot itself, or about several among which it would be; `started` says that its run began,
    `failed` is its last attempt that failed. `first_change` is the first thing that happened to the definition after
    it (added, updated, removed), `rescheduled` the last change of what decides its slots, `expired` says that its one
    time was over.
    `last_change` and `last` are the latest change and the latest record of the job, whichever slot that is about.
    `service` is the first thing that the service did after the slot, `last_service` the last one. `begins` is the
    time of the oldest line that there still is.
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

    @property
    def is_empty(self) -> bool:
        """Whether the log says nothing about the job."""
        return not (self.last or self.last_change or self.started or self.expired)


def collect_evidence(
    slot: datetime | None,
    of_the_job: Iterable[Line],
    of_the_service: Iterable[Line] = (),
    begins: datetime | None = None,
) -> LogEvidence:
    """Gather the story of a slot from the lines about its job and about the service, newest first.

    Lines are taken one by one and not kept. Without a slot it is the story of now, for which the lines of the latest
    record and change are enough.
    """
    found: dict[str, Line] = {}
    for line in of_the_job:
        for name, is_last in _roles(line, slot):
            if is_last:
                found.setdefault(name, line)
            else:
                found[name] = line
    for line in of_the_service:
        found.setdefault("last_service", line)
        if _is_after(line, slot):
            found["service"] = line
    if "group" in found:
        found.setdefault("record", found.pop("group"))
    found.pop("group", None)
    return LogEvidence(begins=begins, **found)


def instant(line: Line, key: str) -> datetime | None:
    """Return an instant that stands in a line, None if none does."""
    try:
        found = datetime.fromisoformat(line[key])
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo else None


def _roles(line: Line, slot: datetime | None) -> Iterator[tuple[str, bool]]:
    """Say which places of a story a line can take, and whether the newest such line does (else the oldest)."""
    word = line["word"]
    if word in RECORDS:
        yield "last", True
        if slot is not None and _covers(line, slot):
            yield "record" if instant(line, "scheduled") == slot else "group", True
    elif word in {"run.started", "run.attempt_failed"}:
        if slot is not None and instant(line, "scheduled") == slot:
            yield "started" if word == "run.started" else "failed", True
    elif word in _DEFINITION_KINDS:
        yield "last_change", True
        if _is_after(line, slot):
            yield "first_change", False
            if _reschedules(line):
                yield "rescheduled", True
    elif word == "job.expired":
        yield "expired", True


def _covers(line: Line, slot: datetime) -> bool:
    first = instant(line, "scheduled")
    return first is not None and first <= slot <= (instant(line, "last") or first)


def _is_after(line: Line, slot: datetime | None) -> bool:
    at = instant(line, "time")
    return slot is None or at is None or at > slot


def _reschedules(line: Line) -> bool:
    return line["word"] == "job.updated" and not _SLOT_KINDS.isdisjoint(line.get("changed", "").split(","))
