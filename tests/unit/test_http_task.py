"""`http_request`, against real servers that answer well, badly, slowly or not at all."""

import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobscheduler.model import Record, Status
from jobscheduler.tasks import Alert, Outcome, TaskFailed
from jobscheduler.tasks.http.task import HttpRequest
from tests.support.tasks import SLOT, context, descriptors, eventually, in_thread

pytest.importorskip("urllib3", reason="the extra `http` is not installed")


@dataclass
class Received:
    """One request as a server received it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers each connection with `answer(connection, asked)`, on a port of 127.0.0.1."""

    answer: Callable[[socket.socket, Received], None]
    tls: ssl.SSLContext | None = None
    asked: list[Received] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Server":
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.listener.close()

    def url(self, rest: str = "/", host: str = "127.0.0.1") -> str:
        """An address of this server."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{rest}"

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), ExitStack() as stack:
            stack.callback(connection.close)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
                stack.callback(connection.close)
            asked = read(connection)
            self.asked.append(asked)
            self.arrived.set()
            self.answer(connection, asked)


def read(connection: socket.socket) -> Received:
    file = connection.makefile("rb")
    method, target, _ = file.readline().decode("latin-1").split(" ")
    headers = {}
    while line := file.readline().strip().decode("latin-1"):
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = file.read(int(headers.get("content-length", 0)))
    file.close()
    return Received(method, target, headers, body)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda answer, **more: stack.enter_context(Server(answer, **more))


def respond(status: int = 200, body: bytes = b"", **headers: str) -> Callable[[socket.socket, Received], None]:
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    whole = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda connection, _: connection.sendall(whole)


def say(text: bytes) -> Callable[[socket.socket, Received], None]:
    return lambda connection, _: connection.sendall(text)


def request(url: str, run_context=None, **fields) -> Outcome:
    own = {"url": url, **fields}
    assert list(HttpRequest.check(own)) == []
    return HttpRequest(own).run(run_context or context())


def failure(url: str, run_context=None, **fields) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        request(url, run_context, **fields)
    return caught.value


def test_an_expected_response_is_a_success(serve):
    """With the status in the record and the body as output."""
    server = serve(respond(200, b"hello"))
    assert request(server.url("/path?a=b%20c")) == Outcome((("http_status", 200),), b"hello")
    assert (server.asked[0].method, server.asked[0].target) == ("GET", "/path?a=b%20c")
    assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_method_headers_and_body_are_sent(serve):
    """Text goes in UTF-8."""
    server = serve(respond())
    request(server.url(), method="PUT", headers={"X-Token": "t"}, body="é")
    asked = server.asked[0]
    assert (asked.method, asked.headers["x-token"], asked.body) == ("PUT", "t", "é".encode())
    assert asked.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_value_is_sent_as_json(serve):
    """With its content type, unless the job gives one."""
    server = serve(respond())
    request(server.url(), method="POST", json={"a": [1, None, "é"]})
    request(server.url(), method="POST", json=None, headers={"content-type": "application/x"})
    assert json.loads(server.asked[0].body) == {"a": [1, None, "é"]}
    assert [asked.headers["content-type"] for asked in server.asked] == ["application/json", "application/x"]
    assert server.asked[1].body == b"null"


@pytest.mark.parametrize(
    ("fields", "method", "body", "kind"),
    [
        ({}, "POST", b'{"status": "FAILURE"}', "application/json"),
        ({"method": "PUT"}, "PUT", b'{"status": "FAILURE"}', "application/json"),
        ({"headers": {"content-type": "text/x"}}, "POST", b'{"status": "FAILURE"}', "text/x"),
        ({"body": "mine"}, "GET", b"mine", "text/plain; charset=utf-8"),
        ({"json": None, "method": "PATCH"}, "PATCH", b"null", "application/json"),
        ({"method": "GET"}, "GET", b"", None),
    ],
)
def test_an_alert_without_a_body_sends_the_record(serve, fields, method, body, kind):
    """Fields of the job come first, and a run that is not an alert sends no record."""
    server = serve(respond())
    alert = Alert("failure", Record(SLOT, Status.FAILURE, "a"), '{"status": "FAILURE"}', {})
    request(server.url(), context(alert=alert), **fields)
    request(server.url())

    (alerted, plain) = server.asked
    assert (alerted.method, alerted.body, alerted.headers.get("content-type")) == (method, body, kind)
    assert (plain.method, plain.body) == ("GET", b"")


def test_the_user_in_the_url_becomes_a_header(serve):
    """It is not part of the request target."""
    server = serve(respond())
    request(server.url().replace("//", "//me:p%40ss@"))
    assert server.asked[0].headers["authorization"] == "Basic bWU6cEBzcw=="
    assert server.asked[0].target == "/"


def test_characters_that_a_url_cannot_hold_are_encoded(serve):
    """As a browser does it."""
    server = serve(respond())
    request(server.url("/é?q=ü"))
    assert server.asked[0].target == "/%C3%A9?q=%C3%BC"


@pytest.mark.parametrize(
    ("expected", "status", "good"),
    [(None, 204, True), (None, 404, False), (404, 404, True), (404, 200, False), ([200, 409], 409, True)],
)
def test_the_expected_status_decides(serve, expected, status, good):
    """It is 200 to 299 by default."""
    server = serve(respond(status, b"" if status == 204 else b"body"))
    fields = {} if expected is None else {"expected_status": expected}
    if good:
        assert request(server.url(), **fields).details == (("http_status", status),)
    else:
        failed = failure(server.url(), **fields)
        assert (failed.reason, failed.outcome) == ("http", Outcome((("http_status", status),), b"body"))


def test_a_redirect_is_not_followed_by_default(serve):
    """The message names the field that allows it."""
    server = serve(respond(302, Location="/there"))
    failed = failure(server.url())
    assert "follow_redirects" in str(failed)
    assert len(server.asked) == 1


def redirecting(status: int, to: str) -> Callable[[socket.socket, Received], None]:
    def answer(connection, asked):
        respond(200, b"there")(connection, asked) if asked.target == "/there" else respond(status, Location=to)(
            connection, asked
        )

    return answer


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_a_followed_redirect_keeps_the_method_where_it_must(serve, status, method):
    """307 and 308 send the body again, the others ask with GET."""
    server = serve(redirecting(status, "/there"))
    assert request(server.url(), method="POST", body="b", follow_redirects=True).output == b"there"
    assert (server.asked[1].method, server.asked[1].body) == (method, b"b" if method == "POST" else b"")


def test_another_server_gets_no_header_of_the_job(serve):
    """The target of a redirect is not meant to get secrets."""
    other = serve(respond(200))
    server = serve(redirecting(302, other.url("/there")))
    request(server.url().replace("//", "//me:pass@"), headers={"X-Token": "t", "Accept": "a/b"}, follow_redirects=True)
    assert not {"authorization", "x-token"} & other.asked[0].headers.keys()
    assert other.asked[0].headers["accept"] == "a/b"


def test_another_server_gets_no_body(serve):
    """A redirect that would send it elsewhere is a failure."""
    other = serve(respond(200))
    server = serve(redirecting(307, other.url("/there")))
    assert "not sent the body" in str(failure(server.url(), method="POST", body="b", follow_redirects=True))
    assert other.asked == []


@pytest.mark.parametrize(
    "to", ["ftp://example.org/", "http://[", "file:///etc/passwd", "http://h:99999/", "http://a..b/"]
)
def test_a_redirect_to_an_invalid_address_is_a_failure(serve, to):
    """With a message."""
    server = serve(redirecting(302, to))
    assert "redirected to an address that is not HTTP" in str(failure(server.url(), follow_redirects=True))


def test_redirects_in_a_circle_end(serve):
    """After ten."""
    server = serve(redirecting(302, "/again"))
    assert "redirected more than 10 times" in str(failure(server.url(), follow_redirects=True))


def test_a_refused_connection_is_reported():
    """With the server, and with no other part of the URL."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        failed = failure(f"http://127.0.0.1:{port}/secret?token=secret")
    assert (failed.reason, str(failed)) == ("http", f"http://127.0.0.1:{port} refuses the connection")


