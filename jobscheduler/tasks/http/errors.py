"""Describe why a request got no response, without secrets: name only the server, never the path or query."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import SplitResult

from jobscheduler.tasks.http.size_limits import TooManyExtraBytes
from jobscheduler.util.hang_guard import CallHung


def describe_error(error: Exception, url: SplitResult, time_is_up: bool) -> str | None:
    """Return the message for an error of a request to `url`; None if the server is not its cause."""
    name = quote(url)
    if time_is_up:
        return f"{name} did not answer completely in time"
    if isinstance(error, socket.gaierror):
        return f"the host of {name} is not known: {(error.strerror or 'no answer').lower()}"
    if isinstance(error, CallHung):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no connection to {name} in time"
    return _about_tls(error, name) or _about_answer(error, name) or _about_connection(error, name)


def quote(url: SplitResult) -> str:
    """Return the server without secrets, for a log."""
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}:{url.port}" if url.port else f"{url.scheme}://{host}"


def _about_tls(error: Exception, name: str) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {name} is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {name}: {(error.reason or 'failed').lower().replace('_', ' ')}"
    return None


def _about_answer(error: Exception, name: str) -> str | None:
    if isinstance(error, TooManyExtraBytes):
        return f"{name} sent {error}"
    if isinstance(error, ConnectionError) and isinstance(error, http.client.HTTPException):
        return f"{name} closed the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"{name} does not answer with HTTP"
    if any(kind.__module__ == "urllib3.exceptions" for kind in type(error).__mro__):
        return f"{name} closed the connection before its answer was complete, or garbled it"
    return None


def _about_connection(error: Exception, name: str) -> str | None:
    if isinstance(error, ConnectionRefusedError):
        return f"{name} refuses the connection"
    if isinstance(error, FileNotFoundError | PermissionError):
        return "the file of certificates in `verify` cannot be read"
    if isinstance(error, OSError):
        return f"no connection to {name}: {(error.strerror or 'failed').lower()}"
    return None
