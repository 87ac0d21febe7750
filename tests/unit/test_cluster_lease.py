"""The lease: who leads, for how long by its own clock, and who takes over.

`tests/cluster` runs the tests with a database on MariaDB and PostgreSQL, too.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import Connection, Executable, select, update

from jobscheduler.cluster import steps
from jobscheduler.cluster.lease import LOOK_S, MAX_SKEW_S, STANDBY_LOOK_S, LeaseTimes, Question, Standing
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.lease_thread import LeaseThread, least_skew
from jobscheduler.cluster.schema import check_version, make_tables, upgrade_tables
from jobscheduler.cluster.tables import LEASE, VERSIONS
from jobscheduler.cluster.values import Term
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.util.instants import utc_now
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace
from tests.support.service import wait_until

TIMES = LeaseTimes(6.0)

MINE, OTHERS = Term("me", 3), Term("other", 4)


def new(now: float = 0.0) -> Standing:
    """Return the standing of a node that has just started."""
    return Standing("me", TIMES, now)


def held(sent_at: float = 100.0, answered_at: float = 100.0) -> Standing:
    """Return the standing of a node whose request for the lease was answered."""
    return new(sent_at).answered(sent_at, LeaseRow("a", MINE, 6.0), answered_at, is_renewed=True)


# --- the deadline ----------------------------------------------------------------------------------------


def test_a_node_leads_until_a_second_before_its_lease_ends() -> None:
    """Counted from the moment before it asked, by a clock that is never set."""
    standing = held(sent_at=100.0, answered_at=101.5)
    assert standing.term_at(104.9) == MINE
    assert standing.term_at(105.0) is None


def test_an_answer_that_is_too_late_gives_no_lease() -> None:
    """The process was frozen, or the network slow: another node may lead by now."""
    standing = held(sent_at=100.0, answered_at=105.0)
    assert standing.term_at(105.0) is None
    assert standing.term is None


def test_a_renewal_is_anchored_before_it_is_sent() -> None:
    """Two of them may fail before the lease ends."""
    standing = held(100.0)
    assert standing.question(100.7) is None
    assert standing.question(100.8) is Question.LOOK
    assert standing.question(102.4) is Question.RENEW
    failed = standing.failed(104.0)
    assert failed.term_at(104.9) == MINE
    assert failed.question(104.9) is None
    assert standing.failed(100.8).question(101.8) is Question.RENEW
    renewed = standing.answered(102.0, LeaseRow("a", MINE, 5.5), 104.0)
    assert renewed.term_at(106.4) == MINE
    assert renewed.term_at(106.5) is None


@pytest.mark.parametrize("lease", [0.5, 1.0, 3.0, 5.0, 6.0, 60.0, 3600.0])
def test_a_leader_looks_often_enough_to_answer_within_a_second(lease: float) -> None:
    """However long its lease is, and the renewal takes the place of a look. Another node is there in time as well."""
    times = LeaseTimes(lease)
    looks = round(times.renewal / times.leader_look)
    assert 0 < times.leader_look < LOOK_S + 1e-6
    assert times.renewal == pytest.approx(looks * times.leader_look)
    assert times.look <= STANDBY_LOOK_S
    standing, now, asked = Standing("me", times, 0.0), 0.0, []
    for _ in range(3 * looks + 1):
        now = max(now, standing.next_at)
        question = standing.question(now)
        asked.append((question, now))
        left = lease if question in {Question.TAKE, Question.RENEW} else standing.deadline + times.margin - now
        renewed = question is not Question.LOOK
        standing = standing.answered(now, LeaseRow("a", MINE, left if asked[1:] else lease), now, is_renewed=renewed)
        assert standing.term_at(now) == MINE
    renewals = [at for question, at in asked if question is Question.RENEW]
    assert max(later - at for at, later in pairwise(renewals)) == pytest.approx(times.renewal)


def test_a_lease_that_another_node_has_is_lost() -> None:
    """From the answer on, whatever the own deadline says."""
    lost = held(100.0).answered(102.0, LeaseRow("b", OTHERS, 5.0), 102.1)
    assert lost.term_at(102.1) is None
    assert lost.question(102.1 + TIMES.look) is Question.LOOK


def test_a_node_whose_deadline_has_passed_looks_before_it_takes() -> None:
    """The lease may still be its own, or by now another's."""
    silent = held(100.0).failed(104.0)
    assert silent.question(106.0) is Question.LOOK
    own_again = silent.answered(106.0, LeaseRow("a", MINE, 4.0), 106.1)
    assert own_again.term_at(106.2) == MINE


# --- taking the lease ------------------------------------------------------------------------------------


