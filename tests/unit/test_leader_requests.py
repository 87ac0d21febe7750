"""On any node of a cluster a verb that changes something has the answer of the leader, word for word."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import pytest

from jobscheduler.control.leader_requests import ClusterControl, LeaderRequests, LeaderSilent
from jobscheduler.control.routes import BadRequest
from jobscheduler.model import Problem
from jobscheduler.model.cluster_view import Unanswered
from jobscheduler.scheduler import StandsBy
from jobscheduler.status.snapshot import Conflict, NotFound

NOT_DONE = Unanswered(Problem("no leader has taken the request: nothing was done"))
PERHAPS_DONE = Unanswered(Problem("it is unknown"), may_be_done=True)


class Node:
    """The functions of one node's control socket: they note what is asked, and may refuse."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.runs: list[str] = ["r1"]

    def _note(self, *what: Any) -> Mapping[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(what)
        return {"runs": self.runs}

    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
        return self._note("run", job_id, by, within)

    def stop(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        return self._note("stop", dict(request), by)

    def pause(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        return self._note("pause", dict(request), by)

    def resume(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        return self._note("resume", dict(request), by)

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any]:
        raise NotFound(Problem(f"no run `{run_id}`"))


class Elsewhere:
    """The account, which has one run."""

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any] | None:
        return {"run_id": run_id, "wait": wait} if run_id == "r9" else None


@pytest.fixture
def leader() -> Node:
    """The node that leads."""
    return Node()


@pytest.fixture
def faults() -> list[str]:
    """The errors that the leader reported."""
    return []


@pytest.fixture
def standby(leader: Node, faults: list[str]) -> ClusterControl:
    """A node that stands by, and asks the leader."""
    requests = LeaderRequests(leader, faults.append)  # type: ignore[arg-type]

    def ask(verb: str, arguments: str, by: str) -> str:
        return json.dumps(requests.perform(verb, json.loads(arguments), f"{by}@b"))

    return ClusterControl(Node(), lambda: False, ask, Elsewhere())  # type: ignore[arg-type]


def test_each_verb_reaches_the_leader_with_the_user_and_the_node(standby: ClusterControl, leader: Node) -> None:
    """And returns its answer."""
    assert standby.run("x", "1000", ("p1",)) == {"runs": ["r1"]}
    standby.stop({"targets": ["x"]}, "1000")
    standby.pause({"jobs": ["*"], "for": "2h"}, "0")
    standby.resume({"jobs": ["*"]}, "0")
    assert leader.asked == [
        ("run", "x", "1000@b", ("p1",)),
        ("stop", {"targets": ["x"]}, "1000@b"),
        ("pause", {"jobs": ["*"], "for": "2h"}, "0@b"),
        ("resume", {"jobs": ["*"]}, "0@b"),
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        NotFound(Problem("there is no job `y`", help="did you mean `x`?")),
        Conflict(Problem("the service is stopping")),
        BadRequest(HTTPStatus.BAD_REQUEST, Problem("a pause ends in the future", help="leave the end out")),
    ],
)
def test_a_refusal_of_the_leader_is_that_of_the_node(
    standby: ClusterControl, leader: Node, refusal: NotFound | Conflict | BadRequest
) -> None:
    """With its kind, its message and its help."""
    leader.refusal = refusal
    with pytest.raises(type(refusal)) as refused:
        standby.run("y", "0")
    assert refused.value.problem == refusal.problem


def test_an_error_of_the_leader_is_reported_there(standby: ClusterControl, leader: Node, faults: list[str]) -> None:
    """The person learns that there was one."""
    leader.refusal = ZeroDivisionError("injected")
    with pytest.raises(BadRequest, match="the service failed") as failed:
        standby.run("x", "0")
    assert failed.value.status is HTTPStatus.INTERNAL_SERVER_ERROR
    assert len(faults) == 1


def test_a_leader_of_another_version_refuses_what_it_does_not_know(leader: Node, faults: list[str]) -> None:
    """So nodes can be upgraded one after the other."""
    answer = LeaderRequests(leader, faults.append).perform("skip", {}, "0@b")  # type: ignore[arg-type]
    assert answer["status"] == HTTPStatus.BAD_REQUEST
    assert answer["answer"]["error"]["message"] == "the leader does not know the request `skip`"
    assert faults == []


def test_the_leader_asks_nobody() -> None:
    """Unless it has just lost the lead: then the next one does it."""
    own, asked = Node(), []

    def ask(verb: str, arguments: str, by: str) -> str:
        asked.append(verb)
        return json.dumps({"status": 200, "answer": {"runs": []}})

    node = ClusterControl(own, lambda: True, ask)  # type: ignore[arg-type]
    assert node.run("x", "0") == {"runs": ["r1"]}
    assert asked == []
    own.refusal = StandsBy()
    assert node.run("x", "0") == {"runs": []}
    assert asked == ["run"]


def test_a_leader_that_loses_the_lead_in_between_has_done_nothing(standby: ClusterControl, leader: Node) -> None:
    """It says so, instead of asking the next one: the person asks again."""
    leader.refusal = StandsBy()
    with pytest.raises(Conflict, match="nothing was done"):
        standby.pause({"jobs": ["*"]}, "0")


def unreachable(unanswered: Unanswered) -> tuple[ClusterControl, Node]:
    """Return a node whose leader cannot be asked."""
    own = Node()
    ask: Callable[[str, str, str], Unanswered] = lambda *_: unanswered  # noqa: E731
    return ClusterControl(own, lambda: False, ask), own  # type: ignore[arg-type]


def test_runs_at_work_here_are_stopped_also_without_a_leader() -> None:
    """Only if nothing was done: else they may be stopped already, and another one of the job with them."""
    node, own = unreachable(NOT_DONE)
    assert node.stop({"targets": ["x"]}, "0") == {"runs": ["r1"]}
    own.runs = []
    with pytest.raises(LeaderSilent, match="nothing was done"):
        node.stop({"targets": ["x"]}, "0")
    own.refusal = NotFound(Problem("there is no job `x`"))
    with pytest.raises(LeaderSilent, match="nothing was done"):
        node.stop({"targets": ["x"]}, "0")
    node, own = unreachable(PERHAPS_DONE)
    with pytest.raises(LeaderSilent, match="unknown"):
        node.stop({"targets": ["x"]}, "0")
    assert own.asked == []


def test_without_a_leader_other_verbs_change_nothing_here() -> None:
    """They say why."""
    node, own = unreachable(NOT_DONE)
    with pytest.raises(Conflict, match="nothing was done"):
        node.run("x", "0")
    with pytest.raises(Conflict, match="nothing was done"):
        node.pause({"jobs": ["*"]}, "0")
    assert own.asked == []


def test_a_run_of_another_node_is_waited_for_in_the_account(standby: ClusterControl) -> None:
    """One that neither has is not known."""
    assert standby.run_result("r9", 5.0) == {"run_id": "r9", "wait": 5.0}
    with pytest.raises(NotFound, match="no run `r8`"):
        standby.run_result("r8", 5.0)
