"""Connections of the page that send or read slowly, come in masses, or ask for what takes long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from typing import Any

import pytest

pytest.importorskip("waitress", reason="the extra `web` is not installed")

from jobscheduler.web import WebServer, connections, health_cache, server
from tests.support.service import wait_until
from tests.support.web_view import FakeServiceView, a_day

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def served(view: FakeServiceView | None = None) -> Iterator[WebServer]:
    """A page that any user of this host may read."""
    with WebServer(("127.0.0.1", 0), view or a_day(), token=None) as made:
        yield made


def status(web: WebServer, path: str, within: float = 20.0) -> tuple[int, str | None]:
    """Ask for a path; return the status, and when to come again."""
    connection = HTTPConnection(*web.address, timeout=within)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]
    finally:
        connection.close()


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other end has closed a connection; whatever else came is passed over."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def test_a_request_that_comes_drop_by_drop_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """However seldom it is silent: its age counts, long before its size does."""
    sent = 0
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(server, "CLEANUP_INTERVAL_S", 0)
    with served() as web, socket.create_connection(web.address, timeout=20) as slow, ExitStack() as stack:
        stack.enter_context(socket.create_connection(web.address, timeout=20))
        slow.sendall(HEAD)

        def dripped() -> bool:
            nonlocal sent
            with suppress(OSError):
                sent += slow.send(b"X: y\r\n")
            return is_closed(slow)

        wait_until(dripped, why="the connection is closed")
    assert sent < 8 * 1024, "the head of a request may have 16 KiB"


def test_lines_before_a_request_do_not_prolong_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty request is none."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(server, "CLEANUP_INTERVAL_S", 0)
    with served() as web, socket.create_connection(web.address, timeout=20) as slow:

        def dripped() -> bool:
            with suppress(OSError):
                slow.send(b"\r\n")
            return is_closed(slow)

        wait_until(dripped, why="the connection is closed")


def test_a_mass_of_slow_connections_locks_no_client_out() -> None:
    """Each new connection takes the place of the oldest that has not asked for anything yet."""
    with served() as web, ExitStack() as stack:
        for _ in range(5):
            mass = [stack.enter_context(socket.create_connection(web.address, timeout=20)) for _ in range(100)]
            for one in mass:
                with suppress(OSError):
                    one.send(HEAD)
            began = time.monotonic()
            assert status(web, "/healthz") == (200, None)
            assert time.monotonic() - began < 2
        assert len(web._server.active_channels) <= connections.MAX_OF_ADDRESS


def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would else be kept for as long as the client likes."""
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(server, "CLEANUP_INTERVAL_S", 0)
    view = FakeServiceView(printed={"0123456789ab": b"x" * 20_000_000})
    with served(view) as web, socket.create_connection(web.address, timeout=20) as slow:
        slow.sendall(b"GET /output/0123456789ab HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: any(one.answered for one in web._server.active_channels.values()))

        def tended() -> bool:
            status(web, "/healthz")
            return not any(one.total_outbufs_len for one in list(web._server.active_channels.values()))

        wait_until(tended, why="the answer is dropped")


def test_a_connection_has_one_answer() -> None:
    """Or a client could have many made that it does not read."""
    with served() as web, socket.create_connection(web.address, timeout=20) as eager:
        eager.sendall((HEAD + b"\r\n") * 100)
        answer = b""
        with suppress(ConnectionError):
            while more := eager.recv(65536):
                answer += more
    assert answer.count(b"HTTP/1.1 200 OK") == 1


class Hanging(FakeServiceView):
    """Its pages take until they are released."""

    entered: Any = None
    release: Any = None

    def detail(self, job_id: str) -> Any:
        self.entered.release()
        self.release.wait(60)
        return super().detail(job_id)


def test_pages_that_take_long_hold_up_neither_health_nor_metrics() -> None:
    """Of many that are asked for at once a few are made, a few wait, and the rest get 503."""
    view = Hanging(jobs=a_day().jobs)
    view.entered, view.release = threading.Semaphore(0), threading.Event()
    name = next(one.id for one in view.jobs if one.id)
    threads, places = connections.LANES[connections.PAGES_LANE]
    with served(view) as web, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(status, web, f"/job/{name}", 60.0) for _ in range(60)]
        for _ in range(threads):
            assert view.entered.acquire(timeout=20)
        wait_until(lambda: sum(one.done() for one in asked) == 60 - threads - places)
        for _ in range(5):
            assert status(web, "/healthz", within=5) == (200, None)
            assert status(web, "/metrics", within=5) == (200, None)
        view.release.set()
        answers = [one.result() for one in asked]

    assert answers.count((200, None)) == threads + places
    assert answers.count((503, str(connections.RETRY_AFTER_S))) == 60 - threads - places


