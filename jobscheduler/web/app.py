"""The WSGI application: routes, and the headers that keep the pages harmless."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from jobscheduler.util.text import format_error
from jobscheduler.web.access import AccessCheck, Environ
from jobscheduler.web.activity import Busy, Check
from jobscheduler.web.health_cache import HealthCache
from jobscheduler.web.metrics import Metrics
from jobscheduler.web.pages import Pages
from jobscheduler.web.view import ServiceView

_log = logging.getLogger("web")

HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"

# The headers of every answer: nothing is executed, embedded, guessed, passed on or stored.
SAFE = (  # of every answer
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)

MIN_GZIP_BYTES = 1400  # the smallest body worth compressing: less fits into one packet

MAX_QUERY_CHARS = 2000

RETRY_S = 5  # seconds until a client should ask again after it waited too long for others

StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: an HTTP status, a content type and the bytes."""

    status: str
    kind: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class _ClientGone(Exception):
    """The client has left, so nothing needs to be read for it."""


class App:
    """Answer GET and HEAD requests; nothing here can change anything."""

    def __init__(self, view: ServiceView, access: AccessCheck) -> None:
        self._view = view
        self._access = access
        self._pages = Pages(view)
        self._metrics = Metrics(view)
        self.wellness = HealthCache(view.health)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        answer = self._answer(environ)
        body, packed = _compress(answer.body, environ)
        length = ("Content-Length", str(len(body)))
        start_response(answer.status, [("Content-Type", answer.kind), length, *packed, *answer.headers, *SAFE])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: Environ) -> Answer:
        """Answer a request. An exception goes to the log; the client learns only that there was one."""
        try:
            refusal = self._access.reject(environ)
            if refusal is not None:
                return Answer(refusal.status, TEXT, f"{refusal.text}\n".encode(), refusal.headers)
            return self._route(environ)
        except (Busy, _ClientGone):
            text = b"Other requests are reading the log. Try again in a moment.\n"
            return Answer("503 Service Unavailable", TEXT, text, (("Retry-After", str(RETRY_S)),))
        except Exception as error:
            _log.error(
                "the page `%s` could not be made: %s", environ.get("PATH_INFO", "")[:200], _error_with_location(error)
            )
            return Answer("500 Internal Server Error", TEXT, b"The page could not be made. The log says why.\n")

    def _route(self, environ: Environ) -> Answer:
        path = environ.get("PATH_INFO", "") or "/"
        section, _, name = path.removeprefix("/").partition("/")
        match section, name:
            case ("healthz", ""):
                return self._health()
            case ("metrics", ""):
                body, kind = self._metrics.text(environ.get("HTTP_ACCEPT", ""))
                return Answer("200 OK", kind, body)
            case ("style.css", ""):
                return Answer("200 OK", "text/css; charset=utf-8", self._pages.style)
            case ("icon.svg", ""):
                return Answer("200 OK", "image/svg+xml", self._icon(environ))
            case ("output", run_id) if run_id:
                return self._output(run_id, partial(_check, environ))
        page = self._page(section, name, _query(environ), partial(_check, environ))
        if page is not None:
            return Answer("200 OK", HTML, page.encode("utf-8", "backslashreplace"))
        root = "../" * path.removeprefix("/").count("/")
        return Answer("404 Not Found", HTML, self._pages.not_found(root, name if section == "job" else "").encode())

    def _icon(self, environ: Environ) -> bytes:
        icons = self._pages.icons
        return icons.get(environ.get("QUERY_STRING", ""), icons[""])

    def _page(self, section: str, name: str, query: dict[str, str], check: Check) -> str | None:
        match section, name:
            case ("", ""):
                return self._pages.index(query, check)
            case ("files", ""):
                return self._pages.files(query)
            case ("run", run_id):
                return self._pages.run(run_id, query, check)
            case ("job", job_id):
                return self._pages.job(job_id, query, check)
        return None

    def _health(self) -> Answer:
        issue = self.wellness.issue()
        if issue is None:
            return Answer("200 OK", TEXT, b"ok\n")
        return Answer("503 Service Unavailable", TEXT, f"{issue}\n".encode("utf-8", "backslashreplace"))

    def _output(self, run_id: str, check: Check) -> Answer:
        output = self._pages.output(run_id, check)
        if output is None:
            return Answer("404 Not Found", TEXT, b"The output of this run is not kept.\n")
        return Answer("200 OK", TEXT, output)


def _check(environ: Environ) -> None:
    """Raise if the client has left, as far as the server knows."""
    if environ.get("waitress.client_disconnected", bool)():
        raise _ClientGone


def _query(environ: Environ) -> dict[str, str]:
    text = environ.get("QUERY_STRING", "")[:MAX_QUERY_CHARS]
    parameters = parse_qs(text, errors="replace", max_num_fields=None)
    return {key: values[-1] for key, values in parameters.items()}


def _compress(body: bytes, environ: Environ) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Compress a long body for a client that accepts that."""
    if len(body) < MIN_GZIP_BYTES or "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
        return body, ()
    return gzip.compress(body, compresslevel=1, mtime=0), (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))


def _error_with_location(error: BaseException) -> str:
    """Format an exception with its file and line: the log has one line for it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    location = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    return f"{format_error(error)}{location}"
