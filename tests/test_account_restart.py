"""The account where the service is killed at the worst moment: what ran, what waits and what was never decided.

Each test is one story with the real service and SIGKILL; everything is waited for.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.accounting import FINAL
from tests.conftest import Service, job, wait_until


def kill(service: Service) -> None:
    """End the service without a word; its jobs' processes stay."""
    assert service.process is not None
    service.process.kill()
    service.process.wait(10)


def finals(service: Service, job_id: str) -> list[tuple[str, str | None]]:
    """Status and reason of each record of a job."""
    return [
        (line["word"], line.get("reason"))
        for line in service.lines()
        if line["word"] in FINAL and line["job_id"] == job_id
    ]


def test_what_has_run_does_not_run_again_however_often_the_service_is_killed(service: Service) -> None:
    """`@reboot` begins at no whole millisecond, nor need a one-time job; both are known again from the log."""
    ran = service.jobs.parent / "ran"
    at = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=123_456)
    for name, schedule in (("boot", "@reboot"), ("once", at.isoformat()), ("long", at.isoformat())):
        then = "; sleep 60" if name == "long" else ""
        service.write(f"{name}.json", job(name, schedule, f"echo {name} >> {ran}{then}", catch_up=3600))
    service.start()
    wait_until(lambda: ran.exists() and len(ran.read_text().splitlines()) == 3)
    service.wait_for("SUCCESS", 2)
    for _ in range(2):
        kill(service)
        service.start()
        service.wait_for("FAILURE")
    assert service.stop() == 0

    assert sorted(ran.read_text().split()) == ["boot", "long", "once"]
    assert finals(service, "boot") == finals(service, "once") == [("SUCCESS", None)]
    assert finals(service, "long") == [("FAILURE", "interrupted")]
