"""A sync: read, parse, plan, apply, report. With a real directory and a schedule that only records calls."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import tasks
from jobscheduler.jobs import open_directory
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Job, Level, LogValue
from jobscheduler.timetable.definition_hash import hash_in_log
from tests.support.service import job
from tests.support.tasks import open_to_all

NOON = datetime(2020, 11, 22, 12, tzinfo=UTC)
"""Long before any file of a test is written, so that all of them count as written just now."""


class FakeSchedule:
    """A schedule that records its calls; the `fail`-th call from now raises."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.calls: list[tuple[str, str]] = []
        self.touched: list[str] = []
        self.fail = 0

    def put(self, job: Job, now: datetime, *, is_first_sync: bool) -> datetime | None:
        """Record a job as active."""
        self._call("put", job.id)
        self.jobs[job.id] = job
        return now

    def drop(self, job_id: str, now: datetime) -> None:
        """Record that a job is not active any more."""
        if job_id in self.jobs:
            self._call("drop", job_id)
            del self.jobs[job_id]

    def source_changed(self, job_id: str, now: datetime) -> None:
        """Record another file for the same job."""
        self.touched.append(job_id)

    def expire(self, job: Job, now: datetime) -> bool:
        """Write no record."""
        return False

    def next_slot(self, job_id: str) -> datetime | None:
        """Return some slot."""
        return NOON + timedelta(hours=1)

    def _call(self, what: str, job_id: str) -> None:
        self.fail -= 1
        if self.fail == 0:
            raise RuntimeError(f"{what} {job_id} fails")
        self.calls.append((what, job_id))


CONTEXT = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())


