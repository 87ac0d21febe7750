"""Alerts of the real service: sent on a change, across restarts and stops, and never at the cost of a job."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime
from itertools import pairwise

import pytest

from tests.support.alert_host import Host, host, run_verb
from tests.support.service import job

__all__ = ["host"]

DAY = "0 0 1 1 *"


def test_a_failure_sends_one_alert_and_so_does_the_recovery(host: Host) -> None:
    """Not the second failure, and not the second success; what the alert gets is about the run that changed it."""
    service = host.service
    service.write("a.json", host.job(on_failure=host.note(), on_recovery=host.note()))
    service.start()
    failures = host.wait_for_result("FAILURE", 2)
    host.works.touch()
    successes = host.wait_for_result("SUCCESS", 2)
    (failed, recovered) = service.wait_for("alert.sent", 2)
    assert service.stop() == 0

    assert host.answer() == [["failure", failures[0]["run_id"]], ["recovery", successes[0]["run_id"]]]
    assert (failed["level"], failed["job_id"], failed["on"], failed["exit_code"]) == ("INFO", "a", "failure", "0")
    assert (recovered["on"], recovered["run_id"]) == ("recovery", successes[0]["run_id"])
    assert {line["run_id"] for line in service.words("run.started")} == {
        line["run_id"] for line in (*service.words("FAILURE"), *service.words("SUCCESS"))
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_known_survives_a_restart(host: Host, form: str) -> None:
    """The log is all there is: a job that keeps failing sends no further alert, and its recovery does."""
    service = host.service
    service.options = ("--log-format", form)
    service.write("a.json", host.job(on_failure=host.note(), on_recovery=host.note()))
    service.start()
    service.wait_for("alert.sent", 1)
    service.stop(signal.SIGKILL)
    service.start()
    host.wait_for_result("FAILURE", 2)
    assert service.stop() == 0
    assert [on for on, _ in host.answer()] == ["failure"]

    host.works.touch()
    service.start()
    service.wait_for("alert.sent", 2)
    service.stop()
    assert [on for on, _ in host.answer()] == ["failure", "recovery"]


def test_a_count_of_failures_survives_a_crash_and_an_orderly_restart(host: Host) -> None:
    """Three in a row are one alert, however often the service begins anew between them."""
    service = host.service
    service.write("a.json", job("a", DAY, f"test -e {host.works}", alert={"after": 3}, on_failure=host.note()))
    for stop in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        service.start()
        assert run_verb(service, "run", "a", "--wait").returncode == 1
        told = len(service.words("FAILURE")) >= 3
        if told:
            service.wait_for("alert.sent", 1)
        assert len(host.answer()) == told
        service.stop(stop)

    assert len(host.answer()) == 1


def test_an_overdue_job_is_told_once_across_restarts_and_so_is_its_recovery(host: Host) -> None:
    """A job that never ran; a crash and a restart repeat neither the warning nor the alert."""
    service = host.service
    definition = job(
        "a", DAY, f"test -e {host.works}", success_within=2, on_failure=host.note(), on_recovery=host.note()
    )
    service.write("a.json", definition)
    service.start()
    (overdue,) = service.wait_for("job.overdue")
    service.wait_for("alert.sent", on="overdue")
    (shown,) = json.loads(run_verb(service, "list", "--json").stdout.join("[]"))
    for stop in (signal.SIGKILL, signal.SIGTERM):
        service.stop(stop)
        service.start()
    (again,) = json.loads(run_verb(service, "list", "--json").stdout.join("[]"))
    host.works.touch()
    for _ in range(2):
        assert run_verb(service, "run", "a", "--wait").returncode == 0
    service.wait_for("alert.sent", on="recovery")
    (after,) = json.loads(run_verb(service, "list", "--json").stdout.join("[]"))
    service.stop()

    assert (overdue["level"], overdue["job_id"], overdue["success_within"]) == ("WARNING", "a", "2.000")
    assert [one["overdue"] for one in (shown, again, after)] == [True, True, False]
    assert abs(parse(again["overdue_since"]) - parse(shown["overdue_since"])) < 2
    assert after["last_success"] is not None
    assert [on for on, *_ in host.answer()] == ["overdue", "recovery"]
    assert len(service.words("job.overdue")) == 1


def parse(instant: str) -> float:
    """Return an instant in Unix time."""
    return datetime.fromisoformat(instant).timestamp()


def test_only_the_end_of_a_run_counts_and_attempts_do_not(host: Host) -> None:
    """A run that succeeds at its second attempt is a success."""
    retry = {"attempts": 2, "delay": 0}
    command = f"test $JOB_ATTEMPT = 2 || test -e {host.works}"
    host.service.write("a.json", job("a", command=command, retry=retry, on_failure=host.note()))
    host.service.start()
    host.wait_for_result("SUCCESS", 2)
    host.service.stop()

    assert host.service.words("run.attempt_failed")
    assert host.answer() == []


def test_a_run_that_a_crash_interrupted_sends_its_alert_after_the_start(host: Host) -> None:
    """Its record is a failure like any other."""
    service = host.service
    service.write("a.json", job("a", command="sleep 60", on_failure=host.note()))
    service.start()
    service.wait_for("run.started")
    service.stop(signal.SIGKILL)
    service.start()
    (record,) = service.wait_for("FAILURE", reason="interrupted")
    service.wait_for("alert.sent", run_id=record["run_id"])
    service.stop(signal.SIGKILL)

    assert host.answer() == [["failure", record["run_id"]]]


def test_a_failing_alert_is_logged_and_has_no_other_effect(host: Host) -> None:
    """The job's record is what it was, and there is no further one."""
    host.service.write("a.json", host.job(on_failure=host.note("echo no mail here; exit 7")))
    host.service.start()
    (failed,) = host.service.wait_for("alert.failed")
    host.wait_for_result("FAILURE", 2)

    assert failed["level"] == "WARNING"
    assert (failed["job_id"], failed["on"], failed["reason"]) == ("a", "failure", "exit")
    assert (failed["exit_code"], failed["output"]) == ("7", "no mail here")
    assert {line["job_id"] for line in host.service.words("FAILURE")} == {"a"}
    assert len(host.answer()) == 1


