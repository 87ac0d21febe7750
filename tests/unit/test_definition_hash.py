"""A hash of a definition follows from what it means: other words for the same slots change nothing of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.model import AlertRule, Cron, Job, Once, TaskSpec
from jobscheduler.model.hash_digits import has_same_slots
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.timetable.timetable import timetable_of
from tests.support.properties import examples

NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


def job(expression: str, zone: str = "UTC") -> Job:
    """A job with this schedule."""
    return Job("x", Cron(expression, zone), TaskSpec("none", "{}"))


SAME = [
    ("*/5 * * * * *", "0-59/5 * * * * *"),
    ("0 9 * * 1-5", "0 9 * * mon-fri"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("0 0 * * 0", "0 0 * * 7"),
    ("0 0 * * SUN", "0 0 * * sun"),
    ("00 01 * * *", "0 1 * * *"),
    ("1,2 3 * * *", "2,1 3 * * *"),
    ("0 12 * 1-12 *", "0 12 * jan-dec *"),
    ("0 12 * * *", "0 12 1-31 * *"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_words_for_the_same_slots_have_the_same_hash(one: str, other: str) -> None:
    """In a zone with clock changes as in one without any."""
    for zone in ("UTC", "Europe/Berlin"):
        assert definition_hash(job(one, zone)) == definition_hash(job(other, zone))


def test_a_star_counts_only_where_the_clock_changes() -> None:
    """There it decides what becomes of hours that are skipped or shown twice."""
    assert definition_hash(job("* * * * *")) == definition_hash(job("0-59 * * * *"))
    assert not has_same_slots(
        definition_hash(job("* * * * *", "Europe/Berlin")), definition_hash(job("0-59 0-23 * * *", "Europe/Berlin"))
    )


@pytest.mark.parametrize("zone", ["Etc/UTC", "Zulu", "GMT", "Etc/GMT-0"])
def test_the_names_of_utc_are_one_zone(zone: str) -> None:
    """Not so a zone that only has the same offset for a part of the year, or one beside it."""
    assert definition_hash(job("0 3 * * *", zone)) == definition_hash(job("0 3 * * *"))
    for other in ("Europe/London", "Etc/GMT-1", "Africa/Abidjan"):
        assert definition_hash(job("0 3 * * *", zone)) != definition_hash(job("0 3 * * *", other))


def test_an_instant_counts_as_the_log_tells_it() -> None:
    """To the millisecond: a slot is no finer than that."""
    one = Job("x", Once(NEW_YEAR), TaskSpec("none", "{}"))
    assert definition_hash(one) == definition_hash(replace(one, schedule=Once(NEW_YEAR + timedelta(microseconds=999))))
    assert definition_hash(one) != definition_hash(replace(one, schedule=Once(NEW_YEAR + timedelta(milliseconds=1))))


def test_fields_about_alerts_change_the_hash_but_no_slot() -> None:
    """A job without them keeps the hash that it had before there were such fields."""
    plain = job("@daily")
    ruled = [replace(plain, success_within=60.0), *(replace(plain, alert=AlertRule(after)) for after in (2, 3))]
    digits = {definition_hash(one) for one in (plain, *ruled)}

    assert len(digits) == 4
    assert all(has_same_slots(definition_hash(plain), one) for one in digits)
    assert definition_hash(plain) == "61848e119b3c"


def test_what_changes_slots_changes_the_hash() -> None:
    """Also where both day fields are given, whose stars decide whether one or both must match."""
    expressions = ["0 0 13 * 5", "0 0 13 * *", "0 0 * * 5", "0 0 */13 * 5", "0 0 L * *", "0 0 * * 5L", "0 0 * * 5#3"]
    expressions += ["@reboot", "0 0 1 1 *", "0 0 1 2 *", "0 0 0 13 * 5", "1 0 0 13 * 5"]
    digits = [definition_hash(job(one))[:6] for one in expressions]
    assert len(set(digits)) == len(expressions) - 1  # a first field of zero seconds is what five fields mean
    assert digits[0] == digits[-2]


def test_tags_change_the_hash_and_no_slots() -> None:
    """A job without any has the hash that it had before there were tags."""
    tagged = replace(job("0 3 * * *"), tags=("backup",))
    assert definition_hash(tagged) != definition_hash(job("0 3 * * *"))
    assert has_same_slots(definition_hash(tagged), definition_hash(job("0 3 * * *")))
    assert definition_hash(job("0 3 * * *")) == "122b240d8ece"


def field(least: int, most: int) -> st.SearchStrategy[str]:
    """One field of an expression, in many ways of writing."""
    number = st.integers(least, most).map(str)
    pair = st.lists(st.integers(least, most), min_size=2, max_size=2, unique=True).map(sorted)
    spans = pair.map(lambda two: f"{two[0]}-{two[1]}")
    steps = st.sampled_from(["*", "*/2", "*/5", f"{least}-{most}", f"{least}-{most}/2"])
    return st.one_of(number, spans, steps, st.tuples(number, number).map(lambda two: ",".join(dict.fromkeys(two))))


expressions = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)
zones = st.sampled_from(["UTC", "Etc/UTC", "Europe/Berlin"])


@given(expressions, expressions, zones, zones)
@examples(150)
def test_two_schedules_with_one_hash_have_the_same_slots(one: str, other: str, zone: str, other_zone: str) -> None:
    """Whatever they look like; those that are alike are tried far more often than chance would bring them."""
    written = [job(one, zone), job(one.replace("*/2", "*"), other_zone), job(other, zone), job(one, other_zone)]
    for first in written:
        for second in written:
            if has_same_slots(definition_hash(first), definition_hash(second)):
                assert slots(first) == slots(second)


def slots(one: Job) -> list[datetime]:
    """Its first slots around both clock changes of a year."""
    table = timetable_of(one, "host")
    starts = [NEW_YEAR, datetime(2031, 3, 29, tzinfo=UTC), datetime(2031, 10, 25, tzinfo=UTC)]
    return [slot for start in starts for slot in table.slots(start, start + timedelta(days=900), 200)]


def test_a_definition_is_hashed_once_for_all_that_ask_for_it_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start the recovery asks for the hash of each job, and then the registry."""
    made: list[bytes] = []
    make = hashlib.blake2b
    monkeypatch.setattr(hashlib, "blake2b", lambda data, **size: (made.append(data), make(data, **size))[1])
    daily, hourly = job("@daily"), job("@hourly")

    first, again, other = definition_hash(daily), definition_hash(daily), definition_hash(hourly)
    assert len(made) == 4
    assert first == again != other
    assert definition_hash(job("@daily")) == definition_hash(daily) == first