class World:
    """A directory, a reconciler on it, and clocks that the test moves."""

    def __init__(self, base: Path) -> None:
        self.directory = base / "jobs.d"
        self.directory.mkdir()
        self.base = base
        self.schedule = FakeSchedule()
        self.logged: list[tuple[str, dict[str, LogValue | None]]] = []
        self.seconds = 0.0
        self.reconciler = Reconciler(
            [DirectorySource(self.directory)],
            self.schedule,
            CONTEXT,
            self.log_event,
            now=lambda: NOON + timedelta(seconds=self.seconds),
            monotonic=lambda: self.seconds,
        )

    def log_event(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        """Record an event."""
        self.logged.append((name, {key: value for key, value in values.items() if value is not None}))

    def write(self, name: str, definition: Any) -> None:
        """Replace a file at once; files of a test count as written in the test's own time."""
        (self.base / "t").write_text(definition if isinstance(definition, str) else json.dumps(definition))
        (self.base / "t").rename(self.directory / name)

    def sync(self, *names: str, after: float = 0.0) -> list[str]:
        """Let time pass, sync these files (or everything), and return the names of the logged events."""
        self.seconds += after
        before = len(self.logged)
        self.reconciler.sync_items(names) if names else self.reconciler.sync_all()
        return [name for name, _ in self.logged[before:]]

    def settle(self, after: float = 1.0) -> list[str]:
        """Let time pass and sync what has settled."""
        self.seconds += after
        before = len(self.logged)
        self.reconciler.sync_items(())
        return [name for name, _ in self.logged[before:]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty directory after one sync."""
    made = World(tmp_path)
    made.sync()
    return made


def test_a_directory_that_did_not_change_means_no_work(world: World) -> None:
    """The second sync reads nothing and does nothing."""
    world.write("a.json", job("x"))
    assert world.sync() == ["job.added"]
    calls = list(world.schedule.calls)

    assert world.sync(after=30) == []
    assert world.schedule.calls == calls


def test_an_edit_is_logged_as_a_difference(world: World) -> None:
    """Changed fields, and the next slot before and after."""
    world.write("a.json", job("x", "0 1 * * *"))
    world.sync()
    world.write("a.json", job("x", "0 2 * * *", timezone="Asia/Tokyo"))
    world.sync("a.json")

    name, values = world.logged[-1]
    assert name == "job.updated"
    assert values == {
        "job_id": "x",
        "file": "a.json",
        "changed": "schedule,timezone",
        "next_before": NOON + timedelta(hours=1),
        "next_after": NOON,
        "hash": hash_in_log(world.reconciler.job("x")),
    }


@pytest.mark.parametrize("how", ["touch", "rewrite", "rename", "chmod", "link"])
def test_the_same_content_never_touches_the_schedule(world: World, how: str) -> None:
    """Whatever happens to a file: if its definition is the same, nothing happens to the job."""
    world.write("a.json", job("x"))
    world.sync()
    calls = list(world.schedule.calls)
    path = world.directory / "a.json"
    match how:
        case "touch":
            os.utime(path)
        case "rewrite":
            path.write_text(json.dumps(job("x"), indent=4))
        case "rename":
            path.rename(world.directory / "b.json")
        case "chmod":
            path.chmod(0o600)
        case "link":
            (world.directory / "b.json").hardlink_to(path)
            path.unlink()

    assert world.sync() == []
    assert world.settle(2) == []
    assert world.sync(after=30) == []
    assert world.schedule.calls == calls
    assert set(world.schedule.touched) == {"x"}  # but that its file is another


def test_a_bad_file_harms_only_itself(world: World) -> None:
    """The others become active. It is refused once, after the settle delay, with location and help."""
    world.write("a.json", job("x"))
    world.write("b.json", '{"job_id": "y", "shedule": "@daily"}')
    world.write("c.json", job("z"))

    assert world.sync() == ["job.added", "job.added"]
    assert world.settle() == ["job.refused"]
    values = world.logged[-1][1]
    assert values["file"] == "b.json"
    assert (values["line"], values["column"]) == (1, 1)
    assert values["problem"] == "missing field `task`"
    assert values["also"] == "line 1, column 17: unknown field `shedule`"
    assert world.sync(after=30) == []


def test_a_bad_edit_leaves_the_last_good_version_active(world: World) -> None:
    """Stale, then good again; only the new good version changes the schedule."""
    world.write("a.json", job("x", "0 1 * * *"))
    world.sync()
    world.write("a.json", "{")
    assert world.sync("a.json") == []
    assert world.settle() == ["job.stale"]
    assert world.schedule.jobs["x"].schedule.expression == "0 1 * * *"
    world.write("a.json", job("x", "0 2 * * *"))

    assert world.sync("a.json") == ["job.updated", "job.mended"]
    assert world.schedule.jobs["x"].schedule.expression == "0 2 * * *"


def test_a_deleted_file_removes_its_job_after_a_second(world: World) -> None:
    """Not earlier; `next_settle_at` says when."""
    world.write("a.json", job("x"))
    world.sync()
    (world.directory / "a.json").unlink()
    assert world.sync("a.json") == []
    assert world.reconciler.next_settle_at() == world.seconds + 1.0
    assert world.settle(0.99) == []
    assert world.settle(0.01) == ["job.removed"]
    assert world.schedule.jobs == {}
    assert world.reconciler.next_settle_at() is None


def test_a_file_that_returns_within_a_second_keeps_its_job(world: World) -> None:
    """As editors and git do it."""
    world.write("a.json", job("x"))
    world.sync()
    calls = list(world.schedule.calls)
    (world.directory / "a.json").unlink()
    world.sync("a.json")
    world.write("a.json", job("x"))
    world.seconds += 0.5

    assert world.sync("a.json") == []
    assert world.settle(5) == []
    assert world.schedule.calls == calls


@pytest.mark.parametrize("how", ["deleted", "renamed", "emptied and replaced"])
def test_an_unavailable_directory_keeps_all_jobs(world: World, how: str) -> None:
    """Unknown is not empty. One error and one all-clear are logged, and nothing in between."""
    world.write("a.json", job("x"))
    world.sync()
    calls = list(world.schedule.calls)
    if how == "deleted":
        shutil.rmtree(world.directory)
    else:
        world.directory.rename(world.base / "old")
    if how == "emptied and replaced":
        world.directory.mkdir()

    assert world.sync("a.json") == ["directory.lost"]
    assert world.sync(after=30) == []
    assert world.settle() == []
    assert world.schedule.calls == calls

    world.directory.mkdir(exist_ok=True)
    world.write("a.json", job("x"))
    world.write("b.json", job("y"))
    assert world.sync() == ["directory.found", "job.added"]
    assert world.schedule.calls == [*calls, ("put", "y")]


def test_a_directory_that_returns_is_read_anew_though_it_looks_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another image on the same mount may have the device, number, size and times of each file."""
    monkeypatch.setattr(open_directory, "fingerprint_of", lambda found: (found.st_size,))
    world.write("a.json", job("x", command="true"))
    world.sync()
    world.directory.rename(world.base / "old")
    assert world.sync() == ["directory.lost"]
    world.directory.mkdir()
    world.write("a.json", job("x", command="echo"))

    assert world.sync() == ["directory.found", "job.updated"]


def test_an_emptied_directory_is_believed(world: World) -> None:
    """The same directory without files is empty, not unknown."""
    world.write("a.json", job("x"))
    world.sync()
    (world.directory / "a.json").unlink()
    world.sync()

    assert world.settle() == ["job.removed"]


def test_a_taken_id_is_refused_with_the_names_of_both_files(world: World) -> None:
    """The newcomer takes over when the incumbent is removed."""
    world.write("a.json", job("x"))
    world.write("b.json", job("x", command="false"))
    world.sync()
    assert world.settle() == ["job.refused"]
    assert world.logged[-1][1]["file"] == "b.json"
    assert world.logged[-1][1]["problem"] == "the id `x` already belongs to `a.json`"
    assert world.logged[-1][1]["column"] == 12
    (world.directory / "a.json").unlink()
    world.sync("a.json")

    assert world.settle() == ["job.updated", "job.mended"]
    assert world.schedule.jobs["x"].source_name == "b.json"


def test_a_copy_of_a_file_does_not_take_its_id_at_the_start(world: World) -> None:
    """The first name has the id. Names count without `.json`, because `-` sorts before the dot."""
    for name in ("hello-old.json", "hello.json", "hello.bak.json", "hello (copy).json"):
        world.write(name, job("x"))
    world.sync()

    assert world.schedule.jobs["x"].source_name == "hello.json"
    assert set(world.settle()) == {"job.refused"}


def test_an_expired_job_is_logged_once_and_never_put(world: World) -> None:
    """Touching or renaming its file logs nothing more; a new instant makes it active."""
    past, future = NOON - timedelta(days=300), NOON + timedelta(days=1)
    world.write("a.json", job("once", past.isoformat()))
    assert world.sync() == ["job.expired"]
    os.utime(world.directory / "a.json")
    assert world.sync(after=30) == []
    world.write("a.json", job("once", past.isoformat(), description="edited"))
    assert world.sync() == []
    assert world.schedule.calls == []
    world.write("a.json", job("once", future.isoformat()))
    assert world.sync() == ["job.updated"]
    assert world.schedule.calls == [("put", "once")]


def test_a_schedule_that_begins_to_decide_is_told_which_jobs_are_over(world: World) -> None:
    """Another service decided before: their instants may have come since, and nobody has accounted for them."""
    world.write("over.json", job("over", (NOON - timedelta(days=1)).isoformat()))
    world.write("coming.json", job("coming", (NOON + timedelta(days=1)).isoformat()))
    world.sync()
    told: list[list[str]] = []
    world.reconciler.lead(lambda over: told.append([one.id for one in over]))

    assert told == [["over"]]


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "device", "broken link", "circle", "huge"])
def test_a_file_that_is_not_regular_is_refused_without_blocking(world: World, kind: str) -> None:
    """Only that name is refused."""
    import socket

    path = world.directory / "a.json"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(os.path.relpath(path))
        case "directory":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "broken link":
            path.symlink_to("nowhere")
        case "circle":
            path.symlink_to(path)
        case "huge":
            path.write_bytes(b" " * (1024 * 1024 + 1))
    world.write("b.json", job("y"))

    assert "job.added" in world.sync()
    assert world.settle() in (["job.refused"], [])
    assert [name for name, _ in world.logged].count("job.refused") == 1


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_failed_call_heals_at_the_next_sync(world: World, nth: int) -> None:
    """Whichever outside call fails, the next undisturbed sync reaches the desired state."""
    for name in ("a", "b", "c"):
        world.write(f"{name}.json", job(name))
    world.sync()
    world.write("a.json", job("a", command="changed"))
    world.write("d.json", job("d"))
    (world.directory / "b.json").unlink()
    (world.directory / "c.json").unlink()
    world.schedule.fail = nth
    for _ in range(2):
        try:
            world.sync("a.json", "b.json", "c.json", "d.json")
            world.settle()
        except RuntimeError:
            continue

    world.settle()
    assert world.schedule.jobs.keys() == {"a", "d"}
    assert json.loads(world.schedule.jobs["a"].task.params_json) == {"command": "changed"}
    assert world.sync(after=30) == []


