"""A stuck run is logged, shows in health, and ends in a restart."""

from __future__ import annotations

import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.scheduler.stuck_runs import (
    LATE_AFTER_CHECKS,
    STUCK_AFTER_CHECKS,
    OverdueStep,
    StuckRunDetector,
)
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.service import Service, job, wait_until

AT = datetime(2026, 11, 22, tzinfo=UTC)
NOT_BEGUN = OverdueStep("a", "1", "it was handed over and has not begun")
NO_TERM = OverdueStep("b", "2", "TERM has not been sent")


def check_times(detector: StuckRunDetector, due: list[OverdueStep], times: int) -> list[OverdueStep]:
    """Check `times` times, a second apart, and return the steps that became late."""
    found = [detector.check(due, AT + timedelta(seconds=number)) for number in range(times)]
    return [one.step for one in found if one is not None]


def test_an_overdue_step_is_reported_once_and_counted_on() -> None:
    """It is due since the check that saw it first."""
    detector = StuckRunDetector()
    assert check_times(detector, [NOT_BEGUN], LATE_AFTER_CHECKS - 1) == []
    assert detector.longest is None
    assert check_times(detector, [NOT_BEGUN], 1) == [NOT_BEGUN]
    assert check_times(detector, [NOT_BEGUN, NO_TERM], STUCK_AFTER_CHECKS - LATE_AFTER_CHECKS) == []
    assert detector.longest is not None
    assert (detector.longest.step, detector.longest.checks, detector.longest.since) == (
        NOT_BEGUN,
        STUCK_AFTER_CHECKS,
        AT,
    )


def test_a_different_run_at_each_check_is_not_stuck() -> None:
    """However many wait, the oldest is a different one as long as anything moves."""
    detector = StuckRunDetector()
    for number in range(100):
        assert (
            detector.check([OverdueStep("a", f"{number // (LATE_AFTER_CHECKS - 1)}", "it has not begun")], AT) is None
        )
    assert detector.longest is None


def test_a_step_that_happens_is_forgotten() -> None:
    """If it is due again, counting starts anew."""
    detector = StuckRunDetector()
    check_times(detector, [NOT_BEGUN], LATE_AFTER_CHECKS)
    detector.check([], AT)
    assert detector.longest is None
    assert check_times(detector, [NOT_BEGUN], LATE_AFTER_CHECKS - 1) == []


CHECK_S = 0.3
"""Seconds between two checks instead of one; five of them have to be longer than a run may wait for its line."""

FAULTS = """
import os, threading
from jobscheduler.service import health
from jobscheduler.service import process, supervisor, zone_watch
supervisor.HEALTH_INTERVAL_S = supervisor.PING_INTERVAL_S = supervisor.CHECK_INTERVAL_S = {check}
supervisor.COALESCE_S = 0.0
process.ABORT_WAIT_S = 0.3
def is_on(): return os.path.exists({flag!r})
def hang(): threading.Event().wait()
"""

NO_THREAD = """
from jobscheduler.runner.process_loop import ProcessLoop
real = ProcessLoop._run_once
ProcessLoop._run_once = lambda self, term: hang() if is_on() and self._watch.is_idle() else real(self, term)
"""

NO_END = """
from jobscheduler.runner.process_loop import ProcessLoop
real = ProcessLoop._run_once
ProcessLoop._run_once = lambda self, term: real(self, term) if self._watch.is_idle() or not is_on() else hang()
"""

NO_WAKE_UP = """
from jobscheduler.runner.poller import Poller
real = Poller.wake
Poller.wake = lambda self: None if is_on() else real(self)
"""

NO_BEGINNING = """
from jobscheduler.runner.start_queue import StartQueue
real = StartQueue.announce_submitted
StartQueue.announce_submitted = lambda self: self._submitted.clear() if is_on() else real(self)
"""

NO_SIGNAL = """
from jobscheduler.tasks.command.running_command import RunningCommand
real = RunningCommand.__init__
def made(self, child, plan, context, *others):
    real(self, child, plan, context, *others)
    context.signals.has_processes = True
RunningCommand.__init__ = made
wait, begin = RunningCommand.wait, getattr(RunningCommand, "begin_stop", lambda self: None)
RunningCommand.wait = lambda self: hang() if is_on() else wait(self)
RunningCommand.begin_stop = lambda self: None if is_on() else begin(self)
"""

NO_TIMER = """
from jobscheduler.runner.timer import TimerThread
real = TimerThread._next
def next_(self):
    found = real(self)
    return (lambda: hang()) if is_on() else found
TimerThread._next = next_
"""


