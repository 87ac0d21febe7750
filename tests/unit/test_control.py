"""The control socket: its file, its requests, and the cost of clients that misbehave."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from jobscheduler.control import connection, server, socket_file
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.control.connection import Request
from jobscheduler.control.connection_limits import AdmissionDecision, ConnectionLimits, ConnectionQueue
from jobscheduler.control.job_query import EVERY_JOB, JobQuery
from jobscheduler.control.large_answers import MAX_WAITING_OF_USER
from jobscheduler.control.routes import build_app
from jobscheduler.control.server import ControlServer, ListenError
from jobscheduler.model import Problem
from jobscheduler.status.snapshot import Conflict, NotFound
from tests.support.service import wait_until
from tests.support.throwaway_users import ThrowawayUser


class FakeControlApi:
    """Answers by rote, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def status(self) -> Mapping[str, Any]:
        return {"pid": os.getpid()}

    def settings(self) -> Mapping[str, Any]:
        return {"settings": {}}

    def zone_rules(self) -> Mapping[str, Any]:
        return {"new_rules": ["Europe/Berlin"]}

    def records(self, query: str) -> Mapping[str, Any]:
        return {"lines": [query], "next": None}

    def cluster(self) -> Mapping[str, Any]:
        return {"cluster": None}

    def reload(self, by: str) -> Mapping[str, Any]:
        self.asked.append(("reload", by))
        return {"jobs": 1}

    def jobs(self, query: JobQuery = EVERY_JOB) -> Mapping[str, Any]:
        return {"jobs": [{"job_id": f"job{number}", "text": "x" * 300} for number in range(1000)]}

    def definitions(self, names: Collection[str], job_ids: Collection[str]) -> Mapping[str, Any]:
        return {"key": "k", "items": []}

    def names(self, begin: str) -> Mapping[str, Any]:
        return {"jobs": {f"{begin}1": ""}}

    def job(self, job_id: str) -> Mapping[str, Any]:
        if job_id == "broken":
            raise ZeroDivisionError("injected")
        raise NotFound(Problem(f"there is no job `{job_id}`", help="did you mean `x`?"))

    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
        self.asked.append(("run", job_id, by))
        raise Conflict(Problem("the service is stopping"))

    def select(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"jobs": request["jobs"][::-1]}

    def pause(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        self.asked.append(("pause", json.dumps(request), by))
        return {"changed": True}

    def resume(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        self.asked.append(("resume", json.dumps(request), by))
        return {"changed": True}

    def test_alerts(self, job_id: str, by: str) -> Mapping[str, Any]:
        self.asked.append(("test", job_id, by))
        return {"test_id": "0123"}

    def alert_test(self, test_id: str, wait: float) -> Mapping[str, Any]:
        return {"test_id": test_id, "alerts": [], "wait": wait}

    def stop(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        self.asked.append(("stop", json.dumps(request), by))
        return {"runs": []}

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any]:
        return {"run_id": run_id, "wait": wait}

    def output(self, name: str, *, failed: bool) -> Mapping[str, Any]:
        return {"name": name, "failed": failed}

    def part(self, run_id: str, attempt: int, offset: int, wait: float, by: str) -> Mapping[str, Any]:
        return {"run_id": run_id, "attempt": attempt, "offset": offset, "wait": wait, "by": by}


@pytest.fixture
def api() -> FakeControlApi:
    """Who answers."""
    return FakeControlApi()


@pytest.fixture
def faults() -> list[str]:
    """The errors that the application reported."""
    return []


@pytest.fixture
def path(tmp_path: Path, api: FakeControlApi, faults: list[str]) -> Iterator[Path]:
    """A socket on which a server listens."""
    made = tmp_path / "control.sock"
    with ControlServer(made, build_app(api, api, api, faults.append)):
        yield made


def raw(path: Path, data: bytes) -> bytes:
    """Send bytes and return the complete answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_only_owner_and_group_may_use_the_socket(path: Path) -> None:
    """Mode 0660, from the first moment that others can see it."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_each_request_has_its_path(path: Path, api: FakeControlApi) -> None:
    """Ids may hold characters that mean something in a path."""
    assert request(path, "GET", "/v1/status") == {"pid": os.getpid()}
    assert request(path, "GET", "/v1/zone-rules") == {"new_rules": ["Europe/Berlin"]}
    assert request(path, "GET", "/v1/cluster") == {"cluster": None}
    assert request(path, "GET", "/v1/records?job=x")["lines"] == ["job=x"]
    assert len(request(path, "GET", "/v1/jobs")["jobs"]) == 1000
    assert request(path, "GET", "/v1/names?begin=a%26b") == {"jobs": {"a&b1": ""}}
    assert request(path, "GET", "/v1/runs/abc?wait=1e9") == {"run_id": "abc", "wait": 30.0}
    assert (
        request(path, "GET", "/v1/runs/abc?wait=-1")["wait"]
        == request(path, "GET", "/v1/runs/abc?wait=nan")["wait"]
        == 0
    )
    with pytest.raises(ApiError, match="stopping"):
        request(path, "POST", "/v1/jobs/a.b%2Fc/run")
    assert request(path, "POST", "/v1/pause", {"jobs": ["a", "tag:b"], "reason": "é"}) == {"changed": True}
    assert request(path, "POST", "/v1/select", {"jobs": ["a", "b"]}) == {"jobs": ["b", "a"]}
    assert request(path, "POST", "/v1/resume", {"jobs": ["x" * 1000] * 200}) == {"changed": True}
    assert request(path, "POST", "/v1/stop", {"targets": ["a.b/c", "tag:x"]}) == {"runs": []}
    asked = [(what, value) if what == "run" else (what, json.loads(value)) for what, value, by in api.asked]
    assert asked == [
        ("run", "a.b/c"),
        ("pause", {"jobs": ["a", "tag:b"], "reason": "é"}),
        ("resume", {"jobs": ["x" * 1000] * 200}),
        ("stop", {"targets": ["a.b/c", "tag:x"]}),
    ]
    assert {by for _, _, by in api.asked} == {str(os.getuid())}


@pytest.mark.parametrize(
    ("head", "body", "status", "message"),
    [
        (b"Content-Length: 7", b"[1,2,3]", 400, "the body of this request is a JSON object"),
        (b"Content-Length: 5", b"{oops", 400, "the body of this request is a JSON object"),
        (b"Content-Length: 200000", b"[" * 200_000, 400, "the body of this request is a JSON object"),
        (b"Host: x", b"", 400, "the body of this request is a JSON object"),
        (b"Content-Length: 99", b"{}", 200, ""),
        (b"Content-Length: 300000", b"x" * 10, 413, "the body of a request has at most 262144 bytes"),
        (b"Content-Length: -1", b"", 413, "the body of a request has at most 262144 bytes"),
        (b"Content-Length: 9999999999999999999999", b"", 413, "the body of a request has at most 262144 bytes"),
    ],
)
def test_a_body_is_an_object_of_limited_size(path: Path, head: bytes, body: bytes, status: int, message: str) -> None:
    """A client that sends less than it says has said all."""
    answer = raw(path, b"POST /v1/pause HTTP/1.0\r\n" + head + b"\r\n\r\n" + body)
    assert answer.split()[1] == str(status).encode()
    if message:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"] == message


@pytest.mark.parametrize(
    ("method", "target", "status", "message"),
    [
        ("GET", "/v1/pause", 405, "`GET` is not allowed on this path"),
        ("GET", "/v1/jobs/nope", 404, "there is no job `nope`"),
        ("POST", "/v1/jobs/x/run", 409, "the service is stopping"),
        ("PUT", "/v1/jobs/x/run", 405, "`PUT` is not allowed on this path"),
        ("GET", "/v1/stop?target=x", 405, "`GET` is not allowed on this path"),
        ("POST", "/v1/stop", 400, "the body of this request is a JSON object"),
        ("GET", "/v1/jobs/x/run", 404, "there is no job `x/run`"),
        ("GET", "/v1/jobs/%C3%A9%2F..", 404, "there is no job `é/..`"),
        ("DELETE", "/v1/jobs/x", 405, "`DELETE` is not allowed on this path"),
        ("GET", "/", 404, "there is nothing at `/`"),
        ("GET", "/v1/status/", 404, "there is nothing at `/v1/status/`"),
        ("GET", "/v2/status", 404, "there is nothing at `/v2/status`"),
        ("GET", "/v1/runs/x?wait=soon", 400, "`wait` is a number of seconds"),
        ("GET", "/v1/jobs/broken", 500, "the service failed; see its log"),
    ],
)
def test_a_refusal_says_why(path: Path, faults: list[str], method: str, target: str, status: int, message: str) -> None:
    """As JSON with a message and, where there is one, help; an error of ours goes to the log."""
    with pytest.raises(ApiError) as no:
        request(path, method, target)
    assert (no.value.status, no.value.problem.message) == (status, message)
    assert faults == (["/v1/jobs/broken: ZeroDivisionError: injected"] if status == 500 else [])


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        *(
            (f"/v1/{word}", "GET")
            for word in ("status", "jobs", "definitions", "settings", "zone-rules", "cluster", "records", "output")
        ),
        *((f"/v1/{word}", "POST") for word in ("select", "stop", "pause", "resume", "reload")),
        ("/v1/jobs/x", "GET"),
        ("/v1/jobs/x/run", "GET, POST"),
        ("/v1/runs/abc", "GET"),
        ("/v1/runs/abc/output", "GET"),
        ("/v1/alerts/test", "POST"),
        ("/v1/alerts/test/x", "GET, POST"),
    ],
)
def test_a_path_names_the_methods_that_it_takes(path: Path, api: FakeControlApi, target: str, allowed: str) -> None:
    """To a request with another one; nothing is done then, and what a path takes it does take."""
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "x"):
        head, _, body = raw(path, f"{method} {target} HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        if method in allowed.split(", "):
            assert status.split()[1] != "405"
        else:
            assert (status.split()[1], f"Allow: {allowed}" in headers) == ("405", True)
            assert json.loads(body)["error"]["message"] == f"`{method}` is not allowed on this path"


def test_random_bytes_cost_nothing_but_their_own_connection(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two hundred times, of all lengths; nothing is printed, and the next request is answered."""
    random = Random(7)
    for _ in range(200):
        start = random.choice([b"", b"GET /v1/status HTTP/1.1\r\n", b"POST ", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5])
        answer = raw(path, start + random.randbytes(random.choice([0, 1, 10, 1000, 100_000])))
        assert not answer or json.loads(answer.partition(b"\r\n\r\n")[2] or answer)
    assert request(path, "GET", "/v1/status")
    assert capfd.readouterr() == ("", "")


def test_two_hundred_clients_at_once_are_all_answered(path: Path) -> None:
    """Half of them request a large answer."""
    with ThreadPoolExecutor(200) as pool:
        targets = ["/v1/status", "/v1/jobs"] * 100
        answers = list(pool.map(lambda target: request(path, "GET", target), targets))
    assert sum("pid" in one for one in answers) == 100
    assert sum(len(one.get("jobs", ())) for one in answers) == 100_000


def test_clients_that_hang_do_not_delay_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred send half a request, or read nothing of a large answer; they are closed in time."""
    before = threading.active_count()
    clients = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    monkeypatch.setattr(connection.ConnectionHandler, "timeout", 0.3)
    for number, client in enumerate(clients):
        client.connect(str(path))
        client.sendall(b"GET /v1/jobs HTTP/1.0\r\n\r\n" if number % 2 else b"GET /v1/jo")
    assert request(path, "GET", "/v1/status")
    wait_until(lambda: threading.active_count() <= before + 1, why="their threads have ended")
    for client in clients:
        client.close()


def test_a_client_that_sends_slowly_is_closed_in_the_end(
    tmp_path: Path, api: FakeControlApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However busy it keeps the connection."""
    monkeypatch.setattr(server, "MAX_CONNECTION_S", 0.0)
    with (
        ControlServer(tmp_path / "s", build_app(api, api, api, print)) as control,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(tmp_path / "s"))
        client.sendall(b"G")
        wait_until(lambda: control._server is not None and control._server._open)
        control.maintain(1e12)
        assert client.recv(10) == b""


def test_connections_beyond_the_limit_are_closed(
    tmp_path: Path, api: FakeControlApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads are bounded; open connections stay open."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(server, "MAX_WAIT_FOR_ROOM_S", 0.05)
    path = tmp_path / "s"
    with ControlServer(path, build_app(api, api, api, print)) as control:
        first = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for one in first:
            one.connect(str(path))
        wait_until(lambda: control._server is not None and len(control._server._open) == 2)
        third = socket.socket(socket.AF_UNIX)
        third.connect(str(path))
        assert control._server is not None
        wait_until(control._server._queue.waiting)
        control.maintain(time.monotonic() + 1)
        assert third.recv(1) == b""
        third.close()
        assert not any(one.recv(1, socket.MSG_DONTWAIT) for one in first if readable(one))
        for one in first:
            one.close()
        wait_until(lambda: control._server is not None and not control._server._open)
        assert request(path, "GET", "/v1/status")


def readable(client: socket.socket) -> bool:
    """Return whether bytes have arrived, or the other end has closed."""
    return bool(select.select([client], [], [], 0)[0])


def test_a_burst_of_clients_waits_for_its_turn(tmp_path: Path, api: FakeControlApi) -> None:
    """One user sends more requests than are answered at once, and than a queue usually holds: all are answered."""
    with ControlServer(tmp_path / "s", build_app(api, api, api, print)), ThreadPoolExecutor(300) as pool:
        assert len(list(pool.map(lambda _: request(tmp_path / "s", "GET", "/v1/status"), range(300)))) == 300


@pytest.mark.parametrize("room", [(1, 1), (8, 4)])
def test_the_connections_of_a_burst_are_released(
    tmp_path: Path, api: FakeControlApi, monkeypatch: pytest.MonkeyPatch, room: tuple[int, int]
) -> None:
    """However few may be open, one follows the other."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", room[0])
    monkeypatch.setattr(server, "MAX_OF_USER", room[1])
    with ControlServer(tmp_path / "s", build_app(api, api, api, print)) as control, ThreadPoolExecutor(100) as pool:
        assert len(list(pool.map(lambda _: request(tmp_path / "s", "GET", "/v1/status"), range(100)))) == 100
        wait_until(lambda: control._server is not None and not control._server._open)


# --- what a hostile client costs -------------------------------------------------------------------------


def test_the_head_of_a_request_is_bounded_as_a_whole(path: Path) -> None:
    """Each line of it may be long, and there may be many; together they have 16 KiB."""
    many = b"GET /v1/status HTTP/1.0\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 300) for n in range(90)) + b"\r\n"
    for head in (many, b"GET /v1/status HTTP/1.0\r\nX: " + b"y" * 60_000, b"GET /" + b"y" * 60_000):
        answer = raw(path, head)
        assert (answer.split(b" ")[1], b"at most 16384 bytes" in answer) == (b"431", True)
    fits = b"GET /v1/status HTTP/1.0\r\nX: " + b"y" * 16_000 + b"\r\n\r\n"
    assert raw(path, fits).startswith(b"HTTP/1.0 200")


def test_large_heads_on_many_connections_cost_no_memory(path: Path) -> None:
    """Forty clients send as many headers as are accepted, each as long as is accepted, and stay."""
    before = resident()
    clients = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for client in clients:
        client.settimeout(5)
        client.connect(str(path))
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(flood, clients))
    grown = resident() - before
    for client in clients:
        client.close()

    assert grown < 30 * 1024
    assert request(path, "GET", "/v1/status")


def flood(client: socket.socket) -> None:
    """Send 99 headers of 65 kB, and no end of the head."""
    with suppress(OSError):
        client.sendall(b"GET /v1/status HTTP/1.0\r\n")
        for number in range(99):
            client.sendall(b"X-%d: %s\r\n" % (number, b"y" * 65_000))


def resident() -> int:
    """Return the memory of this process, in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


HOLD = """
import socket, sys, time
clients = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
for client in clients:
    client.connect(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_one_user_cannot_take_the_connections_of_others(mallory: ThrowawayUser, api: FakeControlApi) -> None:
    """A user of the socket can keep connections open, but only so many of them."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        path.parent.chmod(0o755)
        with ControlServer(path, build_app(api, api, api, print)) as control:
            path.chmod(0o666)
            holder = mallory.popen(["/usr/bin/python3", "-c", HOLD, str(path), "350"], stdout=subprocess.PIPE)
            assert holder.stdout is not None
            holder.stdout.readline()
            began = time.monotonic()
            assert request(path, "GET", "/v1/status")
            assert time.monotonic() - began < 2
            assert control._server is not None
            connections = control._server._open
            wait_until(lambda: len(connections) <= server.MAX_OF_USER)  # one more is there until the oldest has gone
            holder.kill()
            holder.wait()
            holder.stdout.close()


def test_connections_are_admitted_by_user_in_turn() -> None:
    """Waiting ones are admitted when there is room, one user after the other; beyond the bounds they are refused."""
    room: ConnectionQueue[str] = ConnectionQueue(
        ConnectionLimits(max_open=3, max_open_of_user=2, max_waiting=3, max_waiting_of_user=2)
    )
    places = [room.admit(*one, now=1.0) for one in (("a1", 1), ("a2", 1), ("a3", 1), ("a4", 1), ("a5", 1), ("b1", 2))]

    admitted, queued, refused = AdmissionDecision
    assert places == [admitted, admitted, queued, queued, refused, admitted]
    assert room.admit("b2", 2, now=2.0) is queued
    assert room.admit("c1", 3, now=2.0) is refused
    assert room.release("b1") == "b2"
    assert room.release("a1") == "a3"
    assert room.release("a5") is None
    assert (room.expired(before=1.5), room.expired(before=9.0)) == (["a4"], [])


def test_large_answers_of_one_user_come_one_after_the_other() -> None:
    """So that clients that read nothing do not fill the memory with answers; other users do not wait for them."""
    app = build_app(FakeControlApi(), FakeControlApi(), FakeControlApi(), print)

    def size_of_jobs(user: int) -> int:
        with app(Request("GET", "/v1/jobs", uid=user)) as reply:
            return len(reply.body)

    with ExitStack() as unread, ThreadPoolExecutor(1) as pool:
        for _ in range(MAX_WAITING_OF_USER):
            unread.enter_context(app(Request("GET", "/v1/jobs", uid=1)))
        assert all(size_of_jobs(user) > 300_000 for user in (2, 3))
        next_one = pool.submit(size_of_jobs, 1)
        assert wait([next_one], timeout=0.2).not_done
        unread.close()
        assert next_one.result(20) > 300_000


def test_a_client_that_does_not_read_loses_its_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When the server gives it up, without printing anything."""
    monkeypatch.setattr(connection.ConnectionHandler, "timeout", 0.5)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(MAX_WAITING_OF_USER)]
    for client in clients:
        client.connect(str(path))
        client.sendall(b"GET /v1/jobs HTTP/1.0\r\n\r\n")
    assert len(request(path, "GET", "/v1/jobs")["jobs"]) == 1000
    for client in clients:
        client.close()
    assert capfd.readouterr() == ("", "")


def test_a_removed_socket_is_made_again(tmp_path: Path, api: FakeControlApi) -> None:
    """Another program cleaned up too much; the service need not be restarted."""
    path = tmp_path / "run" / "s"
    path.parent.mkdir()
    with ControlServer(path, build_app(api, api, api, print)) as control:
        path.unlink()
        control.maintain(0.0)
        assert request(path, "GET", "/v1/status")
        path.unlink()
        path.parent.rmdir()
        control.maintain(0.0)
        path.parent.mkdir()
        control.maintain(0.0)
        assert request(path, "GET", "/v1/status")
        assert control.made == server.MadeSocket(3, socket_file.file_identity(path))
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(path: Path, api: FakeControlApi) -> None:
    """A crash left a stale one: no process listens on it."""
    with pytest.raises(ListenError) as cannot, ControlServer(path, build_app(api, api, api, print)):
        pass
    assert "is in use by another service" in str(cannot.value)
    assert request(path, "GET", "/v1/status")

    stale = path.with_name("stale")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
        left.listen()
    with ControlServer(stale, build_app(api, api, api, print)):
        assert request(stale, "GET", "/v1/status")
    assert not stale.exists()


def test_the_end_of_one_service_leaves_the_socket_of_the_next(tmp_path: Path, api: FakeControlApi) -> None:
    """The file of that name is not its own any more."""
    path = tmp_path / "s"
    with ControlServer(path, build_app(api, api, api, print)):
        path.unlink()
        with ControlServer(path, build_app(api, api, api, print)):
            pass
        path.touch()
    assert path.exists()


@pytest.mark.parametrize(
    ("prepare", "message", "help_"),
    [
        (lambda path: path.write_text("mine"), "there is a file of that name", "`--socket FILE`"),
        (lambda path: path.mkdir(), "there is a file of that name", "`--socket FILE`"),
        (lambda path: path.parent.rmdir(), "does not exist", "`mkdir -p "),
    ],
    ids=["file", "directory", "no directory"],
)
def test_a_socket_that_cannot_be_made_says_why(
    tmp_path: Path, api: FakeControlApi, prepare: Callable[[Path], object], message: str, help_: str
) -> None:
    """A file in its place stays as it is."""
    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    prepare(path)
    with pytest.raises(ListenError) as cannot, ControlServer(path, build_app(api, api, api, print)):
        pass
    assert message in cannot.value.problem.message
    assert help_ in (cannot.value.problem.help or "")
    assert not path.is_file() or path.read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path, api: FakeControlApi) -> None:
    """The kernel has a limit that few people know."""
    with (
        pytest.raises(ListenError, match="at most 107 bytes"),
        ControlServer(tmp_path / ("x" * 120), build_app(api, api, api, print)),
    ):
        pass


