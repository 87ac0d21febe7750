"""When a scheduler leads and when it stands by: step by step, with the lease as a value and time as an argument."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from jobscheduler.cluster.cut_off import CutOff
from jobscheduler.cluster.identity import IdentityInUse
from jobscheduler.cluster.leading import RETRY_S, Leading
from jobscheduler.cluster.lease import LeaseTimes, Standing
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.node_place import NodePlace
from jobscheduler.cluster.node_thread import NodeThread
from jobscheduler.cluster.nodes import NodeRow, Process
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import Checkpoint, Level, RecoveredState
from jobscheduler.model.cluster_view import Role
from tests.support.service import wait_until

NOON = datetime(2096, 11, 22, 12, tzinfo=UTC)

MINE, LATER, OTHERS = Term("me", 3), Term("me", 5), Term("other", 4)

STATE = RecoveredState(Checkpoint(NOON), NOON, clean_stop=True)


@dataclass
class World:
    """A scheduler, an account and a lease that do nothing but note what they are asked, in `did`."""

    did: list[str] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    standing: Standing = field(default_factory=lambda: Standing("me", LeaseTimes(6.0), 0.0))
    lacks_claims: bool = False
    failure: Unavailable | None = None
    runs: list[str] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    is_cut_off: bool = False
    in_sync: Callable[[], object] = lambda: None

    def leading(self) -> Leading:
        """Return the steps."""
        return Leading(
            "a",
            self,
            self,
            lambda: self.standing,
            CutOff(lambda _: self.is_cut_off, lambda: self.runs, self.end_runs, self.tell),
            self.roles.append,
            self.tell,
        )

    def tell(self, level: Level, name: str, /, **values: Any) -> None:
        """Keep an event."""
        self.told.append((name, values))

    def hold(self, term: Term, at: float = 0.0) -> None:
        """Have the lease for a term from now on."""
        self.standing = replace(self.standing, term=None).answered(at, LeaseRow("a", term, 6.0), at)

    def lose(self) -> None:
        """Learn that another node has it."""
        self.standing = self.standing.answered(0.0, LeaseRow("b", OTHERS, 6.0), 0.0)

    # -- as the scheduler

    def sync(self) -> None:
        """Sync."""
        self.did.append("sync")
        self.in_sync()

    def lead(self, state: RecoveredState | None, still_leads: Callable[[], bool]) -> bool:
        """Lead, if this node still does."""
        self.did.append("lead" if still_leads() else "too late")
        return self.did[-1] == "lead"

    def stand_by(self) -> None:
        """Stand by."""
        self.did.append("stand by")

    def end_runs(self, reason: str) -> None:
        """End runs."""
        self.did.append(f"end {reason}")

    # -- as the account

    def recovered(self) -> RecoveredState | None:
        """Read the past."""
        if self.failure is not None:
            raise self.failure
        self.did.append("read")
        return STATE

    def begin(self, term: Term) -> None:
        """Begin a term."""
        self.did.append(f"begin {term.number}")
        self.lacks_claims = False

    def note_led(self) -> None:
        """Note that the scheduler leads."""
        self.did.append("led")

    def hand_over(self) -> None:
        """Write a last checkpoint and stand by."""
        self.did.append("hand over")

    def write_last(self, hand_over: Callable[[], object]) -> None:
        """Take it."""
        hand_over()
        self.did.append("written")

    def end(self) -> None:
        """End it."""
        self.did.append("end term")


def test_a_node_with_the_lease_syncs_reads_what_was_left_and_leads() -> None:
    """In this order; the term counts for decisions before the first one is made."""
    world = World()
    leading = world.leading()
    leading.step(0.0)
    assert (world.did, leading.term) == ([], None)
    world.hold(MINE)
    leading.step(0.1)
    leading.step(0.2)
    assert world.did == ["sync", "read", "begin 3", "lead", "led"]
    assert (world.roles, leading.term) == ([Role.LEADER], MINE)
    assert world.told == [("cluster.leads", {"node": "a", "term": 3, "settled": NOON})]


def test_without_the_lease_it_stands_by_at_once() -> None:
    """First no decision counts any more, then none is made. It says why."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    world.did.clear()
    world.lose()
    leading.step(0.1)
    assert world.did == ["end term", "stand by"]
    assert leading.term is None
    assert world.roles == [Role.LEADER, Role.STANDBY]
    assert world.told[-1] == ("cluster.stands_by", {"node": "a", "term": 3, "reason": "replaced"})


