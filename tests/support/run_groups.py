"""Run commands with limits in control groups of version 2: a program of its own, in a mount namespace of its own.

It makes a delegated group, enters a leaf of it as the service does, and prints what came of each command as JSON. The
groups are gone at its end. Whether the kernel has controllers does not matter here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from jobscheduler.model import Limits
from jobscheduler.service.control_group import enter_leaf
from jobscheduler.tasks import Context, Outcome, TaskFailed
from jobscheduler.tasks.command import run_groups, running_command, task, tree_killer
from jobscheduler.tasks.command.run_groups import RunGroups
from tests.support.service import wait_until

LIMITS = Limits(1 << 30, 0.5, 100)


def _run(groups: Path, run_id: str, command: str | list[str], stop_after: Path | None = None, **more: Any) -> Outcome:
    """Run a command with limits, unless `limits` says otherwise; stop it as soon as a file is there."""
    context = Context("report-001", run_id, None, limits=more.pop("limits", LIMITS))
    if stop_after is not None:
        threading.Thread(target=_stop, args=(context, stop_after)).start()
    try:
        return task.ExecuteCommand({"command": command, **more}).run(context)
    except TaskFailed as failure:
        return failure.outcome


def _stop(context: Context, after: Path) -> None:
    while not after.exists() or not after.read_text():
        time.sleep(0.01)
    context.stop("timeout")


def _names(group: Path) -> list[str]:
    return sorted(path.name for path in group.iterdir() if path.is_dir())


def _is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _wait_for_end(pid: str) -> bool:
    until = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not _is_alive(pid)


def _tell(root: Path, group: Path, scratch: Path) -> dict[str, Any]:
    tree_killer.TERM_GRACE_S = 1.0  # of users: 5 s
    made = run_groups.RUN_GROUPS = task.RUN_GROUPS = running_command.RUN_GROUPS = RunGroups(root)
    told: dict[str, Any] = {"parent": made.parent == group}
    told["inside"] = _run(group, "aa11", ["grep", "^0:", "/proc/self/cgroup"]).output.decode().strip()
    with_limits = _run(group, "bb22", ["env"]).output
    told["same_environment"] = sorted(with_limits.split(b"\n")) == sorted(
        _run(group, "bb22", ["env"], limits=None).output.split(b"\n")
    )
    told["exit"] = dict(_run(group, "cc33", "exit 3").details)["exit_code"]
    told["no_program"] = dict(_run(group, "cc44", ["/no/such/program"]).details).get("exit_code")
    told["after_ends"] = _names(group)

    background = _run(group, "dd44", "setsid sleep 300 >/dev/null 2>&1 & echo $!").output.decode().strip()
    told["background"] = [_is_alive(background), _names(group)]
    made.sweep(100.0)
    told["still_there"] = _names(group)
    (group / "run-dd44-1" / "cgroup.kill").write_text("1")
    _wait_for_end(background)
    made.sweep(101.0)  # too early for another try
    told["not_yet"] = _names(group)
    made.sweep(110.0)
    told["swept"] = _names(group)

    hidden = scratch / "hidden"
    loop = f"trap '' TERM; echo \\$\\$ > {hidden}; while :; do sleep 0.1; done"
    command = f'(env -i setsid sh -c "{loop}" &); sleep 300'
    _run(group, "ee55", command, stop_after=hidden)
    told["hidden_is_gone"] = _wait_for_end(hidden.read_text().strip())
    told["after_stop"] = _names(group)

    left = _run(group, "ff66", "env -i setsid sleep 300 >/dev/null 2>&1 & echo $!").output.decode().strip()
    (group / "run-0077-1").mkdir()
    # the next start has not seen the process while it was still the shell that has the marker
    wait_until(lambda: Path(f"/proc/{left}/cmdline").read_bytes() == b"sleep\x00300\x00")
    search = (
        "from jobscheduler.tasks.command.leftover_killer import LeftoverKiller; LeftoverKiller(('ff66',))(grace=0.0)"
    )
    subprocess.run([sys.executable, "-c", search], check=True, timeout=60)
    told["unmarked"] = _is_alive(left)
    after = RunGroups(root)  # that of the next start
    after.take_over()
    after.kill_runs(["ff66", "none"])
    told["killed_after_crash"] = _wait_for_end(left)
    after.sweep(0.0)
    told["after_next_start"] = _names(group)
    return told


def main() -> None:
    """Make the group, tell, and remove it."""
    root, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    home = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    group = root / f"jobscheduler-test-{os.getpid()}"
    group.mkdir()
    try:
        os.setxattr(group, "user.delegate", b"1")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        enter_leaf(root)
        sys.stdout.write(json.dumps(_tell(root, group, scratch)))
    finally:
        (root / home.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        for path in (*(path for path in group.iterdir() if path.is_dir()), group):
            if path != group:
                (path / "cgroup.kill").write_text("1")  # what a failed test has left
            while "populated 1" in (path / "cgroup.events").read_text():
                time.sleep(0.01)
            path.rmdir()


if __name__ == "__main__":
    main()
