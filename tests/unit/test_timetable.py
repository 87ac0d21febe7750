"""The slots of one job: schedule, bounds and jitter together."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.model import Cron, Job, Once, TaskSpec
from jobscheduler.timetable.timetable import Timetable, timetable_of
from tests.support.properties import examples

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def job(schedule: str | datetime = "*/5 * * * *", zone: str = "Europe/Berlin", **fields: object) -> Job:
    when = Cron(schedule, zone) if isinstance(schedule, str) else Once(schedule, "as written")
    return Job(**{"id": "a", "schedule": when, "task": TaskSpec("x", "{}"), **fields})


def listed(timetable: Timetable, minutes: int = 60, after: datetime = NOON) -> list[str]:
    return [f"{slot:%H:%M}" for slot in timetable.slots(after, after + minutes * MINUTE, 100)]


def test_slots_are_strictly_after_and_up_to_the_end():
    """The start is excluded, the end included."""
    assert listed(timetable_of(job()), 15) == ["12:05", "12:10", "12:15"]
    assert timetable_of(job()).next(NOON) == NOON + 5 * MINUTE


def test_both_bounds_are_inclusive():
    """A slot exactly at `not_before` or `not_after` is one."""
    bounded = timetable_of(job(not_before=NOON + 10 * MINUTE, not_after=NOON + 20 * MINUTE))
    assert listed(bounded) == ["12:10", "12:15", "12:20"]
    assert bounded.next(NOON - timedelta(days=9999)) == NOON + 10 * MINUTE
    assert bounded.next(NOON + 20 * MINUTE) is None
    between = timetable_of(job(not_before=NOON + timedelta(seconds=1), not_after=NOON + timedelta(seconds=2)))
    assert between.next(NOON) is None


def test_bounds_hold_for_one_time_jobs_too():
    """One instant, within its bounds or never."""
    assert timetable_of(job(NOON)).next(NOON - MINUTE) == NOON
    assert timetable_of(job(NOON)).next(NOON) is None
    assert timetable_of(job(NOON, not_before=NOON, not_after=NOON)).next(NOON - MINUTE) == NOON
    assert timetable_of(job(NOON, not_before=NOON + MINUTE)).next(NOON - MINUTE) is None
    assert timetable_of(job(NOON, not_after=NOON - MINUTE)).next(NOON - 9 * MINUTE) is None


def test_a_naive_moment_is_an_error():
    """For repeating and one-time schedules."""
    for schedule in ("* * * * *", NOON):
        with pytest.raises((ValueError, TypeError)):
            timetable_of(job(schedule)).next(datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_ends_of_time_raise_nothing():
    """Bounds and starts at the edge of what can be said."""
    early, late = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    for schedule in ("* * * * *", NOON):
        timetable = timetable_of(job(schedule, jitter=86_400.0))
        assert timetable.next(early) is not None
        assert timetable.next(late) is None
        assert timetable.next_start(late) is None
        assert timetable.next_start(early) is not None


def test_at_boot_has_no_slots():
    """`@reboot` is known as such and has none."""
    assert timetable_of(job("@reboot")).at_boot
    assert timetable_of(job("@reboot")).next(NOON) is None
    assert not timetable_of(job("@daily")).at_boot
    assert not timetable_of(job(NOON)).at_boot


def test_jobs_with_the_same_slots_share_one_timetable():
    """Other ids, tasks and texts make no difference; bounds, zones and jitter do."""
    first = timetable_of(job())
    assert timetable_of(job(id="b", description="other")) is first
    assert timetable_of(job(), host="elsewhere") is first
    assert timetable_of(job(not_before=NOON)) != first
    assert timetable_of(job(jitter=5.0)) != first
    assert timetable_of(job(zone="UTC")) != first
    with pytest.raises(FrozenInstanceError):
        first.jitter = 1.0  # type: ignore[misc]


def test_equal_timetables_have_equal_hashes():
    """Though made apart."""
    zone = ZoneInfo("Europe/Berlin")
    first = timetable_of(job())
    assert Timetable(first.schedule, zone) == first
    assert hash(Timetable(first.schedule, zone)) == hash(first)


# The latest slot, counting.


def test_the_latest_slot_of_a_span_is_found():
    """Start excluded, end included."""
    timetable = timetable_of(job())
    assert timetable.last_between(NOON, NOON + 14 * MINUTE) == NOON + 10 * MINUTE
    assert timetable.last_between(NOON, NOON + 15 * MINUTE) == NOON + 15 * MINUTE
    assert timetable.last_between(NOON, NOON + 4 * MINUTE) is None
    assert timetable.last_between(NOON, NOON - MINUTE) is None


@given(
    st.sampled_from(["*/7 * * * *", "0 1 * * *", "*/20 2 * * 1", "30 */3 * * * *", "0 0 1 * *", "30 2 29 3 *"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(0), timedelta(days=3)),
)
@examples(200)
def test_the_latest_slot_is_the_last_of_the_list(expression, after, length):
    """Whatever the schedule and the span, clock changes included."""
    timetable = timetable_of(job(expression))
    slots = list(timetable.slots(after, after + length, 100_000))
    assert timetable.last_between(after, after + length) == (slots[-1] if slots else None)


def test_a_tally_says_first_last_and_how_many():
    """Of an outage; it stops counting at the limit, but knows the last one all the same."""
    timetable = timetable_of(job("* * * * *"))
    tally = timetable.summarize(NOON, NOON + 10 * MINUTE, 100)
    assert tally is not None
    assert (tally.first, tally.last, tally.count, tally.more) == (NOON + MINUTE, NOON + 10 * MINUTE, 10, False)
    tally = timetable.summarize(NOON, NOON + timedelta(days=36_500), 10)
    assert tally is not None
    assert (tally.count, tally.more, tally.last) == (10, True, NOON + timedelta(days=36_500))
    exact = timetable.summarize(NOON, NOON + 10 * MINUTE, 10)
    assert exact is not None
    assert (exact.count, exact.more) == (10, False)
    assert timetable.summarize(NOON, NOON + timedelta(seconds=59), 10) is None


def test_listings_are_bounded():
    """An every-second job for a hundred years gives as many as were asked for."""
    timetable = timetable_of(job("* * * * * *"))
    assert len(list(timetable.slots(NOON, NOON + timedelta(days=36_500), 7))) == 7


# Jitter.


def starts(timetable: Timetable, count: int = 200) -> list[tuple[datetime, datetime]]:
    found, slot = [], NOON
    for _ in range(count):
        slot = timetable.next(slot) or NOON
        found.append((slot, timetable.start_time(slot)))
    return found


def test_without_jitter_a_slot_starts_at_its_nominal_time():
    """To the microsecond."""
    assert all(slot == start for slot, start in starts(timetable_of(job())))


def test_jitter_spreads_starts_over_its_span():
    """From 0 up to the jitter, evenly enough, and never at or after the following slot."""
    spread = [(start - slot).total_seconds() for slot, start in starts(timetable_of(job(jitter=120.0), "host"), 400)]
    assert 0 <= min(spread) < 10
    assert 110 < max(spread) < 120
    assert 50 < sum(spread) / len(spread) < 70
    pairs = starts(timetable_of(job("* * * * *", jitter=86_400.0), "host"))
    assert all(slot <= start < following for (slot, start), (following, _) in pairwise(pairs))


def test_jitter_is_always_the_same_for_one_job_slot_and_host():
    """In another process as well, where `hash` differs; other jobs and hosts start at other times."""
    here = timetable_of(job(jitter=60.0), "host")
    program = """
