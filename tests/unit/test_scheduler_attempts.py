"""Further attempts: what ends them, and how long they wait at most."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

RETRY = {"attempts": 4, "delay": "1h"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service whose jobs are run once, in the second in which they come."""
    made = Service(tmp_path)
    yield made
    made.close()


def failing(service: Service, command: str = "echo no luck; exit 3", **fields: object) -> None:
    """Write a job that fails."""
    service.write("a.json", job("a", "*/2 * * * * *", command, retry=RETRY, overlap="skip", **fields))


@pytest.mark.parametrize("way", ["deleted", "disabled"])
def test_a_removed_job_makes_no_further_attempt(service: Service, way: str) -> None:
    """The record is that of the last attempt, with how many were left; slots since then are as before."""
    failing(service)
    service.start()
    (attempt,) = service.wait_for("run.attempt_failed", job_id="a")
    _ = (service.jobs / "a.json").unlink() if way == "deleted" else failing(service, enabled=False)

    (record,) = service.wait_for("FAILURE", job_id="a")
    assert (record["run_id"], record["reason"], record["exit_code"]) == (attempt["run_id"], "exit", "3")
    assert (record["attempts_left"], record["output"]) == ("3", "no luck")
    assert service.stop() == 0
    assert len(service.words("run.started", job_id="a")) == 1


def test_the_running_attempt_of_a_removed_job_is_its_last(service: Service) -> None:
    """It goes on to its end."""
    failing(service, "sleep 2; exit 4")
    service.start()
    service.wait_for("run.started")
    (service.jobs / "a.json").unlink()

    (record,) = service.wait_for("FAILURE", job_id="a")
    assert (record["exit_code"], record["attempts_left"]) == ("4", "3")
    assert service.words("run.attempt_failed") == []
    assert service.stop() == 0


def test_a_retry_keeps_the_definition_with_which_the_run_began(service: Service) -> None:
    """A run keeps its definition."""
    marks = service.jobs.parent / "marks"
    for text in ("old", "new"):
        retry = {"attempts": 2, "delay": "1s"}
        service.write("a.json", job("a", "@yearly", f"echo {text} >> {marks}; exit 1", retry=retry))
        if text == "old":
            service.start()
            run_by_hand(service)
            service.wait_for("run.attempt_failed")
    service.wait_for("job.updated")
    (record,) = service.wait_for("FAILURE")
    assert (record["attempts"], marks.read_text()) == ("2", "old\nold\n")
    assert service.stop() == 0


def run_by_hand(service: Service) -> None:
    command = [sys.executable, str(ROOT / "main.py"), "run", "a", "--socket", str(service.socket)]
    assert run_program(command).returncode == 0


def test_a_stop_begins_no_further_attempt(service: Service) -> None:
    """Neither of a run between two attempts, nor of one that fails while the stop waits for others."""
    service.options = ("--drain-timeout", "10")
    retry = {"attempts": 9, "delay": "0.2s", "backoff": 1}
    service.write("slow.json", job("slow", "@yearly", "sleep 3; exit 5", retry=retry))
    service.write("waits.json", job("waits", "*/2 * * * * *", "exit 6", retry=RETRY))
    service.write("a.json", job("a", "@yearly", "sleep 3; exit 5", retry=retry))
    service.start()
    run_by_hand(service)
    service.wait_for("run.started", job_id="a")
    service.wait_for("run.attempt_failed", job_id="waits")
    assert service.stop() == 0

    (record,) = service.words("FAILURE", job_id="a")
    assert (record["reason"], record["exit_code"], record["attempts_left"]) == ("exit", "5", "8")
    assert [line["reason"] for line in service.words("FAILURE", job_id="waits")] == ["shutdown"]
    stopping = service.words("service.stopping")[0]["time"]
    assert [line for line in service.words("run.started") if line["time"] > stopping] == []


def test_a_delay_longer_than_the_default_maximum_is_not_cut(service: Service) -> None:
    """An hour is an hour; an explicit `max_delay` still limits it."""
    for name, more in (("a", {}), ("b", {"max_delay": "5m"}), ("c", {"delay": "1m", "backoff": 100})):
        retry = {"attempts": 4, "delay": "1h", **more}
        service.write(f"{name}.json", job(name, "*/2 * * * * *", "exit 1", retry=retry))
    service.start()
    waits = {name: service.wait_for("run.attempt_failed", job_id=name)[0]["retry_in"] for name in "abc"}
    assert {name: float(one) for name, one in waits.items()} == {"a": 3600, "b": 300, "c": 60}
    text = (Path(__file__).parent.parent.parent / "schemas" / "job.schema.json").read_text()
    description = json.loads(text)["properties"]["retry"]["properties"]["max_delay"]["description"]
    assert "or `delay` if that is longer" in description
    wait_until(lambda: service.stop() == 0)