def test_a_job_that_cannot_be_put_does_not_hinder_the_others(world: World) -> None:
    """The error is raised at the end, so that it is logged and the sync is repeated."""
    for name in ("a", "b", "c"):
        world.write(f"{name}.json", job(name))
    world.schedule.fail = 2
    with pytest.raises(RuntimeError, match="put b fails"):
        world.sync("a.json", "b.json", "c.json")

    assert world.schedule.jobs.keys() == {"a", "c"}
    assert world.settle(0) == ["job.added"]


def test_a_definition_whose_check_raises_harms_only_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in's task type may raise anything. The file is checked again at every full sync."""
    from jobscheduler.tasks.command.task import ExecuteCommand

    honest = ExecuteCommand.check

    def check(fields: dict[str, Any]) -> Any:
        if fields["command"] == "explode":
            raise ZeroDivisionError("ouch")
        return honest(fields)

    monkeypatch.setattr(ExecuteCommand, "check", check)
    world.write("a.json", job("a", command="explode"))
    world.write("b.json", job("b"))
    assert world.sync() == ["job.added"]
    assert world.settle() == ["job.refused"]
    assert world.logged[-1][1]["problem"] == "the definition cannot be checked: ZeroDivisionError: ouch"
    monkeypatch.setattr(ExecuteCommand, "check", honest)

    assert world.sync(after=30) == ["job.added", "job.mended"]


