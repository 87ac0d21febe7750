"""What a command needs hangs: its directory, its program, its environment file, the home of its user."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from tests.support.hang_checks import (
    SOON,
    assert_named,
    assert_stops,
    assert_tick_goes_on,
    assert_well,
    health,
    lateness,
    service,
    status,
    threads,
)
from tests.support.hung_mounts import Mount, mount
from tests.support.service import Service, job, wait_until
from tests.support.throwaway_users import ThrowawayUser

__all__ = ["mount", "service"]


@pytest.mark.parametrize("where", ["cwd", "program"])
def test_a_command_whose_directory_or_program_hangs_costs_one_thread_and_delays_nothing(
    service: Service, mount: Mount, where: str
) -> None:
    """It fails at once until it answers, however often it is due, and says why; others are in time."""
    program = mount.real / "program"
    program.write_text("#!/bin/sh\ntrue\n")
    program.chmod(0o755)
    task = {"command": "true", "cwd": str(mount.path)} if where == "cwd" else {"command": [str(mount.path / "program")]}
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    mount.hang()
    definition = job("stuck", "* * * * * *", "true", timeout="0.3s")
    definition["task"].update(task)
    service.write("stuck.json", definition)
    silent = f"directory `{mount.path}`" if where == "cwd" else f"program `{mount.path / 'program'}`"
    service.wait_for("FAILURE", job_id="stuck", error=f"the {silent} does not answer", reason="start")
    count, first = threads(service), len(service.words("SUCCESS", job_id="tick"))
    service.wait_for("FAILURE", 4, job_id="stuck", reason="start")
    assert threads(service) <= count + 1
    late = sorted(lateness(service, "tick", first))
    assert len(late) >= 2
    assert late[len(late) // 2] < timedelta(seconds=0.3)
    assert_named(service, f"the {silent}")
    mount.answer()
    service.wait_for("SUCCESS", job_id="stuck")
    assert_well(service)
    assert_stops(service)


def test_environment_files_that_hang_delay_nothing_and_are_named(service: Service, mount: Mount) -> None:
    """A dozen jobs are due with one each: they fail with the reason, the others go on, and all is well again."""
    for number in range(12):
        name = f"x{number}"
        (mount.real / f"{name}.env").write_text("A=b\n")
        (mount.real / f"{name}.env").chmod(0o600)
        definition = job(name, command="test $A = b")
        definition["task"]["env_file"] = str(mount.path / f"{name}.env")
        service.write(f"{name}.json", definition)
    service.start()
    service.wait_for("SUCCESS", job_id="x11")
    mount.hang()
    assert_tick_goes_on(service)
    (failed, *_) = service.wait_for("FAILURE", job_id="x11")
    assert failed["reason"] == "start"
    assert failed["error"] == f"the environment file `{mount.path}/x11.env` does not answer"
    wait_until(lambda: health(service)[0] == 503, SOON, "the page says that it is not well")
    assert health(service)[1].startswith(f"the environment file `{mount.path}/x")
    assert re.search(rf"service +\d+  the environment file `{mount.path}/x\d+.env` does not answer", status(service)[1])
    mount.answer()
    count = len(service.words("SUCCESS", job_id="x11"))
    service.wait_for("SUCCESS", count + 1, job_id="x11")
    assert_well(service)
    assert_stops(service)


def test_a_home_that_hangs_costs_one_thread_and_delays_nothing(
    service: Service, mount: Mount, alice: ThrowawayUser
) -> None:
    """The runs of that user fail at once until it answers; those of others are in time."""
    former = alice.home.rename(alice.home.with_suffix(".former"))
    alice.home.symlink_to(mount.path)
    try:
        assert_home_hangs_alone(service, mount, alice)
    finally:
        mount.answer()
        alice.home.unlink()
        former.rename(alice.home)


def assert_home_hangs_alone(service: Service, mount: Mount, alice: ThrowawayUser) -> None:
    """Have it hang, and answer again."""
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    mount.hang()
    definition = job("hers", "* * * * * *", "true")
    definition["task"]["user"] = alice.name
    service.write("hers.json", definition)
    silent = f"the home directory `{alice.home}`"
    service.wait_for("FAILURE", job_id="hers", error=f"{silent} does not answer", reason="start")
    count, first = threads(service), len(service.words("SUCCESS", job_id="tick"))
    service.wait_for("FAILURE", 4, job_id="hers", reason="start")
    assert threads(service) <= count + 1
    late = sorted(lateness(service, "tick", first))
    assert late[len(late) // 2] < timedelta(seconds=0.3)
    assert_named(service, silent)
    mount.answer()
    assert_well(service)
    last = service.words("FAILURE", job_id="hers")
    wait_until(lambda: service.words("FAILURE", job_id="hers")[len(last) :], why="a run after it answered")
    assert "does not answer" not in service.words("FAILURE", job_id="hers")[-1]["error"]
    assert_stops(service)
