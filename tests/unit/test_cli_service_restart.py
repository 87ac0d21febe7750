"""What a verb that waits for a run does when the service ends in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli import service_restart
from jobscheduler.cli.service_restart import RunOutOfSight, request_about_run, wait_for_end
from jobscheduler.control.client import ApiError, ServiceUnreachable
from jobscheduler.model import Problem

SOCKET = Path("c.sock")
RUN = "5f3c2a9d0b1e"
GONE = ServiceUnreachable(Problem("no process listens"))


class Host:
    """A host on which nothing waits: its services answer in order, and time passes while a caller sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.answers, self.asked, self.now = list(answers), list[str](), 0.0
        monkeypatch.setattr(service_restart, "request", self.request)
        monkeypatch.setattr(service_restart.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(service_restart.time, "sleep", self.sleep)

    def request(self, socket: Path, method: str, target: str) -> Any:
        """Give the next answer; the last one again and again."""
        self.asked.append(target)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_the_next_service_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And that it is waited for is said, once."""
    Host(monkeypatch, GONE, GONE, GONE, {"text": "rest"})
    assert request_about_run(SOCKET, RUN, "/v1/x") == {"text": "rest"}
    assert capsys.readouterr().err == "the service has ended; waiting up to 15 s for it to come back\n"


def test_no_service_is_waited_for_longer_than_it_takes_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to see the rest, the status that no service answers."""
    host = Host(monkeypatch, GONE)
    with pytest.raises(RunOutOfSight) as out:
        request_about_run(SOCKET, RUN, "/v1/x")
    assert service_restart.RETURN_S <= host.now < service_restart.RETURN_S + 1
    assert out.value.exit_status == 3
    assert (
        out.value.problem.message == f"the service has ended while the run {RUN} was waited for, and has not come back"
    )
    assert f"`jobscheduler output {RUN}` shows all" in (out.value.problem.help or "")


def test_a_run_that_had_not_begun_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of the next service does not know it."""
    Host(monkeypatch, GONE, GONE, ApiError(Problem("no run is known"), 404))
    with pytest.raises(RunOutOfSight, match="it had not begun"):
        request_about_run(SOCKET, RUN, "/v1/x")


def test_a_refusal_of_the_next_service_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the output directory does not answer."""
    Host(monkeypatch, GONE, ApiError(Problem("cannot be read now"), 409))
    with pytest.raises(ApiError, match="cannot be read now"):
        request_about_run(SOCKET, RUN, "/v1/x")


def test_the_end_of_a_run_is_found_in_the_log_of_the_next_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not asked for the run, so it does not remember the request."""
    record = {"status": "FAILURE", "reason": "shutdown"}
    host = Host(monkeypatch, {"record": None, "cancelled": False}, GONE, GONE, {"record": record})
    assert wait_for_end(SOCKET, RUN)["record"] == record
    assert host.asked[-1] == f"/v1/output?of={RUN}"
