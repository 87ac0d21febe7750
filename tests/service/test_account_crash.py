"""The account through crashes: killed, stopped or frozen, every slot has one record and runs once at most.

The times at which a service is killed are random, from a seed that the failure shows; everything else is waited for.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.service import Service, job, wait_until

KINDS: dict[str, dict[str, Any]] = {
    "tick": {"schedule": "* * * * * *"},
    "minute": {"schedule": "* * * * *"},
    "strict": {"schedule": "* * * * * *", "catch_up": 0},
    "slow": {"schedule": "* * * * * *", "then": "sleep 2.3"},
    "queued": {"schedule": "*/2 * * * * *", "then": "sleep 2.2", "overlap": "queue"},
    "replaced": {"schedule": "*/3 * * * * *", "then": "sleep 7", "overlap": "replace"},
    "allowed": {"schedule": "* * * * * *", "then": "sleep 1.4", "overlap": "allow"},
    "retrying": {
        "schedule": "*/4 * * * * *",
        "then": "exit 1",
        "retry": {"attempts": 3, "delay": "0.7s", "backoff": 1},
    },
    "noisy": {"schedule": "* * * * * *", "then": "head -c 1900 /dev/zero | tr '\\0' x; exit 1"},
    "jittered": {"schedule": "*/4 * * * * *", "jitter": 3},
}
OPTIONS = ("--log-max-bytes", "64K", "--log-backups", "200", "--drain-timeout", "1")


class Campaign:
    """One set of jobs, one log, and service after service on it."""

    def __init__(self, base: Path, seed: int) -> None:
        self.base = base
        self.seed = seed
        self.random = random.Random(seed)
        self.marks = base / "marks"
        self.service = Service(base)
        self.timetables = {}
        for name, kind in KINDS.items():
            fields = dict(kind)
            schedule, then = fields.pop("schedule"), fields.pop("then", "true")
            command = f"{MARKING.format(self.marks)}; {then}"
            self.service.write(f"{name}.json", job(name, schedule, command, **fields))
            host = Path("/etc/machine-id").read_text("ascii").strip() if Path("/etc/machine-id").exists() else ""
            self.timetables[name] = timetable_of(
                Job(name, Cron(schedule, "UTC"), TaskSpec("x", "{}"), jitter=float(fields.get("jitter", 0))), host
            )

    def start(self, *, wait: bool) -> None:
        """Start a service, with either format of the log; wait until it has begun its work."""
        before = self.starts()
        form = self.random.choice(["text", "json"])
        self.service.options = (*OPTIONS, "--log-format", form)
        self.service.start(wait=False)
        if wait:
            wait_until(lambda: self.starts() > before, 30, "the service has started")

    def starts(self) -> int:
        """How many services have begun their work."""
        return sum(line["word"] == "service.started" for line in lines_of(self.service.log))

    def pause(self, least: float, most: float) -> None:
        """Let a random time pass."""
        threading.Event().wait(self.random.uniform(least, most))

    def signal(self, number: int) -> None:
        """Signal the service and no other process."""
        assert self.service.process is not None
        self.service.process.send_signal(number)

    def kill(self) -> None:
        """End the service without a word; its jobs' processes stay."""
        self.signal(signal.SIGKILL)
        assert self.service.process is not None
        self.service.process.wait(10)

    def finish(self) -> Account:
        """Start a last time, stop in order, and check the account."""
        self.start(wait=True)
        self.pause(0.6, 1.2)
        return self.stop()

    def stop(self) -> Account:
        """Stop in order, and check the account."""
        assert self.service.stop() == 0
        account = Account(lines_of(self.service.log), self.timetables, self.marks)
        account.check()
        assert "Traceback" not in self.service.stderr()
        return account


@pytest.fixture
def campaign(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Campaign]:
    """One with its own seed, which can be given as `TEST_SEED`."""
    seed = int(os.environ.get("TEST_SEED", getattr(request, "param", 1)))
    made = Campaign(tmp_path, seed)
    yield made
    made.service.close()


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=[pytest.mark.deep, pytest.mark.timeout(3600)])])
def test_every_slot_has_one_record_and_runs_once_however_often_the_service_is_killed(
    campaign: Campaign, rounds: int
) -> None:
    """At a random moment of each round, also while it starts; the log rotates and changes its format meanwhile."""
    campaign.start(wait=True)
    for number in range(rounds):
        campaign.pause(0.0, 1.9)
        campaign.kill()
        if number % 5 == 0:
            campaign.pause(1.1, 1.4)  # down for a whole second, in which slots fall: most starts are faster
        campaign.start(wait=campaign.random.random() < 0.6)
    campaign.kill()
    account = campaign.finish()

    reasons = {line.get("reason") for lines in account.records.values() for line in lines}
    assert {"interrupted", "down", "overlap"} <= reasons
    assert len(list(campaign.base.glob("scheduler.log.*"))) >= rounds // 20  # a busy machine writes less


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=[pytest.mark.deep, pytest.mark.timeout(3600)])])
def test_every_slot_has_one_record_when_the_service_is_stopped_and_started(campaign: Campaign, rounds: int) -> None:
    """SIGTERM at a random moment: what waits and what comes due meanwhile is the next start's."""
    campaign.start(wait=True)
    for _ in range(rounds):
        campaign.pause(0.2, 2.0)
        assert campaign.service.stop() == 0
        campaign.start(wait=True)
    account = campaign.stop()

    assert not [line for line in account.lines if line.get("reason") == "interrupted"]


@pytest.mark.parametrize("seconds", [6, pytest.param(90, marks=[pytest.mark.deep, pytest.mark.timeout(900)])])
def test_a_service_that_was_frozen_accounts_for_the_time_and_does_not_end(campaign: Campaign, seconds: int) -> None:
    """SIGSTOP: the latest slots run, the others are missed, and health does not take the pause for a stuck thread."""
    if seconds < 10:  # else as users have it: an outage after 10 s, a standstill after 5 s
        campaign.service.constants = {
            "timetable.outage.OUTAGE_AFTER": 3.0,
            "service.clock_monitor.MIN_STANDSTILL_S": 2.0,
        }
    campaign.start(wait=True)
    campaign.pause(1.0, 1.5)
    campaign.signal(signal.SIGSTOP)
    threading.Event().wait(seconds)
    campaign.signal(signal.SIGCONT)
    resumed = len(lines_of(campaign.service.log))
    wait_until(lambda: len(lines_of(campaign.service.log)) > resumed + 20, 30)
    assert campaign.service.process is not None
    assert campaign.service.process.poll() is None
    account = campaign.stop()

    missed = [line for line in account.lines if line["word"] == "MISSED" and line["job_id"] == "tick"]
    assert len(missed) == 1
    assert int(missed[0]["count"]) >= seconds - 4
    assert datetime.fromisoformat(missed[0]["last"]) > datetime.fromisoformat(missed[0]["scheduled"])
