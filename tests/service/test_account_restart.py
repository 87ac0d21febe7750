"""The account where the service is killed at the worst moment: what ran, what waits and what was never decided.

Each test is one story with the real service and SIGKILL; everything is waited for.
"""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.accounting import FINAL
from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

SHORT = {"timetable.outage.OUTAGE_AFTER": 3.0, "service.clock_monitor.MIN_STANDSTILL_S": 2.0}
"""Seconds after which the service takes a pause for an outage, and for a standstill: users have 10 and 5."""


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


def test_a_slot_that_waits_is_not_lost_with_a_touch_and_a_crash(service: Service) -> None:
    """Touched or renamed before it, or touched after it: the slot has its record."""
    fields = {"overlap": "queue", "catch_up": 0}
    names = ("touched", "renamed", "afterwards", "control")
    for name in names:
        service.write(f"{name}.json", job(name, "* * * * * *", "sleep 300", **fields))
    service.options = ("--drain-timeout", "0")
    service.start()
    skipped = {name: service.wait_for("SKIPPED", job_id=name)[0]["scheduled"] for name in names}
    moved = datetime.now(UTC)
    (service.jobs / "touched.json").touch()
    (service.jobs / "renamed.json").rename(service.jobs / "other.json")
    wait_until(lambda: datetime.now(UTC) > moved + timedelta(seconds=1.5), why="it has been noticed")
    kill(service)
    (service.jobs / "afterwards.json").touch()
    service.start()
    assert service.stop() == 0

    for name in names:
        waiting = datetime.fromisoformat(skipped[name]) - timedelta(seconds=1)  # decided before the one too many
        found = [one["reason"] for one in service.words("MISSED", job_id=name, scheduled=f"{waiting:%FT%TZ}")]
        assert found == ["down"], name


def test_a_young_one_time_job_runs_whether_it_is_put_before_or_after_a_restart(service: Service) -> None:
    """Its instant lies before the stop and within `catch_up`; moved away and put back it does not run again."""
    service.start()
    at = datetime.now(UTC).replace(microsecond=0)
    wait_until(lambda: datetime.now(UTC) > at + timedelta(seconds=1))
    assert service.stop() == 0
    service.write("down.json", job("down", at.isoformat()))
    service.start()
    service.write("after.json", job("after", at.isoformat()))
    service.wait_for("SUCCESS", 2)
    for name in ("down", "after"):
        (service.jobs / f"{name}.json").rename(service.jobs.parent / name)
    service.wait_for("job.removed", 2)
    assert service.stop() == 0
    (service.jobs.parent / "down").rename(service.jobs / "down.json")
    service.start()
    (service.jobs.parent / "after").rename(service.jobs / "after.json")
    service.wait_for("job.added", 2)
    assert service.stop() == 0

    assert finals(service, "down") == finals(service, "after") == [("SUCCESS", None)]


@pytest.mark.parametrize("is_once", [True, False], ids=["once", "daily"])
def test_a_slot_that_came_while_the_service_drained_is_not_lost(service: Service, is_once: bool) -> None:
    """Its age does not count the time in which runs at work were waited for, however long that was."""
    service.constants = SHORT
    go = service.jobs.parent / "go"
    service.write("long.json", job("long", "@yearly", f"until [ -e {go} ]; do sleep 0.05; done"))
    service.start()
    asked = run_program([sys.executable, ROOT / "main.py", "run", "long", "--socket", service.socket])
    assert asked.returncode == 0
    service.wait_for("run.started", job_id="long")
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    schedule = at.isoformat() if is_once else f"{at.second} {at.minute} {at.hour} * * *"
    service.write("due.json", job("due", schedule, catch_up=2, timezone="UTC"))
    service.wait_for("job.added", job_id="due")
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: datetime.now(UTC) > at + timedelta(seconds=3.1))
    go.touch()
    assert service.process.wait(30) == 0
    assert finals(service, "due") == []
    service.start()
    service.wait_for("SUCCESS", job_id="due")

    assert finals(service, "due") == [("SUCCESS", None)]


def test_a_slot_that_came_while_the_service_was_frozen_runs_and_others_are_not_missed_as_down(service: Service) -> None:
    """The host did not move: that makes no slot older, and the service was up."""
    service.constants = SHORT
    at = datetime.now(UTC) + timedelta(seconds=3)
    service.write("due.json", job("due", at.isoformat(), catch_up=2))
    service.write("tick.json", job("tick", catch_up=0))
    service.start()
    service.wait_for("SUCCESS", job_id="tick")
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    resumed_at = at + timedelta(seconds=3.5)
    wait_until(lambda: datetime.now(UTC) > resumed_at, 30)
    service.process.send_signal(signal.SIGCONT)
    service.wait_for("SUCCESS", job_id="due")
    service.wait_for("MISSED", job_id="tick", reason="stalled")
    assert service.stop() == 0

    assert finals(service, "due") == [("SUCCESS", None)]
    assert [one["reason"] for one in service.words("MISSED", job_id="tick") if "last" in one] == ["stalled"]
