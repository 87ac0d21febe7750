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

from jobscheduler.web import Web, connections, server
from tests.conftest import wait_until
from tests.web_face import FakeFace, a_day

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def served(face: FakeFace | None = None) -> Iterator[Web]:
    """A page that anybody on this host may read."""
    with Web(("127.0.0.1", 0), face or a_day(), token=None) as made:
        yield made


def status(web: Web, path: str, within: float = 20.0) -> tuple[int, str | None]:
    """Ask for a path; return the status, and when to come again."""
    connection = HTTPConnection(*web.bound, timeout=within)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]
    finally:
        connection.close()


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other end has closed a connection; whatever else came is passed over."""
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
    monkeypatch.setattr(connections, "REQUEST_S", 1.0)
    monkeypatch.setattr(server, "CLEANING", 0)
    with served() as web, socket.create_connection(web.bound, timeout=20) as slow, ExitStack() as stack:
        stack.enter_context(socket.create_connection(web.bound, timeout=20))
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
    monkeypatch.setattr(connections, "REQUEST_S", 1.0)
    monkeypatch.setattr(server, "CLEANING", 0)
    with served() as web, socket.create_connection(web.bound, timeout=20) as slow:

        def dripped() -> bool:
            with suppress(OSError):
                slow.send(b"\r\n")
            return is_closed(slow)

        wait_until(dripped, why="the connection is closed")


def test_a_mass_of_slow_connections_locks_nobody_out() -> None:
    """Each new connection takes the place of the oldest that has not asked for anything yet."""
    with served() as web, ExitStack() as stack:
        for _ in range(5):
            mass = [stack.enter_context(socket.create_connection(web.bound, timeout=20)) for _ in range(100)]
            for one in mass:
                with suppress(OSError):
                    one.send(HEAD)
            began = time.monotonic()
            assert status(web, "/healthz") == (200, None)
            assert time.monotonic() - began < 2
        assert len(web._server.active_channels) <= connections.MOST_OF_ADDRESS


def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would else be kept for as long as the client likes."""
    monkeypatch.setattr(connections, "ANSWER_S", 0.5)
    monkeypatch.setattr(server, "CLEANING", 0)
    face = FakeFace(outputs={"0123456789ab": b"x" * 20_000_000})
    with served(face) as web, socket.create_connection(web.bound, timeout=20) as slow:
        slow.sendall(b"GET /output/0123456789ab HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: any(one.answered for one in web._server.active_channels.values()))

        def tended() -> bool:
            status(web, "/healthz")
            return not any(one.total_outbufs_len for one in list(web._server.active_channels.values()))

        wait_until(tended, why="the answer is dropped")


def test_a_connection_has_one_answer() -> None:
    """Or a client could have many made that it does not read."""
    with served() as web, socket.create_connection(web.bound, timeout=20) as eager:
        eager.sendall((HEAD + b"\r\n") * 100)
        answer = b""
        with suppress(ConnectionError):
            while more := eager.recv(65536):
                answer += more
    assert answer.count(b"HTTP/1.1 200 OK") == 1


class Hanging(FakeFace):
    """Its pages take until they are released."""

    entered: Any = None
    release: Any = None

    def detail(self, job_id: str) -> Any:
        self.entered.release()
        self.release.wait(60)
        return super().detail(job_id)


def test_pages_that_take_long_hold_up_neither_health_nor_metrics() -> None:
    """Of many that are asked for at once a few are made, a few wait, and the rest are told to come again."""
    face = Hanging(jobs=a_day().jobs)
    face.entered, face.release = threading.Semaphore(0), threading.Event()
    name = next(one.id for one in face.jobs if one.id)
    threads, places = connections.LANES[connections.PAGES]
    with served(face) as web, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(status, web, f"/job/{name}", 60.0) for _ in range(60)]
        for _ in range(threads):
            assert face.entered.acquire(timeout=20)
        wait_until(lambda: sum(one.done() for one in asked) == 60 - threads - places)
        for _ in range(5):
            assert status(web, "/healthz", within=5) == (200, None)
            assert status(web, "/metrics", within=5) == (200, None)
        face.release.set()
        answers = [one.result() for one in asked]

    assert answers.count((200, None)) == threads + places
    assert answers.count((503, str(connections.RETRY_S))) == 60 - threads - places
