"""The health of the service, and that it ends rather than running without a part of it.

Faults are injected by code that runs before the program; `WAKE` and others are shortened, where one would wait for half
a minute.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.service.health import MAX_UNANSWERED_PROBES, OVERDUE_AFTER_S, HealthMonitor
from jobscheduler.service.sd_notify import Notifier, watchdog_interval
from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

QUICK = """
import os, threading
from jobscheduler.service import health
from jobscheduler.service import process, supervisor, zone_watch
supervisor.HEALTH_INTERVAL_S, supervisor.PING_INTERVAL_S = 0.2, 0.2
process.ABORT_WAIT_S, health.OVERDUE_AFTER_S = 1.0, 0.5
def told(): return os.path.exists({flag!r})
def hang(): threading.Event().wait()
"""


def faulty(service: Service, code: str) -> Path:
    """Have a service run with faults that begin when a file appears; return that file's path."""
    flag = service.jobs.parent / "flag"
    service.patched(QUICK.format(flag=str(flag)) + code)
    return flag


DEATHS = {
    "the scheduling thread died": """
from jobscheduler.scheduler.apscheduler_classes import WakingScheduler
real = WakingScheduler._process_jobs
def process(self):
    if told(): raise RuntimeError("injected")
    return real(self)
WakingScheduler._process_jobs = process
""",
    "the scheduling thread is stuck": """
from jobscheduler.scheduler.apscheduler_classes import JobStore
real = JobStore.get_due_jobs
JobStore.get_due_jobs = lambda self, now: hang() if told() else real(self, now)
""",
    "the scheduling thread is stuck, with our own lock": """
from jobscheduler.scheduler import engine
real = engine.decide
engine.decide = lambda *args: hang() if told() else real(*args)
""",
    "the supervising loop failed: ZeroDivisionError": """
real = zone_watch.ZoneWatch.check
zone_watch.ZoneWatch.check = lambda self: 1 / 0 if told() else real(self)
""",
}


@pytest.mark.parametrize("fault", DEATHS)
def test_a_service_ends_with_70_when_a_part_of_it_is_dead_or_stuck(service: Service, fault: str) -> None:
    """It says which in the log, ends what runs, waits for no lock, and leaves a log that the next start reads."""
    flag = faulty(service, DEATHS[fault])
    service.write("long.json", job("long", "* * * * * *", "sleep 1001"))
    service.start()
    service.wait_for("run.started", job_id="long")
    flag.touch()

    assert service.process.wait(20) == 70
    (stopping,) = service.words("service.stopping")
    assert stopping["cause"].startswith(fault.partition(",")[0])
    assert service.lines()[-1]["word"] == "service.died"
    flag.unlink()
    service.start()
    service.wait_for("FAILURE", job_id="long")
    assert {line["reason"] for line in service.words("FAILURE")} <= {"shutdown", "interrupted"}


def test_a_service_whose_log_writer_dies_ends_with_70(service: Service) -> None:
    """Nobody could read what it does from then on."""
    flag = faulty(
        service,
        """
from jobscheduler.runlog.writer_thread import WriterThread
real = WriterThread._write_batch
def put_out(self, batch):
    if told(): raise MemoryError("injected")
    real(self, batch)
WriterThread._write_batch = put_out
""",
    )
    service.write("tick.json", job("tick"))
    service.start()
    service.wait_for("SUCCESS", job_id="tick")
    flag.touch()

    assert service.process.wait(20) == 70


def test_a_dead_watcher_is_replaced(service: Service) -> None:
    """The issue and its end are logged, and the next file is found at once."""
    flag = faulty(
        service,
        """
from watchdog.observers.api import BaseObserver
def kill():
    while not told(): threading.Event().wait(0.02)
    for one in threading.enumerate():
        if isinstance(one, BaseObserver): one.stop()
threading.Thread(target=kill, daemon=True).start()
""",
    )
    service.start()
    flag.touch()
    (degraded,) = service.wait_for("watch.degraded")
    assert degraded["problem"] == "the watching thread had died"
    service.wait_for("watch.restored")
    service.write("a.json", job("a"))
    service.wait_for("SUCCESS", job_id="a")
    assert service.stop() == 0


def test_a_process_that_was_frozen_is_not_taken_for_a_stuck_one(service: Service) -> None:
    """SIGSTOP for much longer than a thread may be silent."""
    faulty(service, "")
    service.write("tick.json", job("tick"))
    service.start()
    service.wait_for("SUCCESS", job_id="tick")
    service.process.send_signal(signal.SIGSTOP)
    threading.Event().wait(0.2 * MAX_UNANSWERED_PROBES + 1.5)
    service.process.send_signal(signal.SIGCONT)
    service.wait_for("SUCCESS", len(service.words("SUCCESS")) + 2, job_id="tick")

    assert service.process.poll() is None
    assert service.stop() == 0