class Faulty:
    """A service with faults that begin when a file appears."""

    def __init__(self, base: Path) -> None:
        self.flag = base / "flag"
        self.marks = base / "marks"
        self.marks.touch()  # a run that hangs before its command has begun leaves none
        self.service = Service(base, "--http", "127.0.0.1:0")

    def start(self, fault: str, check: float = CHECK_S, **fields: object) -> None:
        """Start the service with a job each second, and wait until that has run."""
        self.service.patched(FAULTS.format(flag=str(self.flag), check=check) + fault)
        command = f"{MARKING.format(self.marks)}; {fields.pop('then', 'true')}"
        self.service.write("tick.json", job("tick", "* * * * * *", command, **fields))
        self.service.start()
        self.service.wait_for("run.started", job_id="tick")

    def is_ill(self) -> bool:
        """Return whether health fails."""
        url = self.service.words("page.served")[-1]["url"]
        try:
            with urllib.request.urlopen(f"{url}healthz", timeout=5):
                return False
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 503
        except OSError:
            return False

    def account(self) -> None:
        """Start once more without the fault, stop in order, and check the account: one record for each slot."""
        self.flag.unlink()
        before = len(self.service.words("SUCCESS")) + len(self.service.words("FAILURE"))
        self.service.start()
        wait_until(lambda: len(self.service.words("SUCCESS")) + len(self.service.words("FAILURE")) > before)
        assert self.service.stop() == 0
        timetable = timetable_of(Job("tick", Cron("* * * * * *", "UTC"), TaskSpec("x", "{}")), "")
        Account(lines_of(self.service.log), {"tick": timetable}, self.marks).check()


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    """Give a service that was not started."""
    made = Faulty(tmp_path)
    yield made
    made.service.close()


NO_ANSWER = "the thread that would notice its end does not answer"
STANDSTILLS = {
    "the thread of all commands sleeps for ever": (NO_THREAD, {}, "it was handed over and has not begun"),
    "the thread of all commands sleeps while one runs": (NO_END, {"then": "sleep 0.4"}, NO_ANSWER),
    "a wake-up is dropped": (NO_WAKE_UP, {}, "it was handed over and has not begun"),
    "a run is dropped": (NO_BEGINNING, {"overlap": "allow"}, "it was handed over and has not begun"),
    "a limit never comes to its signal": (NO_SIGNAL, {"then": "sleep 91", "timeout": 1}, "TERM has not been sent"),
    "time limits are not checked": (NO_TIMER, {"then": "sleep 92", "timeout": 1}, "it was not asked to end"),
}


@pytest.mark.parametrize("name", STANDSTILLS)
def test_a_stuck_run_fails_health_and_ends_in_a_restart_that_accounts_for_it(faulty: Faulty, name: str) -> None:
    """One ERROR with what and since when, 503, exit status 70; after the next start each slot has its one record."""
    fault, fields, problem = STANDSTILLS[name]
    service = faulty.service
    faulty.start(fault, **fields)
    faulty.flag.touch()

    (stuck,) = service.wait_for("runner.stuck")
    assert (stuck["level"], stuck["job_id"]) == ("ERROR", "tick")
    assert problem in stuck["problem"]
    assert stuck["since"] < stuck["time"]
    wait_until(faulty.is_ill, why="health fails")
    assert service.process is not None
    assert service.process.wait(30) == 70
    (stopping,) = service.words("service.stopping")
    assert stopping["cause"].startswith("the runner stands still: run ")
    faulty.account()


def test_runs_that_wait_for_a_worker_their_turn_or_the_log_are_not_stuck(tmp_path: Path) -> None:
    """Nor is a service that was suspended for longer than the limit."""
    service = Service(tmp_path, "--max-workers", "1")
    slow_log = """
from jobscheduler.runlog.file import LogFile
real = LogFile.append
def append(self, data, **named):
    threading.Event().wait(0.2)
    return real(self, data, **named)
LogFile.append = append
"""
    service.patched(FAULTS.format(flag="/nowhere", check=CHECK_S) + slow_log)
    service.write("busy.json", job("busy", "* * * * * *", "sleep 3", overlap="queue"))
    service.write("waits.json", job("waits", "* * * * * *", "true"))
    try:
        service.start()
        service.wait_for("run.started")
        assert service.process is not None
        service.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(2 * STUCK_AFTER_CHECKS * CHECK_S / 3)
        service.process.send_signal(signal.SIGCONT)
        service.wait_for("SUCCESS", 2)
        assert service.words("runner.stuck") == []
        assert service.process.poll() is None
    finally:
        service.close()


def test_that_a_stuck_run_moves_again_is_logged(faulty: Faulty) -> None:
    """Health is good again."""
    faulty.start(NO_WAKE_UP)
    faulty.flag.touch()
    faulty.service.wait_for("runner.stuck")
    faulty.flag.unlink()
    faulty.service.write("other.json", job("other", "* * * * * *", "true"))  # its start wakes the loop up for all
    faulty.service.wait_for("runner.moved", job_id="tick")
    assert not faulty.is_ill()
    assert faulty.service.stop() == 0


def test_a_burst_of_runs_is_not_stuck(faulty: Faulty) -> None:
    """Hundreds of runs due at once on one thread are late, not stuck."""
    for number in range(300):
        faulty.service.write(f"{number}.json", job(f"j{number}", "*/3 * * * * *", "true", overlap="allow"))
    faulty.start("", check=1.0)  # as users have it: a busy host makes single runs late
    faulty.service.wait_for("SUCCESS", 300)
    assert json.dumps(faulty.service.words("runner.stuck")) == "[]"
    assert faulty.service.stop() == 0