def test_after_a_failed_sync_the_next_one_reads_everything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the failed sync is lost, whichever thread asks for the next one."""
    read = type(world.reconciler._catalog).observe
    monkeypatch.setattr(type(world.reconciler._catalog), "observe", lambda *_, **__: 1 / 0)
    world.write("a.json", job("x"))
    with pytest.raises(ZeroDivisionError):
        world.sync("a.json")
    monkeypatch.setattr(type(world.reconciler._catalog), "observe", read)
    world.reconciler.verify_sources()

    assert world.schedule.jobs.keys() == {"x"}


def test_nothing_settles_while_the_directory_is_unavailable(world: World) -> None:
    """Otherwise the main thread would sync again at once, for ever."""
    world.write("a.json", job("x"))
    world.sync()
    shutil.rmtree(world.directory)
    assert world.sync("a.json") == ["directory.lost"]
    assert world.reconciler.next_settle_at() is None
    world.directory.mkdir()
    world.write("a.json", "{")
    world.sync()
    assert world.reconciler.next_settle_at() == world.seconds + 1
    shutil.rmtree(world.directory)
    world.reconciler.verify_sources()

    assert world.reconciler.next_settle_at() is None


def test_a_removed_job_is_logged_with_its_last_file(world: World) -> None:
    """Renaming a file does not change the job, but the new name is known."""
    world.write("a.json", job("x"))
    world.sync()
    (world.directory / "a.json").rename(world.directory / "b.json")
    world.sync()
    world.settle(2)
    (world.directory / "b.json").unlink()
    world.sync()

    assert world.settle() == ["job.removed"]
    assert world.logged[-1][1]["file"] == "b.json"


SECRET = {"type": "execute_command", "command": "true", "env": {"PGPASSWORD": "hunter2"}}


def test_a_secret_that_all_users_may_read_is_warned_of_once(world: World) -> None:
    """With its place and the command that closes the file, and without the secret; the end is logged, too."""
    open_to_all(world.directory)
    world.write("a.json", job("x", task=SECRET))
    assert world.sync() == ["job.added"]
    assert world.reconciler.next_settle_at() == 1.0
    assert world.settle() == ["secret.exposed"]
    assert world.logged[-1][1] == {
        "file": "a.json",
        "line": 1,
        "column": (world.directory / "a.json").read_text().index('"hunter2"') + 1,
        "problem": "`task.env.PGPASSWORD` looks like a secret, and all users of this host may read the file",
        "help": f"`chmod o-r {world.directory}/a.json`, and change the secret if others could read it",
    }
    assert "hunter2" not in str(world.logged)
    world.write("a.json", job("x", task=SECRET, description="other"))
    assert world.sync(after=30) == ["job.updated"]
    assert world.settle() == []
    (world.directory / "a.json").chmod(0o640)
    assert world.sync(after=30) == []
    assert world.settle() == ["secret.closed"]
    world.reconciler.reload(CONTEXT)
    assert world.settle() == []


def test_a_secret_in_a_closed_directory_is_not_warned_of(world: World) -> None:
    """So it is in /etc/scheduler."""
    open_to_all(world.directory)
    world.directory.chmod(0o750)
    world.write("a.json", job("x", task=SECRET))
    world.sync()
    assert world.settle() == []


def test_a_file_that_is_closed_or_gone_within_a_second_is_not_warned_of(world: World) -> None:
    """It was only being written, or put elsewhere."""
    open_to_all(world.directory)
    world.write("b.json", job("y", task=SECRET))
    world.write("c.json", job("z", task=SECRET))
    assert world.sync() == ["job.added", "job.added"]
    (world.directory / "b.json").chmod(0o600)
    (world.directory / "c.json").unlink()
    world.sync()
    assert world.settle() == ["job.removed"]


def test_new_rules_of_a_zone_are_applied_to_its_unchanged_jobs(world: World) -> None:
    """With a line for each whose next slot moves; a job of another zone is left alone."""
    world.write("a.json", job("a", "0 3 * * *", timezone="Europe/Berlin"))
    world.write("b.json", job("b", "0 3 * * *", timezone="Asia/Tokyo"))
    world.sync()
    calls = len(world.schedule.calls)

    world.reconciler.reload(CONTEXT, ["Europe/Berlin"])
    assert world.schedule.calls[calls:] == [("put", "a")]
    name, values = world.logged[-1]
    assert (name, values["job_id"], values["changed"]) == ("job.updated", "a", "zone_rules")
    assert values["next_before"] != values["next_after"]
    assert world.reconciler.moved == 1

    assert world.sync() == []


def test_new_rules_that_could_not_be_applied_are_applied_by_the_next_sync(world: World) -> None:
    """Only what succeeded counts as applied."""
    for name in ("a", "b"):
        world.write(f"{name}.json", job(name, "0 3 * * *", timezone="Europe/Berlin"))
    world.sync()
    world.schedule.fail = 1
    with pytest.raises(RuntimeError):
        world.reconciler.reload(CONTEXT, ["Europe/Berlin"])
    calls = len(world.schedule.calls)
    assert world.sync() == ["job.updated", "job.updated"]
    assert world.schedule.calls[calls:] == [("put", "a"), ("put", "b")]
