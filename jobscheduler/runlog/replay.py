"""Apply the lines after a checkpoint to what it says, in the order of the log (pure).

A run that has begun and has no record is what a crash interrupted. Slots of records need nothing more. A pending slot
is known whatever its file looks like now.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from jobscheduler.model import Checkpoint, InFlightRun, RecoveredState
from jobscheduler.model.log_line import RECORD_KINDS, Line, parse_instant, slot_range
from jobscheduler.model.standing import LoggedResult
from jobscheduler.runlog.state_lines import PENDING, RESULTS, STARTED

_TICK = timedelta(microseconds=1)


class Replay:
    """The state after a checkpoint and the lines applied so far."""

    def __init__(self, checkpoint: Checkpoint, written_at: datetime) -> None:
        """`written_at` is the time of the checkpoint's last line."""
        self._checkpoint = checkpoint
        self._written_at = written_at
        self._in_flight = {run.run_id: run for run in checkpoint.in_flight}
        self._pending = dict.fromkeys(checkpoint.pending)
        self._lagging = dict(checkpoint.lagging)
        self._corrects = dict.fromkeys(checkpoint.corrects)
        self._recorded: dict[str, list[tuple[datetime, datetime]]] = {}
        self._stopping_at: datetime | None = None
        self._last_kind = ""
        self._results: list[LoggedResult] = []

    def apply(self, line: Line) -> None:
        """Apply a line. A malformed one changes nothing, as far as it is malformed."""
        kind = line["word"]
        if not kind.startswith("log."):  # the log may report about itself last
            self._last_kind = kind
        with suppress(ValueError, KeyError):
            if kind in RESULTS:
                at, reason = datetime.fromisoformat(line["time"]), line.get("on", line.get("reason"))
                self._results.append(LoggedResult(line["job_id"], kind, at, reason))
            if "corrects" in line and (slots := slot_range(line)):
                self._corrects[line["job_id"], slots[0]] = None
            if kind == PENDING:
                self._apply_pending(line)
            elif kind == "service.stopping":
                self._stopping_at = parse_instant(line, "time")
            elif kind in STARTED:
                self._apply_start(line)
                self._resolve(line)
            elif kind in RECORD_KINDS:
                parse_instant(line, "scheduled")  # a malformed slot is of no use, and neither is its run
                self._in_flight.pop(line.get("run_id", ""), None)
                self._resolve(line)

    def _apply_start(self, line: Line) -> None:
        """Take a request of a manual run, or the start of an attempt; the first attempt is the start of the run."""
        job_id, slot = line["job_id"], parse_instant(line, "scheduled")
        started = parse_instant(line, "time") if line["word"] == "run.started" else None
        known = self._in_flight.get(line["run_id"])
        if known is None or known.started is None:
            trigger = line.get("by", ""), line.get("trigger", "manual")
            self._in_flight[line["run_id"]] = InFlightRun(job_id, line["run_id"], slot, started, *trigger)

    def _resolve(self, line: Line) -> None:
        """Note that the slots of a line need nothing more."""
        job_id = line["job_id"]
        if slots := slot_range(line):
            self._pending.pop((job_id, slots[0]), None)
            self._recorded.setdefault(job_id, []).append(slots)

    def _apply_pending(self, line: Line) -> None:
        """Take a pending slot: it is decided, or (with `starts`) it is due and only the slots before it are decided."""
        job_id, slot = line["job_id"], parse_instant(line, "scheduled")
        if slot is None:
            return
        if "starts" in line:
            self._lagging[job_id] = slot - _TICK
        elif not any(first <= slot <= last for first, last in self._recorded.get(job_id, ())):  # else it has begun
            self._pending[job_id, slot] = None

    def state(self, last_line_at: datetime) -> RecoveredState:
        """Return the state at the end of the log, whose last line was written at this time."""
        clean_stop = self._last_kind == "service.stopped"
        return RecoveredState(
            replace(self._checkpoint, lagging=tuple(self._lagging.items()), corrects=tuple(self._corrects)),
            last_line_at,
            clean_stop,
            tuple(self._in_flight.values()),
            tuple(self._pending),
            {job_id: tuple(ranges) for job_id, ranges in self._recorded.items()},
            checkpoint_written_at=self._written_at,
            drain=self._drain(last_line_at, clean_stop=clean_stop),
            results=tuple(self._results),
        )

    def _drain(self, last_line_at: datetime, *, clean_stop: bool) -> tuple[datetime, datetime] | None:
        """Return the span in which the service was stopping, if it was at the end of the log.

        The checkpoint of a clean stop is as of when that began, and was written at its end.
        """
        began = self._stopping_at or self._checkpoint.settled
        return (began, last_line_at) if (clean_stop or self._stopping_at) and began < last_line_at else None
