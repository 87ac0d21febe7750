"""The service in the control group that the real systemd delegates to it, with control groups of version 2."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.util.control_groups import LIMIT_CONTROLLERS
from tests.support.booted import Machine, booted, filled_checkout
from tests.support.service import job, wait_until

__all__ = ["filled_checkout"]
pytestmark = pytest.mark.systemd

LEAF = "0::/system.slice/jobscheduler.service/service\n"


@pytest.fixture(scope="module")
def machine(filled_checkout: Path) -> Iterator[Machine]:
    """A machine with the service started."""
    with booted(filled_checkout, "--unified") as made:
        made("make install", cwd=filled_checkout)
        definition = json.dumps(job("a", "* * * * * *", "grep ^0: /proc/self/cgroup > /run/group"))
        made(f"echo '{definition}' > /etc/scheduler/jobs.d/a.json; systemctl enable --now jobscheduler")
        yield made


def group_of_service(machine: Machine) -> str:
    return machine("cat /proc/$(systemctl show --value --property MainPID jobscheduler)/cgroup | grep ^0:")


def runs(machine: Machine) -> int:
    return len([line for line in machine.log() if line["word"] == "SUCCESS"])


def wait_for_a_run(machine: Machine) -> None:
    before = runs(machine)
    machine.wait("a run", lambda: runs(machine) > before)


def test_the_service_is_in_a_leaf_and_its_unit_keeps_no_process_of_its_own(machine: Machine) -> None:
    """So that the group of the unit can have further ones with limits."""
    assert group_of_service(machine) == LEAF
    wait_for_a_run(machine)
    assert machine("cat /run/group") == LEAF
    assert machine("cat /sys/fs/cgroup/system.slice/jobscheduler.service/cgroup.procs") == ""


@pytest.mark.parametrize("command", ["reload", "restart", "kill --signal=KILL --kill-whom=main"])
def test_systemd_finds_the_service_in_its_leaf(machine: Machine, command: str) -> None:
    """Reloads and restarts work as without it, and after a kill the leaf is there again."""
    machine(f"systemctl {command} jobscheduler")
    machine.wait("active", lambda: machine.run("systemctl is-active jobscheduler").stdout == "active\n")
    wait_for_a_run(machine)
    assert group_of_service(machine) == LEAF


def test_the_hardened_service_is_in_its_leaf_and_may_divide_its_own_group_alone(machine: Machine) -> None:
    """Its drop-in makes the control groups read-only, but for the one of the unit; a job of root changes no other."""
    place = "/run/systemd/system/jobscheduler.service.d"
    machine(f"install -D -m 644 /opt/jobscheduler/current/hardened.conf {place}/hardened.conf")
    own, other = "/sys/fs/cgroup/system.slice/jobscheduler.service/further", "/sys/fs/cgroup/system.slice/further"
    command = f"mkdir {own} && rmdir {own} && echo divided; mkdir {other}"
    definition = json.dumps(job("divide", "@yearly", command))
    machine(f"echo '{definition}' > /etc/scheduler/jobs.d/divide.json")
    for verb in ("restart", "reload", "restart"):
        machine(f"systemctl daemon-reload; systemctl {verb} jobscheduler")
        assert group_of_service(machine) == LEAF
        assert machine("cat /sys/fs/cgroup/system.slice/jobscheduler.service/cgroup.procs") == ""
    done = machine.run("jobscheduler run divide --wait")
    assert done.returncode == 1
    said = machine("jobscheduler history divide -n 1 --json")
    assert '"output": "divided\\n' in said
    assert "Read-only file system" in said
    machine(f"rm -r {place} /etc/scheduler/jobs.d/divide.json; systemctl daemon-reload; systemctl restart jobscheduler")


def test_limits_hold_for_the_whole_tree_or_the_record_says_which_do_not(machine: Machine) -> None:
    """With the controllers of the host. The run is in a group of its own beside the service, and that is gone after it.

    A child that needs too much memory is killed with `reason=oom`; more processes than allowed are refused.
    """
    where = "grep ^0: /proc/self/cgroup"
    hungry = "sh -c 'head -c 300000000 /dev/zero | tail' >/dev/null"
    crowd = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait"
    commands = {"place": where, "hungry": hungry, "crowd": crowd}
    limits = {"memory": "64M", "cpu": "80%", "processes": 5}
    for name, command in commands.items():
        definition = json.dumps(job(name, "@yearly", command, limits=limits))
        machine(f"echo {shlex.quote(definition)} > /etc/scheduler/jobs.d/{name}.json")
    wait_until(lambda: machine.run("jobscheduler list place hungry crowd").returncode == 0, step=0.2)
    records = {}
    for name in commands:
        machine.run(f"jobscheduler run {name} --wait")
        records[name] = json.loads(machine(f"jobscheduler history {name} -n 1 --json"))
    assert "/system.slice/jobscheduler.service/run-" in machine("jobscheduler run place --wait")
    offered = machine("cat /sys/fs/cgroup/system.slice/jobscheduler.service/cgroup.controllers").split()
    missing = [name for name, needs in LIMIT_CONTROLLERS.items() if needs not in offered]
    assert all(record.get("unlimited", "") == ",".join(missing) for record in records.values())
    assert ("limits of jobs are not in force" in machine.run("jobscheduler status").stdout) == bool(missing)
    if "memory" not in missing:
        assert records["hungry"]["reason"] == "oom"
        assert 32 << 20 < records["hungry"]["max_rss"] <= 64 << 20
    if "processes" not in missing:
        assert "reached its limit of 5 processes" in records["crowd"]["error"]
    assert machine("ls -d /sys/fs/cgroup/system.slice/jobscheduler.service/run-* 2>/dev/null || true") == ""
    machine("cd /etc/scheduler/jobs.d && rm place.json hungry.json crowd.json")


def test_a_stop_leaves_no_group(machine: Machine) -> None:
    """Nor a process, also one that a job has left in the background."""
    definition = json.dumps(job("left", "@yearly", "setsid sleep 3607 & true"))
    machine(f"echo '{definition}' > /etc/scheduler/jobs.d/left.json; systemctl reload jobscheduler")
    machine("jobscheduler run left --wait; systemctl stop jobscheduler")
    assert machine.run("ls -d /sys/fs/cgroup/system.slice/jobscheduler.service").stdout == ""
    assert machine.run("pgrep -f '[s]leep 3607'").stdout == ""
