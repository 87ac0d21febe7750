"""Marks in the log: `service.alive settled=… boot=…`, with what goes on at that point in lines of its own before it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from jobscheduler.model import Checkpoint, Event, InFlightRun, Level, LogValue, PendingSlot, truncate_to_ms
from jobscheduler.runlog.checkpoint_parts import to_base36, to_fields

NAME = "service.alive"

_MAX_LINE_CHARS = 8  # runs or slots told in one line: with the longest ids still below the length that a value may have
_NONE = "-"
_BY_A_RUN = "run:"


class Lines(Collection[Event]):
    """The lines of a mark, made when somebody goes through them: those of a full checkpoint are many."""

    def __init__(self, mark: Checkpoint, at: datetime) -> None:
        self._mark, self._at = mark, at

    def __iter__(self) -> Iterator[Event]:
        return iter(to_events(self._mark, self._at))

    def __len__(self) -> int:
        return 1  # at least, and nobody wants to know exactly

    def __contains__(self, one: object) -> bool:
        return one in to_events(self._mark, self._at)


def to_events(mark: Checkpoint, at: datetime) -> tuple[Event, ...]:
    """Return the lines of a mark. They are to be written together; the one with `settled` is the last."""
    begun = [_begun_text(one) for one in mark.in_flight]
    parts = [
        *_parts(at, "going", begun),
        *(part for key, waits in _waits_in(mark) for part in _parts(at, key, [_wait_text(one) for one in waits])),
        *(Event(at, Level.INFO, NAME, pairs) for pairs in (to_fields(mark.full) if mark.full else ())),
    ]
    return (*parts, Event(at, Level.INFO, NAME, _last_pairs(mark, len(parts))))


def _waits_in(mark: Checkpoint) -> tuple[tuple[str, tuple[PendingSlot, ...]], ...]:
    return (("waits", mark.pending), ("late", mark.lagging), ("corrects", mark.corrects))


def _last_pairs(mark: Checkpoint, parts: int) -> tuple[tuple[str, LogValue], ...]:
    """Return the pairs of the line without which the others do not count."""
    values: list[tuple[str, LogValue]] = [("settled", to_base36(mark.settled)), ("boot", mark.boot)]
    values += [("ahead", to_base36(mark.clock_ahead))] if mark.clock_ahead is not None else []
    values += [("up", mark.uptime)] if mark.uptime is not None else []
    full = mark.full
    values += (
        [("full", len(full.hashes)), ("host", full.host), ("since", to_base36(full.accounted_since))] if full else []
    )
    return (*values, *([("parts", str(parts))] if parts else []))


def from_lines(last: Mapping[str, str], parts: Iterable[Mapping[str, str]]) -> Checkpoint:
    """Read a mark back from the pairs of its last line and of the lines before it, but for what makes it full.

    Raises:
        ValueError, KeyError: something in them is not as `events_of` writes it.

    """
    begun: list[InFlightRun] = []
    waits: list[PendingSlot] = []
    late: list[PendingSlot] = []
    corrects: list[PendingSlot] = []
    for part in parts:
        begun += parse_in_flight(part)
        waits += parse_pending(part)
        late += parse_lagging(part)
        corrects += parse_pending(part, "corrects")
    rows = tuple(begun), tuple(waits), tuple(late), tuple(corrects)
    ahead = datetime.fromisoformat(last["ahead"]) if "ahead" in last else None
    up = float(last["up"]) if "up" in last else None
    return Checkpoint(datetime.fromisoformat(last["settled"]), last.get("boot", ""), *rows, ahead, up)


def _wait_text(wait: PendingSlot) -> str:
    return f"{wait[0]},{to_base36(wait[1])}"


def _parts(at: datetime, key: str, texts: Sequence[str]) -> list[Event]:
    rows = [texts[first : first + _MAX_LINE_CHARS] for first in range(0, len(texts), _MAX_LINE_CHARS)]
    return [Event(at, Level.INFO, NAME, ((key, " ".join(row)),)) for row in rows]


def _begun_text(one: InFlightRun) -> str:
    """Write a run that goes on; where one by hand has no slot, the user that asked for it stands behind the dash.

    The run that asked for it follows behind a slash, so that a former version reads it as part of the user.
    """
    parent = f"/{one.trigger}" if one.trigger.startswith(_BY_A_RUN) else ""
    slot = f"{_NONE}{one.trigger_note}{parent}" if one.scheduled is None else to_base36(one.scheduled)
    return f"{one.job_id},{one.run_id},{slot},{_NONE if one.started is None else to_base36(one.started)}"


def _begun(text: str) -> InFlightRun:
    job_id, run_id, slot, started = text.split(",")
    begun = None if started == _NONE else datetime.fromisoformat(started)
    if slot.startswith(_NONE):
        by, _, parent = slot.removeprefix(_NONE).partition(f"/{_BY_A_RUN}")
        return InFlightRun(job_id, run_id, None, begun, by, f"{_BY_A_RUN}{parent}" if parent else "manual")
    return InFlightRun(job_id, run_id, _slot(slot), begun)


def parse_in_flight(part: Mapping[str, str]) -> list[InFlightRun]:
    """Read the runs that go on, of one line. Raises ValueError."""
    return [_begun(text) for text in part.get("going", "").split()]


def parse_pending(part: Mapping[str, str], key: str = "waits") -> list[PendingSlot]:
    """Read the slots that wait, of one line, or others that stand there alike. Raises ValueError."""
    return [(job_id, _slot(slot)) for job_id, slot in (text.split(",") for text in part.get(key, "").split())]


def parse_lagging(part: Mapping[str, str]) -> list[PendingSlot]:
    """Read up to when jobs have been decided whose next slot is due, of one line. Raises ValueError."""
    pairs = (text.split(",") for text in part.get("late", "").split())
    return [(job_id, datetime.fromisoformat(until)) for job_id, until in pairs]


def _slot(text: str) -> datetime:
    """Read a slot; formerly marks told microseconds of it, which records did not."""
    return truncate_to_ms(datetime.fromisoformat(text))
