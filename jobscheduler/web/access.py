"""Who is let in: requests that mean this host, that only read, and that know the token if there is one.

1. `Host` first. A web site that a browser on this host has open can give its own name this host's address (DNS
   rebinding) and would then read the page; but the request still carries that site's name.
2. An address as `Host` is fine, since a rebound request has a name. If there is a token, a name with this host's name
   as its first part is fine too: who rebinds does not know the token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Environ = Mapping[str, Any]
"""A request, as WSGI gives it."""

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?")
_ASK = (
    ("WWW-Authenticate", 'Basic realm="jobscheduler", charset="UTF-8"'),
    ("WWW-Authenticate", 'Bearer realm="jobscheduler"'),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: an HTTP status, a sentence for people, and headers."""

    status: str
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class AccessCheck:
    """Judges requests. `host_name` is what this host is called; `token` None lets everybody in."""

    def __init__(self, host_name: str, token: str | None) -> None:
        self._host_name = host_name.lower()
        self._token = None if token is None else token.encode()

    def reject(self, environ: Environ) -> Refusal | None:
        """Say why a request is refused; None if it is not."""
        return self._wrong_host(environ) or _wrong_method(environ) or self._wrong_token(environ)

    def _wrong_host(self, environ: Environ) -> Refusal | None:
        found = _HOST.fullmatch(environ.get("HTTP_HOST", ""))
        if found is None:
            return Refusal("400 Bad Request", "The request names no host, or none that can be read.")
        if self._is_ours(found["name"].lower().rstrip(".")):
            return None
        return Refusal(
            "421 Misdirected Request",
            f"This is not the host `{found['name']}`. Use its address, `localhost` or `{self._host_name}`; "
            "a proxy has to send one of these as `Host`.",
        )

    def _is_ours(self, name: str) -> bool:
        if name in {"localhost", self._host_name} or _is_address(name):
            return True
        return self._token is not None and name.partition(".")[0] == self._host_name.partition(".")[0]

    def _wrong_token(self, environ: Environ) -> Refusal | None:
        if self._token is None or hmac.compare_digest(_token_in(environ), self._token):
            return None
        return Refusal("401 Unauthorized", "The token is needed, as Bearer or as the password of any user.", _ASK)


def _wrong_method(environ: Environ) -> Refusal | None:
    if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
        return None
    return Refusal("405 Method Not Allowed", "Nothing can be changed here, only read.", (("Allow", "GET, HEAD"),))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _token_in(environ: Environ) -> bytes:
    """Give the token of a request, from either scheme; empty if there is none."""
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    given: bytes = value.strip().encode("latin-1", "replace")
    if scheme.lower() == "bearer":
        return given
    if scheme.lower() != "basic":
        return b""
    try:
        decoded = base64.b64decode(given, validate=True)
    except binascii.Error:
        return b""
    return decoded.partition(b":")[2]
