"""The application behind the control socket: a few paths, JSON in and out.

`GET /v1/status`, `GET /v1/settings`, `GET /v1/zone-rules`, `GET /v1/cluster`, `GET /v1/jobs?job=…&tag=…&state=…`,
`GET /v1/definitions?file=…&job=…`, `GET /v1/names?begin=…`, `GET /v1/records?job=…&status=…&since=…&until=…&before=…`,
`GET /v1/jobs/ID`, `POST /v1/jobs/ID/run`, `GET /v1/runs/RUN_ID?wait=SECONDS`,
`GET /v1/runs/RUN_ID/output?attempt=N&offset=N&wait=SECONDS`, `GET /v1/output?of=JOB&failed=1`, `POST /v1/reload`,
`POST /v1/alerts/test/ID`, `GET /v1/alerts/test/TEST_ID`, and
`POST /v1/select`, `/v1/stop`, `/v1/pause` and `/v1/resume`, whose bodies are JSON objects. See docs/control.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs

from jobscheduler.control.allowed_methods import allowed_methods
from jobscheduler.control.calling_runs import calling_runs
from jobscheduler.control.connection import Application, Reply, Request
from jobscheduler.control.job_query import EVERY_JOB, JobQuery, parse_query
from jobscheduler.control.large_answers import AnswerQueue
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.status.snapshot import Conflict, NotFound
from jobscheduler.util.text import format_error

MAX_WAIT_S = 30.0  # seconds that one request may wait for the end of a run

ANSWER_WAIT_S = 30.0  # seconds that a request for a large answer waits for the earlier ones of its user

LARGE_ANSWER_PATHS = frozenset({"/v1/jobs", "/v1/definitions", "/v1/names"})  # up to 5 MB for 10,000 jobs

Answer = tuple[HTTPStatus, Mapping[str, Any]]


_BUSY = Problem("the service is busy with other requests of this user", help="ask again in a moment")


class ControlApi(Protocol):
    """The service behind the routes.

    Raises:
        NotFound: there is no such job or run.
        Conflict: the request cannot be met now.

    """

    def status(self) -> Mapping[str, Any]: ...  # noqa: D102
    def jobs(self, query: JobQuery = EVERY_JOB) -> Mapping[str, Any]: ...  # noqa: D102
    def definitions(self, names: Collection[str], job_ids: Collection[str]) -> Mapping[str, Any]: ...  # noqa: D102
    def names(self, begin: str) -> Mapping[str, Any]: ...  # noqa: D102
    def job(self, job_id: str) -> Mapping[str, Any]: ...  # noqa: D102
    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]: ...  # noqa: D102
    def select(self, request: Mapping[str, Any]) -> Mapping[str, Any]: ...  # noqa: D102
    def stop(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]: ...  # noqa: D102
    def pause(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]: ...  # noqa: D102
    def resume(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]: ...  # noqa: D102
    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any]: ...  # noqa: D102
    def records(self, query: str) -> Mapping[str, Any]: ...  # noqa: D102


class OutputApi(Protocol):
    """The outputs behind the routes.

    Raises:
        NotFound: there is no such job or run.
        Conflict: the request cannot be met now.

    """

    def output(self, name: str, *, failed: bool) -> Mapping[str, Any]: ...  # noqa: D102
    def part(self, run_id: str, attempt: int, offset: int, wait: float, by: str) -> Mapping[str, Any]: ...  # noqa: D102


class AdministrationApi(Protocol):
    """The service itself behind the routes.

    Raises:
        Conflict: the request cannot be met now.

    """

    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102
    def zone_rules(self) -> Mapping[str, Any]: ...  # noqa: D102
    def cluster(self) -> Mapping[str, Any]: ...  # noqa: D102
    def reload(self, by: str) -> Mapping[str, Any]: ...  # noqa: D102
    def test_alerts(self, job_id: str, by: str) -> Mapping[str, Any]: ...  # noqa: D102
    def alert_test(self, test_id: str, wait: float) -> Mapping[str, Any]: ...  # noqa: D102


class BadRequest(ProblemError):
    """The request is malformed, or asks for a path that does not exist."""

    def __init__(self, status: HTTPStatus, problem: Problem) -> None:
        super().__init__(problem)
        self.status = status


def build_app(
    api: ControlApi, administration: AdministrationApi, outputs: OutputApi, report_error: Callable[[str], object]
) -> Application:
    """Return the application. It passes our errors to `report_error`; the client learns only that there was one."""
    turns = AnswerQueue()

    @contextmanager
    def answer(request: Request) -> Iterator[Reply]:
        if request.path not in LARGE_ANSWER_PATHS:
            yield _encode(respond(request), request)
            return
        with turns.turn(request.uid, ANSWER_WAIT_S) as has_turn:
            yield _encode(respond(request) if has_turn else (HTTPStatus.SERVICE_UNAVAILABLE, _error(_BUSY)), request)

    def respond(request: Request) -> Answer:
        return answer_of(lambda: _call(api, administration, outputs, request), request.path, report_error)

    return answer


def answer_of(call: Callable[[], Answer], what: str, report_error: Callable[[str], object]) -> Answer:
    """Return the answer of a call, or what is to say when it refuses. An error of ours in `what` is reported."""
    try:
        return call()
    except BadRequest as bad_request:
        return bad_request.status, _error(bad_request.problem)
    except NotFound as not_found:
        return HTTPStatus.NOT_FOUND, _error(not_found.problem)
    except Conflict as conflict:
        return HTTPStatus.CONFLICT, _error(conflict.problem)
    except Exception as error:
        report_error(f"{what}: {format_error(error)}")
        return HTTPStatus.INTERNAL_SERVER_ERROR, _error(Problem("the service failed; see its log"))


def _encode(answer: Answer, request: Request) -> Reply:
    status, value = answer
    is_other_method = status is HTTPStatus.METHOD_NOT_ALLOWED
    headers = (("Allow", ", ".join(allowed_methods(_parts(request)))),) if is_other_method else ()
    return Reply(status, json.dumps(value).encode() + b"\n", headers)


def _parts(request: Request) -> list[str]:
    return request.path.split("/")[1:]


def _call(api: ControlApi, administration: AdministrationApi, outputs: OutputApi, request: Request) -> Answer:
    """Call the method for a path. An id is passed on as the client sent it, whatever it contains."""
    by, parts = str(request.uid), _parts(request)
    match request.method, parts:
        case _, ["v1", "settings" | "zone-rules" | "cluster" | "reload" | "alerts", *_]:
            return _call_administration(administration, request, parts)
        case _, ["v1", "output"] | ["v1", "runs", _, "output"]:
            return HTTPStatus.OK, _call_outputs(outputs, request, parts)
        case "GET", _:
            return HTTPStatus.OK, _read(api, request, parts)
        case "POST", ["v1", "jobs", *name, "run"]:
            return HTTPStatus.ACCEPTED, api.run("/".join(name), by, calling_runs(request.pid))
        case "POST", ["v1", "select"]:
            return HTTPStatus.OK, api.select(_body(request))
        case "POST", ["v1", "stop"]:
            return HTTPStatus.ACCEPTED, api.stop(_body(request), by)
        case "POST", ["v1", "pause" | "resume" as verb]:
            return HTTPStatus.OK, (api.pause if verb == "pause" else api.resume)(_body(request), by)
    raise _unknown(request.method, parts)


def _read(api: ControlApi, request: Request, parts: list[str]) -> Mapping[str, Any]:
    match parts:
        case ["v1", "status"]:
            return api.status()
        case ["v1", "jobs"]:
            return api.jobs(_job_query(request.query))
        case ["v1", "definitions"]:
            fields = parse_qs(request.query)
            return api.definitions(fields.get("file", ()), fields.get("job", ()))
        case ["v1", "names"]:
            return api.names(parse_qs(request.query).get("begin", [""])[-1])
        case ["v1", "jobs", *name]:
            return api.job("/".join(name))
        case ["v1", "runs", run_id]:
            return api.run_result(run_id, _wait(request.query))
        case ["v1", "records"]:
            return api.records(request.query)
    raise _unknown(request.method, parts)


def _call_administration(administration: AdministrationApi, request: Request, parts: list[str]) -> Answer:
    by = str(request.uid)
    match request.method, parts:
        case "GET", ["v1", "settings"]:
            return HTTPStatus.OK, administration.settings()
        case "GET", ["v1", "zone-rules"]:
            return HTTPStatus.OK, administration.zone_rules()
        case "GET", ["v1", "cluster"]:
            return HTTPStatus.OK, administration.cluster()
        case "POST", ["v1", "reload"]:
            return HTTPStatus.OK, administration.reload(by)
        case "POST", ["v1", "alerts", "test", *name]:
            return HTTPStatus.ACCEPTED, administration.test_alerts("/".join(name), by)
        case "GET", ["v1", "alerts", "test", test_id]:
            return HTTPStatus.OK, administration.alert_test(test_id, _wait(request.query))
    raise _unknown(request.method, parts)


def _call_outputs(outputs: OutputApi, request: Request, parts: list[str]) -> Mapping[str, Any]:
    match request.method, parts:
        case "GET", ["v1", "output"]:
            query = parse_qs(request.query)
            return outputs.output(query.get("of", [""])[-1], failed="failed" in query)
        case "GET", ["v1", "runs", run_id, "output"]:
            return _output_part(outputs, run_id, request)
    raise _unknown(request.method, parts)


def _output_part(outputs: OutputApi, run_id: str, request: Request) -> Mapping[str, Any]:
    attempt, offset = _number(request.query, "attempt", 1), _number(request.query, "offset", 0)
    return outputs.part(run_id, attempt, offset, _wait(request.query), str(request.uid))


def _number(query: str, name: str, default: int) -> int:
    text = parse_qs(query).get(name, [str(default)])[-1]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequest(HTTPStatus.BAD_REQUEST, Problem(f"`{name}` is a whole number, 0 or more"))
    return int(text)


def _body(request: Request) -> Mapping[str, Any]:
    """Return the object in the body of a request.

    Raises:
        BadRequest: it is not an object.

    """
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadRequest(HTTPStatus.BAD_REQUEST, Problem("the body of this request is a JSON object"))
    return value


def _unknown(method: str, parts: list[str]) -> BadRequest:
    help_ = "docs/control.md lists the requests"
    if allowed_methods(parts):
        return BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, Problem(f"`{method}` is not allowed on this path", help=help_))
    return BadRequest(HTTPStatus.NOT_FOUND, Problem(f"there is nothing at `/{'/'.join(parts)}`", help=help_))


def _job_query(query: str) -> JobQuery:
    try:
        return parse_query(query)
    except ValueError:
        raise BadRequest(
            HTTPStatus.BAD_REQUEST, Problem("the query has too many fields, or `due_by` is no instant")
        ) from None


def _wait(query: str) -> float:
    try:
        seconds = float(parse_qs(query).get("wait", ["0"])[0])
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, Problem("`wait` is a number of seconds")) from None
    return min(max(0.0, seconds), MAX_WAIT_S) if seconds == seconds else 0.0  # noqa: PLR0124 - NaN


def _error(problem: Problem) -> Mapping[str, Any]:
    return {"error": {"message": problem.message, "help": problem.help}}
