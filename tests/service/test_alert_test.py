"""`alert test`: alerts are sent on request, marked as a test, and what came of them is shown."""

from __future__ import annotations

import json

from tests.support.alert_host import Host, host, run_verb
from tests.support.service import job

__all__ = ["host"]

DAY = "0 0 1 1 *"


def test_an_alert_can_be_tested_and_its_receiver_answers(host: Host) -> None:
    """Marked as a test; the job has not failed, and nothing of how it stands changes."""
    service = host.service
    answer = 'echo "thank you for $JOB_ALERT $JOB_STATUS"'
    service.write("a.json", job("a", DAY, "true", on_failure=host.note(answer), on_recovery=host.note("exit 3")))
    service.write("good.json", job("good", DAY, "true", on_failure=host.note(answer)))
    service.write("none.json", job("none", DAY, "true"))
    service.start()
    good, both = (run_verb(service, "alert", "test", name) for name in ("good", "a"))
    shown = json.loads(run_verb(service, "alert", "test", "good", "--json").stdout)
    refused = [run_verb(service, "alert", "test", *names) for names in (["none"], ["goood"], [])]
    (listed,) = json.loads(run_verb(service, "list", "good", "--json").stdout.join("[]"))
    service.stop()

    assert good.returncode == 0, good.stderr
    assert good.stdout.startswith("on_failure: sent after ")
    assert good.stdout.endswith("exit_code=0\n  thank you for test TEST\n")
    assert both.returncode == 1
    assert [line.split(" after ")[0] for line in both.stdout.splitlines() if line[0] != " "] == [
        "on_failure: sent",
        "on_recovery: failed",
    ]
    assert [one["ok"] for one in shown["alerts"]] == [True]
    assert [one.returncode for one in refused] == [1, 1, 1]
    assert "has no alert" in refused[0].stderr
    assert "did you mean `good`?" in refused[1].stderr
    assert "the service has no alert for all jobs" in refused[2].stderr
    assert (listed["failures"], listed["last"]) == (0, None)
    assert len(service.words("alert.tested")) == 3
    assert {line["on"] for line in service.words("alert.sent")} == {"test"}


def test_the_alert_of_the_service_can_be_tested_without_a_job(host: Host) -> None:
    """One task for both changes is sent once."""
    path = str(host.file("default.json", host.note()))
    host.service.options = ("--on-failure", path, "--on-recovery", path)
    host.service.write("a.json", job("a", DAY, "true"))
    host.service.start()
    alone, of_job = run_verb(host.service, "alert", "test"), run_verb(host.service, "alert", "test", "a")
    host.service.stop()

    assert (alone.returncode, of_job.returncode) == (0, 0)
    assert [on for on, *_ in host.answer()] == ["test", "test"]
