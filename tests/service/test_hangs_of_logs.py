"""A log or a file with an alert that hangs: the other jobs go on, and it is named, in a real service."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import pytest

from tests.support.hang_checks import (
    SOON,
    assert_every_slot_once,
    assert_named,
    assert_stops,
    assert_tick_goes_on,
    assert_well,
    service,
    status,
    stderr_count,
)
from tests.support.hung_mounts import Mount, mount
from tests.support.service import Service, job, wait_until

__all__ = ["mount", "service"]


def test_an_alert_file_that_hangs_at_a_reload_stays_as_it_was(service: Service, mount: Mount) -> None:
    """The reload comes to its end; the file is read when it answers."""
    alert = mount.path / "alert.json"
    reply = service.jobs.parent / "told"
    (mount.real / "alert.json").write_text(
        json.dumps({"type": "execute_command", "command": f"echo $JOB_ID >> {reply}"})
    )
    service.options = (*service.options, "--on-failure", str(alert))
    service.start()
    mount.hang()
    service.process.send_signal(1)
    (kept,) = service.wait_for("alert.kept")
    assert kept["problem"] == f"the file with an alert `{alert}` does not answer"
    service.wait_for("service.reloaded")
    assert_tick_goes_on(service)
    assert_named(service, f"the file with an alert `{alert}`")
    service.write("bad.json", job("bad", "* * * * * *", "false"))
    service.wait_for("alert.sent", job_id="bad")
    mount.answer()
    assert_well(service)
    assert_stops(service)


def test_a_start_with_an_alert_file_that_hangs_runs_jobs_and_takes_it_later(service: Service, mount: Mount) -> None:
    """Jobs matter more than the file; it is used when it answers."""
    alert = mount.path / "alert.json"
    (mount.real / "alert.json").write_text(json.dumps({"type": "execute_command", "command": "true"}))
    service.options = (*service.options, "--on-failure", str(alert))
    mount.hang()
    service.start()
    service.wait_for("alert.kept")
    assert_tick_goes_on(service)
    mount.answer()
    assert_well(service)
    service.write("bad.json", job("bad", "* * * * * *", "false"))
    service.wait_for("alert.sent", job_id="bad")
    assert_stops(service)


def test_a_log_that_hangs_fails_and_runs_go_on_without_waiting(service: Service, mount: Mount) -> None:
    """Lines go to standard error, the issue is logged once, and when it answers the account has every slot once."""
    service.log = mount.path / "s.log"
    service.write("tock.json", job("tock"))
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    began = len(service.stderr().splitlines())
    mount.hang()
    wait_until(lambda: "ERROR log.lost" in service.stderr(), SOON, "the trouble is said")
    wait_until(lambda: stderr_count(service, began, "SUCCESS job_id=tick") >= 4, 14, "runs go on")
    url = next(line.partition("url=")[2] for line in service.stderr().splitlines() if "page.served" in line)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}healthz", timeout=5)
    with refused.value as answer:
        assert "the log file does not answer" in answer.read().decode()
    code, said = status(service)
    assert code == 1
    assert "the log file does not answer" in said
    assert stderr_count(service, began, "SKIPPED") <= 2
    assert stderr_count(service, began, "log.lost") == 1

    mount.answer()
    service.wait_for("log.restored")
    assert_well(service)
    assert_every_slot_once(service, "tick")
    assert_every_slot_once(service, "tock")
    assert len(service.words("log.lost")) == 1
    run_ids = [line["run_id"] for line in service.words("SUCCESS")]
    assert len(run_ids) == len(set(run_ids))
    assert_stops(service)


def test_a_service_is_ended_while_its_log_hangs(service: Service, mount: Mount) -> None:
    """The end says on standard error how many lines are lost, and its exit status shows that, too."""
    service.log = mount.path / "s.log"
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    mount.hang()
    time.sleep(0.5)
    began = time.monotonic()
    assert service.stop() == 1
    assert time.monotonic() - began < 8
    assert "log.lost" in service.stderr()
    assert "lines=" in service.stderr()
