"""Control groups of runs: membership and ends in real ones, limits and what they tell in files of the same names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import Limits, ResourceUse
from jobscheduler.tasks.command import running_command, task
from jobscheduler.tasks.command.run_groups import NO_GROUP, GroupEnd, RunGroup, RunGroups
from tests.support.job_files import need
from tests.support.service import ROOT
from tests.support.tasks import as_root, context, execute

RUN = "run-5f3c-1"
ALL = Limits(memory=512 << 20, cpu=0.5, processes=100)
FILES = ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cgroup.kill")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of commands in real groups."""
    need("unshare", "mount")
    root, scratch = tmp_path_factory.mktemp("groups"), tmp_path_factory.mktemp("scratch")
    script = (
        'set -e; mount --make-rprivate /; mount -t cgroup2 none "$1"; exec "$2" -m tests.support.run_groups "$1" "$3"'
    )
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(root), sys.executable, str(scratch)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@as_root
def test_a_command_with_limits_is_in_its_own_group_from_its_first_instruction(told: dict[str, Any]) -> None:
    """Beside the leaf of the service. The group is gone with the attempt."""
    assert told["parent"]
    assert told["inside"].endswith("/run-aa11-1")
    assert told["after_ends"] == ["service"]


@as_root
def test_a_command_with_limits_is_like_one_without(told: dict[str, Any]) -> None:
    """It has the same variables, its exit status counts, and a missing program is a failed start."""
    assert told["same_environment"]
    assert (told["exit"], told["no_program"]) == (3, 127)


@as_root
def test_a_group_stays_while_a_process_in_the_background_lives(told: dict[str, Any]) -> None:
    """That is left alone. Later the group is removed, and tries have a pause between them."""
    assert told["background"] == [True, ["run-dd44-1", "service"]]
    assert told["still_there"] == told["not_yet"] == ["run-dd44-1", "service"]
    assert told["swept"] == ["service"]


@as_root
def test_a_stop_ends_every_process_in_the_group(told: dict[str, Any]) -> None:
    """Also one without session, parent and marker of the run, that ignores TERM."""
    assert told["hidden_is_gone"]
    assert told["after_stop"] == ["service"]


@as_root
def test_the_next_start_kills_and_removes_what_a_crash_has_left(told: dict[str, Any]) -> None:
    """Processes of an interrupted run that no marker shows, and empty groups."""
    assert told["unmarked"]
    assert told["killed_after_crash"]
    assert told["after_next_start"] == ["service"]


@pytest.fixture
def delegated(tmp_path: Path) -> Path:
    """A directory that looks like a delegated group with all controllers, and like that of a run."""
    (tmp_path / RUN).mkdir()
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    for name in FILES:
        (tmp_path / RUN / name).write_text("max\n")
    return tmp_path


def groups_in(parent: Path | None) -> RunGroups:
    made = RunGroups()
    made.__dict__["parent"] = parent  # as if found
    return made


def test_each_limit_is_written_to_the_file_of_its_controller(delegated: Path) -> None:
    """Half a processor is 50 of each 100 ms. Memory that is not to be had is not taken from swap."""
    group = groups_in(delegated).create("5f3c", 1, ALL)
    assert (group.path, group.missing) == (delegated / RUN, ())
    written = {name: (delegated / RUN / name).read_text() for name in FILES[:4]}
    assert written == {
        "memory.max": str(512 << 20),
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
        "pids.max": "100",
    }


def test_only_the_controllers_that_are_needed_are_enabled(delegated: Path) -> None:
    """Each costs something, and one that is enabled already stays."""
    groups_in(delegated).create("5f3c", 1, Limits(memory=1 << 30, processes=7))
    assert (delegated / "cgroup.subtree_control").read_text() == "+pids"
    assert (delegated / RUN / "cpu.max").read_text() == "max\n"


@pytest.mark.parametrize(("share", "quota"), [(2.0, "200000 100000"), (0.001, "1000 100000")])
def test_a_share_of_processor_time_is_at_least_what_the_kernel_takes(delegated: Path, share: float, quota: str) -> None:
    """It refuses less than a millisecond."""
    groups_in(delegated).create("5f3c", 1, Limits(cpu=share))
    assert (delegated / RUN / "cpu.max").read_text() == quota


