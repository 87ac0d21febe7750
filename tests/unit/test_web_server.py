"""The server: over a real socket, with requests that are slow, too big or too many; its beginning and its end."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse

import pytest

pytest.importorskip("waitress", reason="the extra `web` is not installed")

from jobscheduler.web import WebServer, server
from tests.support.service import wait_until
from tests.support.web_view import FakeServiceView, a_day

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    """A page that any user of this host may read."""
    with WebServer(("127.0.0.1", 0), a_day(), token=None) as made:
        yield made


def ask(web: WebServer, method: str = "GET", path: str = "/", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(*web.address, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def talk(web: WebServer, raw: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back until the end."""
    back = b""
    with socket.create_connection(web.address, timeout=20) as made, suppress(ConnectionError):
        made.sendall(raw)
        with suppress(OSError):  # it may have been closed by now
            made.shutdown(socket.SHUT_WR)
        while more := made.recv(65536):
            back += more
    return back


def test_pages_come_over_a_real_socket(web: WebServer) -> None:
    """With their headers, and nothing that names the server."""
    answer, body = ask(web)
    assert answer.status == 200
    assert b"backup-database" in body
    assert answer.getheader("Content-Security-Policy")
    assert answer.getheader("Server") is None


def test_head_has_no_body(web: WebServer) -> None:
    """The connection is in order afterwards."""
    answer, body = ask(web, "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.getheader("Content-Length") or 0) > 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_nothing_can_be_changed(web: WebServer, method: str) -> None:
    """Every method but the two is refused."""
    assert ask(web, method)[0].status == 405


def test_another_host_name_is_turned_away(web: WebServer) -> None:
    """As a browser would send it after its name was turned around."""
    assert ask(web, Host="evil.example")[0].status == 421


def test_the_token_is_needed_over_the_socket_too() -> None:
    """For everything: pages, metrics, health."""
    with WebServer(("127.0.0.1", 0), a_day(), token=TOKEN) as web:
        for path in ("/", "/metrics", "/healthz", "/style.css"):
            assert ask(web, path=path)[0].status == 401
            assert ask(web, path=path, Authorization=f"Bearer {TOKEN}")[0].status == 200


def test_a_fault_shows_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """500, and one line in the log."""
    view = FakeServiceView(broken=True)
    with WebServer(("127.0.0.1", 0), view, token=None) as broken:
        answer, body = ask(broken)
    assert answer.status == 500
    assert b"Traceback" not in body
    # the end of the server may come between the answer and the last step of waitress, which tells of that
    assert len([record for record in caplog.records if record.name == "web"]) == 1


def test_requests_that_are_too_big_are_refused(web: WebServer) -> None:
    """Headers beyond 16 KiB, bodies beyond 1 KiB; a client that keeps sending may find the connection closed."""
    long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"
    assert talk(web, long)[:12] in {b"HTTP/1.1 431", b"HTTP/1.0 431", b""}
    big = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    assert b" 413 " in talk(web, big).split(b"\r\n")[0]
    assert ask(web)[0].status == 200


def test_nonsense_is_answered_and_disturbs_no_other_client(web: WebServer) -> None:
    """Not HTTP at all, half a request, a request without `Host`."""
    assert b" 400 " in talk(web, b"\x16\x03\x01\x02\x00nonsense\r\n\r\n").split(b"\r\n")[0]
    assert talk(web, b"GET / HTTP/1.1\r\nHo") == b""
    assert b" 400 " in talk(web, b"GET / HTTP/1.1\r\n\r\n").split(b"\r\n")[0]
    assert ask(web)[0].status == 200


def test_a_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was opened and says nothing does not hold its place for ever."""
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", 1)
    monkeypatch.setattr(server, "CLEANUP_INTERVAL_S", 0)
    with (
        WebServer(("127.0.0.1", 0), a_day(), token=None) as web,
        socket.create_connection(web.address, timeout=20) as silent,
    ):
        wait_until(lambda: ask(web)[0].status == 200 and _is_closed(silent), why="the connection is closed")


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_requests_at_the_same_time_are_all_answered(web: WebServer) -> None:
    """More than there are threads; that some wait is no line of the log."""
    found: list[int] = []
    asking = [threading.Thread(target=lambda: found.append(ask(web)[0].status)) for _ in range(20)]
    for one in asking:
        one.start()
    for one in asking:
        one.join(60)
    assert found == [200] * 20


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_that_is_taken_is_a_warning_and_not_the_end(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Runs matter more than their page; nothing has to be closed afterwards."""
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        port = taken.getsockname()[1]
        with WebServer((address, port), a_day(), token=None) as web:
            assert web.error == f"the page cannot be served on `{address}`, port {port}: Address already in use"
    assert [record.getMessage() for record in caplog.records] == [web.error]


def test_a_page_that_cannot_be_made_is_a_warning_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation of the extra does not keep the jobs from running; the address is free again."""
    monkeypatch.setattr("jobscheduler.web.app.Pages", lambda view: 1 / 0)
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = found.getsockname()
    with WebServer(address, a_day(), token=None) as web:
        assert web.error
        assert "ZeroDivisionError" in web.error
        socket.create_server(address).close()


def test_a_service_with_very_many_descriptors_has_a_page() -> None:
    """More than 1024: some ways to wait for sockets know no more."""
    import os
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        with WebServer(("127.0.0.1", 0), a_day(), token=None) as web:
            assert ask(web)[0].status == 200
    finally:
        for one in kept:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_address_is_free_after_the_end_and_its_threads_are_gone() -> None:
    """At once, also with a connection that is still open."""
    before = threading.active_count()
    with WebServer(("127.0.0.1", 0), a_day(), token=None) as web:
        idle = socket.create_connection(web.address, timeout=20)
        assert ask(web)[0].status == 200
        begun = time.monotonic()
    took = time.monotonic() - begun
    with idle:
        assert took < server.SHUTDOWN_WAIT_S
        wait_until(lambda: threading.active_count() <= before, why="its threads have ended")
        with WebServer(web.address, a_day(), token=None) as again:
            assert again.error is None
            assert ask(again)[0].status == 200


def test_a_request_that_hangs_does_not_hold_up_the_end() -> None:
    """Its thread is a daemon; the service does not wait for a reader."""
    entered, release = threading.Event(), threading.Event()

    class Hanging(FakeServiceView):
        def snapshot(self):  # type: ignore[no-untyped-def]
            entered.set()
            release.wait(60)
            return super().snapshot()

    with WebServer(("127.0.0.1", 0), Hanging(), token=None) as web:
        made = socket.create_connection(web.address, timeout=20)
        made.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert entered.wait(20)
        begun = time.monotonic()
    assert time.monotonic() - begun < server.SHUTDOWN_WAIT_S + 1
    made.close()
    release.set()


def test_a_loop_that_fails_is_logged_and_continues(caplog: pytest.LogCaptureFixture) -> None:
    """The page survives an unforeseen fault."""
    with WebServer(("127.0.0.1", 0), a_day(), token=None) as web:
        real = web._server.maintenance
        faults = iter([OSError("out of something")])

        def broken(now: float) -> None:
            fault = next(faults, None)
            if fault:
                raise fault
            real(now)

        web._server.maintenance = broken
        web._server.next_channel_cleanup = 0
        wait_until(lambda: _answers(web), why="it serves again")
        wait_until(lambda: caplog.records, why="the fault is told")


def _answers(web: WebServer) -> bool:
    try:
        return ask(web)[0].status == 200
    except OSError:
        return False


def test_warnings_of_the_library_are_logged_once_in_a_while() -> None:
    """Under load there would be one for every request; that requests wait is none at all."""
    now = [0.0]
    seldom = server._RateLimitFilter(lambda: now[0])

    def complain(text: str, name: str = "waitress") -> bool:
        return seldom.filter(logging.LogRecord(name, logging.WARNING, "f", 1, text, (), None))

    assert [complain("Exception while serving /a"), complain("Exception while serving /b")] == [True, False]
    assert complain("another complaint")
    now[0] += server.QUIET_S
    assert complain("Exception while serving /c")
    assert not complain("Task queue depth is 3", "waitress.queue")


def test_the_package_itself_needs_nothing_of_the_extra() -> None:
    """A service without the page does not pay for it, and does not even import the package."""
    import subprocess

    extra = ("waitress", "jinja2", "prometheus_client")
    code = (
        "import sys, jobscheduler.service.main; print('jobscheduler.web' in sys.modules);"
        f"import jobscheduler.web; print([one for one in {extra} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n[]\n"
