"""The client of the control socket: ask the running service."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from jobscheduler.config.own_paths import own_paths
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError

ANSWER_TIMEOUT_S = 60.0  # seconds until the service must have answered

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")
_MAX_LINE_BYTES = 16 * 1024
_FIRST_REFUSAL = 400  # the first status that refuses a request


class ServiceUnreachable(ProblemError):
    """No service answers on the socket; the problem says why and what to do."""

    exit_status = 3


class ApiError(ProblemError):
    """The service refuses the request; the problem says why."""

    def __init__(self, problem: Problem, status: int) -> None:
        super().__init__(problem)
        self.status = status


def request(
    path: Path, method: str, target: str, body: Mapping[str, Any] | None = None, *, hurry: float | None = None
) -> dict[str, Any]:
    """Send a request to the service that listens on this socket, and return its answer; wait while the service is busy.

    `body` is sent as JSON. With `hurry` each step may take so many seconds, and a busy service counts as none.

    Raises:
        ServiceUnreachable: no service answers.
        ApiError: the service refuses the request.

    """
    try:
        status, text = _exchange(path, _message(method, target, body), hurry)
        answer = cast("dict[str, Any]", json.loads(text))
    except (OSError, ValueError) as error:
        raise ServiceUnreachable(_explained(path, error)) from None
    if status >= _FIRST_REFUSAL:
        details = answer.get("error", {})
        raise ApiError(Problem(details.get("message", "the service refuses"), help=details.get("help")), status)
    return answer


def _message(method: str, target: str, body: Mapping[str, Any] | None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    length = f"Content-Length: {len(content)}\r\n" if content else ""
    return f"{method} {target} HTTP/1.0\r\nHost: localhost\r\n{length}\r\n".encode() + content


def _exchange(path: Path, message: bytes, hurry: float | None) -> tuple[int, bytes]:
    """Send a request; return the status and the body of the answer.

    The standard library's client would import ten times as much, for every verb.

    Raises:
        ValueError: this is not an answer, or not all of it.

    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(hurry)  # with None it waits for room in the queue
        connection.connect(str(path))
        connection.settimeout(hurry or ANSWER_TIMEOUT_S)
        connection.sendall(message)
        with connection.makefile("rb") as answer:
            match = _STATUS_LINE.match(first := answer.readline(_MAX_LINE_BYTES))
            if match is None:
                raise ValueError("its answer is not HTTP" if first else "it ended before it had answered")
            length = _body_length(answer)
            body = answer.read(length)
    if length is not None and len(body) < length:
        raise ValueError("its answer was cut short")
    return int(match[1]), body


def _body_length(answer: BinaryIO) -> int | None:
    """Read the headers, and return the length of the body; None if the end of the connection is its end."""
    length = None
    while line := answer.readline(_MAX_LINE_BYTES).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return length


def _explained(path: Path, error: Exception) -> Problem:
    error_number = error.errno if isinstance(error, OSError) else None
    systemctl = "systemctl --user" if path == own_paths(os.environ).socket else "systemctl"
    start = (
        f"is it running? `{systemctl} status jobscheduler`; if it has another socket, name that with `--socket FILE`"
    )
    if error_number in {errno.ENOENT, errno.ENOTDIR}:
        return Problem(f"no service is reachable: there is no socket `{path}`", help=start)
    if error_number == errno.ECONNREFUSED:
        return Problem(f"no service is reachable: no process listens on `{path}` any more", help=start)
    if error_number in {errno.EACCES, errno.EPERM}:
        see = f"see `ls -l {shlex.quote(str(path))}`; the setting `socket-group` opens it to a group"
        help_ = f"only its owner and group may ask the service: `sudo`, or {see}"
        return Problem(f"the control socket `{path}` may not be used by uid {os.geteuid()}", help=help_)
    why = os.strerror(error_number).lower() if error_number else (str(error) or type(error).__name__).lower()
    return Problem(f"the service on `{path}` does not answer: {why}", help=start)
