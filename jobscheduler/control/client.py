"""Asking the running service, over its control socket."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shlex
import socket
from pathlib import Path
from typing import Any, cast

from jobscheduler.model import Problem

ANSWER_TIMEOUT_S = 60.0
"""How long an answer may take, in seconds."""


class ServiceUnreachable(Exception):
    """No service answers on the socket; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class ApiError(Exception):
    """The service says no; the problem says why."""

    def __init__(self, problem: Problem, status: int) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.status = status


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))  # waits for room in the queue, as it would not with a timeout
        self.sock.settimeout(self.timeout)


def request(path: Path, method: str, target: str) -> dict[str, Any]:
    """Ask the service whose socket this is, and return its answer; wait for one that is busy with many others.

    Raises:
        Unreachable: nobody answers there.
        Refusal: the service says no.

    """
    connection = _Connection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        answer = cast("dict[str, Any]", json.loads(response.read()))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceUnreachable(_explained(path, error)) from None
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        told = answer.get("error", {})
        raise ApiError(Problem(told.get("message", "the service refuses"), help=told.get("help")), response.status)
    return answer


def _explained(path: Path, error: Exception) -> Problem:
    number = error.errno if isinstance(error, OSError) else None
    start = "is it running? `systemctl status jobscheduler`; if it has another socket, name that with `--socket FILE`"
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return Problem(f"no service is reachable: there is no socket `{path}`", help=start)
    if number == errno.ECONNREFUSED:
        return Problem(f"no service is reachable: nobody listens on `{path}` any more", help=start)
    if number in {errno.EACCES, errno.EPERM}:
        help_ = f"only its owner and group may ask the service: `sudo`, or see `ls -l {shlex.quote(str(path))}`"
        return Problem(f"the control socket `{path}` may not be used by uid {os.geteuid()}", help=help_)
    why = os.strerror(number).lower() if number else (str(error) or type(error).__name__).lower()
    return Problem(f"the service on `{path}` does not answer: {why}", help=start)