def test_an_unknown_host_is_reported():
    """Whatever the resolver says."""
    assert "the host of http://no-such-host.invalid is not known" in str(failure("http://no-such-host.invalid/"))


@pytest.mark.parametrize("stopped", [False, True])
def test_a_resolver_that_hangs_does_not_hold_the_run(monkeypatch, stopped):
    """No name server answers, and no signal interrupts the call. The run goes on without it."""
    asked, over, resolve = threading.Event(), threading.Event(), socket.getaddrinfo

    def silent(*arguments, **more):
        if more.get("flags"):
            return resolve(*arguments, **more)
        asked.set()
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no server answers")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    run_context = context()
    with in_thread(lambda: stopped and asked.wait() and run_context.stop("replaced")):
        failed = failure("http://example.invalid/", run_context, timeout=30 if stopped else 0.1)
    over.set()
    assert failed.reason == ("replaced" if stopped else "http")
    assert stopped or str(failed) == "http://example.invalid did not answer completely in time"


def hanging(serve, first: bytes = b"") -> Server:
    def answer(connection, _):
        connection.sendall(first)
        server.over.wait()

    server = serve(answer)
    return server


def dripping(serve, first: bytes, **more) -> Server:
    def answer(connection, _):
        connection.sendall(first)
        while not server.over.wait(0.01):
            connection.sendall(b"x")

    server = serve(answer, **more)
    return server


