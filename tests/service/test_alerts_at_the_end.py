"""Alerts of the real service that are on their way when it ends, hang, or are very many."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.support.alert_host import Host, host, run_verb
from tests.support.service import job, wait_until

__all__ = ["host"]


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
