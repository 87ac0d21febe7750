"""What a person asks of a node that stands by is done by the leader once, or it is said what is known of it.

The clock stands still unless a test moves it, and each look for an answer lets the leader do something.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import func, select, update

from jobscheduler.cluster import requests
from jobscheduler.cluster.answering import AnsweringThread, RequestAnswerer
from jobscheduler.cluster.asking import ANSWER_S, TAKE_S, WRITE_S, Asking
from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.lease import Standing
from jobscheduler.cluster.lease_thread import LeaseThread
from jobscheduler.cluster.questions import MAX_WAITING, NotSent, Questions
from jobscheduler.cluster.request_states import MAX_AGE_S, RequestState
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import REQUESTS
from jobscheduler.cluster.values import Term
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.model.cluster_view import Unanswered
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace
from tests.support.service import wait_until

ARGUMENTS = json.dumps({"job_id": "j"})


class Link:
    """The questions of one node, whose database can go away before or after it has done what is asked."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.is_away = False
        self.loses_answers = 0

    def ask(self, request: Callable[[], Steps[Any]], wait: float) -> Any:
        if self.is_away:
            raise NotSent("away")
        answer = self.place.perform(request())
        if self.loses_answers:
            self.loses_answers -= 1
            raise Unavailable("cut off")
        return answer