from datetime import UTC, datetime
from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
job = Job("a", Cron("*/5 * * * *", "Europe/Berlin"), TaskSpec("x", "{}"), jitter=60.0)
print(timetable_of(job, "host").start_time(datetime(2026, 11, 22, 12, 5, tzinfo=UTC)).isoformat())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    slot = NOON + 5 * MINUTE
    assert done.stdout.strip() == here.start_time(slot).isoformat()
    others = {timetable_of(job(jitter=60.0), "other"), timetable_of(job(jitter=60.0, id="b"), "host")}
    assert len({timetable.start_time(slot) for timetable in {here, *others}}) == 3


def test_the_last_slot_of_all_may_use_its_whole_jitter():
    """A one-time job, and the last one before `not_after`."""
    timetable = timetable_of(job(NOON, jitter=3600.0), "host")
    assert NOON <= timetable.start_time(NOON) < NOON + timedelta(hours=1)
    assert timetable.next_start(NOON - MINUTE) == timetable.start_time(NOON)


@given(
    st.sampled_from(["* * * * *", "*/7 9-17 * * *", "0 1 * * *", "*/20 */5 * * * *", "0,30 2 29 3 *"]),
    st.sampled_from([0.0, 0.5, 30.0, 90.0, 7200.0, 80_000.0]),
    st.datetimes(datetime(2026, 3, 27), datetime(2026, 4, 2), timezones=st.just(UTC)),  # noqa: DTZ001
)
@examples(100)
def test_starts_come_in_order_and_lead_back_to_their_slots(expression, jitter, after):
    """The next start is the first one after a moment, whichever slot it belongs to, and knows that slot."""
    timetable = timetable_of(job(expression, jitter=jitter), "host")
    start = timetable.next_start(after)
    assert start is not None
    earlier = list(timetable.slots(after - timedelta(hours=26), start, 100_000))
    assert start == min(s for s in map(timetable.start_time, earlier) if s > after)
    assert timetable.slot_started_by(start) == earlier[-1]
    assert timetable.start_time(earlier[-1]) == start
    following = timetable.next_start(start)
    assert following is not None
    assert following > start
    assert timetable.slot_started_by(following) == timetable.next(earlier[-1])
