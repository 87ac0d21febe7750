"""Which jobs are active, their pauses and how they stand, kept in the database for the next leader.

`tests/cluster` runs the same tests on MariaDB and PostgreSQL.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from jobscheduler.cluster import job_state
from jobscheduler.cluster.tables import STATE
from jobscheduler.cluster.values import Fenced, Term
from jobscheduler.model import Checkpoint, Event, FullCheckpoint, Level, LogEntry, Pause
from jobscheduler.model.selection import Selector
from jobscheduler.model.standing import ResultState, Standing
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace

NOON = datetime.fromisoformat("2026-11-22T12:00:00Z")

PAUSE = Pause("p1", Selector("tag:ä b"), NOON, NOON + timedelta(hours=1), 'a "reason"\nof two lines', "ann")

RESULTS = ResultState({"a": Standing(failures=2, failed_since=NOON)}, {"b": NOON})

FULL = FullCheckpoint(
    "cluster",
    NOON - timedelta(days=1),
    {"a": "0123-4567", "b": "89ab-cdef"},
    {"b": NOON - timedelta(hours=1)},
    decided_ahead={"a": ((NOON, NOON + timedelta(hours=2)),)},
    pauses=(PAUSE,),
)


@pytest.fixture
def term(place: ClusterPlace) -> Term:
    """The term of the leader."""
    return place.lead()


def write(place: ClusterPlace, term: Term, full: FullCheckpoint | None, seconds: float = 0.0) -> None:
    """Write a checkpoint so many seconds after noon."""
    at = NOON + timedelta(seconds=seconds)
    place.perform(job_state.write_checkpoint(place.dialect, term, Checkpoint(at, full=full, results=RESULTS), at))


def change(place: ClusterPlace, term: Term, *entries: LogEntry) -> None:
    """Write lines that change what the checkpoint says."""
    place.perform(job_state.write_changes(place.dialect, term, entries))


def event(name: str, **values: str) -> Event:
    """Return an event a minute after noon."""
    return Event.of(NOON + timedelta(minutes=1), Level.INFO, name, **values)


def rows(place: ClusterPlace) -> int:
    """Return how many rows there are."""
    return len(place.connection.execute(select(STATE.c.id)).all())


def test_the_next_leader_finds_what_the_former_one_had(place: ClusterPlace, term: Term) -> None:
    """Definitions, decided slots, pauses with their words, and how each job stands."""
    write(place, term, FULL)
    place.lead("b")
    assert place.perform(job_state.read_state()) == replace(FULL, results=RESULTS)


def test_changes_since_the_checkpoint_count(place: ClusterPlace, term: Term) -> None:
    """A job that came, one that went, a pause, and the checkpoint of a minute."""
    write(place, term, FULL)
    change(place, term, event("job.added", job_id="c", hash="new"), event("job.removed", job_id="b"))
    change(place, term, event("job.paused", pause="p2", job_id="a", by="ben"))
    write(place, term, None, seconds=60)
    found = place.perform(job_state.read_state())
    assert found.hashes == {"a": "0123-4567", "c": "new"}
    assert [pause.id for pause in found.pauses] == ["p1", "p2"]
    assert found.results.standings == RESULTS.standings


def test_alerts_count_since_the_last_checkpoint(place: ClusterPlace, term: Term) -> None:
    """A checkpoint says what came of those before it. A line that is about no job changes nothing."""
    write(place, term, FULL)
    change(place, term, event("alert.sent", job_id="a", on="failure"))
    write(place, term, None, seconds=60)
    change(
        place, term, event("alert.failed", job_id="a", on="overdue", reason="exit"), event("job.removed", job_id="b")
    )
    change(place, term, event("alert.sent", count="2", on="failure"), event("job.added", job_id="c", hash="new"))
    found = place.perform(job_state.read_job_state())
    told = [(one.job_id, one.word, one.reason) for _, one in found.changes]
    assert told == [("a", "alert.failed", "overdue"), ("b", "job.removed", None)]
    assert found.written_at is not None
    assert all(found.written_at <= at for at, _ in found.changes)


def test_a_full_checkpoint_takes_the_place_of_all_before_it(place: ClusterPlace, term: Term) -> None:
    """Also of one that a former leader wrote."""
    write(place, term, FULL)
    change(place, term, event("job.added", job_id="c", hash="new"))
    later = place.lead("b")
    write(place, later, replace(FULL, hashes={"d": "only"}, since={}, decided_ahead={}), seconds=60)
    assert place.perform(job_state.read_state()).hashes == {"d": "only"}
    assert rows(place) == 1


def test_a_former_leader_changes_nothing(place: ClusterPlace, term: Term) -> None:
    """Neither with a checkpoint nor with a line."""
    write(place, term, FULL)
    place.lead("b")
    with pytest.raises(Fenced):
        write(place, term, FullCheckpoint())
    with pytest.raises(Fenced):
        change(place, term, event("job.removed", job_id="a"))
    assert place.perform(job_state.read_state()).hashes == FULL.hashes


def test_without_a_checkpoint_nothing_is_known(place: ClusterPlace) -> None:
    """As with a log that has none."""
    assert place.perform(job_state.read_state()) == FullCheckpoint()


def test_ten_thousand_jobs_are_one_row(place: ClusterPlace, term: Term) -> None:
    """Which is read back in one piece."""
    hashes = {f"a-job-with-a-longer-name-{number}": f"{number:024x}" for number in range(10_000)}
    write(place, term, FullCheckpoint("cluster", NOON, hashes))
    assert place.perform(job_state.read_state()).hashes == hashes
    assert rows(place) == 1
