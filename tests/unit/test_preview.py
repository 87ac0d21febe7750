"""What putting files in force would change: the preview says what a sync then does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.control.definitions import definitions_answer, described, items_of_answer, masked, restored
from jobscheduler.jobs.catalog import GOOD, ItemState, ItemStatus
from jobscheduler.jobs.collisions import collisions
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.parser import parse
from jobscheduler.jobs.preview import preview, related_items
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Job, Once, TaskSpec
from tests.support.definitions import full_job
from tests.support.in_memory import memory_or_disk
from tests.support.properties import examples
from tests.support.service import job
from tests.unit.test_reconciler import CONTEXT, NOON, FakeSchedule

KEY = "key"
NAMES = ["a.json", "a-old.json", "b.json", "c.json"]
DEFINITIONS = st.one_of(
    st.builds(
        lambda name, schedule: job(name, schedule, "true"),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["@daily", "@hourly", "61 * * * *"]),
    ),
    st.just({"job_id": "a"}),
)
DIRECTORIES = st.dictionaries(st.sampled_from(NAMES), DEFINITIONS, max_size=4)


class Loader:
    """The service's loader on a directory, with a clock that the test moves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.schedule = FakeSchedule()
        self.seconds = 0.0
        self.reconciler = Reconciler(
            [DirectorySource(directory)],
            self.schedule,
            CONTEXT,
            lambda *_, **__: None,
            now=lambda: NOON + timedelta(seconds=self.seconds),
            monotonic=lambda: self.seconds,
        )

    def put(self, files: dict[str, Any]) -> None:
        """Make the directory hold these files and no others, and let everything settle."""
        for path in self.directory.iterdir():
            if path.name not in files:
                path.unlink()
        for name, definition in files.items():
            (self.directory / name).write_text(json.dumps(definition))
            (self.directory / name).chmod(0o644)
        for _ in range(4):
            self.reconciler.sync_all()
            self.seconds += 2

    def refused(self) -> set[str]:
        """Return the files that are not in force as they are written."""
        return set(self.reconciler.active_state()[1])