def test_a_node_that_stands_by_looks_and_takes_what_is_free() -> None:
    """At once: the look has told that it is free."""
    standing = new(0.0)
    assert standing.question(0.0) is Question.LOOK
    busy = standing.answered(0.0, LeaseRow("b", OTHERS, 3.0), 0.1)
    assert busy.question(0.1) is None
    assert busy.question(0.1 + TIMES.look) is Question.LOOK
    ends_soon = standing.answered(0.0, LeaseRow("b", OTHERS, 0.5), 0.1)
    assert ends_soon.question(0.6) is Question.LOOK
    free = busy.answered(2.0, LeaseRow("b", OTHERS, -0.1), 2.1)
    assert free.question(2.1) is Question.TAKE
    taken = free.answered(2.1, LeaseRow("a", Term("me", 5), 6.0), 2.2)
    assert taken.term_at(2.2) == Term("me", 5)


def test_a_lease_that_stays_free_is_not_asked_for_in_a_loop() -> None:
    """Taking it may be refused, as by a database that is read-only."""
    free = new(0.0).answered(0.0, LeaseRow("", OTHERS, -1.0), 0.0)
    still = free.answered(0.1, LeaseRow("", OTHERS, -1.1), 0.1)
    assert still.question(0.1) is None
    assert still.question(0.1 + TIMES.look) is Question.TAKE


def test_an_answer_that_was_lost_is_made_up_for_by_the_next_look() -> None:
    """The row says that this node has the lease, and for how long."""
    lost = new(0.0).answered(0.0, LeaseRow("", OTHERS, -1.0), 0.0).failed(2.0)
    assert lost.question(2.0 + TIMES.look) is Question.LOOK
    assert lost.answered(4.0, LeaseRow("a", Term("me", 5), 2.5), 4.0).term_at(5.4) == Term("me", 5)


def test_a_node_that_ends_gives_the_lease_back_and_takes_none() -> None:
    """A node without it asks nothing more."""
    assert held(100.0).closing().question(100.1) is Question.RELEASE
    assert new(0.0).closing().question(0.0) is None
    given_back = held(100.0).closing().answered(100.2, LeaseRow("", MINE, 0.0), 100.3)
    assert given_back.term_at(100.3) is None
    assert given_back.question(200.0) is None


def test_a_leader_whose_clock_is_far_off_steps_down() -> None:
    """Slots are due by its clock. It takes the lease again when the clock is right."""
    off = held(100.0).answered(102.0, LeaseRow("a", MINE, 6.0), 102.0, skew=MAX_SKEW_S + 1)
    assert off.question(102.0) is Question.RELEASE
    free = off.answered(102.0, LeaseRow("", MINE, 0.0), 102.1, skew=MAX_SKEW_S + 1)
    assert free.question(102.1 + TIMES.look) is Question.LOOK
    right = free.answered(104.0, LeaseRow("", MINE, -2.0), 104.0, skew=0.5)
    assert right.question(104.0 + TIMES.look) is Question.TAKE


@pytest.mark.parametrize(
    ("least", "most", "skew"), [(-0.1, 0.3, 0.0), (0.5, 2.0, 0.5), (-3.0, -1.0, -1.0), (0.0, 0.0, 0.0)]
)
def test_a_skew_is_no_larger_than_what_is_sure(least: float, most: float, skew: float) -> None:
    """A slow answer does not look like a wrong clock."""
    assert least_skew(least, most) == skew


# --- with a database -------------------------------------------------------------------------------------


class Node:
    """The lease of one node, whose steps and clock a test makes."""

    def __init__(self, place: ClusterPlace, name: str, skew: timedelta = timedelta(0)) -> None:
        self.now = 0.0
        self.settled = "2026-11-22T01:00:00Z"
        self.lease = LeaseThread(
            place.database,
            name,
            f"{name}1",
            6.0,
            settled=lambda _: self.settled,
            monotonic=lambda: self.now,
            now=lambda: utc_now() + skew,
        )

    def step(self, seconds: float = 0.0) -> Term | None:
        """Let time pass, and do what is to be done."""
        self.now += seconds
        self.lease.step()
        return self.lease.term()


def test_one_of_two_nodes_leads_and_the_other_takes_over_with_a_higher_term(place: ClusterPlace) -> None:
    """When the lease has run out, by the database's clock."""
    first, second = Node(place, "a"), Node(place, "b")
    assert first.step() is None
    assert first.step() == Term("a1", 1)
    assert second.step() is None
    assert second.step(2) is None
    assert first.step(2) == Term("a1", 1)
    place.end_lease()
    assert second.step(2) is None
    assert second.step() == Term("b1", 2)
    assert first.step(2) is None
    assert place.lease().holder == "b"


def test_an_orderly_end_hands_over_at_once_with_what_is_settled(place: ClusterPlace) -> None:
    """The next node accounts from there."""
    first, second = Node(place, "a"), Node(place, "b")
    first.step()
    first.step()
    second.step()
    first.settled = "2026-11-22T01:00:07Z"
    with first.lease:
        wait_until(lambda: first.lease.standing.term is not None)
    row = place.lease()
    assert row.is_free
    assert (row.holder, row.settled) == ("", "2026-11-22T01:00:07Z")
    second.step(2)
    assert second.step() == Term("b1", 2)


