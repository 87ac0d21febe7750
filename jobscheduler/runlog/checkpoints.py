"""Checkpoints in the log: `service.alive settled=… boot=…`, after lines with the active runs and waiting slots."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from jobscheduler.model import Checkpoint, Event, InFlightRun, Level, LogValue, PendingSlot, truncate_to_ms
from jobscheduler.runlog.checkpoint_parts import results_to_fields, to_base36, to_fields

NAME = "service.alive"

_MAX_LINE_CHARS = 8  # runs or slots in one line: with the longest ids still within the limit of a value
_NONE = "-"
_BY_A_RUN = "run:"


class CheckpointLines(Collection[Event]):
    """The lines of a checkpoint, built when iterated: a full checkpoint has many."""

    def __init__(self, mark: Checkpoint, at: datetime) -> None:
        self._mark, self._at = mark, at

    def __iter__(self) -> Iterator[Event]:
        return iter(to_events(self._mark, self._at))

    def __len__(self) -> int:
        return 1  # a lower bound; no caller needs the exact number

    def __contains__(self, one: object) -> bool:
        return one in to_events(self._mark, self._at)


def to_events(mark: Checkpoint, at: datetime) -> tuple[Event, ...]:
    """Return the lines of a checkpoint, to be written together; the one with `settled` is the last."""
    in_flight_texts = [_begun_text(one) for one in mark.in_flight]
    parts = [
        *_parts(at, "in_flight", in_flight_texts),
        *(part for key, waits in _waits_in(mark) for part in _parts(at, key, [_wait_text(one) for one in waits])),
        *(Event(at, Level.INFO, NAME, pairs) for pairs in (to_fields(mark.full) if mark.full else ())),
        *(Event(at, Level.INFO, NAME, pairs) for pairs in results_to_fields(mark.results)),
    ]
    return (*parts, Event(at, Level.INFO, NAME, _last_pairs(mark, len(parts))))


def _waits_in(mark: Checkpoint) -> tuple[tuple[str, tuple[PendingSlot, ...]], ...]:
    return (("pending", mark.pending), ("lagging", mark.lagging), ("corrects", mark.corrects))


def _last_pairs(mark: Checkpoint, parts: int) -> tuple[tuple[str, LogValue], ...]:
    """Return the pairs of the last line, without which the others do not count."""
    values: list[tuple[str, LogValue]] = [("settled", to_base36(mark.settled)), ("boot", mark.boot)]
    values += [("clock_ahead", to_base36(mark.clock_ahead))] if mark.clock_ahead is not None else []
    values += [("uptime", mark.uptime)] if mark.uptime is not None else []
    full = mark.full
    values += (
        [("full", len(full.hashes)), ("host", full.host), ("since", to_base36(full.accounted_since))] if full else []
    )
    return (*values, *([("parts", str(parts))] if parts else []))


def from_lines(last: Mapping[str, str], parts: Iterable[Mapping[str, str]]) -> Checkpoint:
    """Read a checkpoint from the pairs of its last line and of the lines before it, without what makes it full.

    Raises:
        ValueError, KeyError: the pairs are not in the form of `to_events`.

    """
    in_flight: list[InFlightRun] = []
    pending: list[PendingSlot] = []
    lagging: list[PendingSlot] = []
    corrects: list[PendingSlot] = []
    for part in parts:
        in_flight += parse_in_flight(part)
        pending += parse_pending(part)
        lagging += parse_lagging(part)
        corrects += parse_pending(part, "corrects")
    rows = tuple(in_flight), tuple(pending), tuple(lagging), tuple(corrects)
    clock_ahead = datetime.fromisoformat(last["clock_ahead"]) if "clock_ahead" in last else None
    uptime = float(last["uptime"]) if "uptime" in last else None
    return Checkpoint(datetime.fromisoformat(last["settled"]), last.get("boot", ""), *rows, clock_ahead, uptime)


def _wait_text(wait: PendingSlot) -> str:
    return f"{wait[0]},{to_base36(wait[1])}"


def _parts(at: datetime, key: str, texts: Sequence[str]) -> list[Event]:
    rows = [texts[first : first + _MAX_LINE_CHARS] for first in range(0, len(texts), _MAX_LINE_CHARS)]
    return [Event(at, Level.INFO, NAME, ((key, " ".join(row)),)) for row in rows]


def _begun_text(run: InFlightRun) -> str:
    """Format an active run. For a manual run without a slot, the user follows a dash.

    The run that started it follows a slash, so that an older version reads it as part of the user.
    """
    parent = f"/{run.trigger}" if run.trigger.startswith(_BY_A_RUN) else ""
    slot = f"{_NONE}{run.trigger_note}{parent}" if run.scheduled is None else to_base36(run.scheduled)
    return f"{run.job_id},{run.run_id},{slot},{_NONE if run.started is None else to_base36(run.started)}"


def _begun(text: str) -> InFlightRun:
    job_id, run_id, slot, started = text.split(",")
    started_at = None if started == _NONE else datetime.fromisoformat(started)
    if slot.startswith(_NONE):
        by, _, parent = slot.removeprefix(_NONE).partition(f"/{_BY_A_RUN}")
        return InFlightRun(job_id, run_id, None, started_at, by, f"{_BY_A_RUN}{parent}" if parent else "manual")
    return InFlightRun(job_id, run_id, _slot(slot), started_at)


def parse_in_flight(part: Mapping[str, str]) -> list[InFlightRun]:
    """Read the active runs of one line.

    Raises:
        ValueError: the line is malformed.

    """
    return [_begun(text) for text in part.get("in_flight", "").split()]


def parse_pending(part: Mapping[str, str], key: str = "pending") -> list[PendingSlot]:
    """Read the waiting slots of one line, or other slots under `key` in the same form.

    Raises:
        ValueError: the line is malformed.

    """
    return [(job_id, _slot(slot)) for job_id, slot in (text.split(",") for text in part.get(key, "").split())]


def parse_lagging(part: Mapping[str, str]) -> list[PendingSlot]:
    """Read up to when each job is decided whose next slot is due, from one line.

    Raises:
        ValueError: the line is malformed.

    """
    pairs = (text.split(",") for text in part.get("lagging", "").split())
    return [(job_id, datetime.fromisoformat(until)) for job_id, until in pairs]


def _slot(text: str) -> datetime:
    """Read a slot. Older checkpoints had its microseconds, which records did not."""
    return truncate_to_ms(datetime.fromisoformat(text))
