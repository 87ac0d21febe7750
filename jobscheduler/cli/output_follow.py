"""Follow the output of a run through the service, part by part, across its attempts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobscheduler.cli.client_helpers import api_path
from jobscheduler.cli.output_display import Display
from jobscheduler.cli.service_restart import request_about_run
from jobscheduler.control.client import request

WAIT_S = 25  # that one request waits for output
_PAUSE_S = 0.5  # before the next request when the service did not let this one wait


def follow(socket: Path, run_id: str, display: Display, *, attempt: int = 1) -> Mapping[str, Any] | None:
    """Show the output of a run from an attempt on, until the run has ended; return its record, None if it has none.

    Raises:
        RunOutOfSight: the service has ended, and no other one knows the run.
        ApiError: the service does not know the run.

    """
    offset, begun = 0, 0
    while True:
        asked_at = time.monotonic()
        query = f"attempt={attempt}&offset={offset}&wait={WAIT_S}"
        part = request_about_run(socket, run_id, f"{api_path('runs', run_id, 'output')}?{query}")
        if part["text"]:
            if begun != attempt:
                display.begin(part["job_id"], run_id, attempt)
                begun = attempt
            display.add(part["text"], part["missing"])
        offset = part["next"]
        if part["is_over"] or part["next_attempt"] is not None:
            if begun == attempt:
                display.end()
            if part["is_over"]:
                if part.get("node"):
                    display.elsewhere(part["node"])
                record: Mapping[str, Any] | None = part["record"]
                return record
            attempt, offset = part["next_attempt"], 0
        elif not part["text"] and time.monotonic() - asked_at < _PAUSE_S:
            time.sleep(_PAUSE_S)


def show(socket: Path, run: Mapping[str, Any], attempt: Mapping[str, Any], display: Display) -> None:
    """Show what one attempt had printed when the service described it, with its run.

    It may print faster than this shows it, so what came later is left to `follow`.
    """
    display.begin(run["job_id"], run["run_id"], attempt["attempt"])
    offset = 0
    while offset < attempt["total"]:
        path = f"{api_path('runs', run['run_id'], 'output')}?attempt={attempt['attempt']}&offset={offset}"
        part = request(socket, "GET", path)
        if not part["text"]:
            break
        display.add(part["text"], part["missing"])
        offset = part["next"]
    display.end()
