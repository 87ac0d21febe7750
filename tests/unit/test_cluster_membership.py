"""The place of a service in a cluster: taken, kept and given back, and what a former instance of it has left."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from jobscheduler.cluster import nodes
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.identity import IdentityInUse
from jobscheduler.cluster.membership import Membership
from jobscheduler.cluster.nodes import Loaded, Process
from jobscheduler.cluster.schema import make_tables
from jobscheduler.cluster.tables import NODES, RUNS
from jobscheduler.cluster.values import Attempt, Claim, Identity, Outcome, State, Term
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace, opened

LOST_AFTER_S = 60.0

GONE = Process("another", "boot", 1)  # on another host, so that it is unknown whether it lives


def identity(instance: str, node: str = "a") -> Identity:
    """Return the identity of an instance."""
    return Identity(node, "scheduler", "local", instance)


def member(place: ClusterPlace, instance: str, node: str = "a") -> Membership:
    """Return the place of an instance, not taken yet."""
    return Membership(place.database, identity(instance, node), LOST_AFTER_S)


def begin(place: ClusterPlace, term: Term, run_id: str, by: Identity, slot: str) -> None:
    """Have an instance begin a run."""
    account = place.account()
    account.claim(term, [Claim("j", slot, run_id, "local", "{}")], lambda: "never")
    account.begin(by, [Attempt("j", slot, 1, f"begin-{run_id}")])
    account.close()


def test_a_new_instance_ends_what_the_former_one_has_left(place: ClusterPlace) -> None:
    """Its processes first, then its rows; those of other nodes go on."""
    term = place.lead()
    begin(place, term, "r1", identity("a1"), "2026-11-22T01:00:00Z")
    begin(place, term, "r2", identity("b1", "b"), "2026-11-22T01:01:00Z")
    ended: list[str] = []
    joined = member(place, "a2")
    joined.join(ended.extend)
    assert ended == ["r1"]
    rows = {row.run_id: (row.state, row.status, row.reason) for row in place.account().unfinished()}
    assert rows == {"r1": (State.ENDED, "FAILURE", "interrupted"), "r2": (State.RUNNING, None, None)}
    found = joined.beat(Loaded())
    assert (found.queued, found.running, found.ended) == (0, 1, 1)
    joined.join(ended.extend)
    assert ended == ["r1"]
    joined.close()


def test_what_a_former_instance_could_not_write_is_written_before_its_runs_are_closed(place: ClusterPlace) -> None:
    """An outcome of a run that was judged since does not count."""
    term = place.lead()
    former = identity("a1")
    for number in range(3):
        begin(place, term, f"r{number}", former, f"2026-11-22T01:0{number}:00Z")
    kept = {
        Attempt("j", f"2026-11-22T01:0{number}:00Z", 1, f"begin-r{number}"): Outcome("SUCCESS", output="fine")
        for number in range(2)
    }
    account = place.account()
    place.silence(2 * LOST_AFTER_S)
    place.connection.execute(update(RUNS).where(RUNS.c.run_id != "r0").values(beat_at=from_now()))
    account.judge(term, LOST_AFTER_S)
    count = member(place, "a2").join(lambda _: None, kept)
    assert count == {("j", "2026-11-22T01:01:00Z")}
    rows = {row.run_id: (row.status, row.reason) for row in account.unfinished()}
    assert rows == {"r0": ("FAILURE", "worker_lost"), "r1": ("SUCCESS", None), "r2": ("FAILURE", "interrupted")}
    assert place.column("j", "2026-11-22T01:01:00Z", "output") == "fine"


def test_the_seed_of_jitter_is_made_once_with_the_tables(place: ClusterPlace, tmp_path: Path) -> None:
    """Each node finds the same, also after another `db init`; another cluster has another one."""
    seed = member(place, "a1").seed()
    make_tables(place.database)
    assert seed
    assert member(place, "b1", "b").seed() == seed
    with opened(f"sqlite:///{tmp_path}/other.db") as other:
        assert member(other, "a1").seed() not in {seed, None, ""}


def test_a_second_service_of_one_name_is_refused(place: ClusterPlace) -> None:
    """Until the first one has given its place back, or was silent for long."""
    place.perform(nodes.register(place.dialect, identity("a1"), GONE, LOST_AFTER_S))
    second = member(place, "a2")
    with pytest.raises(IdentityInUse):
        second.join(lambda _: None)
    place.perform(nodes.leave(identity("a1")))
    second.join(lambda _: None)
    second.leave()
    assert second.beat(Loaded()).nodes == ()
    second.close()


def test_a_beat_says_whether_the_place_is_still_its_own(place: ClusterPlace) -> None:
    """One that was silent for long has lost it to another instance. All see what the others have loaded."""
    first, other = member(place, "a1"), member(place, "b1", "b")
    first.join(lambda _: None)
    other.join(lambda _: None)
    assert first.beat(Loaded("1.0", "2026a", "jobs", 4, 0.5)).has(identity("a1"))
    seen = {row.identity.node: row.loaded for row in other.beat(Loaded()).nodes}
    assert seen == {"a": Loaded("1.0", "2026a", "jobs", 4, 0.5), "b": Loaded()}
    place.connection.execute(update(NODES).values(instance="a9").where(NODES.c.node == "a"))
    assert not first.beat(Loaded()).has(identity("a1"))
    first.close()
    other.close()
