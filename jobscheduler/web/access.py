"""Decide which requests are answered: those that mean this host, only read, and send the token if there is one.

1. `Host` comes first. A web site open in a browser on this host can give its own name this host's address (DNS
   rebinding), and would then read the pages. But the request still carries that site's name.
2. An address as `Host` is fine, since a rebound request has a name. With a token, a name whose first part is this
   host's name is fine too: a rebinding site does not know the token.
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

Environ = Mapping[str, Any]  # a request, as WSGI passes it

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?")
_ASK = (
    ("WWW-Authenticate", 'Basic realm="jobscheduler", charset="UTF-8"'),
    ("WWW-Authenticate", 'Bearer realm="jobscheduler"'),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status, a sentence for people, and headers."""

    status: str
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class AccessCheck:
    """Check requests. `host_name` is the name of this host; with `token` None no token is needed."""

    def __init__(self, host_name: str, token: str | None) -> None:
        self._host_name = host_name.lower()
        self._token = None if token is None else token.encode()

    def reject(self, environ: Environ) -> Refusal | None:
        """Return why a request is refused; None if it is answered."""
        return self._wrong_host(environ) or _wrong_method(environ) or self._wrong_token(environ)

    def _wrong_host(self, environ: Environ) -> Refusal | None:
        match = _HOST.fullmatch(environ.get("HTTP_HOST", ""))
        if match is None:
            return Refusal("400 Bad Request", "The request names no host, or an invalid one.")
        if self._is_ours(match["name"].lower().rstrip(".")):
            return None
        return Refusal(
            "421 Misdirected Request",
            f"This is not the host `{match['name']}`. Use its address, `localhost` or `{self._host_name}`; "
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
    except ValueError:  # a name, not an address
        return False
    return True


def _token_in(environ: Environ) -> bytes:
    """Return the token of a request, from either scheme; empty if it has none."""
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    credentials: bytes = value.strip().encode("latin-1", "replace")
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() != "basic":
        return b""
    try:
        decoded = base64.b64decode(credentials, validate=True)
    except binascii.Error:  # not a header of this form: it is refused like a wrong token
        return b""
    return decoded.partition(b":")[2]
