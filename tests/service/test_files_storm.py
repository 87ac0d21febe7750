"""A storm of changes by three writers while a job runs every second: no slot lost, no good file blamed, all in order.

The rescan never comes to the rescue, so what is proven is that no hint is lost and nothing settles wrongly.
"""

from __future__ import annotations

import json
import random
import threading
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import tasks
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Cron
from jobscheduler.timetable import crontab
from tests.support.job_files import assert_every_second_once, moment, now, put, running
from tests.support.service import Service, job, wait_until
from tests.unit.test_reconciler import FakeSchedule

SETTLING = 1.0
UTC = ZoneInfo("UTC")
GARBAGE = ("", "{", "\0", '{"job_id": "x", "job_id": "y"}', '{"shedule": 1}', "[1, 2", '{"job_id": "ü"', "\udcff")

BROKEN = None
GONE = ""
State = str | None
"""What a file is: the id that it validly defines, GONE, or BROKEN (also while it is being changed)."""


class Writer:
    """Does random things to files of its own, and notes what each one was, and when."""

    def __init__(self, number: int, jobs: Path, elsewhere: Path, seed: int, pace: float) -> None:
        self.random = random.Random(seed * 100 + number)
        self.jobs = jobs
        self.elsewhere = elsewhere
        self.pace = pace
        self.names = [f"w{number}-{k:02}.json" for k in range(12)]
        self.ids = [f"id{number}-{k:02}" for k in range(12)]
        self.state: dict[str, State] = dict.fromkeys(self.names, GONE)
        self.history: dict[str, list[tuple[float, State]]] = {name: [(0.0, GONE)] for name in self.names}
        self.versions = number
        self.faults: list[BaseException] = []
        self.stopped = threading.Event()

    def work(self, operations: int) -> None:
        """Do so many random things."""
        try:
            for _ in range(operations):
                name = self.random.choice(self.names)
                deeds = self.possible(name)
                self.random.choice(deeds)(name)
                if self.stopped.wait(self.random.random() * self.pace):
                    return
        except BaseException as fault:
            self.faults.append(fault)

    def possible(self, name: str) -> list[object]:
        """Choose what can be done to a file as it is."""
        if self.state[name] == GONE:
            return [self.create, self.replace, self.link, self.break_]
        always = [self.replace, self.rename, self.delete, self.break_, self.distrust, self.link]
        return [*always, self.mend] if self.state[name] is BROKEN else [*always, self.in_pieces, self.swap]

    def be(self, name: str, state: State) -> None:
        """Note what a file is from now on."""
        self.state[name] = state
        self.history[name].append((now().timestamp(), state))

    def definition(self, job_id: str) -> str:
        """Make a definition whose schedule no other version has."""
        self.versions += 3
        n = self.versions
        return json.dumps(job(job_id, f"{n % 60} {n // 60 % 24} {n // 1440 + 1} 6 *", description="ä" * 30), indent=1)

    def text(self, name: str, job_id: str, text: str, pieces: int = 1) -> None:
        """Write in place."""
        self.be(name, BROKEN)
        with (self.jobs / name).open("w") as file:
            for at in range(0, len(text), len(text) // pieces + 1):
                file.write(text[at : at + len(text) // pieces + 1])
                file.flush()
                self.stopped.wait(self.random.random() * self.pace / pieces)
        (self.jobs / name).chmod(0o644)
        self.be(name, job_id)

    # -- the ten kinds of deeds

    def create(self, name: str) -> None:
        job_id = self.random.choice(self.ids)
        self.text(name, job_id, self.definition(job_id))

    def in_pieces(self, name: str) -> None:
        job_id = self.state[name] or self.random.choice(self.ids)
        if (self.jobs / name).is_symlink():
            (self.jobs / name).unlink()
        self.text(name, job_id, self.definition(job_id), pieces=self.random.randrange(2, 6))

    def replace(self, name: str) -> None:
        job_id = self.random.choice(self.ids)
        put(self.jobs, name, self.definition(job_id))
        self.be(name, job_id)

    def mend(self, name: str) -> None:
        self.in_pieces(name) if self.random.random() < 0.5 else self.replace(name)

    def rename(self, name: str) -> None:
        other = self.random.choice([one for one in self.names if one != name])
        state = self.state[name]
        self.be(name, BROKEN)
        self.be(other, BROKEN)
        (self.jobs / name).rename(self.jobs / other)
        self.be(name, GONE)
        self.be(other, state)

    def swap(self, name: str) -> None:
        """Swap the ids of two files."""
        good = [one for one in self.names if self.state[one] and one != name]
        if good:
            other = self.random.choice(good)
            mine, theirs = self.state[name], self.state[other]
            for one, job_id in ((name, theirs), (other, mine)):
                put(self.jobs, one, self.definition(str(job_id)))
                self.be(one, job_id)

    def delete(self, name: str) -> None:
        self.be(name, BROKEN)
        (self.jobs / name).unlink()
        self.be(name, GONE)

    def break_(self, name: str) -> None:
        self.be(name, BROKEN)
        if (self.jobs / name).is_symlink():
            (self.jobs / name).unlink()
        (self.jobs / name).write_bytes(self.random.choice(GARBAGE).encode("utf-8", "surrogateescape"))

    def distrust(self, name: str) -> None:
        """Change the mode: to one that is not trusted, or to one that makes no difference."""
        if self.random.random() < 0.5:
            self.be(name, BROKEN)
            (self.jobs / name).chmod(0o666)
        elif self.state[name]:
            (self.jobs / name).chmod(0o600)

    def link(self, name: str) -> None:
        job_id = self.random.choice(self.ids)
        target = put(self.elsewhere, f"{name}-{self.versions}", self.definition(job_id))
        (self.elsewhere / name).symlink_to(target)
        (self.elsewhere / name).rename(self.jobs / name)
        self.be(name, job_id)

    def tidy_up(self) -> None:
        """Leave every file mended with an id of its own, or gone."""
        ids = self.random.sample(self.ids, len(self.ids))
        for name, job_id in zip(self.names, ids, strict=True):
            if self.random.random() < 0.2:
                (self.jobs / name).unlink(missing_ok=True)
                self.be(name, GONE)
            else:
                put(self.jobs, name, self.definition(job_id))
                self.be(name, job_id)

    # -- what is known afterwards

    def was(self, name: str, begin: float, end: float) -> set[State]:
        """All that a file has been between two moments."""
        before = [state for at, state in self.history[name] if at <= begin]
        return {before[-1], *(state for at, state in self.history[name] if begin < at <= end)}


def blamed_wrongly(service: Service, writers: list[Writer]) -> list[dict[str, str]]:
    """List the reports on files that were good for the whole settling second before them."""
    owner = {name: writer for writer in writers for name in writer.names}
    wrong = []
    for line in service.lines():
        if line["word"] not in {"job.stale", "job.refused"}:
            continue
        at = moment(line).timestamp()
        named = line["file"]
        _, taken, incumbent = line["problem"].partition("already belongs to ")
        if not taken:
            wrong += [line] if BROKEN not in owner[named].was(named, at - SETTLING, at) else []
        else:  # true, unless the incumbent had settled as something else
            other = incumbent.strip("`")
            been = owner[other].was(other, at - SETTLING, at)
            wrong += [line] if BROKEN not in been and line["job_id"] not in been and been != {GONE} else []
    return wrong


def answer(service: Service) -> dict[str, str]:
    """Replay the log: the next slot of each active job. No two versions have the same."""
    slots: dict[str, str] = {}
    for line in service.lines():
        if line["word"] == "job.added":
            slots[line["job_id"]] = line["next"]
        elif line["word"] == "job.updated":
            assert line["job_id"] in slots
            slots[line["job_id"]] = line["next_after"]
        elif line["word"] == "job.removed":
            del slots[line["job_id"]]
    return slots


def freshly_loaded(jobs: Path) -> dict[str, str]:
    """The next slot of each job that a new service would have."""
    schedule = FakeSchedule()
    rules = ParseContext(UTC, tasks.task_type, tasks.task_names())
    Reconciler([DirectorySource(jobs)], schedule, rules, lambda *_, **__: None).sync_all()
    slots = {}
    for one in schedule.jobs.values():
        assert isinstance(one.schedule, Cron)
        upcoming = crontab.parse(one.schedule.expression).next(now(), UTC)
        assert upcoming is not None
        slots[one.id] = upcoming.strftime("%Y-%m-%dT%H:%M:%SZ")
    return slots


@pytest.mark.parametrize(
    ("operations", "pace"),
    [pytest.param(500, 0.04, id="500"), pytest.param(5_000, 0.06, id="5000", marks=pytest.mark.deep)],
)
def test_a_storm_of_changes_leaves_everything_in_order(tmp_path: Path, operations: int, pace: float) -> None:
    """Afterwards the schedule is what a fresh load gives; meanwhile every second had its record."""
    with running(tmp_path, "--rescan-interval", "1h") as service:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        service.start()
        service.write("tick.json", job("tick"))
        service.wait_for("SUCCESS", job_id="tick")
        writers = [Writer(number, service.jobs, elsewhere, 20261122, pace) for number in range(3)]
        threads = [threading.Thread(target=writer.work, args=(operations // 3 + 1,)) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        assert [writer.faults for writer in writers] == [[], [], []]
        for writer in writers:
            writer.tidy_up()
        calm = now()
        expected = freshly_loaded(service.jobs)
        del expected["tick"]
        ids = {state for writer in writers for state in writer.state.values() if state}
        assert expected.keys() == ids

        def in_order() -> bool:
            slots = answer(service)
            slots.pop("tick")
            return slots == expected

        wait_until(lambda: in_order() or now() - calm > timedelta(seconds=4), 6)
        slots = answer(service)
        slots.pop("tick")
        assert slots == expected
        service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id="tick")) + 2, job_id="tick")
        assert in_order()
        assert blamed_wrongly(service, writers) == []
        assert_every_second_once(service, "tick", 5)
        assert "Traceback" not in service.log.read_text() + service.stderr()
        assert {line["word"] for line in service.lines() if line["level"] == "WARNING"} == set()
        reports = len(service.words("job.stale")) + len(service.words("job.refused"))
        assert reports > 0
        mended = {line["file"]: line["word"] for line in service.lines() if line["word"] in FILE_WORDS}
        assert set(mended.values()) <= {"job.mended"}


FILE_WORDS = {"job.stale", "job.refused", "job.mended"}