class Parts:
    """The scheduler, the log and the watcher at once, in the state that the test says."""

    def __init__(self) -> None:
        self.loop_count = 0
        self.stuck = 0.0
        self.alive = True
        self.standing: str | None = None
        self.stuck_for_good = False
        self.runs = self

    def stuck_run(self) -> str | None:
        return self.standing

    def is_stuck(self) -> bool:
        return self.stuck_for_good

    def is_alive(self) -> bool:
        return self.alive

    def busy_for(self) -> float:
        return self.stuck

    def wakeup(self) -> None:
        """Ignore it, as a thread does that is stuck."""


@pytest.mark.parametrize(
    ("scheduling", "writing", "watching", "late", "fault"),
    [
        ({}, {}, {}, None, None),
        ({"probes": 1}, {}, {}, None, None),
        ({"probes": 2}, {}, {}, "the scheduling thread", None),
        ({"probes": MAX_UNANSWERED_PROBES + 1}, {}, {}, "the scheduling thread", "the scheduling thread is stuck"),
        ({"standing": "run 1 of `a`: it has not begun"}, {}, {}, "the runner", None),
        (
            {"standing": "run 1 of `a`: it has not begun", "stuck_for_good": True},
            {},
            {},
            "the runner",
            "the runner stands still: run 1 of `a`: it has not begun",
        ),
        ({"alive": False}, {}, {}, None, "the scheduling thread died"),
        ({}, {"stuck": OVERDUE_AFTER_S}, {}, None, None),
        ({}, {"stuck": OVERDUE_AFTER_S + 1}, {}, "the log writer", None),
        ({}, {"alive": False}, {}, None, "the log writer died"),
        ({}, {}, {"stuck": OVERDUE_AFTER_S + 1}, "the watcher", None),
    ],
)
def test_each_part_has_a_time_limit(
    scheduling: dict[str, object],
    writing: dict[str, object],
    watching: dict[str, object],
    late: str | None,
    fault: str | None,
) -> None:
    """A part that is late withholds the ping; a part that is dead or stuck ends the process."""
    parts = Parts(), Parts(), Parts()
    for part, given in zip(parts, (scheduling, writing, watching), strict=True):
        vars(part).update(given)
    health = HealthMonitor(*parts)
    for _ in range(int(str(scheduling.get("probes", 0))) + 1):
        health.probe()

    assert (health.overdue(), health.fatal()) == (late, fault)
    parts[0].loop_count += 1
    health.probe()
    is_lasting = scheduling.get("alive") is False or scheduling.get("stuck_for_good")
    assert is_lasting or health.fatal() in {None, "the log writer died"}


# --- what systemd hears -----------------------------------------------------------------------------------


class Manager:
    """A notification socket, as systemd would have it, and what came in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.heard.append(message.decode())

    def count(self, text: str) -> int:
        """How many messages hold a text."""
        return sum(text in message for message in list(self.heard))

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait for a message."""
        wait_until(lambda: self.count(text) >= count, why=f"{text} in {self.heard[-5:]}")

    def close(self) -> None:
        """End the thread and the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def manager(service: Service) -> Iterator[Manager]:
    """One that the service talks to."""
    made = Manager(service.jobs.parent / "notify")
    service.env["NOTIFY_SOCKET"] = str(made.path)
    yield made
    service.close()
    made.close()


def test_systemd_is_notified_of_every_step(service: Service, manager: Manager) -> None:
    """Ready when every file is read, pings and a status, reloading with the time and ready again, stopping."""
    for number in range(3):
        service.write(f"{number}.json", job(f"j{number}", "@yearly"))
    service.write("wrong.json", "{")
    service.constants = {"service.supervisor.PING_INTERVAL_S": 0.3}
    service.start()
    manager.wait_for("WATCHDOG=1", 2)
    ready = r"READY=1\nSTATUS=3 jobs, 0 running, [01] files refused, next "  # one second old, the wrong one counts
    assert re.match(ready, manager.heard[0])
    manager.wait_for("WATCHDOG=1\nSTATUS=3 jobs, 0 running, 1 files refused, next ")

    before = time.monotonic_ns() // 1000
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("service.reloaded", jobs="3", refused="1")
    manager.wait_for("READY=1", 2)
    reloading = next(index for index, message in enumerate(manager.heard) if message.startswith("RELOADING=1"))
    lines = manager.heard[reloading].split("\n")
    assert before <= int(lines[1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert any(message.startswith("READY=1") for message in manager.heard[reloading:])

    assert service.stop() == 0
    assert manager.count("STOPPING=1") == 1


def test_the_ping_is_withheld_while_a_part_is_late_and_comes_back_with_it(service: Service, manager: Manager) -> None:
    """The log writer stands still for a while: systemd hears which part is late instead of that all is well."""
    flag = faulty(
        service,
        """
