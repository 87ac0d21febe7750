"""Alerts of the real service: sent on a change, across restarts and stops, and never at the cost of a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

DAY = "0 0 1 1 *"


class Host:
    """A service, a job that fails as long as there is no file `works`, and a file in which alerts note themselves."""

    def __init__(self, service: Service, base: Path) -> None:
        self.service = service
        self.base = base
        self.works = base / "works"
        self.notes = base / "notes"

    def note(self, then: str = "true") -> dict[str, Any]:
        """A task that notes its alert."""
        return {"type": "execute_command", "command": f'echo "$JOB_ALERT $JOB_RECORD_RUN_ID" >> {self.notes}; {then}'}

    def job(self, **fields: Any) -> dict[str, Any]:
        """The job, each second."""
        return job("a", command=f"test -e {self.works}", **fields)

    def answer(self) -> list[list[str]]:
        return [line.split() for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def file(self, name: str, content: Any) -> Path:
        """A file beside the jobs directory that only its owner may write."""
        path = self.base / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(0o644)
        return path

    def wait_for_result(self, word: str, count: int = 1) -> list[dict[str, str]]:
        """Wait for that many more records."""
        return self.service.wait_for(word, len(self.service.words(word)) + count, job_id="a")


@pytest.fixture
def host(service: Service, tmp_path: Path) -> Host:
    """One that has not been started yet."""
    tmp_path.chmod(0o755)
    return Host(service, tmp_path)


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


def test_a_hanging_alert_is_ended_with_all_its_processes(host: Host) -> None:
    """At its limit, and not before; the job it is about runs on meanwhile, each second."""
    pids = host.base / "pids"
    hang = f"echo $$ >> {pids}; setsid sh -c 'echo $$ >> {pids}; exec sleep 600' & sleep 600"
    service = host.service.patched(
        "import jobscheduler.alerts.sender_pool as s; s.AlertSenderPool.__init__.__kwdefaults__['limit'] = 2.5"
    )
    service.write("a.json", host.job(on_failure={"type": "execute_command", "command": hang}))
    service.start()
    (failed,) = service.wait_for("alert.failed", reason="timeout")
    slots = [line["scheduled"] for line in service.words("FAILURE")]

    assert 2.5 <= float(failed["duration"]) < 8
    assert len(slots) >= 3
    gone = [int(pid) for pid in pids.read_text().split()]
    assert len(gone) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in gone))


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
    service.write("a.json", job("a"))
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


def test_an_alert_in_progress_at_a_stop_may_finish(host: Host) -> None:
    """And is sent before the last line of the log, which says that all is in order."""
    service = host.service
    service.write("a.json", host.job(on_failure=host.note("sleep 1.5")))
    service.start()
    wait_until(host.answer)
    assert service.stop() == 0

    words = [line["word"] for line in service.lines()]
    assert (
        words.index("service.stopping") < words.index("alert.sent") < words.index("service.stopped") == len(words) - 1
    )


def test_a_run_that_the_stop_itself_ends_says_nothing_about_its_job(host: Host) -> None:
    """It is no failure of the job, so its alert is not sent."""
    service = host.service
    service.options = ("--drain-timeout", "0")
    service.write("a.json", job("a", command="sleep 60", on_failure=host.note()))
    service.start()
    service.wait_for("run.started")
    assert service.stop() == 0

    assert service.words("FAILURE", reason="shutdown")
    assert host.answer() == []


def test_a_second_signal_stops_alerts_at_once(host: Host) -> None:
    """Although it was a run that it stopped; their processes are ended, and the log says so."""
    service = host.service
    service.write("slow.json", job("slow", command="sleep 60"))
    service.write("a.json", host.job(on_failure=host.note("exec sleep 60")))
    service.start()
    wait_until(host.answer)
    service.wait_for("run.started", job_id="slow")
    began = time.monotonic()
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("service.stopping")
    assert service.stop() == 0

    assert time.monotonic() - began < 8
    (failed,) = service.words("alert.failed")
    assert failed["reason"] == "shutdown"
    assert service.lines()[-1]["word"] == "service.stopped"


def test_a_kill_during_an_alert_doubles_no_slot(host: Host) -> None:
    """Alerts leave nothing in the account: every slot has one record. The alert itself is sent again."""
    service = host.service
    service.write("a.json", host.job(on_failure=host.note("sleep 1")))
    service.start()
    wait_until(host.answer)
    service.stop(signal.SIGKILL)
    service.start()
    host.wait_for_result("FAILURE", 2)
    assert service.stop() == 0

    slots = [line["scheduled"] for line in service.lines() if line["word"] in {"FAILURE", "SUCCESS"}]
    assert len(slots) == len(set(slots))
    assert service.words("FAILURE", reason="interrupted") == []
    assert [on for on, _ in host.answer()] == ["failure", "failure"]


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


def test_a_burst_of_failures_delays_no_run(host: Host) -> None:
    """Two hundred jobs fail at once and every alert hangs: the service keeps its slots and makes four threads."""
    service = host.service
    service.options = ("--drain-timeout", "0")
    service.constants = {"alerts.dispatcher.MIN_DRAIN_S": 0.5}
    hang = {"type": "execute_command", "command": f"echo $$ >> {host.notes}; exec sleep 60"}
    for number in range(200):
        service.write(f"j{number}.json", job(f"j{number}", "*/3 * * * * *", "false", on_failure=hang))
    service.write("tick.json", job("tick", overlap="allow"))
    service.start()
    wait_until(lambda: len({line["job_id"] for line in service.words("FAILURE")}) == 200, 30)
    assert service.process is not None
    names = [path.read_text() for path in Path(f"/proc/{service.process.pid}/task").glob("*/comm")]
    ticks = len(service.words("SUCCESS", job_id="tick"))
    service.wait_for("SUCCESS", ticks + 3, job_id="tick")
    slots = [line["scheduled"] for line in service.words("SUCCESS", job_id="tick")]
    service.process.send_signal(signal.SIGTERM)
    assert service.stop() == 0

    assert len(names) < 60
    assert len(host.notes.read_text().splitlines()) == 4
    assert len(slots) == len(set(slots))
    assert service.words("SKIPPED", job_id="tick") == service.words("MISSED", job_id="tick") == []
    assert {line["reason"] for line in service.words("alert.failed")} == {"shutdown"}
    assert sum(int(line["count"]) for line in service.words("alert.dropped")) == 196


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


@pytest.mark.parametrize("whose", ["own", "default"])
@pytest.mark.parametrize("what", ["deleted", "renamed"])
def test_a_job_that_is_deleted_while_it_runs_sends_its_alert(host: Host, whose: str, what: str) -> None:
    """Its run began with a definition that has an alert, or has none and leaves it to the service."""
    service, go = host.service, host.base / "go"
    fields = {"on_failure": host.note()} if whose == "own" else {}
    if whose == "default":
        service.options = ("--on-failure", str(host.file("on-failure.json", host.note())))
    definition = job("a", "@yearly", f"until [ -e {go} ]; do sleep 0.02; done; false", **fields)
    service.write("a.json", definition)
    service.start()
    assert run_verb(service, "run", "a").returncode == 0
    service.wait_for("run.started", job_id="a")
    if what == "deleted":
        (service.jobs / "a.json").unlink()
    else:
        service.write("a.json", {**definition, "job_id": "b"})
    service.wait_for("job.removed", job_id="a")
    go.touch()
    (failed,) = service.wait_for("FAILURE", job_id="a")
    service.wait_for("alert.sent", job_id="a")

    assert host.answer() == [["failure", failed["run_id"]]]


def test_alerts_that_wait_are_shown_and_those_that_are_dropped_are_named(host: Host) -> None:
    """By `status` while they wait, and by the log when the service has ended without them."""
    service = host.service
    hanging = {"type": "execute_command", "command": "exec sleep 60"}
    names = [f"j{number}" for number in range(7)]
    for name in names:
        service.write(f"{name}.json", job(name, "@yearly", "false", on_failure=hanging))
    service.options = ("--drain-timeout", "0")
    service.constants = {"alerts.dispatcher.MIN_DRAIN_S": 0.5}
    service.start()
    for name in names:
        assert run_verb(service, "run", name).returncode == 0
    service.wait_for("FAILURE", 7)
    wait_until(lambda: "7 pending" in run_verb(service, "status").stdout, step=0.2)
    answer = json.loads(run_verb(service, "status", "--json").stdout)
    service.stop()

    assert (sorted(answer["pending_alerts"]), answer["pending_alert_count"]) == (names, 7)
    failed = [one["job_id"] for one in service.words("alert.failed", reason="shutdown")]
    (dropped,) = service.words("alert.dropped", reason="shutdown")
    assert (len(failed), dropped["count"]) == (4, "3")
    assert sorted([*failed, *dropped["jobs"].split(",")]) == names


def run_verb(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """Call the command as a user would."""
    command = [sys.executable, str(ROOT / "main.py"), *words, "--socket", str(service.socket)]
    return run_program(command, text=True, timeout=60)


# --- alert test ------------------------------------------------------------------------------------------


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