DRIPS = [
    b"",
    b"HTTP/1.1 200 OK\r\nX: ",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
]


def test_a_server_that_hangs_does_not_hold_the_run(serve):
    """The time limit of the request ends it."""
    server = hanging(serve)
    failed = failure(server.url(), timeout=0.2)
    assert (failed.reason, str(failed)) == ("http", f"http://127.0.0.1:{server.port} did not answer completely in time")


@pytest.mark.parametrize("first", DRIPS)
def test_a_server_that_sends_slowly_does_not_hold_the_run(serve, first):
    """In the status line, in a header and in the body: each byte comes in time, the response does not."""
    failed = failure(dripping(serve, first).url(), timeout=0.2)
    assert (failed.reason, "completely in time" in str(failed)) == ("http", True)


def test_a_server_that_sends_slowly_over_tls_does_not_hold_the_run(serve, certificate):
    """The deadline is the socket's, also below TLS."""
    server = dripping(serve, DRIPS[2], tls=server_side(certificate))
    failed = failure(server.url(), timeout=0.3, verify=certificate)
    assert "completely in time" in str(failed)


def test_a_server_that_never_speaks_tls_does_not_hold_the_run():
    """It accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        failed = failure(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.2)
    assert "completely in time" in str(failed)


def test_a_server_that_does_not_read_does_not_hold_the_run():
    """A large body waits for its reader."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        failed = failure(url, method="POST", body="x" * 5_000_000, timeout=0.2)
    assert "completely in time" in str(failed)


def test_the_limit_of_the_run_comes_first(serve):
    """Then the reason is `timeout`."""
    import time

    run_context = context(deadline=time.monotonic() + 0.2)
    assert failure(hanging(serve).url(), run_context).reason == "timeout"


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"])
def test_a_stop_ends_the_request_at_once(serve, first):
    """Whatever it waits for."""
    server = hanging(serve, first)
    run_context = context()

    def stop():
        server.arrived.wait()
        run_context.stop("replaced")

    with in_thread(stop):
        assert failure(server.url(), run_context).reason == "replaced"


def test_a_stop_before_the_start_sends_no_request(serve):
    """The run had to end while it was on its way."""
    server = serve(respond())
    run_context = context()
    run_context.stop("replaced")
    assert failure(server.url(), run_context).reason == "replaced"
    assert server.asked == []


