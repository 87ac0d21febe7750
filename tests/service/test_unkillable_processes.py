"""Processes that outlive KILL: named, counted as an active run, and harmful to no other run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import Cron, Job, Record, Status, TaskSpec
from jobscheduler.runner import Run, Runner
from jobscheduler.runner.unkillable_processes import add_unkillable, describe_unkillable
from jobscheduler.scheduler.job_entry import MAX_UNKILLABLE_RUNS, JobEntry
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.unkillable_watch import keep_unkillable_runs
from jobscheduler.tasks import UnkillableProcess
from jobscheduler.timetable.timetable import timetable_of
from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until
from tests.support.tasks import SLOT, as_root
from tests.support.throwaway_users import ThrowawayUser

ROOTED = """
#include <unistd.h>
int main(void) { if (setuid(0) != 0) return 9; setsid(); execl("/bin/sleep", "sleep", "30073", (char *)0); return 8; }
"""


@pytest.fixture
def rooted(tmp_path: Path, alice: ThrowawayUser) -> Iterator[Path]:
    """A program that any user may start and that becomes root, as sudo does; gone with the test."""
    source, program = tmp_path / "rooted.c", alice.home / "rooted"
    source.write_text(ROOTED)
    subprocess.run(["cc", "-o", str(program), str(source)], check=True)
    program.chmod(0o4755)
    yield program
    program.unlink()
    for left in left_by(alice.home):
        os.kill(left, signal.SIGKILL)


def left_by(home: Path) -> list[int]:
    """Find what the program became: processes of root that were started with this home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"HOME={home}\0".encode() in path.read_bytes() and b"sleep" in path.with_name("cmdline").read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def service(alice: ThrowawayUser) -> Iterator[Service]:
    """A service of an ordinary user, in that user's home: pytest closes its own directories to others."""
    base = alice.home / "service"
    base.mkdir()
    made = Service(base, "--http", "127.0.0.1:0", "--max-workers", "2")
    for path in (base, made.jobs):
        os.chown(path, alice.uid, alice.gid)
    made.program = ["setpriv", f"--reuid={alice.uid}", f"--regid={alice.gid}", "--clear-groups", *made.program]
    made.patched("""
        from jobscheduler.tasks.command import tree_killer
        tree_killer.TERM_GRACE_S, tree_killer.KILL_TIMEOUT_S = 1.0, 0.5
    """)
    yield made
    made.close()
    shutil.rmtree(base)


def write(service: Service, owner: ThrowawayUser, definition: dict[str, Any]) -> None:
    path = service.write(f"{definition['job_id']}.json", definition)
    os.chown(path, owner.uid, owner.gid)


