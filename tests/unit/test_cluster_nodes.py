"""Who is alive in a cluster, and what a service that stands by asks of the leader.

`tests/cluster` runs the same tests on MariaDB and PostgreSQL.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update

from jobscheduler.cluster import nodes, requests
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.drift import drift, jobset
from jobscheduler.cluster.identity import IdentityInUse, is_process_gone, take_identity, this_process
from jobscheduler.cluster.nodes import Loaded, NodeRow, Population, Process
from jobscheduler.cluster.request_states import RequestState
from jobscheduler.cluster.requests import Answer, Request
from jobscheduler.cluster.tables import NODES
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.database.errors import Unavailable
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace

LOST_AFTER_S = 60.0

PROCESS = Process("host", "boot", 4711)


def node(instance: str, name: str = "a", queue: str = "local") -> Identity:
    """Return the identity of an instance."""
    return Identity(name, "scheduler", queue, instance)


def register(place: ClusterPlace, identity: Identity, former: str | None = None) -> NodeRow:
    """Register an instance; return the one that has the identity then."""
    return place.perform(nodes.register(place.dialect, identity, PROCESS, LOST_AFTER_S, former=former))


def silence(place: ClusterPlace) -> None:
    """Let all be silent for longer than a lost one is."""
    place.connection.execute(update(NODES).values(beat_at=from_now(-LOST_AFTER_S - 1)))


def test_a_second_live_instance_of_an_identity_is_refused_by_name(place: ClusterPlace) -> None:
    """It learns which process has it, and since when that was silent; another node or queue is free."""
    assert register(place, node("a1")).identity.instance == "a1"
    refused = register(place, node("a2"))
    assert (refused.identity.instance, refused.process) == ("a1", PROCESS)
    assert 0 <= refused.silent < 50
    assert register(place, node("b1", name="b")).identity.instance == "b1"
    assert register(place, node("a3", queue="gpu")).identity.instance == "a3"


def test_a_new_instance_takes_the_place_of_one_that_is_gone(place: ClusterPlace) -> None:
    """One that left, one that was silent, and one whose process is known to be gone; the former then learns it."""
    register(place, node("a1"))
    place.perform(nodes.leave(node("a1")))
    assert register(place, node("a2")).identity.instance == "a2"
    silence(place)
    assert register(place, node("a3")).identity.instance == "a3"
    assert register(place, node("a4"), former="a3").identity.instance == "a4"
    assert register(place, node("a5"), former="a3").identity.instance == "a4"
    assert not place.perform(nodes.beat_node(node("a3"), Loaded(), LOST_AFTER_S)).has(node("a3"))
    assert place.perform(nodes.beat_node(node("a4"), Loaded(), LOST_AFTER_S)).has(node("a4"))


def take(place: ClusterPlace, identity: Identity, *, is_gone: bool = False) -> None:
    """Take an identity at a start."""
    take_identity(identity, PROCESS, lambda former: register(place, identity, former), lambda *_: is_gone)


def test_a_start_is_refused_by_name_while_another_instance_lives(place: ClusterPlace) -> None:
    """After a crash on the same host the name is free at once."""
    take(place, node("a1"))
    with pytest.raises(IdentityInUse, match="node `a` of the cluster: process 4711 on host `host`, 0 s ago") as refused:
        take(place, node("a2"))
    assert "--node NAME" in refused.value.help
    take(place, node("a3"), is_gone=True)
    assert place.perform(nodes.population(LOST_AFTER_S)).nodes[0].identity.instance == "a3"


def test_a_process_is_known_to_be_gone_on_its_own_host_alone() -> None:
    """One of another host or boot may live, and so may this one."""
    here = this_process()
    assert not is_process_gone(here, here)
    assert is_process_gone(replace(here, pid=2**22 + 1), here)
    assert not is_process_gone(replace(here, pid=2**22 + 1, host="other"), here)
    assert not is_process_gone(replace(here, pid=2**22 + 1, boot="other"), here)
    assert not is_process_gone(replace(here, pid=1), here)


def test_nodes_that_differ_name_the_jobs() -> None:
    """Equal ones have one hash, whatever the order; a long list is cut."""
    here, there = {"a": "1", "b": "2", "c": "3"}, {"c": "4", "b": "2", "d": "5"}
    assert jobset(here) == jobset(dict(reversed(here.items()))) != jobset(there)
    assert not drift(here, here)
    found = drift(here, there)
    assert str(found) == "only here: `a`; only on the leader: `d`; different: `c`"
    many = drift({}, {f"j{number:02}": "" for number in range(12)})
    assert str(many).endswith("`j09` and 2 more")


def test_nodes_show_what_they_have_loaded_while_they_are_alive(place: ClusterPlace) -> None:
    """A lost one is not shown, and is forgotten in the end."""
    register(place, node("a1"))
    register(place, node("b1", name="b"))
    loaded = Loaded("1.2", "2026f", "hash", 32, 0.25)
    place.perform(nodes.beat_node(node("b1", name="b"), loaded, LOST_AFTER_S))
    shown = place.perform(nodes.population(LOST_AFTER_S)).nodes
    assert [(row.identity.node, row.loaded) for row in shown] == [("a", Loaded()), ("b", loaded)]
    silence(place)
    assert place.perform(nodes.population(LOST_AFTER_S)) == Population()
    place.perform(nodes.forget_lost(LOST_AFTER_S))
    assert place.perform(nodes.population(1e6)) == Population()


def ask(place: ClusterPlace, token: str = "t1") -> Request:
    """Ask for a run."""
    asked = Request(token, "run", '{"job": "j"}', "ann", "b")
    place.perform(requests.ask(asked))
    return asked


@pytest.fixture
def term(place: ClusterPlace) -> Term:
    """The term of the leader."""
    return place.lead()


def test_a_request_is_taken_once_and_answered(place: ClusterPlace, term: Term) -> None:
    """The service that asked sees how far it is."""
    asked = ask(place)
    assert place.perform(requests.answer_to("t1")) == Answer(RequestState.ASKED)
    assert place.perform(requests.take_requests(term)) == [asked]
    assert place.perform(requests.answer_to("t1")) == Answer(RequestState.TAKEN)
    place.perform(requests.answer(term, "t1", '{"run_id": "r1"}'))
    assert place.perform(requests.take_requests(term)) == []
    assert place.perform(requests.answer_to("t1")) == Answer(RequestState.ANSWERED, '{"run_id": "r1"}')
    with pytest.raises(Unavailable):
        ask(place)


def test_a_request_that_is_not_taken_in_time_is_withdrawn_and_never_done(place: ClusterPlace, term: Term) -> None:
    """One that was taken is not withdrawn: its person waits, or learns that it is unknown what became of it."""
    ask(place, "t1")
    assert place.perform(requests.withdraw_request("t1")) == Answer(RequestState.WITHDRAWN)
    assert place.perform(requests.take_requests(term)) == []
    asked = ask(place, "t2")
    assert place.perform(requests.take_requests(term)) == [asked]
    assert place.perform(requests.withdraw_request("t2")) == Answer(RequestState.TAKEN)
    assert place.perform(requests.withdraw_request("none")) is None


def test_a_former_leader_takes_and_answers_nothing(place: ClusterPlace, term: Term) -> None:
    """What it had taken is known to the next leader, which does not do it again."""
    taken = ask(place, "t1")
    place.perform(requests.take_requests(term))
    later = place.lead("b")
    asked = ask(place, "t2")
    assert asked not in place.perform(requests.take_requests(term))
    place.perform(requests.answer(term, "t1", "{}"))
    assert place.perform(requests.answer_to("t1")) == Answer(RequestState.TAKEN)
    assert place.perform(requests.left_by_former(later)) == [taken]
    assert place.perform(requests.take_requests(later)) == [asked]