def test_a_stop_during_the_connection_ends_it():
    """The listener's queue is full, so the connection does not come about."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [stack.enter_context(socket.socket()) for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        run_context = context()
        failures = []
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        with in_thread(lambda: failures.append(failure(url, run_context))):
            eventually(lambda: len(run_context._stop_request._callbacks) == 1)
            run_context.stop("shutdown")
        assert failures[0].reason == "shutdown"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\x16\x03garbage\r\n\r\n", "does not answer with HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "does not answer with HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "does not answer with HTTP"),
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nx", "garbled it"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nx", "garbled it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort", "garbled it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 9\r\n\r\nshort", "garbled it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nshort", "garbled it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 18 + b"\r\n\r\nshort", "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshort", "before its answer was complete"),
    ],
)
def test_a_broken_response_is_reported(serve, text, words):
    """Garbage, too many bytes, none, fewer than announced, and invalid sizes."""
    failed = failure(serve(say(text)).url())
    assert failed.reason == "http"
    assert words in str(failed)


def test_a_reset_connection_is_reported(serve):
    """The server vanished."""

    def reset(connection, _):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert "connection reset" in str(failure(serve(reset).url()))


def test_a_huge_response_is_read_up_to_a_limit(serve):
    """The first and the last part that were read are kept, and the connection is closed."""

    def flood(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 1_000_000)

    outcome = request(serve(flood).url())
    assert outcome.details == (("http_status", 200),)
    assert len(outcome.output) <= 64 * 1024
    assert b"bytes left out" in outcome.output


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "again", "words"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "whose head has more than 256 KiB"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", "whose head has more than 256 KiB"),
        (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", "whose head has more than 256 KiB"),
        (CHUNKED, b"1;" + b"x" * 60000 + b"\r\ny\r\n", "mostly frames"),
        (CHUNKED, b"1\r\ny\r\n", "mostly frames"),
        (CHUNKED + b"0\r\n", b"X: y\r\n", "mostly frames|or garbled it"),  # Python 3.14 has a limit
    ],
)
def test_a_response_of_endless_headers_or_frames_is_limited_in_bytes(serve, first, again, words):
    """Otherwise it would keep a core busy for the whole time limit."""
    sent = []

    def flood(connection, _):
        connection.sendall(first)
        while True:
            connection.sendall(again * (1 + 60000 // len(again)))
            sent.append(60000)

    failed = failure(serve(flood).url(), timeout=30)

    assert failed.reason == "http"
    assert re.search(words, str(failed))
    assert sum(sent) < 16 * 1024 * 1024


def test_small_chunks_and_some_interim_responses_are_accepted(serve):
    """Servers send bodies in pieces, and report that they are at work."""
    body = CHUNKED + b"".join(b"1\r\nx\r\n" for _ in range(50_000)) + b"0\r\nTrailer: y\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * 100

    assert request(serve(say(interim + body)).url()).output.count(b"x") == 50_000


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Made Up"])
def test_informational_responses_are_skipped(serve, status):
    """The final response decides, also after several of them with headers."""
    interim = f"HTTP/1.1 {status}\r\nLink: </style.css>; rel=preload\r\n\r\n".encode() * 3
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"

    outcome = request(serve(say(interim + final)).url())

    assert (outcome.details, outcome.output) == ((("http_status", 200),), b"done")


def test_no_proxy_of_the_environment_is_used(serve, monkeypatch):
    """A job goes where its URL says."""
    server = serve(respond(200, b"direct"))
    proxy = serve(respond(200, b"proxy"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    assert request(server.url()).output == b"direct"


def test_secrets_are_redacted_in_a_response_that_repeats_them(serve):
    """Error pages like to show the request, and the end of the response is in the log."""

    def echo(connection, asked):
        respond(500, f"{asked.target} {asked.headers}".encode())(connection, asked)

    url = serve(echo).url("/?key=hunter2%21").replace("//", "//me:letmein@")
    failed = failure(url, headers={"X-Token": "swordfish"})
    for secret in (b"hunter2", b"letmein", b"swordfish", b"bWU6"):
        assert secret not in failed.outcome.output
    assert b"[secret]" in failed.outcome.output


def test_a_key_in_the_path_and_a_value_as_sent_are_redacted(serve):
    """The address of a web hook is its password, and a server may repeat parts of a query as they came."""

    def echo(connection, asked):
        path, _, query = asked.target.partition("?")
        shown = [path, *(part.partition("=")[2] for part in query.split("&"))]
        respond(500, "\n".join(shown).encode())(connection, asked)

    failed = failure(serve(echo).url("/services/T0000/xoxb4hunter4swordfish?a=pässword&b=let%7Cme+in"))
    assert failed.outcome.output == b"/services/T0000/[secret]\n[secret]\n[secret]"


def test_no_descriptor_is_left_open(serve):
    """After responses, failures and timeouts."""
    good, bad = serve(respond(200, b"x")), serve(say(b"garbage\r\n\r\n"))
    request(good.url())
    eventually(lambda: not [thread for thread in good.threads[1:] if thread.is_alive()])
    before = descriptors()
    for _ in range(5):
        request(good.url())
        failure(bad.url())
    eventually(lambda: descriptors() == before)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> str:
    """A certificate that signs itself, for 127.0.0.1 and localhost; its key is in the file of the same name."""
    return signed_by_itself(tmp_path_factory.mktemp("tls") / "cert.pem")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory) -> str:
    """Another one for the same names."""
    return signed_by_itself(tmp_path_factory.mktemp("tls") / "other.pem")


def signed_by_itself(path: Path) -> str:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", path.with_suffix(".key"), "-out", path, "-days", "2", "-subj", "/CN=test",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(path)


def server_side(certificate: str) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, certificate.replace(".pem", ".key"))
    return tls


def test_a_certificate_that_is_trusted(serve, certificate):
    """`verify` names the file of those to trust."""
    server = serve(respond(200, b"safe"), tls=server_side(certificate))
    assert request(server.url(), verify=certificate).output == b"safe"
    assert request(server.url(host="localhost"), verify=certificate).output == b"safe"


def test_an_untrusted_certificate_is_refused(serve, certificate):
    """By default, and no request is sent."""
    server = serve(respond(200), tls=server_side(certificate))
    failed = failure(server.url())
    assert (failed.reason, "is not trusted" in str(failed)) == ("http", True)
    assert server.asked == []


def test_a_certificate_for_another_name_is_refused(serve, certificate):
    """Although it is trusted."""
    server = serve(respond(200), tls=server_side(certificate))
    assert "is not trusted" in str(failure(server.url(host="127.1"), verify=certificate))


def test_trust_can_be_given_up_explicitly(serve, certificate):
    """With `verify: false`, for this job and no other."""
    server = serve(respond(200, b"any"), tls=server_side(certificate))
    assert request(server.url(), verify=False).output == b"any"
    assert "is not trusted" in str(failure(server.url()))


@pytest.mark.parametrize("whose", ["of the job", "of the host", "directory of the host"])
@pytest.mark.parametrize("how", ["replaced", "in place"])
def test_certificates_that_change_on_disk_count_at_the_next_run(
    serve, certificate, other_certificate, tmp_path, monkeypatch, whose, how
):
    """A new authority is trusted at once, and one that was taken away is not any more."""
    server = serve(respond(200, b"safe"), tls=server_side(certificate))
    trusted = tmp_path / "certs" / "ca.pem"
    trusted.parent.mkdir()
    fields = {"verify": str(trusted)} if whose == "of the job" else {}
    if whose != "of the job":
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted if whose == "of the host" else tmp_path / "none.pem"))
        monkeypatch.setenv("SSL_CERT_DIR", str(trusted.parent if whose != "of the host" else tmp_path / "none"))

    def trust(path):
        if whose == "directory of the host":
            for old in trusted.parent.iterdir():
                old.unlink()
            shutil.copy(path, trusted.parent / f"{hash_name(path)}.0")
        elif how == "in place":
            trusted.write_bytes(Path(path).read_bytes())
        else:
            shutil.copy(path, tmp_path / "new.pem")
            (tmp_path / "new.pem").rename(trusted)

    for path in (other_certificate, certificate, other_certificate):
        trust(path)
        if path == certificate:
            assert request(server.url(), **fields).output == b"safe"
        else:
            assert "is not trusted" in str(failure(server.url(), **fields))


def hash_name(certificate):
    """Return the name under which OpenSSL looks for a certificate in a directory."""
    named = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", certificate], check=True, capture_output=True)
    return named.stdout.decode().strip()


def test_unchanged_certificates_are_read_once(serve, certificate, tmp_path, monkeypatch):
    """Reading them costs more than many a request."""
    server, copy, reads = serve(respond(200, b"safe"), tls=server_side(certificate)), tmp_path / "ca.pem", []
    shutil.copy(certificate, copy)
    make = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **of: reads.append(of) or make(**of))
    for _ in range(3):
        assert request(server.url(), verify=str(copy)).output == b"safe"
    assert reads == [{"cafile": str(copy)}]


def test_a_missing_file_of_certificates_is_reported(serve):
    """With its path."""
    assert "`verify` cannot be read" in str(failure("https://127.0.0.1:1/", verify="/no/such/file"))


def test_tls_with_a_server_without_it_is_reported():
    """With a message."""

    def greet():
        connection, _ = plain.accept()
        with connection:
            connection.sendall(b"220 mail.example.org ready\r\n")
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as plain, in_thread(greet):
        assert "no TLS with" in str(failure(f"https://127.0.0.1:{plain.getsockname()[1]}/"))
