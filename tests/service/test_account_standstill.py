"""Time in which the real service could not decide though up: frozen, draining, or with the log of another host."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.service.test_cli import run
from tests.support.service import Service, job

SHORT = {"timetable.outage.OUTAGE_AFTER": 3.0, "service.clock_monitor.MIN_STANDSTILL_S": 2.0}
"""Seconds after which the service takes a pause for an outage, and for a standstill: users have 10 and 5."""


def once(job_id: str, seconds: float, **fields: object) -> dict[str, object]:
    """Define a job with one slot, so many seconds from now."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return job(job_id, at.isoformat(timespec="seconds"), "true", **fields)


def test_a_service_that_was_frozen_was_stalled_and_slots_grew_no_older_meanwhile(service: Service) -> None:
    """SIGSTOP: what fell due meanwhile runs whatever its `catch_up` allows, and what is missed was never `down`."""
    service.constants = SHORT
    service.write("tick.json", job("tick", "* * * * * *", overlap="allow"))
    service.start()
    service.write("due.json", once("due", 3, catch_up="1s"))
    service.wait_for("job.added", job_id="due")
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    threading.Event().wait(6)  # longer than slots may come late without an outage
    service.process.send_signal(signal.SIGCONT)

    service.wait_for("SUCCESS", job_id="due")
    (missed,) = service.wait_for("MISSED", job_id="tick")
    assert (missed["reason"], int(missed["count"]) >= 3) == ("stalled", True)
    assert service.stop() == 0
    assert [line for line in service.words("MISSED") if line["reason"] != "stalled"] == []


def test_what_came_due_while_the_service_drained_runs_after_it_however_long_that_took(service: Service) -> None:
    """Its age counts from its start less the drain, and the reason is not `down`."""
    service.options = ("--drain-timeout", "60")
    service.constants = SHORT
    service.write("tick.json", job("tick", "* * * * * *"))
    service.write("long.json", job("long", "@yearly", "sleep 6"))
    service.start()
    service.write("due.json", once("due", 3, catch_up="2s"))
    service.wait_for("job.added", job_id="due")
    done = run("run", "long", "--socket", str(service.socket))
    assert done.returncode == 0, done.stderr
    service.wait_for("run.started", job_id="long")
    assert service.stop(seconds=40) == 0
    service.wait_for("SUCCESS", job_id="long")
    (stopping,) = service.words("service.stopping")
    (stopped,) = service.words("service.stopped")
    service.start()

    (ran,) = service.wait_for("SUCCESS", job_id="due")
    due = datetime.fromisoformat(ran["scheduled"])
    assert datetime.fromisoformat(stopping["time"]) < due
    assert datetime.fromisoformat(stopped["time"]) - due > timedelta(seconds=2)
    first, *_ = service.wait_for("MISSED", job_id="tick")
    assert first["reason"] == "stalled"
    assert service.stop() == 0


@pytest.fixture
def booted(service: Service, tmp_path: Path) -> Service:
    """A service that takes the name of the boot from a file, not started yet."""
    return service.patched(f"""
        from pathlib import Path
        from jobscheduler.util import host_id
        host_id.boot_id.__defaults__ = (Path({str(tmp_path / "boot")!r}),)
    """)


def test_a_log_that_goes_to_another_host_and_back_runs_what_is_for_a_boot_once_a_boot(booted: Service) -> None:
    """Each host says that it does not believe the other's log, and knows its own boot in it all the same."""
    booted.write("boot.json", job("boot", "@reboot"))
    for host, boot, runs, foreign in (("a", "1", 1, 0), ("b", "2", 2, 1), ("a", "1", 2, 2), ("a", "3", 3, 2)):
        (booted.jobs.parent / "boot").write_text(f"{boot * 8}\n", "ascii")
        booted.options = ("--host-id", host)
        booted.start()
        booted.wait_for("SUCCESS", runs, job_id="boot")
        assert booted.stop() == 0
        assert len(booted.words("run.started", job_id="boot")) == runs, (host, boot)
        assert len(booted.words("log.foreign")) == foreign, (host, boot)
    assert [line["here"] for line in booted.words("log.foreign")] == ["b", "a"]
