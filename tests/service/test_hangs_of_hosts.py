"""Lookups and files outside our own that do not answer: each is given up, named, and costs one thread."""

from __future__ import annotations

import grp
import pwd
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jobscheduler import web
from jobscheduler.config import Settings
from jobscheduler.service.checked_settings import read_web_token
from jobscheduler.service.errors import StartupError
from jobscheduler.tasks import hung_paths
from jobscheduler.tasks.command import accounts
from jobscheduler.tasks.http import connection
from jobscheduler.tasks.http.canceller import Canceller
from jobscheduler.tasks.http.client import Request, send
from jobscheduler.tasks.http.deadline import Deadline
from jobscheduler.util.hang_guard import CallHung, HangGuard
from tests.support.service import wait_until


@pytest.fixture
def hanging() -> Iterator[tuple[list[object], Callable[..., object]]]:
    """The calls so far, and a function that hangs until the end of the test."""
    calls: list[object] = []
    release = threading.Event()

    def hang(*arguments: object) -> object:
        calls.append(arguments)
        release.wait()
        raise KeyError(arguments)

    yield calls, hang
    release.set()
    wait_until(lambda: not hung_paths.GUARD.hung(), why="what hung has come back")


@pytest.mark.parametrize(
    ("module", "function", "user", "group", "what"),
    [(pwd, "getpwnam", "far", None, "user `far`"), (grp, "getgrnam", None, "afar", "group `afar`")],
)
def test_an_account_that_the_host_does_not_find_out_is_given_up_and_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
    hanging: tuple[list[object], Callable[..., object]],
    module: object,
    function: str,
    user: str | None,
    group: str | None,
    what: str,
) -> None:
    """As with a directory server that is away: the second run does not ask again, and other accounts are found."""
    calls, hang = hanging
    monkeypatch.setattr(accounts, "ACCOUNT_TIMEOUT_S", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(module, function, hang)
        for _ in range(3):
            with pytest.raises(CallHung, match=f"the host, when it is asked for the {what}, does not answer"):
                accounts.account(user, group)
    assert len(calls) == 1
    assert accounts.account("root").uid == 0


def test_a_file_of_certificates_that_hangs_is_given_up_and_read_once(
    monkeypatch: pytest.MonkeyPatch, hanging: tuple[list[object], Callable[..., object]]
) -> None:
    """The request ends with its name, before it connects."""
    calls, hang = hanging
    monkeypatch.setattr(hung_paths.GUARD, "patience", 0.2)
    monkeypatch.setattr(connection, "_trust", hang)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = urlsplit(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        asked = Request(url, "GET", {}, None, "/far/ca.pem")
        for _ in range(3):
            with pytest.raises(CallHung, match=r"the file of certificates `/far/ca\.pem` does not answer"):
                send(asked, Deadline(float("inf")), Canceller())
    assert len(calls) == 1


def test_a_token_file_that_hangs_ends_the_start_with_its_name(
    monkeypatch: pytest.MonkeyPatch, hanging: tuple[list[object], Callable[..., object]]
) -> None:
    """The page is not served without it."""
    _, hang = hanging
    monkeypatch.setattr(web, "load_token", hang)
    settings = Settings(http=("127.0.0.1", 0), http_token_file=Path("/far/token"))
    with pytest.raises(StartupError) as refused:
        read_web_token(settings, HangGuard(patience=0.2))
    assert refused.value.problem.message == "the token file `/far/token` does not answer"
    assert refused.value.problem.help == "put it on a file system that is there at the start"
