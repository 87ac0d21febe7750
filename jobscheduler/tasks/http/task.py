"""The task type `http_request`: make one request and expect a status. Needs the extra `http`.

urllib3 is imported for the first request, so that the type can be listed and its fields checked without it.
"""

from __future__ import annotations

import base64
import functools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from jobscheduler.tasks.base import FieldError, Outcome, Task, TaskFailed
from jobscheduler.tasks.context import Alert, Context
from jobscheduler.tasks.http.canceller import Canceller
from jobscheduler.tasks.http.deadline import Deadline
from jobscheduler.tasks.http.errors import describe_error
from jobscheduler.tasks.http.fields import SCHEMA, TIMEOUT, check_fields, is_valid_host, url_secrets
from jobscheduler.util.durations import parse_duration
from jobscheduler.util.json_walk import iter_texts

if TYPE_CHECKING:
    from jobscheduler.tasks.http.client import Request, Response

MAX_REDIRECTS = 10

# How to get the HTTP client.
INSTALL = "`make install EXTRAS=http`, or `pip install 'urllib3>=2,<3'` into the service's own environment"

_REDIRECTS = (301, 302, 303, 307, 308)
_HARMLESS = frozenset({"accept", "accept-language", "cache-control", "content-type", "user-agent"})
_MIN_SECRET_CHARS = 4  # shorter secrets are not redacted in a response


