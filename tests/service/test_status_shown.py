"""What `status` and `validate` say of the service besides its jobs."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

NOTE = "`EST` has no summer time; `America/New_York` has"


def status(service: Service, *options: str) -> str:
    """Ask for the status as a person would."""
    command = [sys.executable, str(ROOT / "main.py"), "status", "--socket", str(service.socket), *options]
    return run_program(command, text=True, timeout=10).stdout


def test_status_shows_output_pipes_that_processes_of_ended_runs_hold(service: Service) -> None:
    """With the job and how many; they end with the processes."""
    go = service.jobs.parent / "go"
    holds = f"until [ -e {go} ]; do sleep 0.05; done"
    service.write("leaves.json", job("leaves", "@yearly", f"({holds}) & ({holds}) & true"))
    service.start()
    run = [sys.executable, str(ROOT / "main.py"), "run", "leaves", "--wait", "--socket", str(service.socket)]
    assert run_program(run, timeout=20).returncode == 0

    def answer() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(status(service, "--json"))
        return found

    assert (answer()["open_pipes"], answer()["open_pipe_count"]) == ({"leaves": 1}, 1)
    line = "pipes      1 output pipe open in processes that ended runs left behind: leaves (1)\n"
    assert line in status(service)
    go.touch()
    wait_until(lambda: not answer()["open_pipes"], 15, "the processes have ended", step=0.1)
    assert "left behind" not in status(service)


def test_the_start_warns_of_a_time_zone_of_the_service_that_surprises(service: Service) -> None:
    """With the words that a job with this `timezone` gets."""
    service.options = ("--timezone", "EST")
    service.start()
    (warned,) = service.words("zone.odd")
    assert (warned["zone"], warned["problem"]) == ("EST", NOTE)
    assert service.stop() == 0


@pytest.mark.parametrize(("zone", "says"), [("EST", True), ("America/New_York", False)])
def test_validate_warns_of_a_time_zone_of_the_service_that_surprises(service: Service, zone: str, says: bool) -> None:
    """The exit status stays that of the files."""
    file = service.write("a.json", job())
    command = [sys.executable, str(ROOT / "main.py"), "validate", "--timezone", zone, str(file)]
    done = run_program(command, text=True, timeout=10)
    assert done.returncode == 0
    assert (f"warning: {NOTE}\n help: it is the time zone of the service" in done.stdout) is says
