"""An independent look at the account: from the log files and the commands' own marks, with nothing from the service.

Every slot between the first start and the last stop has to have exactly one final record, no slot may have run twice,
and what ran according to the log has to have run according to the command, and the other way round.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from jobscheduler.timetable.timetable import Timetable
from tests.support.service import parse_line

FINAL = {"SUCCESS", "FAILURE", "SKIPPED", "MISSED"}
TICK = timedelta(microseconds=1)
MARKING = 'echo "$JOB_ID $JOB_SCHEDULED_TIME $JOB_RUN_ID $JOB_ATTEMPT" >> {}'
"""The shell command by which a job leaves a mark in a file."""

REOPENED = {"down", "asleep", "stalled", "clock"}
"""Why a slot may have been missed that runs after all, when it turns out that its time had not come."""

Slot = tuple[str, datetime]


def lines_of(log: Path) -> list[dict[str, str]]:
    """Read every complete line of a log, the oldest rotated file first; both formats, also mixed."""
    rotated = [path for path in log.parent.glob(f"{log.name}.*") if re.fullmatch(r"\d+", path.suffix[1:])]
    files = [*sorted(rotated, key=lambda path: -int(path.suffix[1:])), log]
    raw = [line for path in files if path.exists() for line in path.read_text("utf-8").split("\n")[:-1]]
    return [parse_line(line) for line in raw if not line.endswith("[cut short]")]


@dataclass
class Account:
    """What the log says of each slot, and what the commands say."""

    lines: list[dict[str, str]]
    timetables: Mapping[str, Timetable]
    marks: Path | None = None
    records: dict[Slot, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for line in self.lines:
            if line["word"] in FINAL and "scheduled" in line:
                for slot in self._slots_of(line):
                    self._take(self.records[line["job_id"], slot], line)

    def _take(self, found: list[dict[str, str]], line: dict[str, str]) -> None:
        """Add a record of a slot; one that corrects what a wrong clock missed takes that one's place."""
        if line.get("corrects") == "clock":
            if len(found) != 1 or found[0]["word"] != "MISSED" or found[0].get("reason") not in REOPENED:
                self.wrong.append(f"there is nothing that it could correct, but {found}: {line}")
            found.clear()
        found.append(line)

    def _slots_of(self, line: dict[str, str]) -> list[datetime]:
        """Expand a line through the timetable of its job."""
        first = datetime.fromisoformat(line["scheduled"])
        last = datetime.fromisoformat(line.get("last", line["scheduled"]))
        slots = list(self.timetables[line["job_id"]].slots(first - TICK, last, 1_000_000))
        if len(slots) != int(line.get("count", "1")) or slots[0] != first or slots[-1] != last:
            self.wrong.append(f"its timetable gives {len(slots)} slots: {line}")
        return slots

    def began(self) -> datetime:
        """When the first start was over."""
        return datetime.fromisoformat(next(line["time"] for line in self.lines if line["word"] == "service.started"))

    def ended(self) -> datetime:
        """Up to when everything is settled, by the last word of a service that stopped in order."""
        assert self.lines[-1]["word"] == "service.stopped", self.lines[-3:]
        marks = [line for line in self.lines if line["word"] == "service.alive" and "settled" in line]
        return datetime.fromisoformat(marks[-1]["settled"])

    def open(self, ended: datetime) -> set[Slot]:
        """The slots that the last mark leaves to the next start: those that wait, and those nobody had decided."""
        found: set[Slot] = set()
        for line in reversed([line for line in self.lines if line["word"] == "service.alive"][:-1]):
            if "settled" in line:
                break
            for job_id, slot in (text.split(",") for text in line.get("pending", "").split()):
                found.add((job_id, datetime.fromisoformat(slot)))
            for job_id, after in (text.split(",") for text in line.get("lagging", "").split()):
                found |= {(job_id, one) for one in self._listed(job_id, datetime.fromisoformat(after), ended)}
        return found

    def check(self) -> None:
        """Fail, and say everything that is wrong."""
        began, ended = self.began(), self.ended()
        left = self.open(ended)
        expected = {(job_id, slot) for job_id in self.timetables for slot in self._listed(job_id, began, ended)}
        for job_id, slot in sorted(expected):
            found = self.records[job_id, slot]
            if len(found) != (0 if (job_id, slot) in left else 1):
                self.wrong.append(f"{job_id} {slot} has {len(found)} records: {found}")
        for (job_id, slot), found in self.records.items():
            if found and (slot > ended or len(found) > 1) and (job_id, slot) not in expected:
                self.wrong.append(f"{job_id} {slot} has records beyond the time: {found}")
        self._check_runs()
        assert not self.wrong, "\n".join(self.wrong[:40])

    def _listed(self, job_id: str, after: datetime, until: datetime) -> list[datetime]:
        return list(self.timetables[job_id].slots(after, until, 1_000_000))

    def _check_runs(self) -> None:
        begun = Counter((one["job_id"], one["scheduled"], one["attempt"]) for one in self._words("run.started"))
        self.wrong += [f"{what} began {count} times" for what, count in begun.items() if count > 1]
        if self.marks is None:
            return
        told = [tuple(line.split()) for line in self.marks.read_text("utf-8").splitlines()]
        runs = Counter((job_id, slot, attempt) for job_id, slot, _, attempt in told)
        self.wrong += [f"{what} ran {count} times" for what, count in runs.items() if count > 1]
        self.wrong += [f"{what} ran, and the log does not know it began" for what in runs.keys() - begun.keys()]
        ran = {(job_id, datetime.fromisoformat(slot)): run_id for job_id, slot, run_id, _ in told}
        for (job_id, slot), found in self.records.items():
            for line in found:
                is_run = line["word"] == "SUCCESS" or (line["word"] == "FAILURE" and "exit_code" in line)
                if is_run and ran.get((job_id, slot)) != line["run_id"]:
                    self.wrong.append(f"no mark of the command: {line}")
                if line["word"] in {"SKIPPED", "MISSED"} and (job_id, slot) in ran:
                    self.wrong.append(f"the command did run: {line}")

    def _words(self, word: str) -> Iterable[dict[str, str]]:
        return [line for line in self.lines if line["word"] == word]
