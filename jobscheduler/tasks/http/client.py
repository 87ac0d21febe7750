"""Make one HTTP exchange, limited in time and size. Only this and `connection.py` import urllib3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse, parse_headers
from typing import Any
from urllib.parse import SplitResult

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from jobscheduler.tasks.command.output_buffer import HeadTailBuffer
from jobscheduler.tasks.http.canceller import Canceller
from jobscheduler.tasks.http.connection import Connection, make_connection
from jobscheduler.tasks.http.deadline import Deadline
from jobscheduler.tasks.http.fields import percent_encode
from jobscheduler.tasks.http.size_limits import Allowance

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # read of one response

_CHUNK_BYTES = 64 * 1024  # of the body that are read at once
_LENGTH = re.compile(r"[0-9]{1,18}")  # an exabyte; a longer number overflows socket operations


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send."""

    url: SplitResult
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    verify: bool | str


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `location` is the target of a redirect."""

    status: int
    output: bytes
    location: str | None


def send(request: Request, deadline: Deadline, canceller: Canceller) -> Response:
    """Send the request and read the response.

    Raises `OSError` (`TimeoutError`, `ssl.SSLError` among them), `http.client.HTTPException` or
    `urllib3.exceptions.HTTPError`.
    """
    connection = make_connection(request.url, request.verify, deadline, canceller)
    try:
        connection.connect()
        connection.request(
            request.method,
            _target(request.url),
            body=request.body,
            headers=dict(request.headers),
            preload_content=False,
            decode_content=False,
        )
        return _read_response(connection, request.method)
    finally:
        connection.close()


def _target(url: SplitResult) -> str:
    """Return the request target: the path and the query."""
    query = f"?{url.query}" if url.query else ""
    return percent_encode((url.path or "/") + query)


def _read_response(connection: Connection, method: str) -> Response:
    """Read the response. An invalid response is a fault of the server, not a crash of the task.

    1. urllib3 and http.client raise plain errors for a size of a chunk or body that is negative or too large.
    2. When urllib3 refuses a header, it does not close the response of http.client. So it is closed here.
    """
    begun: list[HTTPResponse] = []

    def begin(*arguments: Any, **options: Any) -> HTTPResponse:
        begun.append(_FinalResponse(*arguments, **options))
        return begun[-1]

    connection.response_class = begin  # type: ignore[assignment]
    try:
        return _read_body(connection.getresponse(), method, connection.allowance)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ProtocolError("a garbled answer") from error
    finally:
        for response in begun:
            response.close()


def _read_body(response: BaseHTTPResponse, method: str, allowance: Allowance) -> Response:
    output = HeadTailBuffer()
    try:
        announced = _announced(response, method)
        allowance.allow(_CHUNK_BYTES)
        while output.total < MAX_ANSWER_BYTES and (chunk := response.read(_CHUNK_BYTES)):
            output.add(chunk)
            allowance.allow(output.total + _CHUNK_BYTES)
    finally:
        response.close()
    if announced is not None and output.total < min(announced, MAX_ANSWER_BYTES):
        raise ProtocolError("the answer is shorter than announced")
    return Response(response.status, output.kept().text, response.headers.get("Location"))


def _announced(response: BaseHTTPResponse, method: str) -> int | None:
    """Return the announced length of the body, None if there is none.

    The libraries ignore an invalid `Content-Length` and then accept a truncated body. So it is checked here.
    """
    lengths = {part.strip() for value in response.headers.getlist("Content-Length") for part in value.split(",")}
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise ProtocolError("a garbled Content-Length")
    if method == "HEAD" or response.status in (204, 304) or "Transfer-Encoding" in response.headers:
        return None
    return int(lengths.pop()) if lengths else None


class _FinalResponse(HTTPResponse):
    """A response that skips informational responses (102, 103 and so on), which http.client takes for final ones.

    101 stays final, because the connection then changes its protocol, which no request here asks for. The limit on
    the size of the head also limits the number of such responses.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101 or not 100 <= status < 200:
                return version, status, reason
            parse_headers(self.fp)