class HttpRequest(Task):
    """Makes one HTTP request and expects a certain status."""

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield errors that the schema cannot express, and an error if the HTTP client is not installed."""
        yield from check_fields(fields)
        if not is_installed():
            yield FieldError((), "`http_request` needs an HTTP client", INSTALL, host_dependent=True)

    def secrets(self) -> Iterator[str]:
        """Yield the body, the values of headers, and the user, password, query and keys in the path of the URL."""
        url = urlsplit(self.fields["url"])
        for name, value in self._headers(url).items():
            if name.lower() not in _HARMLESS:
                yield from (value, value.partition(" ")[2])
        yield from url_secrets(url)
        yield from (text for _, text in iter_texts((self.fields.get("body"), self.fields.get("json"))))

    def run(self, context: Context) -> Outcome:
        """Make the request.

        Raises `TaskFailed` with the reason `http` if there is no complete response or its status is not expected,
        `timeout` if the limit of the run came first.
        """
        if not is_installed():
            raise TaskFailed(f"the HTTP client is not installed: {INSTALL}", reason="start")
        self.fields = _with_record(self.fields, context.alert)
        answer = self._ask(context)
        outcome = Outcome((("http_status", answer.status),), self._redact(answer.output))
        if not self._expects(answer.status):
            raise TaskFailed(self._unexpected(answer.status), reason="http", outcome=outcome)
        return outcome

    def _ask(self, context: Context) -> Response:
        until = time.monotonic() + parse_duration(self.fields.get("timeout", TIMEOUT))
        deadline = Deadline(until if context.deadline is None else min(until, context.deadline))
        request = self._request()
        with closing(Canceller()) as canceller:
            context.on_stop(canceller.cancel)
            try:
                return self._follow(request, deadline, canceller)
            except Exception as error:
                message = describe_error(error, urlsplit(self.fields["url"]), deadline.expired())
                if message is None:
                    raise
                is_late = context.stop_requested or (deadline.until < until and deadline.expired())
                raise TaskFailed(message, reason=(context.reason or "timeout") if is_late else "http") from None

    def _follow(self, request: Request, deadline: Deadline, canceller: Canceller) -> Response:
        from jobscheduler.tasks.http.client import send  # noqa: PLC0415 - an extra

        answer = send(request, deadline, canceller)
        for _ in range(MAX_REDIRECTS):
            if not (self.fields.get("follow_redirects") and answer.status in _REDIRECTS and answer.location):
                return answer
            request = _redirected(request, answer.status, answer.location)
            answer = send(request, deadline, canceller)
        raise TaskFailed(f"redirected more than {MAX_REDIRECTS} times", reason="http")

    def _request(self) -> Request:
        from jobscheduler.tasks.http.client import Request  # noqa: PLC0415 - an extra

        url = urlsplit(self.fields["url"])
        headers = self._headers(url)
        method = self.fields.get("method", "GET")
        return Request(url, method, headers, self._body(), self.fields.get("verify", True))

    def _headers(self, url: SplitResult) -> dict[str, str]:
        headers = {"User-Agent": "jobscheduler", "Accept": "*/*", "Accept-Encoding": "identity"}
        if "json" in self.fields:
            headers["Content-Type"] = "application/json"
        elif "body" in self.fields:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        if url.username is not None:
            pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        job_headers = self.fields.get("headers", {})
        overridden = {name.lower() for name in job_headers}
        return {**{name: value for name, value in headers.items() if name.lower() not in overridden}, **job_headers}

    def _body(self) -> bytes | None:
        if "json" in self.fields:
            return json.dumps(self.fields["json"], ensure_ascii=False).encode()
        body = self.fields.get("body")
        return None if body is None else str(body).encode()

    def _expects(self, status: int) -> bool:
        expected = self.fields.get("expected_status")
        if expected is None:
            return 200 <= status <= 299
        return status in (expected if isinstance(expected, list) else (expected,))

    def _unexpected(self, status: int) -> str:
        if status in _REDIRECTS and not self.fields.get("follow_redirects"):
            return "the server redirects; `follow_redirects` would go there"
        return "the status is not the expected one"

    def _redact(self, output: bytes) -> bytes:
        """Return the output without our secrets, because error pages often repeat the request."""
        for secret in sorted(set(self.secrets()), key=len, reverse=True):
            if len(secret) >= _MIN_SECRET_CHARS:
                output = output.replace(secret.encode(), b"[secret]")
        return output


def _with_record(fields: Mapping[str, Any], alert: Alert | None) -> Mapping[str, Any]:
    """Return the fields of a request. An alert without a body sends the record, by POST unless it sets a method.

    GET and HEAD requests stay without a body.
    """
    if alert is None or "body" in fields or "json" in fields or fields.get("method") in ("GET", "HEAD"):
        return fields
    job_headers = fields.get("headers", {})
    has_type = any(name.lower() == "content-type" for name in job_headers)
    headers = job_headers if has_type else {"Content-Type": "application/json", **job_headers}
    return {"method": "POST", **fields, "headers": headers, "body": alert.text}


def _redirected(request: Request, status: int, location: str) -> Request:
    """Return the request that follows a redirect. Another server gets no headers of the job and no body."""
    url = _joined(request.url, location)
    if (request.url.scheme, url.scheme) == ("https", "http"):
        raise TaskFailed("redirected from https to http, which is not followed", reason="http")
    headers = request.headers
    if _origin(url) != _origin(request.url):
        headers = {name: value for name, value in headers.items() if name.lower() in _HARMLESS | {"accept-encoding"}}
    if status == 303 or (status in (301, 302) and request.method == "POST"):
        bare = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        method = "HEAD" if request.method == "HEAD" else "GET"
        return replace(request, url=url, method=method, headers=bare, body=None)
    if request.body is not None and _origin(url) != _origin(request.url):
        raise TaskFailed("redirected to another server, which is not sent the body", reason="http")
    return replace(request, url=url, headers=headers)


def _joined(base: SplitResult, location: str) -> SplitResult:
    try:
        url = urlsplit(urljoin(base.geturl(), location))
        if url.scheme in ("http", "https") and url.hostname and is_valid_host(url.hostname) and url.port != 0:
            return url
    except ValueError:
        pass  # not a URL: refused like one of another scheme
    raise TaskFailed("redirected to an address that is not HTTP", reason="http")


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)


@functools.cache
def is_installed() -> bool:
    """Return whether urllib3 2 or later is installed. The answer is cached until the scheduler restarts."""
    try:
        return int(version("urllib3").partition(".")[0]) >= 2
    except (PackageNotFoundError, ValueError):
        return False
