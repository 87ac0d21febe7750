"""Who is let in to the page: the host that a request means, its method, the token."""

from __future__ import annotations

from base64 import b64encode

import pytest

from jobscheduler.web.access import AccessCheck

TOKEN = "0123456789abcdef" * 2


def status(
    gate: AccessCheck, method: str = "GET", host: str | None = "localhost", authorization: str | None = None
) -> str:
    """The status with which a request is refused, empty if it is not."""
    environ = {"REQUEST_METHOD": method}
    environ |= {} if host is None else {"HTTP_HOST": host}
    environ |= {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    refusal = gate.reject(environ)
    return refusal.status if refusal else ""


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9080", "127.0.0.1:9080", "[::1]:9080", "build7", "build7.:80", "192.0.2.7:9080"]
)
def test_this_host_is_known_by_its_names_and_by_any_address(host: str) -> None:
    """Whoever sends an address has not been sent here by a name that was turned around."""
    assert status(AccessCheck("build7", None), host=host) == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "build7.evil.example", "127.0.0.1.evil.example"]
)
def test_another_name_is_turned_away(host: str) -> None:
    """A web site whose name suddenly means this host must not read the page through its visitor's browser."""
    assert status(AccessCheck("build7", None), host=host).startswith("421 ")


@pytest.mark.parametrize("host", [None, "", "a b", "localhost:x", "localhost:9080:1", "[::1", "user@localhost", "é"])
def test_a_request_that_names_no_host_is_a_bad_one(host: str | None) -> None:
    """Every browser and every scraper names one."""
    assert status(AccessCheck("build7", None), host=host).startswith("400 ")


def test_with_a_token_the_host_may_be_named_with_any_domain() -> None:
    """`Host` is a scraper's own name for this host; a rebinding site does not know the token."""
    gate = AccessCheck("build7", TOKEN)
    assert status(gate, host="build7.example.org:9080", authorization=f"Bearer {TOKEN}") == ""
    assert status(gate, host="other.example.org", authorization=f"Bearer {TOKEN}").startswith("421 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_nothing_but_reading_is_allowed(method: str) -> None:
    """With or without a token."""
    assert status(AccessCheck("build7", None), method).startswith("405 ")
    assert status(AccessCheck("build7", TOKEN), method, authorization=f"Bearer {TOKEN}").startswith("405 ")
    assert status(AccessCheck("build7", None), "HEAD") == ""


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("", TOKEN), basic("anybody", TOKEN), basic("ä", TOKEN)],
)
def test_the_token_is_taken_as_bearer_or_as_the_password_of_any_user(authorization: str) -> None:
    """Scrapers have the one, browsers the other."""
    assert status(AccessCheck("build7", TOKEN), authorization=authorization) == ""


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}0",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Digest {TOKEN}",
        TOKEN,
        basic(TOKEN, ""),
        basic("me", TOKEN + ":"),
        "Basic !!!",
        "Basic " + b64encode(TOKEN.encode()).decode(),
        "Bearer \xff\u20ac",
    ],
)
def test_anything_else_is_asked_for_the_token(authorization: str | None) -> None:
    """In a way that makes a browser ask its user; and it never fails otherwise, whatever is sent."""
    environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": "localhost"}
    refusal = AccessCheck("build7", TOKEN).reject({**environ, "HTTP_AUTHORIZATION": authorization or ""})
    assert refusal
    assert refusal.status.startswith("401 ")
    assert ("WWW-Authenticate", 'Basic realm="jobscheduler", charset="UTF-8"') in refusal.headers