@dataclass
class World:
    """A leader, a node that stands by, and what happens at each look for an answer."""

    place: ClusterPlace
    term: Term | None
    link: Link
    leader_link: Link
    now: float = 0.0
    done: list[tuple[str, Mapping[str, Any], str]] = field(default_factory=list)
    at_look: Callable[[int], object] = lambda _: None
    looks: int = 0

    def answerer(self) -> RequestAnswerer:
        return RequestAnswerer(self.leader_link, lambda: self.term, self.perform)  # type: ignore[arg-type]

    def perform(self, verb: str, arguments: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        self.done.append((verb, arguments, by))
        return {"status": 200, "answer": {"number": len(self.done)}}

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.looks += 1
        self.at_look(self.looks)

    def ask(self) -> str | Unanswered:
        asking = Asking(self.link, "b", lambda: "t1", None, lambda: self.now, self.sleep)  # type: ignore[arg-type]
        return asking.ask("run", ARGUMENTS, "1000")

    def state(self) -> RequestState | None:
        answer = self.place.perform(requests.answer_to("t1"))
        return None if answer is None else answer.state


@pytest.fixture
def world(place: ClusterPlace) -> World:
    """A cluster with a leader."""
    return World(place, place.lead("a"), Link(place), Link(place))


def test_the_leader_does_it_and_its_answer_is_returned(world: World) -> None:
    """For the user who asked, named with the node: numbers of users differ between hosts."""
    answerer = world.answerer()
    world.at_look = lambda _: answerer.step()
    assert json.loads(str(world.ask())) == {"status": 200, "answer": {"number": 1}}
    assert world.done == [("run", {"job_id": "j"}, "1000@b")]


def test_without_a_leader_nothing_is_done_now_or_later(world: World) -> None:
    """The request is withdrawn."""
    answer = world.ask()
    assert isinstance(answer, Unanswered)
    assert not answer.may_be_done
    assert answer.problem.message == "no leader has taken the request: nothing was done"
    assert world.now == pytest.approx(TAKE_S, abs=1)
    world.answerer().step()
    assert world.done == []
    assert world.state() is RequestState.WITHDRAWN


def test_a_leader_that_is_replaced_meanwhile_costs_nothing(world: World) -> None:
    """The next one takes what is asked."""
    world.term = None
    answerer = world.answerer()

    def next_leads(look: int) -> None:
        if look == 80:
            world.term = world.place.lead("c")
        answerer.step()

    world.at_look = next_leads
    assert json.loads(str(world.ask()))["status"] == 200
    assert len(world.done) == 1


def test_a_leader_that_dies_after_it_has_taken_a_request_leaves_it_unknown(world: World) -> None:
    """No other leader does it again; where one takes over in time, it says so."""
    term = world.term
    assert term is not None
    world.at_look = lambda _: world.place.perform(requests.take_requests(term))
    answer = world.ask()
    assert isinstance(answer, Unanswered)
    assert answer.may_be_done
    assert "it is unknown what became of it" in answer.problem.message
    assert world.now == pytest.approx(ANSWER_S, abs=1)


def test_the_next_leader_says_that_it_is_unknown_what_became_of_it(world: World) -> None:
    """At its first step, before all else."""
    former = world.term
    assert former is not None

    def takes_over(look: int) -> None:
        if look == 1:
            world.place.perform(requests.take_requests(former))
        elif look == 5:
            world.term = world.place.lead("c")
            world.answerer().step()

    world.at_look = takes_over
    answer = json.loads(str(world.ask()))
    assert answer["status"] == 409
    assert "is gone: it is unknown what became of it" in answer["answer"]["error"]["message"]
    assert world.done == []


def test_while_the_database_is_away_nothing_is_asked(world: World) -> None:
    """The person learns it within seconds."""
    world.link.is_away = True
    answer = world.ask()
    assert isinstance(answer, Unanswered)
    assert not answer.may_be_done
    assert answer.problem.message == "the leader cannot be asked, nothing was done: away"
    assert world.now == pytest.approx(WRITE_S, abs=1)
    assert world.state() is None


def test_a_request_whose_writing_had_no_answer_is_written_once(world: World) -> None:
    """It is looked for before it is written again."""
    world.link.loses_answers = 1
    answerer = world.answerer()
    world.at_look = lambda _: answerer.step()
    assert json.loads(str(world.ask()))["answer"] == {"number": 1}
    assert world.place.connection.execute(select(func.count()).select_from(REQUESTS)).scalar_one() == 1


def test_a_database_that_goes_away_after_the_request_leaves_it_unknown(world: World) -> None:
    """And no leader takes it any more when it is back."""

    def goes_away(_: int) -> None:
        world.link.is_away = True

    world.at_look = goes_away
    world.link.loses_answers = 1  # the first look is needed
    answer = world.ask()
    assert isinstance(answer, Unanswered)
    assert answer.may_be_done
    assert "it is unknown whether the leader has done this" in answer.problem.message
    assert world.now < MAX_AGE_S
    world.place.connection.execute(update(REQUESTS).values(asked_at=from_now(-MAX_AGE_S - 1)))
    world.answerer().step()
    assert world.done == []


def test_a_request_whose_answer_could_not_be_written_is_not_done_again(world: World) -> None:
    """It gets the answer that it had."""
    world.place.perform(requests.ask(requests.Request("t1", "run", ARGUMENTS, "1000", "b")))
    answerer, write = world.answerer(), world.leader_link.ask

    def fails_to_write(request: Callable[[], Steps[Any]], wait: float) -> Any:
        if world.done:
            raise Unavailable("cut off")
        return write(request, wait)

    world.leader_link.ask = fails_to_write  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        answerer.step()
    world.leader_link.ask = write  # type: ignore[method-assign]
    answerer.step()
    assert len(world.done) == 1
    assert world.state() is RequestState.ANSWERED


def test_a_node_that_no_longer_leads_does_nothing_that_it_has_taken(world: World) -> None:
    """Its lease may have run out between the two."""
    world.place.perform(requests.ask(requests.Request("t1", "run", ARGUMENTS, "1000", "b")))
    terms = iter([world.term, None])
    answerer = RequestAnswerer(world.leader_link, lambda: next(terms), world.perform)  # type: ignore[arg-type]
    answerer.step()
    assert world.done == []
    assert world.state() is RequestState.TAKEN


def test_a_database_that_hangs_holds_each_caller_for_its_own_time_alone(place: ClusterPlace) -> None:
    """What was not sent was not asked, and is not asked later; there is a limit to what waits."""
    hangs, goes_on, asked = threading.Event(), threading.Event(), []

    def hanging() -> Steps[None]:
        hangs.set()
        goes_on.wait(30)
        yield select(1)

    def noted() -> Steps[None]:
        asked.append(1)
        yield select(1)

    with Questions(Database(place.url)) as questions:
        with pytest.raises(Unavailable) as first:
            questions.ask(hanging, 0.2)
        assert hangs.wait(30)
        assert not isinstance(first.value, NotSent)
        for _ in range(MAX_WAITING - 1):
            with pytest.raises(NotSent, match="has not answered"):
                questions.ask(noted, 0.0)
        with pytest.raises(NotSent, match="wait for the database"):
            questions.ask(noted, 0.0)
        goes_on.set()
        wait_until(lambda: not questions._waiting)
        assert asked == []


def test_a_look_at_the_lease_tells_while_something_waits_for_the_leader(world: World) -> None:
    """Until it has its answer. What is too old to be taken does not wake the leader for ever."""
    place, term = world.place, world.term
    assert term is not None
    assert not place.lease().has_requests
    place.perform(requests.ask(requests.Request("t1", "run", ARGUMENTS, "1000", "b")))
    assert place.lease().has_requests
    place.perform(requests.take_requests(term))
    assert place.lease().has_requests
    place.perform(requests.answer(term, "t1", "{}"))
    assert not place.lease().has_requests
    place.perform(requests.ask(requests.Request("t2", "run", ARGUMENTS, "1000", "b")))
    place.connection.execute(update(REQUESTS).values(asked_at=from_now(-MAX_AGE_S - 1)))
    assert not place.lease().has_requests


def test_two_nodes_ask_and_answer_within_a_second(place: ClusterPlace) -> None:
    """With their threads and connections. The leader's look at its lease tells it that something is asked."""
    place.end_lease()
    asked = threading.Event()

    def note(_: Standing, after: Standing, __: Unavailable | None) -> None:
        if after.seen is not None and after.seen.has_requests:
            asked.set()

    with ExitStack() as stack:
        lease = stack.enter_context(LeaseThread(place.database, "a", "a1", 1.0, on_change=note))
        asks, answers = (stack.enter_context(Questions(Database(place.url))) for _ in range(2))
        answerer = RequestAnswerer(
            answers, lease.term, lambda verb, arguments, by: {"status": 200, "answer": {"by": by}}
        )
        stack.enter_context(AnsweringThread(answerer, asked))
        answer = Asking(asks, "b", lambda: "t1").ask("run", ARGUMENTS, "1000")
    assert json.loads(str(answer))["answer"] == {"by": "1000@b"}