@examples(200)
@given(DIRECTORIES.filter(bool), DIRECTORIES.filter(bool))
def test_a_preview_says_what_a_sync_then_does(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Jobs that are put and dropped, their files, and refused files; also where ids change hands."""
    with TemporaryDirectory(dir=memory_or_disk()) as made:
        loader = Loader(Path(made))
        loader.put(before)
        answer = json.loads(json.dumps(definitions_answer(loader.reconciler.items(), {})))
        in_force = dict(loader.reconciler.active_state()[0])
        results: dict[str, Any] = dict.fromkeys(before)
        for name, definition in after.items():
            parsed = parse(json.dumps(definition).encode(), name, CONTEXT)
            results[name] = masked(parsed, answer["key"]) if isinstance(parsed, Job) else parsed
        found = preview(items_of_answer(answer), results, NOON)
        loader.put(after)
        active = loader.reconciler.active_state()[0]
    assert found.refused.keys() == loader.refused()
    assert {job_id: one.source_name for job_id, one in found.after.items()} == {
        job_id: one.source_name for job_id, one in active.items()
    }
    assert {one.id for one in found.plan.put} == {i for i in active if active[i] != in_force.get(i)}
    assert {*found.plan.drop} == in_force.keys() - active.keys()


def parsed(definition: dict[str, Any]) -> Job:
    found = parse(json.dumps(definition).encode(), "a.json", CONTEXT)
    assert isinstance(found, Job)
    return found


def test_a_description_is_equal_if_the_definition_is_and_shows_no_field_of_a_task() -> None:
    definition = full_job(
        retry={"attempts": 3, "delay": 5}, tags=["x"], on_failure=None, not_after="2030-01-01T00:00:00Z"
    )
    definition["task"]["env"] = {"PASSWORD": "hunter2"}
    one, text = parsed(definition), json.dumps(described(parsed(definition), KEY))
    assert "hunter2" not in text
    assert "PASSWORD" not in text
    assert restored(json.loads(text), "a.json") == masked(one, KEY)
    assert replace(masked(one, KEY), task=one.task) == one
    definition["task"]["env"] = {"PASSWORD": "hunter3"}
    assert masked(parsed(definition), KEY).changed_fields(masked(one, KEY)) == ("task",)


def test_a_one_time_job_is_described_by_its_instant() -> None:
    """Its text may be a time of a zone that a reader would take for another."""
    one = parsed({**job("a", "2027-06-01T10:00:00"), "timezone": "Asia/Tokyo"})
    assert masked(one, KEY).schedule == Once(datetime(2027, 6, 1, 1, tzinfo=UTC))
    assert isinstance(masked(one, KEY).task, TaskSpec)


def test_a_job_without_slots_is_described_too() -> None:
    one = parsed(job("a", "@manual"))
    assert restored(described(one, KEY), "a.json") == masked(one, KEY)


@pytest.mark.parametrize(
    "fields",
    [
        {"alert": {"after": 3}},
        {"alert": {"remind": "1d"}, "success_within": "36h"},
        {"limits": {"cpu": "123456.789%"}},
        {"limits": {"cpu": "0.001%", "memory": 1 << 49}},
    ],
)
def test_what_a_rule_leaves_out_and_each_digit_are_described(fields: dict[str, Any]) -> None:
    """Else a plan would find a change in a file that nobody has changed."""
    one = parsed(job("a", "@daily", **fields))
    assert replace(masked(one, KEY), task=one.task) == one


@examples(200)
@given(DIRECTORIES.filter(bool), DIRECTORIES.filter(bool))
def test_a_preview_of_some_files_needs_only_the_items_related_to_them(
    before: dict[str, Any], planned: dict[str, Any]
) -> None:
    """By name or by id: those of the files, and of what these define now and then."""
    with TemporaryDirectory(dir=memory_or_disk()) as made:
        loader = Loader(Path(made))
        loader.put(before)
        items = loader.reconciler.items()
    results: dict[str, Any] = {
        name: parse(json.dumps(definition).encode(), name, CONTEXT) for name, definition in planned.items()
    }
    ids = {result.id for result in results.values() if isinstance(result, Job)}
    some = related_items(items, results, ids)

    def found(chosen: list[tuple[str, Job | None, ItemStatus]]) -> tuple[Any, ...]:
        shown = items_of_answer(json.loads(json.dumps(definitions_answer(chosen, {}))))
        says = preview(shown, results, NOON)
        return {job.id: job for job in says.plan.put}, says.plan.drop, says.plan.expire, says.items

    assert [(name, job) for name, job, _ in some] == [(n, j) for n, j, _ in items if n in {name for name, _, _ in some}]
    assert str(found(some)) == str(found(list(items)))


def test_items_that_share_nothing_with_a_planned_file_are_not_asked_for() -> None:
    """However many there are."""
    items = [(f"{name}.json", parsed(job(name, "@daily")), GOOD) for name in "abcde"]
    assert [name for name, _, _ in related_items(items, {"b.json"}, {"d"})] == ["b.json", "d.json"]


def test_an_expired_job_is_told_as_such() -> None:
    one = parsed(job("a", "2020-01-01T00:00:00Z"))
    found = preview((), {"a.json": one}, NOON)
    assert [expired.id for expired in found.plan.expire] == ["a"]


def test_a_stale_file_keeps_its_job_in_force() -> None:
    one = parsed(job("a", "@daily"))
    answer = definitions_answer([("a.json", one, GOOD)], {})
    bad = parse(b"{}", "a.json", CONTEXT)
    found = preview(items_of_answer(answer), {"a.json": bad}, NOON)  # type: ignore[dict-item]
    assert {name: status.state for name, status in found.refused.items()} == {"a.json": ItemState.STALE}
    assert not found.plan


def daily(count: int, schedule: str = "0 3 * * *", **fields: Any) -> dict[str, Job]:
    return {f"j{number}": parsed(job(f"j{number}", schedule, **fields)) for number in range(count)}


def test_an_instant_collides_if_it_gets_more_starts_than_there_are_workers() -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    (found,) = collisions(daily(3), daily(6), now, workers=5)
    assert (found.at, found.before, found.after) == (datetime(2026, 12, 1, 3, tzinfo=UTC), 3, 6)
    assert collisions(daily(6), daily(6), now, workers=5) == []
    assert collisions(daily(3), daily(5), now, workers=5) == []


def test_an_instant_collides_if_it_gets_many_more_starts_than_before() -> None:
    """Disabled jobs do not start, and jobs with jitter start one after the other."""
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert [one.after for one in collisions(daily(10), daily(20), now, workers=100)] == [20]
    assert collisions(daily(15), daily(25), now, workers=100) == []
    assert collisions({}, daily(20, enabled=False), now, workers=5) == []
    assert collisions({}, daily(20, jitter="10m"), now, workers=5) == []