def test_a_renewal_says_what_is_settled_and_a_late_one_is_refused(place: ClusterPlace) -> None:
    """A node whose lease has run out takes it anew, with another term, and accounts for the time between."""
    node = Node(place, "a")
    node.step()
    node.step()
    node.settled = "2026-11-22T01:00:02Z"
    assert node.step(2.4) == Term("a1", 1)
    assert place.lease().settled == "2026-11-22T01:00:02Z"
    place.end_lease()
    assert node.step(2) is None
    assert node.step(2) == Term("a1", 2)


def test_tables_that_are_carried_on_beneath_a_leader_end_its_term(place: ClusterPlace) -> None:
    """A program that does not know their new version leaves them alone, though its connection is an old one."""
    node = Node(place, "a")
    node.step()
    assert node.step() is not None
    place.connection.execute(update(VERSIONS).values(version=99))
    node.step(2.4)
    row = place.connection.execute(select(LEASE)).mappings().one()
    assert node.step(4) is None, "its lease has run out by its own clock"
    assert node.step(10) is None
    assert place.connection.execute(select(LEASE)).mappings().one() == row, "it writes nothing more"
    place.connection.execute(update(VERSIONS).values(version=1))
    place.end_lease()
    assert node.step(10) is None
    assert node.step() == Term("a1", 2)


def test_an_idle_cluster_asks_little(place: ClusterPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements a minute for the lease: the leader at most 100, a node that stands by at most 45."""
    asked: Counter[str] = Counter()
    asker = [""]
    first, second = Node(place, "a"), Node(place, "b")
    statement = steps.execute

    def counted(connection: Connection, one: Executable) -> steps.Rows:
        asked[asker[0]] += 1
        return statement(connection, one)

    monkeypatch.setattr(steps, "execute", counted)
    for _ in range(600):
        for asker[0], node in (("a", first), ("b", second)):
            node.step(0.1)
    assert place.lease().holder == "a"
    assert asked["a"] <= 102
    assert asked["b"] <= 45


def test_a_node_whose_clock_is_off_leaves_the_lease_alone(place: ClusterPlace) -> None:
    """And tells how far it is off."""
    node = Node(place, "a", skew=timedelta(hours=1))
    for _ in range(4):
        assert node.step(2) is None
    assert 3590 < node.lease.standing.skew < 3610
    assert place.lease().is_free


def test_a_database_that_is_away_is_asked_again(place: ClusterPlace, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The node leads until its deadline, and not longer."""
    told: list[str] = []
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('away') / 'cluster.db'}")
    now = [0.0]
    lease = LeaseThread(
        database, "a", "a1", 6.0, monotonic=lambda: now[0], on_change=lambda *args: told.append(str(args[2]))
    )
    lease.step()
    assert "jobscheduler db init" in told[0] or "cannot be used" in told[0]
    make_tables(database)
    for _ in range(2):
        now[0] += 2
        lease.step()
    assert lease.term() == Term("a1", 1)
    now[0] += 5.5
    assert lease.term() is None
    assert place is not None


# --- the tables ------------------------------------------------------------------------------------------


def fresh(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Return an empty database."""
    return Database(f"sqlite:///{tmp_path_factory.mktemp('tables') / 'cluster.db'}")


def test_tables_of_an_unknown_version_are_left_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By a service, by `db init` and by `db upgrade`; each says which version it knows."""
    database = fresh(tmp_path_factory)
    make_tables(database)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE js_version SET version = 99")
    for ask in (make_tables, upgrade_tables):
        with pytest.raises(Unavailable, match="version 99, and this program knows version 1"):
            ask(database)
    with database.reading() as connection, pytest.raises(Unavailable, match="version 99"):
        check_version(connection)


def test_tables_are_completed_and_not_made_by_an_upgrade(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What an interruption left out is added; the lease and the account stay."""
    database = fresh(tmp_path_factory)
    with pytest.raises(Unavailable):
        upgrade_tables(database)
    assert make_tables(database).value == "created"
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE js_lease SET term = 7")
        connection.exec_driver_sql("DROP TABLE js_state")
        connection.exec_driver_sql("DROP INDEX js_run_state")
        connection.exec_driver_sql("DELETE FROM js_version")
    with database.reading() as connection, pytest.raises(Unavailable, match="not made to the end"):
        check_version(connection)
    assert upgrade_tables(database).value == "upgraded"
    assert make_tables(database).value == "unchanged"
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT term FROM js_lease").scalar_one() == 7
        assert check_version(connection) == 1


def test_a_table_of_another_program_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is made beside it."""
    database = fresh(tmp_path_factory)
    with database.writing(create=True) as connection:
        connection.exec_driver_sql("CREATE TABLE js_run (id INTEGER)")
    with pytest.raises(Unavailable, match="table of another program"):
        make_tables(database)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE name = 'js_lease'").scalar() == 0
