"""Marks in the log: `service.alive settled=… boot=…`, with what goes on at that point in lines of its own before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from jobscheduler.model import Begun, Event, Level, Mark, Wait, nominal
from jobscheduler.runlog.lines import instant_text

NAME = "service.alive"

_A_LINE = 8  # runs or slots told in one line: with the longest ids still below the length that a value may have
_NONE = "-"


def events_of(mark: Mark, at: datetime) -> tuple[Event, ...]:
    """Return the lines of a mark. They are to be written together; the one with `settled` is the last."""
    begun = [_begun_text(one) for one in mark.begun]
    waits = [f"{job_id},{_exact(slot)}" for job_id, slot in mark.waits]
    late = [f"{job_id},{_exact(until)}" for job_id, until in mark.late]
    parts = [*_parts(at, "going", begun), *_parts(at, "waits", waits), *_parts(at, "late", late)]
    values = [("settled", _exact(mark.settled)), ("boot", mark.boot)]
    if parts:
        values.append(("parts", str(len(parts))))
    return (*parts, Event(at, Level.INFO, NAME, tuple(values)))


def mark_of(last: Mapping[str, str], parts: Iterable[Mapping[str, str]]) -> Mark:
    """Read a mark back from the pairs of its last line and of the lines before it.

    Raises:
        ValueError, KeyError: something in them is not as `events_of` writes it.

    """
    begun: list[Begun] = []
    waits: list[Wait] = []
    late: list[Wait] = []
    for part in parts:
        begun += begun_of(part)
        waits += waits_of(part)
        late += late_of(part)
    return Mark(datetime.fromisoformat(last["settled"]), last.get("boot", ""), tuple(begun), tuple(waits), tuple(late))


def _parts(at: datetime, key: str, texts: Sequence[str]) -> list[Event]:
    rows = [texts[first : first + _A_LINE] for first in range(0, len(texts), _A_LINE)]
    return [Event(at, Level.INFO, NAME, ((key, " ".join(row)),)) for row in rows]


def _begun_text(one: Begun) -> str:
    """Write a run that goes on; where one by hand has no slot, who asked for it stands behind the dash."""
    slot = f"{_NONE}{one.by}" if one.scheduled is None else _exact(one.scheduled)
    return f"{one.job_id},{one.run_id},{slot},{_NONE if one.started is None else _exact(one.started)}"


def _begun(text: str) -> Begun:
    job_id, run_id, slot, started = text.split(",")
    begun = None if started == _NONE else datetime.fromisoformat(started)
    if slot.startswith(_NONE):
        return Begun(job_id, run_id, None, begun, slot.removeprefix(_NONE))
    return Begun(job_id, run_id, _slot(slot), begun)


def begun_of(part: Mapping[str, str]) -> list[Begun]:
    """Read the runs that go on, of one line. Raises ValueError."""
    return [_begun(text) for text in part.get("going", "").split()]


def waits_of(part: Mapping[str, str]) -> list[Wait]:
    """Read the slots that wait, of one line. Raises ValueError."""
    return [(job_id, _slot(slot)) for job_id, slot in (text.split(",") for text in part.get("waits", "").split())]


def late_of(part: Mapping[str, str]) -> list[Wait]:
    """Read up to when jobs have been decided whose next slot is due, of one line. Raises ValueError."""
    pairs = (text.split(",") for text in part.get("late", "").split())
    return [(job_id, datetime.fromisoformat(until)) for job_id, until in pairs]


def _slot(text: str) -> datetime:
    """Read a slot; formerly marks told microseconds of it, which records did not."""
    return nominal(datetime.fromisoformat(text))


def _exact(at: datetime) -> str:
    """Write an instant to the microsecond where it has any: a mark must not claim more than it means."""
    return instant_text(at) if at.microsecond % 1000 == 0 else at.isoformat().replace("+00:00", "Z")
