"""Jobs that run jobs: they need no further worker, their records name the caller, and no chain is a cycle."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.control.calling_runs import calling_runs
from jobscheduler.scheduler.capacity import Capacity
from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Start a service with one worker."""
    made = Service(tmp_path, "--max-workers", "1")
    yield made
    made.close()


def asking(service: Service, job_id: str, *more: str) -> str:
    """Return the command that runs a job by hand."""
    return " ".join([sys.executable, str(ROOT / "main.py"), "run", job_id, "--socket", str(service.socket), *more])


def by_hand(service: Service, job_id: str) -> subprocess.CompletedProcess[str]:
    return run_program(asking(service, job_id).split(), text=True)


def test_a_job_that_runs_another_and_waits_needs_no_further_worker(service: Service) -> None:
    """With one worker, three deep, two at the lowest level at once: each record names the run that asked for it."""
    two = f"{asking(service, 'leaf', '--wait')} & {asking(service, 'other', '--wait')}; wait $!; wait"
    service.write("top.json", job("top", "@yearly", asking(service, "middle", "--wait")))
    service.write("middle.json", job("middle", "@yearly", two))
    service.write("leaf.json", job("leaf", "@yearly", "sleep 0.3"))
    service.write("other.json", job("other", "@yearly", "sleep 0.3"))
    service.start()
    assert by_hand(service, "top").returncode == 0

    (top,) = service.wait_for("SUCCESS", job_id="top")
    (middle,) = service.words("SUCCESS", job_id="middle")
    assert (top["trigger"], middle["trigger"]) == ("manual", f"run:{top['run_id']}")
    for name in ("leaf", "other"):
        (record,) = service.words("SUCCESS", job_id=name)
        assert record["trigger"] == f"run:{middle['run_id']}"
    history = [sys.executable, str(ROOT / "main.py"), "history", "leaf", "--log-file", str(service.log)]
    assert "by a run" in run_program(history, text=True).stdout
    assert service.stop() == 0


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace", "allow"])
def test_a_job_that_runs_itself_is_refused_with_the_reason(service: Service, overlap: str) -> None:
    """Through another job, too; no run is ended for it, and no run waits."""
    service.write("a.json", job("a", "@yearly", f"{asking(service, 'b', '--wait')} 2>&1", overlap=overlap))
    service.write("b.json", job("b", "@yearly", f"{asking(service, 'a')} 2>&1", overlap=overlap))
    service.start()
    by_hand(service, "a")

    (failed,) = service.wait_for("FAILURE", job_id="b")
    assert "`a` has started this run, so it is not run again: a -> b -> a" in failed["output"]
    assert "help: a job that is run again by what it has started would never end" in failed["output"]
    service.wait_for("FAILURE", job_id="a")
    assert [line["job_id"] for line in service.words("run.started")] == ["a", "b"]
    assert service.stop() == 0


def test_a_chain_of_more_than_eight_is_refused(service: Service) -> None:
    """Before it begins."""
    for number in range(1, 10):
        service.write(
            f"{number}.json", job(f"j{number}", "@yearly", f"{asking(service, f'j{number + 1}', '--wait')} 2>&1")
        )
    service.start()
    by_hand(service, "j1")

    (failed,) = service.wait_for("FAILURE", job_id="j8")
    assert "`j9` is not run: 8 runs have started each other already: j1 -> j2" in failed["output"]
    service.wait_for("FAILURE", job_id="j1")
    assert len(service.words("run.started")) == 8
    assert service.stop() == 0


def test_the_limit_of_a_chain_counts_runs_that_have_ended(service: Service) -> None:
    """A job that does not wait cannot run itself forever either."""
    service.write("a.json", job("a", "@yearly", asking(service, "b")))
    service.write("b.json", job("b", "@yearly", f"sleep 1; {asking(service, 'a')} 2>&1"))
    service.start()
    by_hand(service, "a")
    (failed,) = service.wait_for("FAILURE", job_id="b")
    assert "a -> b -> a" in failed["output"]
    service.wait_for("SUCCESS", job_id="a")
    assert service.stop() == 0


def test_run_reports_the_effect_on_the_next_slot(service: Service) -> None:
    """It is skipped, waits, or ends this run; no line if there is no effect."""
    effects = {
        "skip": "is skipped if this run has not ended by then",
        "queue": "waits until this run has ended",
        "replace": "ends this run if it has not ended by then",
    }
    for overlap in (*effects, "allow"):
        service.write(f"{overlap}.json", job(overlap, "0 0 1 1 *", "true", overlap=overlap))
    service.write("off.json", job("off", "0 0 1 1 *", "true", enabled=False))
    service.start()
    for overlap, words in effects.items():
        note = by_hand(service, overlap).stderr
        assert re.fullmatch(rf"note: the next slot, \w{{3}} \d{{4}}-01-01 00:00:00 UTC, {words}\n", note)
    assert by_hand(service, "allow").stderr == by_hand(service, "off").stderr == ""
    assert service.stop() == 0


def test_the_runs_of_a_caller_are_those_of_its_ancestors_innermost_first() -> None:
    """Also if the environment was replaced on the way."""
    code = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    inner = f"env JOB_RUN_ID=inner {sys.executable} -c '{code}'"
    command = ["env", "JOB_RUN_ID=outer", "sh", "-c", f'env -i sh -c "{inner}; true"; true']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert calling_runs(pid) == ("inner", "outer")
    assert calling_runs(pid) == ()
    assert calling_runs(0) == ()


def test_a_full_pool_that_does_not_move_is_an_issue_in_status(service: Service) -> None:
    """After a minute; here after some checks. Health is good: runs are late, not lost."""
    service.patched(
        "from jobscheduler.scheduler import pool_monitor\nfrom jobscheduler.service import supervisor\n"
        "pool_monitor.BUSY_CHECKS, supervisor.CHECK_INTERVAL_S = 3, 0.3\n"
    )
    service.write("long.json", job("long", "@yearly", "sleep 60"))
    service.write("tick.json", job("tick"))
    service.start()
    by_hand(service, "long")
    service.wait_for("pool.full")

    def trouble() -> list[str]:
        command = [sys.executable, str(ROOT / "main.py"), "status", "--json", "--socket", str(service.socket)]
        output = run_program(command, text=True).stdout
        return [str(one) for one in json.loads(output)["issues"]]

    (issue,) = wait_until(trouble)
    assert issue.startswith("the only worker is busy, 1 run waits for one, and no run has ended for ")
    assert service.words("runner.stuck") == []


def test_lending_neither_loses_nor_creates_a_worker() -> None:
    """Whichever ends first: a parent, a child, a child of a child."""
    choose = random.Random(7)
    for _ in range(300):
        places, at_work = Capacity(2), {}
        for number in range(40):
            run_id, parent = f"r{number}", choose.choice([*at_work, None])
            if places.has_room():
                places.acquire(run_id)
                at_work[run_id] = parent
            elif parent is not None and places.can_lend(parent):
                places.borrow(run_id, parent)
                at_work[run_id] = parent
            if at_work and choose.random() < 0.5:
                gone = choose.choice([*at_work])
                places.release(gone)
                del at_work[gone]
            assert places.busy == len(at_work)
            assert len(places._own) <= 2
            assert not at_work or places._own
        for run_id in list(at_work):
            places.release(run_id)
        assert (places.busy, places._lent, places._borrowed) == (0, {}, {})