def test_a_limit_without_its_controller_is_missing_and_the_others_hold(delegated: Path) -> None:
    """`status` names it until a run has it. A host without swap has nothing to limit there."""
    for name in ("cpu.max", "memory.swap.max"):
        (delegated / RUN / name).unlink()
    groups = groups_in(delegated)
    assert groups.create("5f3c", 1, ALL).missing == ("cpu",)
    (issue,) = groups.issues()
    assert issue.startswith("limits of jobs are not in force (cpu): the service's control group has no working ")
    (delegated / RUN / "cpu.max").write_text("max\n")
    assert groups.create("5f3c", 1, ALL).missing == ()
    assert groups.issues() == ()


def test_without_a_delegated_group_a_run_goes_on_without_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record names them, and `status` says why and what helps."""
    groups = groups_in(None)
    group = groups.create("5f3c", 1, Limits(memory=1 << 30, processes=7))
    assert (group.path, group.missing, group.entering()) == (None, ("memory", "processes"), [])
    assert groups.issues() == (
        "limits of jobs are not in force (memory, processes): no control group is delegated to the service (help: "
        "run the service as a systemd unit with `Delegate=yes`, on a host with control groups of version 2)",
    )
    for module in (task, running_command):  # those of the process would name it in later tests, too
        monkeypatch.setattr(module, "RUN_GROUPS", groups)
    outcome = execute("true", context(limits=Limits(memory=1 << 30)))
    assert ("unlimited", "memory") in outcome.details


def test_a_group_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    """As when the number of groups has a limit."""
    groups = groups_in(tmp_path / "gone")
    group = groups.create("5f3c", 1, ALL)
    assert (group.path, group.missing) == (None, ("memory", "cpu", "processes"))
    assert "no control group can be made in" in groups.issues()[0]
    groups.release(group)
    groups.sweep(0.0)


def test_a_group_tells_how_its_attempt_ended(delegated: Path) -> None:
    """Kills for want of memory, forks that were refused, the most memory, and whether it was ever entered."""
    path = delegated / RUN
    (path / "memory.events").write_text("low 0\nhigh 0\nmax 31\noom 2\noom_kill 2\noom_group_kill 0\n")
    (path / "pids.events").write_text("max 5\n")
    (path / "memory.peak").write_text("536870912\n")
    (path / "cpu.stat").write_text("usage_usec 1804\nuser_usec 1000\nsystem_usec 804\n")
    end = GroupEnd.of(RunGroup(path))
    assert end == GroupEnd(was_entered=True, oom_kills=2, refused_forks=5, memory_peak=512 << 20)
    assert end.with_memory(ResourceUse(1.0, 4096)) == ResourceUse(1.0, 512 << 20)
    message = "it needed more memory than its limit of 512 MiB, and the kernel killed 2 processes"
    assert end.describe_oom(ALL) == message
    assert end.describe_refused_forks(ALL) == "it reached its limit of 100 processes: a further one was refused"


def test_a_group_without_controllers_tells_nothing(delegated: Path) -> None:
    """Nor does no group. What the kernel counts of the process itself stays."""
    assert GroupEnd.of(RunGroup(delegated / RUN)) == GroupEnd(was_entered=False)
    assert GroupEnd.of(NO_GROUP) == GroupEnd()
    assert GroupEnd().with_memory(ResourceUse(1.0, 4096)) == ResourceUse(1.0, 4096)
    assert GroupEnd().with_memory(None) is None
    assert GroupEnd().describe_refused_forks(ALL) == ""
    assert (NO_GROUP.processes(), RunGroup(delegated / "gone").processes()) == ([], [])


def test_a_kill_goes_to_the_whole_group(delegated: Path) -> None:
    """In one step of the kernel."""
    RunGroup(delegated / RUN).kill()
    assert (delegated / RUN / "cgroup.kill").read_text() == "1"
    NO_GROUP.kill()
