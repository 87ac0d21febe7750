"""Verbs that change something, on a node of a cluster: the leader does them, whichever node is asked.

Asked and answered are verbs with their arguments as JSON. The leader calls the same functions as for a request on its
own socket, so what it answers is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol

from jobscheduler.control.job_query import EVERY_JOB, JobQuery
from jobscheduler.control.routes import Answer, BadRequest, ControlApi, answer_of
from jobscheduler.control.shared_history import ReadPage, history_answer
from jobscheduler.model import Problem
from jobscheduler.model.cluster_view import Unanswered
from jobscheduler.scheduler import StandsBy
from jobscheduler.status.snapshot import Conflict, NotFound

Arguments = Mapping[str, Any]

AskLeader = Callable[[str, str, str], str | Unanswered]  # verb, arguments as JSON, user -> answer as JSON


class RunsElsewhere(Protocol):
    """The runs of other nodes, as the account has them."""

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any] | None:
        """Return how a run ended, None if the account has no such run; wait for its end up to `wait` seconds."""


class LeaderRequests:
    """Does as the leader what people ask of other nodes. Thread: any."""

    def __init__(self, own: ControlApi, report_error: Callable[[str], object]) -> None:
        """`own` are the functions of the control socket of this node."""
        self._own = own
        self._report_error = report_error

    def perform(self, verb: str, arguments: Arguments, by: str) -> Mapping[str, Any]:
        """Do it for a user of another node; return the status and the answer. Never raises."""
        status, answer = answer_of(lambda: self._answer(verb, arguments, by), f"request `{verb}`", self._report_error)
        return {"status": int(status), "answer": answer}

    def _answer(self, verb: str, arguments: Arguments, by: str) -> Answer:
        try:
            return HTTPStatus.OK, perform(self._own, verb, arguments, by)
        except StandsBy:
            help_ = "ask again in a moment"
            raise Conflict(Problem("the leader has just changed: nothing was done", help=help_)) from None


def perform(api: ControlApi, verb: str, arguments: Arguments, by: str) -> Mapping[str, Any]:
    """Do what a verb asks.

    Raises:
        NotFound: there is no such job or run.
        Conflict: the request cannot be met now.
        BadRequest: it is malformed, or of a version with other verbs.
        StandsBy: another node leads.

    """
    match verb:
        case "run":
            return api.run(str(arguments["job_id"]), by, tuple(arguments["within"]))
        case "stop":
            return api.stop(arguments, by)
        case "pause":
            return api.pause(arguments, by)
        case "resume":
            return api.resume(arguments, by)
    help_ = "`jobscheduler cluster` shows the version of each node"
    raise BadRequest(HTTPStatus.BAD_REQUEST, Problem(f"the leader does not know the request `{verb}`", help=help_))


class ClusterControl:
    """The control socket of a node of a cluster: the node's own functions, and those of the leader.

    Thread: any; a request to the leader waits on the thread of its connection.
    """

    def __init__(
        self,
        own: ControlApi,
        decides: Callable[[], bool],
        ask: AskLeader,
        elsewhere: RunsElsewhere | None = None,
        read_history: ReadPage | None = None,
    ) -> None:
        """`decides` returns whether this node leads; `ask` asks the leader, and waits for its answer.

        `elsewhere` has the runs of other nodes, and `read_history` reads the records of all.
        """
        self._read_history = read_history
        self._own = own
        self._decides = decides
        self._ask = ask
        self._elsewhere = elsewhere

    # -- what each node says by itself

    def status(self) -> Mapping[str, Any]:
        """Return the service's own state."""
        return self._own.status()

    def jobs(self, query: JobQuery = EVERY_JOB) -> Mapping[str, Any]:
        """Return the jobs and refused files that a query wants."""
        return self._own.jobs(query)

    def definitions(self, names: Collection[str] = (), job_ids: Collection[str] = ()) -> Mapping[str, Any]:
        """Return the definitions in force on this node."""
        return self._own.definitions(names, job_ids)

    def names(self, begin: str) -> Mapping[str, Any]:
        """Return what a user may be about to type."""
        return self._own.names(begin)

    def job(self, job_id: str) -> Mapping[str, Any]:
        """Return one job."""
        return self._own.job(job_id)

    def select(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return which jobs are selected."""
        return self._own.select(request)

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any]:
        """Return how a run ended, on whichever node; wait for its end up to `wait` seconds."""
        try:
            return self._own.run_result(run_id, wait)
        except NotFound:
            found = None if self._elsewhere is None else self._elsewhere.run_result(run_id, wait)
            if found is None:
                raise
            return found

    def records(self, query: str) -> Mapping[str, Any]:
        """Return a page of the records of all nodes (see `history_answer`)."""
        return history_answer(query, self._read_history)

    # -- what the leader does

    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """Start a manual run of a job."""
        return self._do("run", {"job_id": job_id, "within": list(within)}, by)

    def stop(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Stop runs. Those at work on this node are stopped also while the leader cannot be asked."""
        try:
            return self._do("stop", request, by)
        except LeaderSilent as silent:
            if silent.may_be_done:
                raise
            with suppress(NotFound, Conflict, BadRequest):
                answer = self._own.stop(request, by)
                if answer["runs"]:
                    return answer
            raise

    def pause(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Pause jobs."""
        return self._do("pause", request, by)

    def resume(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Let paused jobs run again."""
        return self._do("resume", request, by)

    def _do(self, verb: str, arguments: Arguments, by: str) -> Mapping[str, Any]:
        if self._decides():
            with suppress(StandsBy):  # another node has just taken the lead
                return perform(self._own, verb, arguments, by)
        return _opened(self._ask(verb, json.dumps(arguments), by))


class LeaderSilent(Conflict):
    """The leader has not answered. `may_be_done`: it may have done it all the same."""

    def __init__(self, unanswered: Unanswered) -> None:
        super().__init__(unanswered.problem)
        self.may_be_done = unanswered.may_be_done


def _opened(answer: str | Unanswered) -> Mapping[str, Any]:
    """Return what the leader has answered.

    Raises:
        LeaderSilent: it has not answered.
        NotFound: as it says.
        Conflict: as it says.
        BadRequest: as it says.

    """
    if isinstance(answer, Unanswered):
        raise LeaderSilent(answer)
    value = json.loads(answer)
    status, content = HTTPStatus(value["status"]), value["answer"]
    if status is HTTPStatus.OK:
        return dict(content)
    problem = Problem(content["error"]["message"], help=content["error"]["help"])
    match status:
        case HTTPStatus.NOT_FOUND:
            raise NotFound(problem)
        case HTTPStatus.CONFLICT:
            raise Conflict(problem)
    raise BadRequest(status, problem)