def test_the_own_clock_alone_ends_a_term() -> None:
    """No answer is needed for it: the lease may have passed to another node by now."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    leading.step(4.9)
    assert leading.term == MINE
    world.standing = world.standing.failed(4.9)
    leading.step(5.0)
    assert leading.term is None
    assert world.told[-1][1]["reason"] == "unavailable"


def test_a_renewal_without_an_answer_tells_nothing_of_another_leader() -> None:
    """The link may be cut: the last answer is that of this node's own lease, and the next one has not failed yet."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    leading.step(5.5)
    assert world.told[-1][1]["reason"] == "unavailable"


def test_another_term_of_the_same_node_is_accounted_for_anew() -> None:
    """Another node may have led in between."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    world.hold(LATER, at=10.0)
    world.did.clear()
    leading.step(10.0)
    assert world.did == ["end term", "stand by", "sync", "read", "begin 5", "lead", "led"]


def test_a_claim_that_was_given_up_has_its_slot_accounted_for_anew() -> None:
    """Although the lease is the same: it had run out for a moment, or the database has refused the claim."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    world.did.clear()
    world.lacks_claims = True
    leading.step(2.0)
    assert world.did == ["end term", "stand by", "sync", "read", "begin 3", "lead", "led"]
    assert [values.get("reason") for name, values in world.told if name == "cluster.stands_by"] == ["claims"]


def test_a_term_that_ends_during_the_sync_is_not_led() -> None:
    """The sync may wait for a file system."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    world.in_sync = world.lose
    leading.step(0.0)
    assert world.did == ["sync", "read", "begin 3", "too late", "end term"]
    assert leading.term is None


def test_a_takeover_that_cannot_be_read_is_tried_again() -> None:
    """After a second, as long as the lease lasts."""
    world = World(failure=Unavailable("gone", "start it"))
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    leading.step(RETRY_S / 2)
    assert world.did == ["sync"]
    assert world.told == [("cluster.not_read", {"problem": "gone", "help": "start it"})]
    world.failure = None
    leading.step(RETRY_S)
    assert leading.term == MINE


def test_a_service_that_ends_stands_by_and_leads_no_more() -> None:
    """Its place is free for the next leader, while its runs at work may end."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    leading.leave()
    assert not leading.has_left
    leading.step(0.1)
    assert leading.has_left
    assert world.did[-4:] == ["hand over", "written", "end term", "stand by"]
    assert world.told[-1][1]["reason"] == "stopping"
    leading.step(9.0)
    assert leading.term is None


def test_a_clock_that_differs_too_much_is_told_as_the_reason() -> None:
    """Slots are due by the leader's clock."""
    world = World()
    leading = world.leading()
    world.hold(MINE)
    leading.step(0.0)
    world.standing = replace(world.standing, skew=31.0, term=None)
    leading.step(0.1)
    assert world.told[-1][1]["reason"] == "clock"


def test_runs_end_when_others_may_take_them_for_lost() -> None:
    """Once for each time without the database, and only if there are any."""
    world = World(is_cut_off=True)
    leading = world.leading()
    leading.step(0.0)
    assert world.told == []
    world.runs = ["x", "y"]
    leading.step(1.0)
    leading.step(2.0)
    assert world.did == ["end worker_lost"]
    assert [(name, values["runs"]) for name, values in world.told] == [("cluster.runs_ended", 2)]
    world.is_cut_off = False
    leading.step(3.0)
    world.is_cut_off = True
    leading.step(4.0)
    assert world.did == ["end worker_lost"] * 2


