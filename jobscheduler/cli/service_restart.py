"""Ask on when the service ends in the middle of a wait: after a restart the next one knows the run from its log."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobscheduler.cli.client_helpers import api_path
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.model import Problem

RETURN_S = 15.0  # within which a service that has ended is expected back: systemd waits one, then files are read
_PAUSE_S = 0.25  # between two attempts to reach it
_WAIT_S = 25  # that one request waits for the end of a run


class RunOutOfSight(ServiceUnreachable):
    """The service has ended while a run was waited for, and no other one knows how the run ended."""


def request_about_run(socket: Path, run_id: str, target: str) -> Mapping[str, Any]:
    """Ask about a run that the service has known; if the service ends, ask the next one.

    Raises:
        RunOutOfSight: no service comes back, or the next one does not know the run.
        ApiError: the service refuses the request.

    """
    try:
        return request(socket, "GET", target)
    except ServiceUnreachable as gone:
        _note(f"the service has ended; waiting up to {RETURN_S:g} s for it to come back")
        return _ask_next_service(socket, run_id, target, gone)


def wait_for_end(socket: Path, run_id: str) -> Mapping[str, Any]:
    """Wait until a run has ended and return what the service says of it; after a restart only its record is known.

    Raises:
        RunOutOfSight: as for `request_about_run`.

    """
    target = f"{api_path('runs', run_id)}?wait={_WAIT_S}"
    try:
        while True:
            answer = request(socket, "GET", target)
            if answer["record"] is not None or answer["cancelled"]:
                return answer
    except ServiceUnreachable:
        found = request_about_run(socket, run_id, f"{api_path('output')}?of={quote(run_id, safe='')}")
    return {"run_id": run_id, "record": found["record"], "cancelled": False, "left": [], "output": None}


def _ask_next_service(socket: Path, run_id: str, target: str, gone: ServiceUnreachable) -> Mapping[str, Any]:
    until = time.monotonic() + RETURN_S
    while time.monotonic() < until:
        time.sleep(_PAUSE_S)
        try:
            return request(socket, "GET", target)
        except ServiceUnreachable as still_gone:
            gone = still_gone
        except ApiError as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            message = f"the service was restarted, and its log does not know the run {run_id}: it had not begun"
            help_ = "`jobscheduler history` shows what ran, `jobscheduler list` what comes next"
            raise RunOutOfSight(Problem(message, help=help_)) from None
    message = f"the service has ended while the run {run_id} was waited for, and has not come back"
    help_ = f"`jobscheduler output {run_id}` shows all that is kept of it, and how it ended, also without a service"
    raise RunOutOfSight(Problem(message, notes=(gone.problem.message,), help=help_))


def _note(text: str) -> None:
    sys.stdout.flush()
    print_wrapped(text, sys.stderr)
    sys.stderr.flush()