from jobscheduler.runlog.writer_thread import WriterThread
real = WriterThread._write_batch
def put_out(self, items):
    while told(): threading.Event().wait(0.02)
    return real(self, items)
WriterThread._write_batch = put_out
""",
    )
    service.write("tick.json", job("tick"))
    service.start()
    manager.wait_for("WATCHDOG=1")
    flag.touch()
    manager.wait_for("the log writer is late")
    pings = manager.count("WATCHDOG=1")
    manager.wait_for("the log writer is late", manager.count("is late") + 15)  # so long that a run's patience is over
    assert manager.count("WATCHDOG=1") == pings
    flag.unlink()
    manager.wait_for("WATCHDOG=1", pings + 2)

    assert service.wait_for("service.late")[0]["part"] == "the log writer"
    service.wait_for("log.behind")
    assert len(service.words("log.behind")) == 1
    assert service.stop() == 0


def test_a_stuck_supervising_loop_is_reported_while_it_is_stuck(service: Service) -> None:
    """It reads signals and tells systemd that all is well, so nothing is well without it."""
    flag = faulty(
        service,
        """
from jobscheduler.service.checks import HostCheck
real = HostCheck._check_clock
def check_clock(self, now):
    while told(): threading.Event().wait(0.02)
    return real(self, now)
HostCheck._check_clock = check_clock
""",
    )
    service.start()
    flag.touch()
    ask = [sys.executable, ROOT / "main.py", "status", "--json", "--socket", service.socket]

    def late() -> tuple[str | None, int]:
        said = run_program(ask, text=True)
        return json.loads(said.stdout)["late_part"], said.returncode

    wait_until(lambda: late() == ("the supervising loop", 1))
    flag.unlink()
    wait_until(lambda: late() == (None, 0))
    assert service.stop() == 0


def test_the_watchdog_is_asked_for_by_the_environment() -> None:
    """Half of what is allowed, only for this process."""
    assert watchdog_interval({"WATCHDOG_USEC": "60000000"}) == 30
    assert watchdog_interval({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, pid=2) is None
    assert watchdog_interval({}) is None


def test_a_manager_that_has_ended_is_not_an_issue(tmp_path: Path) -> None:
    """Neither is one that never was."""
    Notifier({}).notify("READY=1")
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.notify("READY=1")
    gone.close()


def test_a_changed_zone_of_the_host_is_logged_once_and_applied_by_sighup(service: Service) -> None:
    """Until then every job keeps its times; SIGHUP reads it again, and the log is opened anew."""
    localtime = service.jobs.parent / "localtime"
    localtime.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    service.env["TZ"] = f":{localtime}"
    service.write("daily.json", job("daily", "0 3 * * *"))
    service.constants = {"service.supervisor.HEALTH_INTERVAL_S": 0.3}
    service.start()
    other = localtime.with_suffix(".new")
    other.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    os.rename(other, localtime)
    (changed,) = service.wait_for("zone.changed")
    assert (changed["zone"], changed["in_force"]) == ("Asia/Tokyo", "Europe/Berlin")
    service.write("probe.json", job("probe"))
    service.wait_for("SUCCESS", 2, job_id="probe")
    assert len(service.words("zone.changed")) == 1
    assert service.words("job.updated") == []

    service.process.send_signal(signal.SIGHUP)
    (updated,) = service.wait_for("job.updated", job_id="daily")
    assert updated["changed"] == "timezone"
    assert service.wait_for("service.reloaded")[0]["timezone"] == "Asia/Tokyo"
    localtime.unlink()
    localtime.write_text("nonsense")
    service.wait_for("zone.changed", 2)
    service.process.send_signal(signal.SIGHUP)
    (kept,) = service.wait_for("zone.kept")
    assert (kept["in_force"], "no time zone data" in kept["problem"]) == ("Asia/Tokyo", True)
    service.wait_for("service.reloaded", 2)
    assert service.stop() == 0