def asked(service: Service, *verb: str) -> Any:
    command = [sys.executable, str(ROOT / "main.py"), *verb, "--json", "--socket", str(service.socket)]
    text = run_program(command, text=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def wait_for_survivor(service: Service) -> list[dict[str, str]]:
    """Wait for a run that KILL did not end; on a busy host a run may be killed before it became root."""
    return wait_until(lambda: [one for one in service.words("FAILURE", job_id="rooted") if "error" in one])


@as_root
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_process_that_became_root_under_a_users_service_is_named_and_counts_as_its_run(
    service: Service, alice: ThrowawayUser, rooted: Path
) -> None:
    """Its record and status say its pid and why; its job is skipped until it ends; the service is well meanwhile."""
    write(service, alice, job("rooted", "* * * * * *", str(rooted), timeout=1))
    write(service, alice, job("tick", "* * * * * *"))
    service.start()
    (record,) = wait_for_survivor(service)
    assert record["reason"] == "timeout"
    assert "not permitted" in record["error"]
    pid = int(record["error"].partition(" (sleep, not permitted)")[0].rpartition(" ")[2])
    assert os.readlink(f"/proc/{pid}/exe").endswith("sleep")

    assert service.process is not None
    before = threads_of(service.process.pid)
    skipped = len(service.words("SKIPPED", job_id="rooted", reason="overlap"))
    service.wait_for("SKIPPED", skipped + 3, job_id="rooted", reason="overlap")
    (status,) = asked(service, "status")
    (issue,) = status["issues"]
    assert str(pid) in issue
    assert "processes of `rooted` survived KILL and count as its run" in issue
    (listed,) = [one for one in asked(service, "list") if one.get("job_id") == "rooted"]
    assert [one["run_id"] for one in listed["active_runs"]] == [record["run_id"]]
    with urllib.request.urlopen(service.words("page.served")[-1]["url"] + "healthz", timeout=5) as answer:
        assert answer.status == 200
    assert threads_of(service.process.pid) <= before
    assert service.words("runner.stuck") == service.words("pool.lost") == []

    started = len(service.words("run.started", job_id="rooted"))
    os.kill(pid, signal.SIGKILL)
    service.wait_for("run.started", started + 1, job_id="rooted")
    assert asked(service, "status")[0]["issues"] == []
    wait_until(lambda: service.words("SUCCESS", job_id="tick"))
    assert service.stop() == 0


def test_unkillable_processes_are_named_once_and_up_to_a_limit() -> None:
    """What the error of a task says already is not repeated; of very many the first are named."""
    some = tuple(UnkillableProcess(pid, 1, "x", "does not end") for pid in range(1, 13))
    assert describe_unkillable(some[:2]) == "1 (x, does not end), 2 (x, does not end)"
    assert describe_unkillable(some).endswith(" and 4 more")
    assert add_unkillable((("exit_code", 1),), ()) == (("exit_code", 1),)
    named = (("error", "1 of its processes could not be ended: 1 (x, does not end)"),)
    assert add_unkillable(named, some[:1]) == named
    assert add_unkillable((("signal", "SIGTERM"),), some[:1]) == (
        ("signal", "SIGTERM"),
        ("error", "could not be ended: 1 (x, does not end)"),
    )


def with_unkillable(overlap: str) -> tuple[JobRegistry, JobEntry, Run]:
    """Give a job with a run whose processes live on, and another run that waits for its turn."""
    runner = Runner(lambda _: None, lambda _: None)
    definition = Job(
        "a", Cron("* * * * *", "UTC"), TaskSpec.from_params("execute_command", {"command": "true"}), overlap=overlap
    )
    registry = JobRegistry(lambda: 0.0)
    entry = registry.get_or_create(definition, timetable_of(definition, ""), SLOT)
    old, waiting = runner.new_run(definition, SLOT), runner.new_run(definition, None)
    old.unkillable = (UnkillableProcess(1, 1, "x", "does not end"),)
    entry.active_runs, entry.queued_run = [old], waiting
    return registry, entry, old


def ended(run: Run) -> Record:
    return Record(SLOT, Status.FAILURE, run.job.id, run.run_id, SLOT, reason="timeout")


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_what_waits_for_a_run_waits_for_the_processes_that_live_on(overlap: str) -> None:
    """And has its turn when they have ended; nothing is remembered of them then."""
    registry, entry, old = with_unkillable(overlap)
    waiting = entry.queued_run
    assert registry.run_ended(ended(old)) is None
    assert registry.situation(entry).active_runs
    assert keep_unkillable_runs(registry, {old.run_id}) == []
    assert keep_unkillable_runs(registry, set()) == [waiting]
    assert (entry.unkillable_runs, registry.jobs_with_unkillable) == ([], set())


def test_a_run_that_takes_the_place_of_another_does_not_wait_for_what_cannot_be_ended() -> None:
    """What could be done about the old one has been done."""
    registry, entry, old = with_unkillable("replace")
    waiting = entry.queued_run
    assert registry.run_ended(ended(old)) is waiting
    assert registry.jobs_with_unkillable == {"a"}


def test_of_many_runs_whose_processes_live_on_the_latest_are_known() -> None:
    """A job with `allow` costs no more memory for it."""
    registry, entry, old = with_unkillable("allow")
    for _ in range(3 * MAX_UNKILLABLE_RUNS):
        entry.active_runs = [old]
        registry.run_ended(ended(old))
    assert len(entry.unkillable_runs) == MAX_UNKILLABLE_RUNS


def test_the_entry_of_a_deleted_job_goes_with_the_processes_that_lived_on() -> None:
    """Put back before, it still overlaps with them."""
    registry, entry, old = with_unkillable("skip")
    entry.queued_run = None
    registry.run_ended(ended(old))
    registry.remove(entry, SLOT)
    assert registry.get("a") is entry
    keep_unkillable_runs(registry, set())
    assert registry.get("a") is None
