"""The client of the control socket: ask the running service."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from jobscheduler.config.own_paths import own_paths
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError

ANSWER_TIMEOUT_S = 60.0  # seconds until the service must have answered


class ServiceUnreachable(ProblemError):
    """No service answers on the socket; the problem says why and what to do."""


class ApiError(ProblemError):
    """The service refuses the request; the problem says why."""

    def __init__(self, problem: Problem, status: int) -> None:
        super().__init__(problem)
        self.status = status


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))  # before settimeout: so it waits for room in the queue
        self.sock.settimeout(self.timeout)


def request(path: Path, method: str, target: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Send a request to the service that listens on this socket, and return its answer; wait while the service is busy.

    `body` is sent as JSON.

    Raises:
        ServiceUnreachable: no service answers.
        ApiError: the service refuses the request.

    """
    connection = _Connection(path)
    try:
        connection.request(method, target, None if body is None else json.dumps(body).encode())
        response = connection.getresponse()
        answer = cast("dict[str, Any]", json.loads(response.read()))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceUnreachable(_explained(path, error)) from None
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        details = answer.get("error", {})
        raise ApiError(
            Problem(details.get("message", "the service refuses"), help=details.get("help")), response.status
        )
    return answer


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
        help_ = f"only its owner and group may ask the service: `sudo`, or see `ls -l {shlex.quote(str(path))}`"
        return Problem(f"the control socket `{path}` may not be used by uid {os.geteuid()}", help=help_)
    why = os.strerror(error_number).lower() if error_number else (str(error) or type(error).__name__).lower()
    return Problem(f"the service on `{path}` does not answer: {why}", help=start)
