"""The truth table of decisions about slots, in every situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from jobscheduler.timetable.decision import Decision, MissedSlots, SlotRange
from jobscheduler.timetable.outage import MAX_COUNTED_SLOTS, Outage, decide_after_outage
from jobscheduler.timetable.overlap import Action, JobSituation, Overlap
from jobscheduler.timetable.slots import Circumstances, decide

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Every:
    """A slot every `seconds`, each starting `late` after its time."""

    def __init__(self, seconds: int, late: float = 0.0) -> None:
        self.seconds = seconds
        self.late = timedelta(seconds=late)

    def next(self, after: datetime) -> datetime:
        """Return the first multiple after a moment."""
        return datetime.fromtimestamp((int(after.timestamp()) // self.seconds + 1) * self.seconds, UTC)

    def start_time(self, slot: datetime) -> datetime:
        """Return when a slot starts."""
        return slot + self.late

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last multiple in a time."""
        slot = datetime.fromtimestamp(int(until.timestamp()) // self.seconds * self.seconds, UTC)
        return slot if slot > after else None

    def summarize(self, after: datetime, until: datetime, limit: int) -> SlotRange | None:
        """Count without listing."""
        last = self.last_between(after, until)
        if last is None:
            return None
        count = int((last - self.next(after)).total_seconds()) // self.seconds + 1
        return SlotRange(self.next(after), last, min(count, limit), count > limit)


def at(seconds: float) -> datetime:
    """Return the instant `seconds` after noon."""
    return NOON + timedelta(seconds=seconds)


def missed(first: float, last: float, count: int, reason: str = "down") -> MissedSlots:
    """Return a group of missed slots, from seconds after noon."""
    return MissedSlots(at(first), at(last), count, reason=reason)


def test_nothing_is_due_before_its_time() -> None:
    """A wake-up too early decides nothing and leaves the cursor."""
    assert decide(Every(60), NOON, at(59.9), JobSituation()) == Decision(NOON)


def test_a_slot_is_run_at_its_time_and_never_twice() -> None:
    """The cursor stands on the slot afterwards, so the same moment decides nothing more."""
    first = decide(Every(60), NOON, at(60), JobSituation())

    assert first == Decision(at(60), actions=((at(60), Action.RUN),))
    assert decide(Every(60), first.cursor, at(60), JobSituation()) == Decision(at(60))


def test_a_clock_set_back_decides_nothing_again() -> None:
    """Slots that were decided stay decided when their time comes a second time."""
    assert decide(Every(60), at(60), at(-3600), JobSituation()) == Decision(at(60))


def test_jitter_delays_the_start_and_not_the_slot() -> None:
    """A slot is decided at its start; what is recorded is its nominal time."""
    assert decide(Every(60, late=7), NOON, at(66.9), JobSituation()).actions == ()
    assert decide(Every(60, late=7), NOON, at(67), JobSituation()).actions == ((at(60), Action.RUN),)


@pytest.mark.parametrize(
    ("overlap", "going", "waiting", "acts"),
    [
        (Overlap.SKIP, False, False, (Action.RUN,)),
        (Overlap.SKIP, True, False, (Action.SKIP,)),
        (Overlap.QUEUE, False, False, (Action.RUN,)),
        (Overlap.QUEUE, True, False, (Action.QUEUE,)),
        (Overlap.QUEUE, True, True, (Action.SKIP,)),
        (Overlap.REPLACE, False, False, (Action.RUN,)),
        (Overlap.REPLACE, True, False, (Action.REPLACE,)),
        (Overlap.REPLACE, True, True, (Action.REPLACE,)),
        (Overlap.ALLOW, False, False, (Action.RUN,)),
        (Overlap.ALLOW, True, False, (Action.RUN,)),
    ],
)
def test_the_overlap_rule_decides_about_a_slot_while_a_run_is_active(
    overlap: Overlap, going: bool, waiting: bool, acts: tuple[Action, ...]
) -> None:
    """One row for each rule and situation."""
    made = decide(Every(60), NOON, at(60), JobSituation(overlap, going, waiting))

    assert tuple(act for _, act in made.actions) == acts


@pytest.mark.parametrize(
    ("overlap", "acts"),
    [
        (Overlap.SKIP, (Action.RUN, Action.SKIP, Action.SKIP)),
        (Overlap.QUEUE, (Action.RUN, Action.QUEUE, Action.SKIP)),
        (Overlap.REPLACE, (Action.RUN, Action.REPLACE, Action.REPLACE)),
        (Overlap.ALLOW, (Action.RUN, Action.RUN, Action.RUN)),
    ],
)
def test_slots_that_are_a_little_late_are_decided_one_by_one(overlap: Overlap, acts: tuple[Action, ...]) -> None:
    """Merged wake-ups of a busy scheduler lose nothing: each slot gets its own decision."""
    made = decide(Every(1), NOON, at(3), JobSituation(overlap))

    assert made == Decision(at(3), tuple(zip((at(1), at(2), at(3)), acts, strict=True)))


@pytest.mark.parametrize(
    ("catch_up", "now", "runs", "lost"),
    [
        (60, 200, at(180), missed(60, 120, 2)),
        (20, 200, at(180), missed(60, 120, 2)),
        (19, 200, None, missed(60, 180, 3)),
        (0, 180, None, missed(60, 180, 3)),
        (60, 90, at(60), None),
        (0, 90, None, missed(60, 60, 1)),
    ],
)
def test_of_an_outage_the_latest_runs_if_it_is_young_enough(
    catch_up: float, now: float, runs: datetime | None, lost: MissedSlots | None
) -> None:
    """The others make one record with first, last and count."""
    made = decide(Every(60), NOON, at(now), JobSituation(catch_up=timedelta(seconds=catch_up)))

    assert made.missed == (() if lost is None else (lost,))
    assert made.actions == (() if runs is None else ((runs, Action.RUN),))


def test_counting_an_outage_of_years_is_bounded() -> None:
    """Counting stops, and `more` is set. The record has the last slot all the same, and the latest runs."""
    now = at(MAX_COUNTED_SLOTS * 10)

    made = decide(Every(1), NOON, now, JobSituation(), Circumstances(lambda: ("asleep", ())))

    assert made.missed == (
        MissedSlots(at(1), at(MAX_COUNTED_SLOTS * 10 - 1), MAX_COUNTED_SLOTS, more=True, reason="asleep"),
    )
    assert made.actions == ((now, Action.RUN),)
    assert decide(Every(1), made.cursor, now, JobSituation()).actions == ()


def ranges(*pairs: tuple[float, float]) -> tuple[tuple[datetime, datetime], ...]:
    """Return ranges of recorded slots, from seconds after noon."""
    return tuple((at(first), at(last)) for first, last in pairs)


@pytest.mark.parametrize(
    ("outage", "runs", "groups"),
    [
        # nothing accounted: the latest runs, the others are one group
        (Outage(NOON, at(200)), 180, [missed(60, 120, 2)]),
        # up to 120 accounted: only what follows
        (Outage(NOON, at(200), recorded=ranges((60, 60), (120, 120))), 180, []),
        (Outage(NOON, at(320), recorded=ranges((60, 120))), 300, [missed(180, 240, 2)]),
        # a slot that waited while a later one was accounted: a group of its own, that spans no accounted slot
        (
            Outage(NOON, at(320), recorded=ranges((60, 60), (180, 180))),
            300,
            [missed(120, 120, 1), missed(240, 240, 1)],
        ),
        (Outage(NOON, at(130), recorded=ranges((120, 120)), pending=(at(60),)), None, [missed(60, 60, 1)]),
        (Outage(NOON, at(100), recorded=ranges((60, 60))), None, []),
        # a pending slot from before the checkpoint; it is the latest, and young enough
        (Outage(at(60), at(100), pending=(at(60),)), 60, []),
        (Outage(at(60), at(130), pending=(at(60),)), 120, [missed(60, 60, 1)]),
        # a wait in the midst of the outage, which is a slot of it all the same
        (Outage(NOON, at(190), pending=(at(120),)), 180, [missed(60, 120, 2)]),
        (Outage(NOON, at(130), pending=(at(120),)), 120, [missed(60, 60, 1)]),
        # where lines may have been lost nothing runs, and that is the reason
        (Outage(NOON, at(100), unknown=at(61)), None, [missed(60, 60, 1, "unknown")]),
        (Outage(at(100), at(320), unknown=at(121)), 300, [missed(120, 120, 1, "unknown"), missed(180, 240, 2)]),
        (Outage(at(100), at(320), unknown=at(500)), None, [missed(120, 300, 4, "unknown")]),
        # also what had waited until then may have begun in that time
        (Outage(at(100), at(130), pending=(at(60),), unknown=at(102)), 120, [missed(60, 60, 1, "unknown")]),
        (Outage(at(100), at(110), pending=(at(60),), unknown=at(102)), None, [missed(60, 60, 1, "unknown")]),
        # the log is ahead of the clock: nothing is due until the clock is there
        (Outage(at(600), at(200), recorded=ranges((660, 660))), None, []),
    ],
)
def test_every_slot_of_an_outage_has_exactly_one_record(
    outage: Outage, runs: float | None, groups: list[MissedSlots]
) -> None:
    """One row for each way in which a log can end; a job each minute, that catches up a minute."""
    made = decide_after_outage(Every(60), outage, JobSituation())

    assert made.actions == (() if runs is None else ((at(runs), Action.RUN),))
    assert list(made.missed) == groups
    due = {at(seconds) for seconds in range(60, 3600, 60) if outage.after < at(seconds) <= outage.until}
    accounts = [slot for slot, _ in made.actions]
    for first, last in [*outage.recorded, *((one.first, one.last) for one in made.missed)]:
        accounts += [slot for slot in due | set(outage.pending) if first <= slot <= last]
    assert sorted(accounts) == sorted(due | set(outage.pending))


class CountedEvery(Every):
    """Count the looks at the timetable."""

    looks = 0

    def next(self, after: datetime) -> datetime:
        """Count a look."""
        self.looks += 1
        return super().next(after)

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """Count a look."""
        self.looks += 1
        return super().last_between(after, until)


def test_one_look_tells_that_an_outage_has_no_slot() -> None:
    """At a start this is the case of nearly all of thousands of jobs."""
    slots = CountedEvery(60)

    assert decide_after_outage(slots, Outage(at(1), at(59)), JobSituation()) == Decision(at(1))
    assert slots.looks == 1


@pytest.mark.parametrize("late", [0, 20])
def test_one_look_decides_as_the_search_through_an_outage_does(late: float) -> None:
    """A pending slot from before the outage, which has a record, changes nothing, but makes the search necessary."""
    slots, before = Every(60, late), NOON - timedelta(hours=1)
    records = ((), ranges((60, 60)), ranges((30, 90)), ranges((0, 0), (100, 200)))
    for after, until, recorded in product(range(0, 130, 10), range(0, 200, 10), records):
        for paused_until in (None, at(70)):
            situation = JobSituation(paused_until=paused_until)
            outage = Outage(at(after), at(until), recorded=recorded, reopened=ranges((120, 130)))
            searched = replace(outage, recorded=(*recorded, (before, before)), pending=(before,))

            assert decide_after_outage(slots, outage, situation) == decide_after_outage(slots, searched, situation)