def test_the_alert_outlives_the_next_run_and_a_replaced_one(host: Host) -> None:
    """Its processes carry a mark of their own, so what ends a run does not end the alert about it."""
    service = host.service
    alert = {"type": "execute_command", "command": f"sleep 1.5; echo done >> {host.notes}"}
    first = f"mkdir {host.base}/first 2>/dev/null && exit 1; sleep 30"
    service.write("a.json", job("a", command=first, overlap="replace", on_failure=alert))
    service.start()
    service.wait_for("FAILURE", 1, reason="exit")
    service.wait_for("FAILURE", 2, reason="replaced")
    service.wait_for("alert.sent")

    assert host.notes.read_text() == "done\n"


def test_the_services_own_alerts_are_for_jobs_that_say_nothing(host: Host) -> None:
    """One has its own, one has none, one says nothing; and a change of them is active after SIGHUP."""
    default = host.file("default.json", host.note())
    host.service.options = ("--on-failure", str(default))
    service = host.service
    service.write(
        "own.json", job("own", command="false", on_failure={"type": "execute_command", "command": "echo own"})
    )
    service.write("none.json", job("none", command="false", on_failure=None))
    service.write("default.json", job("default", command="false"))
    service.start()
    service.wait_for("alert.sent", 2)
    service.wait_for("FAILURE", 2, job_id="none")
    (first,) = service.words("FAILURE", job_id="default")[:1]
    assert host.answer() == [["failure", first["run_id"]]]
    assert {line["job_id"] for line in service.words("alert.sent")} == {"own", "default"}

    default.write_text('{"type": "execute_command",\n "comand": "x"}')
    service.process and service.process.send_signal(signal.SIGHUP)
    (kept,) = service.wait_for("alert.kept")
    assert (kept["level"], kept["file"], kept["line"], kept["column"]) == ("ERROR", str(default), "2", "2")
    assert (kept["problem"], kept["help"]) == ("unknown field `comand`", "did you mean `command`?")
    service.write("later.json", job("later", command="false"))
    service.wait_for("alert.sent", job_id="later")
    assert len(host.answer()) == 2

    host.file("default.json", {"type": "execute_command", "command": "exit 9"})
    service.process and service.process.send_signal(signal.SIGHUP)
    service.wait_for("service.reloaded", 2)
    service.write("last.json", job("last", command="false"))
    service.wait_for("alert.failed", job_id="last", exit_code="9")