# --- the thread ------------------------------------------------------------------------------------------


@dataclass
class Host:
    """What the thread of a node joins and leaves; `failures` are those of its first tries to join."""

    world: World
    failures: list[Exception] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    wake: threading.Event = field(default_factory=threading.Event)

    def join(self) -> None:
        """Join, or fail."""
        if self.failures:
            raise self.failures.pop(0)
        self.did.append("join")

    @contextmanager
    def threads(self) -> Any:
        """Note when the threads run."""
        self.did.append("threads")
        yield
        self.did.append("no threads")

    def __post_init__(self) -> None:
        leave = lambda: self.did.append("leave")  # noqa: E731
        self.place = NodePlace(self.join, leave, lambda reason: self.noted.append(str(reason)), self.world.tell)

    def thread(self) -> NodeThread:
        """Return the thread."""
        return NodeThread(
            self.world.leading(),
            self.place,
            self.threads(),
            release=lambda: self.did.append("release") if "release" not in self.did else None,
            wake=self.wake,
            log_event=self.world.tell,
            monotonic=lambda: 0.0,
        )


def test_a_node_joins_then_leads_and_at_last_leaves() -> None:
    """It leads only when the service allows it, and gives the lease back before its runs have ended."""
    host = Host(World())
    host.world.hold(MINE)
    with host.thread() as thread:
        assert host.place.wait_tried(10)
        assert host.did == ["join"]
        thread.allow_lead()
        wait_until(lambda: "lead" in host.world.did)
        thread.hand_over()
        wait_until(lambda: "release" in host.did)
        assert host.did == ["join", "threads", "release"]
    assert host.did == ["join", "threads", "release", "no threads", "leave"]


def test_a_database_that_is_away_delays_the_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread tries again; the start of the service need not wait for that."""
    monkeypatch.setattr("jobscheduler.cluster.node_thread.JOIN_RETRY_S", 0.01)
    host = Host(World(), [Unavailable("gone"), RuntimeError("odd")])
    with host.thread():
        assert host.place.wait_tried(10)
        wait_until(lambda: host.did == ["join"])
        assert host.place.refused is None
    assert host.noted == ["gone", "RuntimeError: odd", "None"]


def test_a_name_that_is_in_use_is_refused_until_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first try the service refuses to start; later it is an error in the log, once."""
    monkeypatch.setattr("jobscheduler.cluster.node_thread.JOIN_RETRY_S", 0.01)
    taken = IdentityInUse(NodeRow(Identity("a", "scheduler", "local", "x"), Process("web-1", "b", 7), 1.0))
    host = Host(World(), [Unavailable("gone"), taken, taken])
    with host.thread():
        wait_until(lambda: host.did == ["join"])
    assert [(name, values["problem"]) for name, values in host.world.told] == [("cluster.refused", str(taken))]
    assert "process 7 on host `web-1`" in str(taken)
    host = Host(World(), [taken] * 100)
    with host.thread():
        assert host.place.wait_tried(10)
        assert host.place.refused is taken


def test_a_fault_in_a_step_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the next step is taken: a node that no longer looks at its lease would never stand by."""
    monkeypatch.setattr("jobscheduler.cluster.node_thread.JOIN_RETRY_S", 0.01)
    host = Host(World())
    host.world.hold(MINE)
    failures = [ValueError("odd")]

    def fail() -> None:
        if failures:
            raise failures.pop()

    host.world.in_sync = fail
    monkeypatch.setattr("jobscheduler.cluster.leading.RETRY_S", 0.0)
    with host.thread() as thread:
        thread.allow_lead()
        wait_until(lambda: "lead" in host.world.did)
    assert ("cluster.failed", {"problem": "ValueError: odd"}) in host.world.told
