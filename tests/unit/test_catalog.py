"""Which definition each file has, which file owns an id, and when bad news counts."""

from __future__ import annotations

from dataclasses import replace

from jobscheduler.jobs.catalog import Catalog, ItemState, StatusChange
from jobscheduler.model import Cron, Job, Problem, TaskSpec

X = Job("x", Cron("0 1 * * *", "UTC"), TaskSpec.from_params("t", {}))
Y = replace(X, id="y")
BAD = (Problem("broken"),)
WORSE = (Problem("broken otherwise"),)


class World:
    """A catalog with a clock that the test moves, and a new fingerprint for every write."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.now = 0.0
        self.writes = 0

    def observe(self, name: str, result: Job | tuple[Problem, ...] | None) -> None:
        """Change a file and observe it."""
        self.writes += 1
        if isinstance(result, Job):
            result = replace(result, source_name=name)
        self.catalog.observe(name, None if result is None else (self.writes,), result, self.now)

    def later(self, seconds: float) -> list[tuple[str, ItemState, ItemState]]:
        """Let time pass, apply what has settled, and return the reported changes."""
        self.now += seconds
        self.catalog.apply_settled(self.now)
        return [(change.name, change.before.state, change.after.state) for change in self.changes()]

    def changes(self) -> list[StatusChange]:
        """Return the changes to report now."""
        return self.catalog.pop_changes(self.now)

    @property
    def desired(self) -> dict[str, str]:
        """Each id that should be active, with its file."""
        return {job_id: job.source_name for job_id, job in self.catalog.desired.items()}


def test_a_good_file_counts_at_once() -> None:
    """A definition is desired as soon as it is seen, and there is nothing to report."""
    world = World()
    world.observe("a.json", X)

    assert world.desired == {"x": "a.json"}
    assert world.later(0) == []
    assert world.catalog.next_settle_at() is None


def test_a_torn_file_keeps_its_job_and_is_reported_after_the_settle_delay() -> None:
    """The last good version stays active; the change is reported once."""
    world = World()
    world.observe("a.json", X)
    world.later(5)
    world.observe("a.json", BAD)

    assert world.catalog.next_settle_at() == 6.0
    assert world.later(0.99) == []
    assert world.later(0.01) == [("a.json", ItemState.GOOD, ItemState.STALE)]
    assert world.later(60) == []
    assert world.desired == {"x": "a.json"}


def test_a_file_that_is_being_written_is_not_reported() -> None:
    """Every write restarts the settle delay."""
    world = World()
    for _ in range(10):
        world.observe("a.json", BAD)
        assert world.later(0.9) == []

    assert world.later(0.1) == [("a.json", ItemState.GOOD, ItemState.REFUSED)]


def test_rereading_a_fresh_file_does_not_restart_the_settle_delay() -> None:
    """A file that may still change with the same times is read again. If it is the same, its delay goes on."""
    catalog = Catalog()
    catalog.observe("a.json", (1,), X, 0.0)
    catalog.observe("a.json", (2,), BAD, 5.0, reread=True)
    assert catalog.fingerprints() == {"a.json": ()}
    catalog.observe("a.json", (2,), BAD, 6.0)

    assert catalog.fingerprints() == {"a.json": (2,)}
    assert [change.after.state for change in catalog.pop_changes(6.0)] == [ItemState.STALE]


def test_an_item_whose_incumbent_changes_is_not_reported_at_once() -> None:
    """A new incumbent is news that must settle, too."""
    world = World()
    for name in ("a.json", "b.json", "c.json"):
        world.observe(name, X)
    assert len(world.later(1)) == 2
    world.now += 60
    world.observe("a.json", Y)

    assert world.later(0) == [("b.json", ItemState.REFUSED, ItemState.GOOD)]
    assert world.later(1) == [("c.json", ItemState.REFUSED, ItemState.REFUSED)]


def test_a_file_that_was_bad_long_before_the_first_sync_has_settled() -> None:
    """At the start, files that are not being written are reported at once."""
    catalog = Catalog()
    catalog.observe("a.json", (1,), BAD, 100.0, age=3600.0)

    assert [change.after.state for change in catalog.pop_changes(100.0)] == [ItemState.REFUSED]


def test_a_repaired_file_is_reported_once() -> None:
    """The all-clear comes at once, and only if there was something to clear."""
    world = World()
    world.observe("a.json", BAD)
    world.later(1)
    world.observe("a.json", X)

    assert world.later(0) == [("a.json", ItemState.REFUSED, ItemState.GOOD)]
    assert world.later(10) == []


def test_another_problem_is_another_report_and_the_same_one_is_not() -> None:
    """A file that is saved again with the same mistake has no new report."""
    world = World()
    world.observe("a.json", BAD)
    world.later(1)
    world.observe("a.json", BAD)
    assert world.later(1) == []
    world.observe("a.json", WORSE)
    assert world.later(1) == [("a.json", ItemState.REFUSED, ItemState.REFUSED)]


def test_a_deletion_counts_after_a_second() -> None:
    """Until then the job is active, and nothing is reported."""
    world = World()
    world.observe("a.json", X)
    world.later(1)
    world.observe("a.json", None)
    world.later(0.99)
    assert world.desired == {"x": "a.json"}
    world.later(0.01)
    assert world.desired == {}


def test_a_file_that_returns_within_a_second_was_never_missing() -> None:
    """Editors and git remove and write files; nothing happens."""
    world = World()
    world.observe("a.json", X)
    world.catalog.pop_changed_ids()
    world.observe("a.json", None)
    world.later(0.5)
    world.observe("a.json", X)

    assert world.later(10) == []
    assert world.desired == {"x": "a.json"}


def test_the_end_of_a_deleted_bad_file_is_reported() -> None:
    """Its problem was reported, so the end of the problem is reported, too."""
    world = World()
    world.observe("a.json", BAD)
    world.later(1)
    world.observe("a.json", None)

    assert world.later(1) == [("a.json", ItemState.REFUSED, ItemState.GONE)]


def test_of_two_files_with_one_id_the_first_has_it_and_the_other_waits() -> None:
    """The newcomer is refused with the name of the incumbent, and takes over when that is removed."""
    world = World()
    world.observe("b.json", X)
    world.observe("a.json", replace(X, description="newcomer"))
    world.now += 1
    (report,) = world.changes()

    assert (report.name, report.after.incumbent) == ("a.json", "b.json")
    assert world.desired == {"x": "b.json"}

    world.observe("b.json", None)
    assert world.later(1) == [("a.json", ItemState.REFUSED, ItemState.GOOD)]
    assert world.desired == {"x": "a.json"}


def test_a_renamed_file_keeps_its_job_without_a_gap() -> None:
    """The new name takes over at once from the missing old one, in either order of reading."""
    for order in (("a.json", "b.json"), ("b.json", "a.json")):
        world = World()
        world.observe("a.json", X)
        for name in order:
            world.observe(name, X if name == "b.json" else None)
        assert "x" in world.desired
        assert world.later(1) == []
        assert world.desired == {"x": "b.json"}


def test_a_definition_releases_its_former_id_even_if_its_new_id_is_taken() -> None:
    """Other items may claim it at once. When it has settled that none does, its job is removed."""
    world = World()
    world.observe("a.json", X)
    world.observe("b.json", Y)
    world.observe("a.json", Y)

    assert world.desired == {"x": "a.json", "y": "b.json"}
    assert world.catalog.next_settle_at() == 1.0
    assert world.later(1) == [("a.json", ItemState.GOOD, ItemState.REFUSED)]
    assert world.desired == {"y": "b.json"}
    assert world.catalog.next_settle_at() is None


def test_two_files_may_swap_their_ids() -> None:
    """Both are active all the time, and nothing is reported."""
    world = World()
    world.observe("a.json", X)
    world.observe("b.json", Y)
    world.observe("a.json", Y)
    world.later(0.2)
    assert world.desired.keys() == {"x", "y"}
    world.observe("b.json", X)

    assert world.later(5) == []
    assert world.desired == {"x": "b.json", "y": "a.json"}


def test_three_files_may_exchange_their_ids_in_a_circle() -> None:
    """All stay active, even if the first one's new id is taken."""
    world = World()
    z = replace(X, id="z")
    for name, one in (("a.json", X), ("b.json", Y), ("c.json", z)):
        world.observe(name, one)
    for name, one in (("a.json", Y), ("b.json", z), ("c.json", X)):
        world.observe(name, one)
        world.later(0.3)
        assert world.desired.keys() == {"x", "y", "z"}

    assert world.later(5) == []
    assert world.desired == {"x": "c.json", "y": "a.json", "z": "b.json"}
    assert world.catalog.next_settle_at() is None


def test_a_new_id_removes_the_old_job_at_once() -> None:
    """Otherwise the same job might run under both ids."""
    world = World()
    world.observe("a.json", X)
    world.observe("a.json", Y)

    assert world.desired == {"y": "a.json"}


def test_a_stale_file_still_owns_its_id() -> None:
    """A bad edit does not let another file take the id."""
    world = World()
    world.observe("a.json", X)
    world.observe("a.json", BAD)
    world.observe("b.json", X)

    world.later(1)
    assert world.desired == {"x": "a.json"}


def test_changed_ids_are_returned_once() -> None:
    """A sync plans the changed ids only."""
    world = World()
    world.observe("a.json", X)
    world.observe("b.json", Y)

    assert world.catalog.pop_changed_ids() == {"x", "y"}
    assert world.catalog.pop_changed_ids() == set()
