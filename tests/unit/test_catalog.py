"""Which definition each file holds, who owns an id, and when bad news counts."""

from __future__ import annotations

from dataclasses import replace

from jobscheduler.jobs.catalog import Catalog, ItemState, StatusChange
from jobscheduler.model import Cron, Job, Problem, TaskSpec

X = Job("x", Cron("0 1 * * *", "UTC"), TaskSpec.from_params("t", {}))
Y = replace(X, id="y")
BAD = (Problem("broken"),)
WORSE = (Problem("broken otherwise"),)


class Desk:
    """A catalog with a clock that the test moves, and a new signature for every write."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.now = 0.0
        self.writes = 0

    def see(self, name: str, verdict: Job | tuple[Problem, ...] | None) -> None:
        """Have a file changed and looked at."""
        self.writes += 1
        if isinstance(verdict, Job):
            verdict = replace(verdict, source_name=name)
        self.catalog.observe(name, None if verdict is None else (self.writes,), verdict, self.now)

    def later(self, seconds: float) -> list[tuple[str, ItemState, ItemState]]:
        """Let time pass, look again at what is unsettled, and return what is reported."""
        self.now += seconds
        self.catalog.apply_settled(self.now)
        return [(one.name, one.before.state, one.after.state) for one in self.reports()]

    def reports(self) -> list[StatusChange]:
        """What is to be told now."""
        return self.catalog.pop_changes(self.now)

    @property
    def desired(self) -> dict[str, str]:
        """Each id that should be in force, with the file that it is from."""
        return {job_id: job.source_name for job_id, job in self.catalog.desired.items()}


def test_a_good_file_counts_at_once() -> None:
    """A definition is desired as soon as it is seen, and there is nothing to report."""
    desk = Desk()
    desk.see("a.json", X)

    assert desk.desired == {"x": "a.json"}
    assert desk.later(0) == []
    assert desk.catalog.next_settle_at() is None


def test_a_torn_file_keeps_its_job_and_is_reported_after_a_quiet_second() -> None:
    """The last good version stays in force; the report comes once."""
    desk = Desk()
    desk.see("a.json", X)
    desk.later(5)
    desk.see("a.json", BAD)

    assert desk.catalog.next_settle_at() == 6.0
    assert desk.later(0.99) == []
    assert desk.later(0.01) == [("a.json", ItemState.GOOD, ItemState.STALE)]
    assert desk.later(60) == []
    assert desk.desired == {"x": "a.json"}


def test_a_file_that_is_being_written_is_not_reported() -> None:
    """Every write begins a new quiet second."""
    desk = Desk()
    for _ in range(10):
        desk.see("a.json", BAD)
        assert desk.later(0.9) == []

    assert desk.later(0.1) == [("a.json", ItemState.GOOD, ItemState.REFUSED)]


def test_reading_a_fresh_file_once_more_does_not_begin_another_quiet_second() -> None:
    """What may still change without its times telling is read again; if it is as it was, it has been quiet."""
    catalog = Catalog()
    catalog.observe("a.json", (1,), X, 0.0)
    catalog.observe("a.json", (2,), BAD, 5.0, reread=True)
    assert catalog.fingerprints() == {"a.json": ()}
    catalog.observe("a.json", (2,), BAD, 6.0)

    assert catalog.fingerprints() == {"a.json": (2,)}
    assert [one.after.state for one in catalog.pop_changes(6.0)] == [ItemState.STALE]


def test_who_waits_for_an_id_that_goes_from_hand_to_hand_is_not_told_at_once() -> None:
    """That its incumbent is another one now is news that has to settle, too."""
    desk = Desk()
    for name in ("a.json", "b.json", "c.json"):
        desk.see(name, X)
    assert len(desk.later(1)) == 2
    desk.now += 60
    desk.see("a.json", Y)

    assert desk.later(0) == [("b.json", ItemState.REFUSED, ItemState.GOOD)]
    assert desk.later(1) == [("c.json", ItemState.REFUSED, ItemState.REFUSED)]


def test_a_file_that_was_bad_long_before_it_was_first_seen_has_settled() -> None:
    """At a start, files that nobody is writing are reported at once."""
    catalog = Catalog()
    catalog.observe("a.json", (1,), BAD, 100.0, age=3600.0)

    assert [one.after.state for one in catalog.pop_changes(100.0)] == [ItemState.REFUSED]


def test_a_mended_file_is_reported_once() -> None:
    """The all-clear comes at once, and only if there was something to clear."""
    desk = Desk()
    desk.see("a.json", BAD)
    desk.later(1)
    desk.see("a.json", X)

    assert desk.later(0) == [("a.json", ItemState.REFUSED, ItemState.GOOD)]
    assert desk.later(10) == []


def test_another_problem_is_another_report_and_the_same_one_is_not() -> None:
    """A file that is saved again with the same mistake says nothing new."""
    desk = Desk()
    desk.see("a.json", BAD)
    desk.later(1)
    desk.see("a.json", BAD)
    assert desk.later(1) == []
    desk.see("a.json", WORSE)
    assert desk.later(1) == [("a.json", ItemState.REFUSED, ItemState.REFUSED)]


def test_a_deletion_counts_after_a_second() -> None:
    """Until then the job is in force, and nothing was ever said."""
    desk = Desk()
    desk.see("a.json", X)
    desk.later(1)
    desk.see("a.json", None)
    desk.later(0.99)
    assert desk.desired == {"x": "a.json"}
    desk.later(0.01)
    assert desk.desired == {}


def test_a_file_that_comes_back_within_a_second_was_never_gone() -> None:
    """Editors and git remove and write; nothing happens at all."""
    desk = Desk()
    desk.see("a.json", X)
    desk.catalog.pop_changed_ids()
    desk.see("a.json", None)
    desk.later(0.5)
    desk.see("a.json", X)

    assert desk.later(10) == []
    assert desk.desired == {"x": "a.json"}


def test_a_deleted_bad_file_is_mended() -> None:
    """Whoever was told of the problem is told that it is over."""
    desk = Desk()
    desk.see("a.json", BAD)
    desk.later(1)
    desk.see("a.json", None)

    assert desk.later(1) == [("a.json", ItemState.REFUSED, ItemState.GONE)]


def test_of_two_files_with_one_id_the_first_has_it_and_the_other_waits() -> None:
    """The newcomer is refused, naming the incumbent, and takes over when that goes."""
    desk = Desk()
    desk.see("b.json", X)
    desk.see("a.json", replace(X, description="newcomer"))
    desk.now += 1
    (report,) = desk.reports()

    assert (report.name, report.after.incumbent) == ("a.json", "b.json")
    assert desk.desired == {"x": "b.json"}

    desk.see("b.json", None)
    assert desk.later(1) == [("a.json", ItemState.REFUSED, ItemState.GOOD)]
    assert desk.desired == {"x": "a.json"}


def test_a_renamed_file_keeps_its_job_without_a_gap() -> None:
    """The new name takes over at once from the old one that is gone, in either order of looking."""
    for order in (("a.json", "b.json"), ("b.json", "a.json")):
        desk = Desk()
        desk.see("a.json", X)
        for name in order:
            desk.see(name, X if name == "b.json" else None)
        assert "x" in desk.desired
        assert desk.later(1) == []
        assert desk.desired == {"x": "b.json"}


def test_a_definition_gives_its_former_id_free_even_when_its_new_one_is_taken() -> None:
    """For others at once; when it has settled that nobody wants it, its job is gone."""
    desk = Desk()
    desk.see("a.json", X)
    desk.see("b.json", Y)
    desk.see("a.json", Y)

    assert desk.desired == {"x": "a.json", "y": "b.json"}
    assert desk.catalog.next_settle_at() == 1.0
    assert desk.later(1) == [("a.json", ItemState.GOOD, ItemState.REFUSED)]
    assert desk.desired == {"y": "b.json"}
    assert desk.catalog.next_settle_at() is None


def test_two_files_may_swap_their_ids() -> None:
    """Both are in force all the time, and nothing is reported."""
    desk = Desk()
    desk.see("a.json", X)
    desk.see("b.json", Y)
    desk.see("a.json", Y)
    desk.later(0.2)
    assert desk.desired.keys() == {"x", "y"}
    desk.see("b.json", X)

    assert desk.later(5) == []
    assert desk.desired == {"x": "b.json", "y": "a.json"}


def test_three_files_may_pass_their_ids_round() -> None:
    """Beginning with one whose new id is taken, none is ever out of force."""
    desk = Desk()
    z = replace(X, id="z")
    for name, one in (("a.json", X), ("b.json", Y), ("c.json", z)):
        desk.see(name, one)
    for name, one in (("a.json", Y), ("b.json", z), ("c.json", X)):
        desk.see(name, one)
        desk.later(0.3)
        assert desk.desired.keys() == {"x", "y", "z"}

    assert desk.later(5) == []
    assert desk.desired == {"x": "c.json", "y": "a.json", "z": "b.json"}
    assert desk.catalog.next_settle_at() is None


def test_a_plain_new_id_takes_the_old_job_away_at_once() -> None:
    """Otherwise what is the same job to its author might run under both ids."""
    desk = Desk()
    desk.see("a.json", X)
    desk.see("a.json", Y)

    assert desk.desired == {"y": "a.json"}


def test_a_stale_file_still_owns_its_id() -> None:
    """A bad edit does not let a newcomer take the job away."""
    desk = Desk()
    desk.see("a.json", X)
    desk.see("a.json", BAD)
    desk.see("b.json", X)

    desk.later(1)
    assert desk.desired == {"x": "a.json"}


def test_what_was_touched_is_named_once() -> None:
    """A pass plans over the touched ids only."""
    desk = Desk()
    desk.see("a.json", X)
    desk.see("b.json", Y)

    assert desk.catalog.pop_changed_ids() == {"x", "y"}
    assert desk.catalog.pop_changed_ids() == set()