@pytest.mark.parametrize(
    ("content", "mode", "shown"),
    [
        (
            '{"type": "execute_command",\n "comand": "x"}',
            0o644,
            ["unknown field `comand`", ":2:2", "did you mean `command`?"],
        ),
        ('{"type": "mail"}', 0o644, ["unknown task type `mail`", ":1:10"]),
        ("[]", 0o644, ["must be an object, not a list", ":1:1"]),
        (None, 0o644, ["the file does not exist", "default.json"]),
        ('{"type": "execute_command", "command": "x"}', 0o666, ["may be written by everybody", "install -T -o root"]),
    ],
)
def test_a_bad_alert_of_the_service_keeps_no_job_from_running(
    host: Host, content: str | None, mode: int, shown: list[str]
) -> None:
    """It is an error that names the place and the way out, and an issue in `status` until a reload finds it mended."""
    path = host.base / "default.json"
    if content is not None:
        host.file("default.json", content).chmod(mode)
    service = host.service
    service.env["JOBSCHEDULER_ON_RECOVERY"] = str(path)
    service.write("a.json", job("a", "@reboot"))
    service.start().wait_for("SUCCESS", job_id="a")

    (error,) = service.words("part.unusable")
    assert (error["level"], error["part"]) == ("ERROR", "the alerts for all jobs")
    said = f"{error['file']}:{error.get('line')}:{error.get('column')} {error['problem']} {error.get('help')}"
    assert all(words in said for words in shown), said
    status = run_verb(service, "status")
    assert status.returncode == 1
    assert f"the alerts for all jobs cannot be used: {error['problem']}" in status.stdout
    host.file("default.json", {"type": "execute_command", "command": "true"})
    assert run_verb(service, "reload").returncode == 0
    assert run_verb(service, "status").returncode == 0


def test_a_change_of_an_alert_moves_no_slot(host: Host) -> None:
    """It is logged as a change of the job, with the same next slot, and is active."""
    service = host.service
    service.write("a.json", host.job(jitter="0.2s"))
    service.start()
    host.wait_for_result("FAILURE", 1)
    service.write("a.json", {**host.job(jitter="0.2s"), "on_recovery": host.note()})
    (updated,) = service.wait_for("job.updated")
    host.works.touch()
    service.wait_for("alert.sent", on="recovery")
    assert service.stop() == 0

    assert updated["changed"] == "on_recovery"
    assert updated["next_before"] == updated["next_after"]
    slots = [line["scheduled"] for line in service.lines() if line["word"] in {"FAILURE", "SUCCESS"}]
    seconds = [int(slot[17:19]) for slot in slots]
    assert all((late - early) % 60 == 1 for early, late in pairwise(seconds))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_root_service_executes_no_alert_that_others_can_write(host: Host) -> None:
    """The rules of job files: owner, group, and the directory."""
    path = host.file("default.json", {"type": "execute_command", "command": "true"})
    host.service.options = ("--on-failure", str(path))
    for count, change in enumerate((lambda: os.chown(path, 65534, 0), lambda: path.chmod(0o664)), 1):
        change()
        host.service.start()
        assert len(host.service.words("part.unusable", file=str(path))) == count
        assert host.service.stop() == 0
        os.chown(path, 0, 0)
