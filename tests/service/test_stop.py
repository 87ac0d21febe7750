"""`stop` against a real service: processes, records, exit statuses, and a run that stops itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.tasks.command.processes import TERM_GRACE_S
from tests.service.test_verbs import answer, ask
from tests.support.service import ROOT, Service, job, wait_until
from tests.support.tasks import is_alive

COMMAND = f"{sys.executable} {ROOT / 'main.py'}"
BY = str(os.getuid())
GRACE_S = 1.0
"""Seconds between TERM and KILL in this service: users have 5."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with jobs that do not end by themselves."""
    base = tmp_path_factory.mktemp("stop")
    made = Service(base)
    made.constants = {"tasks.command.processes.TERM_GRACE_S": GRACE_S}
    tree = f"setsid sleep 30081 & echo $! > {base}/child; sleep 30082"
    retry = {"attempts": 3, "delay": 600}
    made.write("tree.json", job("tree", "@yearly", tree, tags=["long"], retry=retry))
    made.write(
        "stubborn.json", job("stubborn", "@yearly", f"trap '' TERM; touch {base}/deaf; while :; do sleep 0.1; done")
    )
    made.write("fails.json", job("fails", "@yearly", "exit 3", retry=retry, tags=["long"]))
    inside = f"{COMMAND} stop inside --wait --socket {made.socket}; echo went on; sleep 30083"
    made.write("inside.json", job("inside", "@yearly", inside))
    made.write("quick.json", job("quick", "@yearly", "true"))
    made.start()
    yield made
    made.stop(signal.SIGTERM)


def run(service: Service, job_id: str) -> str:
    """Run a job; return the id of its run once that has begun."""
    (begun,) = answer(service, "run", job_id)
    service.wait_for("run.started", run_id=begun["run_id"])
    return str(begun["run_id"])


def test_a_stop_ends_the_whole_tree_and_waits_for_its_record(service: Service, tmp_path: Path) -> None:
    """Also the child that left the session. `list --json` had the process; the record says who stopped it."""
    run_id = run(service, "tree")
    child = service.jobs.parent / "child"
    wait_until(lambda: child.exists() and child.read_text())
    (listed,) = answer(service, "list", "tree")
    (active,) = listed["active_runs"]
    assert is_alive(active["pid"])
    assert (active["attempt"], active["waiting_for"]) == (1, None)

    done = ask(service, "stop", run_id[:6], "--wait")

    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith(f"run {run_id} of `tree` is being stopped (process {active['pid']}, begun ")
    assert last.startswith(f"run {run_id} of `tree`: FAILURE after ")
    assert last.endswith(" reason=stopped")
    assert not is_alive(active["pid"])
    assert not is_alive(int(child.read_text()))
    (record,) = service.words("FAILURE", run_id=run_id)
    assert (record["reason"], record["by"], record["requested_by"], record["signal"]) == ("stopped", BY, BY, "SIGTERM")
    assert service.words("run.stop_requested", run_id=run_id, by=BY)


def test_a_process_that_ignores_term_is_killed_after_five_seconds(service: Service) -> None:
    """As at a time limit. Here it is one second."""
    assert TERM_GRACE_S == 5
    run_id = run(service, "stubborn")
    wait_until((service.jobs.parent / "deaf").exists, why="it ignores TERM")
    (asked,) = answer(service, "stop", "stubborn", "--wait")
    assert [one["run_id"] for one in asked["runs"]] == [run_id]
    (ended,) = asked["ended"]
    assert (ended["record"]["reason"], ended["record"]["signal"], ended["left"]) == ("stopped", "SIGKILL", "")
    assert GRACE_S - 0.5 < ended["record"]["duration"] < GRACE_S + 4


def test_a_tag_stops_what_runs_and_what_waits_for_its_next_attempt(service: Service) -> None:
    """And the answer does not wait for the ends."""
    runs = {run(service, "tree"), run(service, "fails")}
    service.wait_for("run.attempt_failed", job_id="fails")
    (asked,) = answer(service, "stop", "tag:long")
    assert {one["run_id"] for one in asked["runs"]} == runs
    for run_id in runs:
        (record,) = service.wait_for("FAILURE", run_id=run_id)
        assert record["reason"] == "stopped"


def test_a_run_can_stop_itself(service: Service) -> None:
    """Its own request ends with it."""
    run_id = run(service, "inside")
    (record,) = service.wait_for("FAILURE", run_id=run_id)
    assert (record["reason"], "went on" in record.get("output", "")) == ("stopped", False)


def test_what_cannot_be_stopped_is_said_and_gives_one(service: Service) -> None:
    """A job without a run, a run that has ended, and a name that means nothing."""
    run_id = run(service, "quick")
    service.wait_for("SUCCESS", run_id=run_id)
    for name, message in (
        ("quick", "`quick` has no run at work\n help: its last record is SUCCESS, of "),
        (run_id, f"run `{run_id}` of `quick` has ended already"),
        ("quik", "there is no job `quik`\n help: did you mean `quick`?"),
    ):
        done = ask(service, "stop", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
    assert ask(service, "stop").returncode == 2
    (idle,) = answer(service, "stop", "quick")
    assert (idle["runs"], len(idle["idle"])) == ([], 1)


def test_many_names_are_asked_for_in_several_requests(service: Service) -> None:
    """A request has a limit."""
    done = ask(service, "stop", *(f"x{number:0>120}" for number in range(150)), "quick")
    assert (done.returncode, "there is no job `x000" in done.stderr) == (1, True)


def test_a_stop_without_a_service_says_so(tmp_path: Path) -> None:
    """And gives three."""
    done = ask(Service(tmp_path), "stop", "quick")
    assert (done.returncode, "no service is reachable" in done.stderr) == (3, True)