def test_an_unreachable_service_is_reported_with_help(tmp_path: Path) -> None:
    """No socket, no process that listens, no answer in time."""
    with pytest.raises(ServiceUnreachable, match="there is no socket"):
        request(tmp_path / "none", "GET", "/v1/status")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    with pytest.raises(ServiceUnreachable, match="no process listens") as gone:
        request(tmp_path / "left", "GET", "/v1/status")
    assert "systemctl status jobscheduler" in (gone.value.problem.help or "")


def test_a_malformed_answer_is_refused(tmp_path: Path) -> None:
    """Another program listens there."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ServiceUnreachable, match="does not answer"):
            request(path, "GET", "/v1/status")
        thread.join()


def test_the_answer_is_plain_http_with_json(path: Path) -> None:
    """So `curl --unix-socket` and any language's client can use it."""
    head, _, body = raw(path, b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["pid"] == os.getpid()
    assert http.client.responses[200] == "OK"


def test_no_other_file_gets_the_mode_of_the_socket(tmp_path: Path) -> None:
    """In a directory of another user's a link may replace the socket while it is made."""
    victim, link = tmp_path / "victim", tmp_path / ".link"
    victim.touch(0o600)
    link.symlink_to(victim)
    socket_file.open_to_group(link)
    socket_file.open_to_group(victim)
    assert victim.stat().st_mode & 0o777 == 0o600


def test_the_file_is_closed_to_all_but_its_owner_until_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the umask: with none, `bind` would let in every user for a moment."""
    modes = []
    monkeypatch.setattr(socket_file, "open_to_group", lambda path: modes.append(stat.S_IMODE(path.stat().st_mode)))
    former = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            socket_file.bind_socket(listener, tmp_path / "s")
    finally:
        os.umask(former)
    assert modes == [0o600]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "it ended before it had answered"),
        (b"hello\r\n\r\n", "its answer is not http"),
        (b'HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{"a": 1}', "its answer was cut short"),
        (b"HTTP/1.0 200 OK\r\n\r\nno json", "expecting value"),
    ],
)
def test_an_answer_that_is_cut_or_from_another_program_is_told(tmp_path: Path, answer: bytes, why: str) -> None:
    """As a service that does not answer, with what to look at."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        server_thread = threading.Thread(target=serve)
        server_thread.start()
        with pytest.raises(ServiceUnreachable) as away:
            request(tmp_path / "s", "GET", "/v1/status")
        server_thread.join()
    assert why in away.value.problem.message
    assert away.value.exit_status == 3