class Unwell(FakeServiceView):
    """Its health takes until it is released."""

    entered: Any = None
    release: Any = None

    def health(self) -> str | None:
        self.entered.release()
        self.release.wait(60)
        return super().health()


def flood(web: WebServer, path: str, until: threading.Event) -> None:
    """Ask for a path on twelve connections at once, and have them all answered, again and again."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    while not until.is_set():
        with ExitStack() as stack, suppress(OSError):
            mass = [stack.enter_context(socket.create_connection(web.address, timeout=20)) for _ in range(12)]
            for one in mass:
                one.sendall(request)
            for one in mass:
                one.recv(100)


@pytest.mark.parametrize("probes", [50, pytest.param(500, marks=pytest.mark.deep)])
def test_a_mass_of_requests_for_health_does_not_make_the_service_unhealthy(probes: int) -> None:
    """To a probe 503 is 503, whatever the reason."""
    over = threading.Event()
    with served() as web, ThreadPoolExecutor(4) as pool:
        assert status(web, "/healthz") == (200, None)
        masses = [pool.submit(flood, web, "/healthz", over) for _ in range(4)]
        try:
            assert {status(web, "/healthz") for _ in range(probes)} == {(200, None)}
        finally:
            over.set()
        for one in masses:
            one.result()


def test_health_that_does_not_answer_holds_up_no_page_and_is_no_health() -> None:
    """The last result is served for a while, and not for ever."""
    view = Unwell()
    view.entered, view.release = threading.Semaphore(0), threading.Event()
    view.release.set()
    with served(view) as web, ThreadPoolExecutor(4) as pool:
        assert status(web, "/healthz") == (200, None)
        time.sleep(health_cache.FRESH_FOR_S * 2)
        view.entered = threading.Semaphore(0)
        view.release.clear()
        asked = pool.submit(status, web, "/healthz")
        assert view.entered.acquire(timeout=20)
        assert status(web, "/healthz", within=5) == (200, None)
        assert status(web, "/style.css", within=5) == (200, None)
        view.release.set()
        assert asked.result() == (200, None)


def test_health_is_computed_once_for_all_that_ask_in_a_moment() -> None:
    now, computed = [0.0], iter(["one", "two", "three"])
    well = health_cache.HealthCache(lambda: next(computed), lambda: now[0])
    assert not well.offer()
    assert well.issue() == "one"
    assert well.offer()
    assert well.issue() == "one"
    now[0] += health_cache.FRESH_FOR_S + 0.01
    assert not well.offer()
    assert well.issue() == "two"


def test_health_that_is_being_computed_is_the_former_one_for_a_while_only() -> None:
    now = [0.0]
    entered, release = threading.Event(), threading.Event()
    release.set()
    well = health_cache.HealthCache(lambda: (entered.set(), release.wait(60), "ill")[2], lambda: now[0])
    well.issue()
    entered.clear()
    release.clear()
    thread = threading.Thread(target=well.issue)
    thread.start()
    assert entered.wait(20)
    now[0] += health_cache.MAX_AGE_S - 0.01
    assert well.offer()
    now[0] += 0.02
    assert not well.offer()
    release.set()
    thread.join(20)
    assert well.offer()


def test_a_token_is_needed_for_health_that_the_loop_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_cache, "FRESH_FOR_S", 60.0)
    with WebServer(("127.0.0.1", 0), a_day(), token="secret-token") as web:
        for _ in range(2):
            connection = HTTPConnection(*web.address, timeout=20)
            connection.request("GET", "/healthz", headers={"Authorization": "Bearer secret-token"})
            assert connection.getresponse().status == 200
            connection.close()
            assert status(web, "/healthz")[0] == 401
