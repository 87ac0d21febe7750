"""Convert a full checkpoint to pairs of log lines and back, and apply the lines that follow it.

Seconds are in base 36, without blanks that would need quotes: with 100,000 jobs every character counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jobscheduler.model import FullCheckpoint, TimeSpans, ZoneOffsets
from jobscheduler.model.checkpoint import REOPENABLE_REASONS
from jobscheduler.model.hash_digits import has_same_slots
from jobscheduler.model.standing import ResultState
from jobscheduler.runlog.base36 import parse_second, second_text
from jobscheduler.runlog.pause_lines import PAUSED, RESUMED, LoggedPauses, exempt_texts, pause_texts
from jobscheduler.runlog.result_parts import STANDING, SUCCESS, ResultReader, standing_texts, success_texts
from jobscheduler.util.instants import format_instant
from jobscheduler.util.time_spans import spans_in, subtract

_MAX_VALUE_CHARS = 2000  # characters, a little below the limit of a value
_MAX_VALUES = 7  # values in one line

Pairs = tuple[tuple[str, str], ...]
Missed = tuple[datetime, datetime, float]


# --- writing ---------------------------------------------------------------------------------------------


def to_fields(full: FullCheckpoint) -> Iterator[Pairs]:
    """Yield the pairs of each line of a full checkpoint except the last."""
    yield from _rows("jobs", (_job_text(full, job_id, digits) for job_id, digits in full.hashes.items()))
    yield from _rows("decided", _spans_text(full.decided_ahead))
    yield from _rows("reopened", _spans_text(full.reopened))
    missed = ((job_id, span) for job_id, spans in full.missed.items() for span in spans)
    yield from _rows("missed", (f"{job_id},{to_base36(a)},{to_base36(b)},{age:.3f}" for job_id, (a, b, age) in missed))
    removed = ((job_id, since) for job_id, since in full.since.items() if job_id not in full.hashes)
    yield from _rows("removed", (f"{job_id},{second_text(since)}" for job_id, since in removed))
    yield from _rows("pauses", pause_texts(full.pauses, resumed=False))
    yield from _rows("ended", pause_texts(full.pauses, resumed=True))
    yield from _rows("exempt", exempt_texts(full.pauses))
    yield from _rows("zones", (_zone_text(name, offsets) for name, offsets in full.zones.items()))


def results_to_fields(state: ResultState) -> Iterator[Pairs]:
    """Yield the pairs of each line about how jobs stand."""
    yield from _rows(STANDING, standing_texts(state))
    yield from _rows(SUCCESS, success_texts(state))


def _job_text(full: FullCheckpoint, job_id: str, digits: str) -> str:
    since = full.since.get(job_id)
    return f"{job_id},{digits}" if since is None else f"{job_id},{digits},{second_text(since)}"


def _zone_text(name: str, offsets: ZoneOffsets) -> str:
    return ",".join((name, *(f"{instant},{offset}" for instant, offset in offsets)))


def _spans_text(spans: Mapping[str, TimeSpans]) -> Iterator[str]:
    return (
        f"{job_id},{to_base36(first)},{to_base36(last)}" for job_id, ranges in spans.items() for first, last in ranges
    )


def _rows(key: str, texts: Iterable[str]) -> Iterator[Pairs]:
    """Pack as many texts into a value, and as many values into a line, as the limits allow."""
    values: list[str] = []
    for value in _values(texts):
        values.append(value)
        if len(values) == _MAX_VALUES:
            yield _numbered(key, values)
            values = []
    if values:
        yield _numbered(key, values)


def _values(texts: Iterable[str]) -> Iterator[str]:
    texts_of_value: list[str] = []
    size = 0
    for text in texts:
        if size + len(text) > _MAX_VALUE_CHARS:
            yield ";".join(texts_of_value)
            texts_of_value, size = [], 0
        texts_of_value.append(text)
        size += len(text) + 1
    if texts_of_value:
        yield ";".join(texts_of_value)


def _numbered(key: str, values: Sequence[str]) -> Pairs:
    return tuple((key if number == 1 else f"{key}_{number}", value) for number, value in enumerate(values, 1))


def to_base36(at: datetime) -> str:
    """Format an instant, with microseconds if it has any: a checkpoint must not claim more than it means."""
    return format_instant(at) if at.microsecond % 1000 == 0 else at.isoformat().replace("+00:00", "Z")


# --- reading ---------------------------------------------------------------------------------------------


@dataclass
class CheckpointState:
    """A full checkpoint to which the lines after it are applied; `uptime` is that of the latest checkpoint."""

    host: str
    accounted_since: datetime
    uptime: float
    hashes: dict[str, str] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    decided: dict[str, TimeSpans] = field(default_factory=dict)
    reopened: dict[str, TimeSpans] = field(default_factory=dict)
    missed: dict[str, list[Missed]] = field(default_factory=dict)
    results: ResultReader = field(default_factory=ResultReader)
    pauses: LoggedPauses = field(default_factory=LoggedPauses)
    zones: dict[str, ZoneOffsets] = field(default_factory=dict)
    came: dict[str, datetime] = field(default_factory=dict)

    def full(self) -> FullCheckpoint:
        """Return it as of the latest checkpoint: missed slots carry their age."""
        missed = {
            job_id: tuple((first, last, max(0.0, self.uptime - at)) for first, last, at in spans)
            for job_id, spans in self.missed.items()
            if spans
        }
        spans = self.decided, self.reopened, missed
        further = self.pauses.all(), self.results.state()
        return FullCheckpoint(
            self.host, self.accounted_since, self.hashes, self.since, *spans, *further, self.zones, self.came
        )

    def apply(self, line: Mapping[str, str]) -> None:
        """Apply a line.

        Raises:
            ValueError, KeyError: the line is malformed.

        """
        word, job_id = line["word"], line.get("job_id", "")
        if word == "service.alive":
            self.uptime = float(line.get("uptime", self.uptime))
            self.results.apply(line)
        elif word in {"job.added", "job.updated"} and "hash" in line:
            self._set_definition(job_id, line["hash"], datetime.fromisoformat(line["time"]))
        elif word == "job.removed":
            self.hashes.pop(job_id, None)
            self.results.remove(job_id)
        elif word in {PAUSED, RESUMED}:
            self.pauses.apply(line)
        elif word == "job.decided":
            self._take_decided(line, job_id)
        elif "scheduled" in line:
            self._add_slot(line, job_id)

    def _set_definition(self, job_id: str, digits: str, at: datetime) -> None:
        former = self.hashes.get(job_id)
        self.since.setdefault(job_id, at if former is None else self.accounted_since)
        if former is None or not has_same_slots(former, digits):
            self.came[job_id] = at
        if digits.startswith("-"):  # the job is disabled
            self.hashes.pop(job_id, None)
        else:
            self.hashes[job_id] = digits

    def _take_decided(self, line: Mapping[str, str], job_id: str) -> None:
        """Take the decided slots that a job brings along; a line with `part` adds to the line before."""
        for spans, key in ((self.decided, "decided"), (self.reopened, "reopened")):
            before = spans.get(job_id, ()) if "part" in line else ()
            spans[job_id] = (*before, *spans_in(line.get(key, "")))

    def _add_slot(self, line: Mapping[str, str], job_id: str) -> None:
        first = datetime.fromisoformat(line["scheduled"])
        if line["word"] == "MISSED" and line.get("reason") in REOPENABLE_REASONS and "corrects" not in line:
            last = datetime.fromisoformat(line.get("last", line["scheduled"]))
            self.missed.setdefault(job_id, []).append((first, last, self.uptime))
        elif "corrects" in line:
            self._close_slot(job_id, first)

    def _close_slot(self, job_id: str, slot: datetime) -> None:
        """Note that a missed slot has begun after all, or waits to begin."""
        if job_id in self.reopened:
            self.reopened[job_id] = subtract(self.reopened[job_id], [(slot, slot)])
        self.missed[job_id] = [
            (*span, at)
            for first, last, at in self.missed.get(job_id, ())
            for span in subtract([(first, last)], [(slot, slot)])
        ]


def from_fields(last: Mapping[str, str], parts: Iterable[Mapping[str, str]]) -> CheckpointState:
    """Read a full checkpoint from the pairs of its last line and of the lines before it.

    Raises:
        ValueError, KeyError: the pairs are not in the form of `to_fields`.

    """
    uptime = float(last.get("uptime", "0"))
    state = CheckpointState(last.get("host", ""), datetime.fromisoformat(last["since"]), uptime)
    for part in parts:
        state.results.apply(part)
        for key, value in part.items():
            read = _READERS.get(key.partition("_")[0])
            if read is not None:
                for text in value.split(";"):
                    read(state, *text.split(","))
    return state


def _read_job(state: CheckpointState, job_id: str, digits: str, since: str | None = None) -> None:
    state.hashes[job_id] = digits
    if since is not None:
        state.since[job_id] = parse_second(since)


def _read_removed(state: CheckpointState, job_id: str, since: str) -> None:
    state.since[job_id] = parse_second(since)


def _read_decided(state: CheckpointState, job_id: str, first: str, last: str) -> None:
    state.decided[job_id] = (
        *state.decided.get(job_id, ()),
        (datetime.fromisoformat(first), datetime.fromisoformat(last)),
    )


def _read_reopened(state: CheckpointState, job_id: str, first: str, last: str) -> None:
    state.reopened[job_id] = (
        *state.reopened.get(job_id, ()),
        (datetime.fromisoformat(first), datetime.fromisoformat(last)),
    )


def _read_missed(state: CheckpointState, job_id: str, first: str, last: str, age: str) -> None:
    span = datetime.fromisoformat(first), datetime.fromisoformat(last)
    state.missed.setdefault(job_id, []).append((*span, state.uptime - float(age)))


def _read_pause(state: CheckpointState, *fields: str) -> None:
    state.pauses.read(*fields)


def _read_ended(state: CheckpointState, *fields: str) -> None:
    state.pauses.read_ended(*fields)


def _read_exempt(state: CheckpointState, *fields: str) -> None:
    state.pauses.read_exempt(*fields)


def _read_zone(state: CheckpointState, name: str, *numbers: str) -> None:
    state.zones[name] = tuple(zip(map(int, numbers[::2]), map(int, numbers[1::2]), strict=True))


_READERS: Mapping[str, Callable[..., None]] = {
    "jobs": _read_job,
    "removed": _read_removed,
    "decided": _read_decided,
    "reopened": _read_reopened,
    "missed": _read_missed,
    "pauses": _read_pause,
    "ended": _read_ended,
    "exempt": _read_exempt,
    "zones": _read_zone,
}
