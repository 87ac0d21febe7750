"""A job that stops the service that runs it."""

from __future__ import annotations

import pytest

from jobscheduler.tasks.command import self_stop
from jobscheduler.tasks.command.self_stop import _unit_in, is_stop, stop_in_command
from jobscheduler.tasks.command.task import ExecuteCommand
from tests.support.tasks import Pipe, context, failure, in_thread, no_strangers

__all__ = ["no_strangers"]

UNIT = "jobscheduler.service"


@pytest.mark.parametrize(
    ("line", "stops"),
    [
        ("systemctl restart jobscheduler", True),
        ("systemctl stop nginx jobscheduler.service", True),
        ("systemctl --no-pager try-restart jobscheduler", True),
        ("systemctl restart nginx", False),
        ("systemctl status jobscheduler", False),
        ("systemctl reload jobscheduler", False),
    ],
)
def test_a_command_line_that_stops_the_unit_is_known(line, stops):
    assert is_stop(line.split(), UNIT) is stops


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("systemctl restart jobscheduler", "systemctl restart jobscheduler"),
        (
            "apt-get -y upgrade && sudo systemctl restart jobscheduler.service; echo",
            "sudo systemctl restart jobscheduler.service",
        ),
        (["/usr/bin/systemctl", "stop", "jobscheduler"], "/usr/bin/systemctl stop jobscheduler"),
        ("service jobscheduler restart", "service jobscheduler restart"),
        ("systemctl --no-block restart jobscheduler", None),
        ("systemctl kill --signal=HUP jobscheduler", None),
        ("systemctl restart nginx; echo jobscheduler", None),
        ("systemctl reload jobscheduler", None),
        ("echo restart jobscheduler", None),
    ],
)
def test_a_definition_that_would_stop_its_own_scheduler_is_warned_of(command, part):
    assert stop_in_command(command) == part
    warned = [one for one in ExecuteCommand.warnings({"command": command}) if not one.is_lint]
    assert [(one.path, one.help) for one in warned] == [
        (("command",), "add `--no-block`, as the last command of the job")
    ] * (part is not None)


@pytest.mark.parametrize(
    ("line", "unit"),
    [
        ("0::/system.slice/jobscheduler.service", UNIT),
        ("0::/system.slice/jobscheduler.service/runs/5f3c", UNIT),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/js.service", "js.service"),
        ("0::/user.slice/user-1000.slice/session-2.scope", None),
        ("4:memory:/", None),
    ],
)
def test_the_unit_of_the_service_is_that_of_its_control_group(line, unit):
    assert _unit_in(line) == unit


@pytest.mark.parametrize(("reason", "is_named"), [("shutdown", True), ("timeout", False)])
def test_the_record_says_that_the_service_was_stopped_from_within_the_run(tmp_path, monkeypatch, reason, is_named):
    monkeypatch.setattr(self_stop, "own_unit", lambda: UNIT)
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pipe\nwhile :; do sleep 0.01; done\n")
    (tmp_path / "systemctl").chmod(0o755)
    pipe, run = Pipe(tmp_path), context()
    with in_thread(lambda: (pipe.pids(), run.stop(reason))):
        failed = failure(f"{tmp_path}/systemctl restart jobscheduler; echo after", run)
    assert ("from within this run" in str(failed)) is is_named
