"""How the real service stops: in order, whatever it is doing, and with what still runs."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account
from tests.support.service import Service, job, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(service: Service, number: int) -> None:
    """A run in progress may finish, and the exit status is 0."""
    service.write("a.json", job("slow", command="sleep 1.2", overlap="skip"))
    service.start()
    (started, *_) = service.wait_for("run.started", job_id="slow")

    assert service.stop(number) == 0
    assert service.words("SUCCESS", run_id=started["run_id"])
    words = [line["word"] for line in service.lines()]
    assert words[-1] == "service.stopped"
    assert "service.stopping" in words


def test_what_does_not_finish_within_the_drain_is_stopped(tmp_path: Path) -> None:
    """Its whole process tree, with a record that says why."""
    service = Service(tmp_path, "--drain-timeout", "0.3")
    try:
        service.write("a.json", job("slow", command="sleep 1000 & sleep 1001; true"))
        service.start()
        (started, *_) = service.wait_for("run.started", job_id="slow")
        assert service.stop() == 0
        (failure,) = service.words("FAILURE", run_id=started["run_id"])
        assert failure["reason"] == "shutdown"
        mark = f"JOB_RUN_ID={started['run_id']}".encode()
        assert not [one for one in Path("/proc").glob("[0-9]*/environ") if mark in _read(one)]
    finally:
        service.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_what_runs_left_in_the_background_writes_on_when_the_service_has_stopped(service: Service) -> None:
    """Its output leads nowhere by then, but it does not break."""
    go, survived = service.jobs.parent / "go", service.jobs.parent / "survived"
    writer = f"until [ -e {go} ]; do sleep 0.05; done; head -c 300000 /dev/zero && echo more && touch {survived}"
    service.write("leaves.json", job("leaves", "* * * * * *", f"[ -e {go}.begun ] || {{ >{go}.begun; ({writer}) & }}"))
    service.start()
    service.wait_for("SUCCESS", job_id="leaves")
    assert service.stop() == 0

    go.touch()
    wait_until(survived.exists)


def test_a_second_signal_stops_at_once(service: Service) -> None:
    """Without waiting for the drain."""
    service.write("a.json", job("slow", command="sleep 1000"))
    service.start()
    service.wait_for("run.started", job_id="slow")
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("service.stopping")

    assert service.stop(signal.SIGTERM, seconds=10) == 0
    assert service.words("FAILURE", job_id="slow")[0]["reason"] == "shutdown"


def test_a_storm_of_reloads_does_not_hold_up_the_end(service: Service) -> None:
    """Signals to reload that come during one are another one together, and the end goes before that."""
    service.patched(
        """
        import time
        from jobscheduler.jobs.reconciler import Reconciler
        real = Reconciler.reload
        Reconciler.reload = lambda self, *rules: (time.sleep(0.5), real(self, *rules))[1]
        """
    )
    service.start()
    for _ in range(100):
        service.process.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    service.wait_for("service.reloaded")
    reloads = len(service.words("service.reloaded"))
    assert service.stop(seconds=5) == 0
    assert reloads <= len(service.words("service.reloaded")) < 6


def test_a_long_rescan_ends_when_the_service_has_to_stop(service: Service) -> None:
    """Between two files, at a reload; not after all of them."""
    slow = slow_reading(service)
    for number in range(40):
        service.write(f"{number}.json", job(f"job{number}", "@yearly"))
    service.start()
    slow.touch()
    service.process.send_signal(signal.SIGHUP)
    wait_until(slow.with_name("read").exists)

    assert service.stop(seconds=8) == 0
    assert service.words("service.reloaded") == []
    assert service.words("service.stopped")


def test_a_start_that_is_ended_begins_nothing_and_leaves_the_account_as_it_was(service: Service) -> None:
    """No run of its begins; the next start accounts for the outage from the same mark."""
    marks = service.jobs.parent / "marks"
    slow = slow_reading(service)
    for number in range(40):
        service.write(f"{number}.json", job(f"job{number}", "@yearly"))
    for name in ("a", "zz"):  # one is read at once, the other never
        service.write(f"{name}.json", job(name, "* * * * * *", MARKING.format(marks), catch_up="1h"))
    service.start()
    service.wait_for("SUCCESS", job_id="a")
    assert service.stop() == 0
    runs = len(service.words("run.started"))
    mark = service.words("service.alive")[-1]["settled"]
    slow.touch()
    service.start(wait=False)
    wait_until(slow.with_name("read").exists)
    assert service.stop(seconds=8) == 0
    assert len(service.words("run.started")) == runs
    assert service.words("service.alive")[-1]["settled"] == mark
    assert [line["word"] for line in service.lines()][-2:] == ["service.stopping", "service.stopped"]

    slow.unlink()
    service.start()
    for name in ("a", "zz"):
        service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id=name)) + 2, job_id=name)
    assert service.stop() == 0
    timetables = {
        name: timetable_of(Job(name, Cron("* * * * * *", "UTC"), TaskSpec("x", "{}"))) for name in ("a", "zz")
    }
    Account(service.lines(), timetables, marks).check()


def slow_reading(service: Service) -> Path:
    """Have the service take its time for each file while this one is there; `read` beside it appears with the first."""
    slow = service.jobs.parent / "slow"
    service.patched(
        f"""
        import os, time
        from jobscheduler.jobs import source_observer
        real = source_observer.parse
        def parse(*args):
            if os.path.exists({str(slow)!r}):
                open({str(slow.with_name("read"))!r}, "w").close()
                time.sleep(0.5)
            return real(*args)
        source_observer.parse = parse
        """
    )
    return slow
