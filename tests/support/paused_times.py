"""A small model of pauses, told to the log by a test, and a judgement of the log against it.

The model knows nothing of the service: a list of pauses, each with what it selects, its end and what is exempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

TOLD = "test.paused"  # the event by which the model tells the log until when a job is paused
MEMORY_S = 86_400.0  # elapsed seconds in which a pause that was over may come again with the clock
NEVER, FOREVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NOTICED = timedelta(seconds=1)  # a shorter step of the clock counts for nothing
OUTAGE = frozenset({"down", "asleep", "stalled", "clock"})  # why slots are missed that no pause covers


@dataclass
class ModelPause:
    """One pause; `over_at` is when it was first seen to be over, in elapsed seconds."""

    text: str
    until: datetime
    exempt: set[str] = field(default_factory=set)
    is_resumed: bool = False
    over_at: float | None = None

    def covers(self, job_id: str) -> bool:
        return fnmatchcase(job_id, self.text) and not any(fnmatchcase(job_id, text) for text in self.exempt)


@dataclass
class PausedTimes:
    """All pauses so far. `told` is what the log was told last of each job: surely paused until, perhaps until."""

    pauses: list[ModelPause] = field(default_factory=list)
    told: dict[str, tuple[datetime | None, datetime | None]] = field(default_factory=dict)

    def pause(self, text: str, until: datetime | None) -> None:
        self.pauses.append(ModelPause(text, until or FOREVER))

    def resume(self, text: str, jobs: Iterable[str], wall: datetime) -> None:
        for one in self.pauses:
            if one.is_resumed or wall >= one.until:
                continue
            if text in {"*", one.text} or ("*" not in one.text and fnmatchcase(one.text, text)):
                one.is_resumed, one.until = True, min(one.until, wall)
            elif any(fnmatchcase(job_id, text) and one.covers(job_id) for job_id in jobs):
                one.exempt.add(text)

    def clock(self, wall: datetime, elapsed: float) -> None:
        """Note what the clock shows."""
        for one in self.pauses:
            if one.is_resumed:
                one.until = wall if one.until - wall > NOTICED else one.until
            elif wall >= one.until and one.over_at is None:
                one.over_at = elapsed

    def tell(self, jobs: Iterable[str], elapsed: float, tell: Callable[..., None]) -> None:
        """Tell the log what has changed."""
        for job_id in jobs:
            of_job = [one for one in self.pauses if one.covers(job_id)]
            sure = [one.until for one in of_job if one.over_at is None or elapsed - one.over_at < MEMORY_S]
            ever = max((one.until for one in of_job), default=NEVER)
            known = max(sure, default=None), ever
            if self.told.get(job_id) != known:
                self.told[job_id] = known
                texts = {"sure": known[0] and known[0].isoformat(), "ever": ever.isoformat()}
                tell(TOLD, job_id=job_id, **{key: text for key, text in texts.items() if text})


def judge_pauses(lines: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what ran or was missed although its job was paused, and what was skipped although it was not."""
    wrong = []
    told: dict[str, Mapping[str, str]] = {}
    for line in lines:
        job_id = line.get("job_id", "")
        if line["word"] == TOLD:
            told[job_id] = line
        elif "scheduled" in line:
            first = datetime.fromisoformat(line["scheduled"])
            last = datetime.fromisoformat(line.get("last", line["scheduled"]))
            sure, ever = (told[job_id].get(key) if job_id in told else None for key in ("sure", "ever"))
            is_sure = sure is not None and first < datetime.fromisoformat(sure)
            if is_sure and line["word"] == "run.started" and line.get("attempt") == "1":
                wrong.append(f"{job_id} {first} began although it is paused until {sure}")
            if is_sure and line["word"] == "MISSED" and line.get("reason") in OUTAGE:
                wrong.append(f"{job_id} {first} was missed although it is paused until {sure}")
            is_paused = line["word"] == "SKIPPED" and line.get("reason") == "paused"
            if is_paused and (ever is None or last >= datetime.fromisoformat(ever)):
                wrong.append(f"{job_id} {last} was skipped although no pause covers it: {ever}")
    return wrong
