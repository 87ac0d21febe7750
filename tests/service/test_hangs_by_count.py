"""A hang injected at every outside call of the threads that supervise, one at a time: the others go on, and it ends.

The calls are found by a run in which none hangs (`hangs_by_count.py`). What a run of a job itself calls is not meant.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

OWN_FILES = ("tasks/__init__.py:_offers", "parser/schema.py", "cli/__init__.py")
"""Where the program reads files of its own: if those hang, nothing of it is there."""

UNNAMED = ("alert ", "markers ", "stderr ", "forced ", "Thread ")
"""Threads of which a hang need not be named at once: an alert is when its time is up, others only write or end.

One process whose environment hangs counts as unmarked after a quarter of a second and holds up nothing; sixteen of them
are named (`run_markers.py`).
"""

AT_THE_END = (
    "MainThread close service/forced_exit.py",
    "reader write jobs/watcher.py:_stop",
    "control/server.py:__exit__",
)


AT_A_TIME = 4  # services


class Hanging(Service):
    """A service whose outside calls can be made to hang."""

    def __init__(self, base: Path) -> None:
        alert = base / "alert.json"
        alert.write_text(json.dumps({"type": "execute_command", "command": "true"}))
        self.orders = base / "orders"
        self.orders.mkdir()
        options = ("--rescan-interval", "1s", "--drain-timeout", "1s", "--on-failure", str(alert))
        super().__init__(base, *options, env={"HANGS": str(self.orders)})
        self.constants = {"runner.runner.STOP_GRACE_S": 2.0}
        self.patched("from tests.support import hang_points; hang_points.install()")
        self.write("tick.json", job("tick"))
        self.write("left.json", job("left", command="sleep 1.2 &"))  # to be reaped, and its pipe to be read
        self.turns = 0
        linked = base / "linked.json"
        linked.write_text(json.dumps(job("linked", "@yearly")))
        (self.jobs / "linked.json").symlink_to(linked)

    def noted(self, name: str) -> list[str]:
        """What was noted so far: `sites` that were passed, or the one that `hung`."""
        file = self.orders / name
        return file.read_text().splitlines() if file.exists() else []

    def order(self, site: str) -> None:
        """Have the next call at a site hang; with an empty one, nothing."""
        (self.orders / "hung").unlink(missing_ok=True)
        (self.orders / "new").write_text(site)
        (self.orders / "new").rename(self.orders / "order")

    def stir(self) -> None:
        """Give it something to do: an edit, a failure, a reload, a status."""
        self.turns += 1
        self.write("y.json", job("y", f"{self.turns % 60} 1 1 1 *", "false"))
        if self.turns % 4 == 1:
            self.write("bad.json", job("bad", "* * * * * *", "false" if self.turns % 8 == 1 else "true"))
        if self.turns % 3 == 0:
            self.process.send_signal(signal.SIGHUP)
        if self.turns % 8 == 4:
            self.status()

    def hang_at(self, site: str) -> bool:
        """Make a call at a site hang; return whether it was made."""
        self.order(site)
        for _ in range(24):
            self.stir()
            if self.noted("hung"):
                return True
            time.sleep(0.25)
        return False

    def successes(self) -> int:
        """How often the job of every second has succeeded, by standard error: the log may hang."""
        return self.stderr().count("SUCCESS job_id=tick")

    def status(self) -> tuple[int, str]:
        """Ask for the status."""
        command = [sys.executable, str(ROOT / "main.py"), "status", "--socket", str(self.socket)]
        done = run_program(command, text=True, timeout=10)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """The sites of a start, and those of the time after that."""
    base = tmp_path_factory.mktemp("sites")
    service = Hanging(base)
    try:
        service.start()
        wait_until(lambda: service.successes() >= 1, why="a run")
        started = service.noted("sites")
        for _ in range(16):
            service.stir()
            time.sleep(0.25)
        found = service.noted("sites")[len(started) :]
        assert service.stop() == 0
    finally:
        service.close()
    return started, found


def is_ours_to_judge(site: str) -> bool:
    """Whether a hang there is anything that we promise about."""
    return not any(one in site for one in (*OWN_FILES, *AT_THE_END)) and "forced_exit" not in site


def chosen(sites: list[str], deep: bool) -> list[str]:
    """Return all sites that count, or of each file one."""
    counting = list(dict.fromkeys(filter(is_ours_to_judge, sites)))
    if deep:
        return counting
    return list({one.split()[2].partition(":")[0]: one for one in counting}.values())


def test_the_main_thread_waits_for_no_file_after_the_start(sites: tuple[list[str], list[str]]) -> None:
    """It hears signals and feeds the watchdog, whatever hangs; what it closes at its end is its own pipe."""
    started, later = sites
    assert [one for one in started if one.startswith("MainThread")]
    assert [one for one in later if one.startswith("MainThread") and not any(end in one for end in AT_THE_END)] == []


EACH = pytest.mark.parametrize(
    "deep",
    [
        pytest.param(False, marks=pytest.mark.timeout(300)),
        pytest.param(True, marks=[pytest.mark.deep, pytest.mark.timeout(3000)]),
    ],
)


def for_each(sites: list[str], base: Path, check: Callable[[Hanging, str], None]) -> None:
    """Start a service for each site, several at a time because they mostly wait, and check it; raise every failure."""

    def check_one(numbered: tuple[int, str]) -> AssertionError | None:
        number, site = numbered
        place = base / str(number)
        place.mkdir()
        service = Hanging(place)
        try:
            check(service, site)
        except (Exception, pytest.fail.Exception) as error:  # the other sites are checked all the same
            return AssertionError(f"at {site}: {error!r}\n{service.stderr()[-3000:]}")
        finally:
            service.close()
        return None

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        failures = [failure for failure in pool.map(check_one, enumerate(sites)) if failure]
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(sites)} sites", failures)


@EACH
def test_whatever_call_hangs_others_go_on_and_it_is_named_and_term_ends_the_service(
    sites: tuple[list[str], list[str]], tmp_path: Path, deep: bool
) -> None:
    """Each in a service of its own, which is ended while it hangs."""
    reached = []

    def check(service: Hanging, site: str) -> None:
        service.start()
        wait_until(lambda: service.successes() >= 1, why="a run")
        if not service.hang_at(site):
            return
        reached.append(site)
        before = service.successes()
        if not site.startswith(UNNAMED):
            wait_until(lambda: "does not answer" in service.status()[1], 20, "it is named", step=0.2)
            assert service.status()[0] == 1
        if not site.startswith("stderr"):
            wait_until(lambda: service.successes() >= before + 2, 8, "runs go on")
        began = time.monotonic()
        assert service.stop() in {0, 1}
        assert time.monotonic() - began < 10  # a drain of 1 s, then a grace of 2 s for an alert

    started, later = sites  # most of a start are not made again, and cost seconds of waiting for them
    again = [site for site in chosen([*started, *later] if deep else later, deep) if not site.startswith("MainThread")]
    for_each(again, tmp_path, check)
    assert len(reached) > len(again) // (3 if deep else 2)  # the others are made at a start only


@EACH
def test_whatever_call_of_a_start_hangs_it_comes_to_its_end_or_says_why_not(
    sites: tuple[list[str], list[str]], tmp_path: Path, deep: bool
) -> None:
    """A start that cannot do without ends with status 1 and the name of what hangs; every other one is ready."""

    def check(service: Hanging, site: str) -> None:
        service.order(site)
        service.start(wait=False)

        def is_over() -> bool:
            is_named = "does not answer" in service.stderr() and "service.started" in service.stderr()
            has_run = service.words("SUCCESS") if site.startswith("stderr") else service.successes()
            return service.process.poll() is not None or bool(has_run) or is_named

        wait_until(is_over, 20, "an end, a run, or a start that says what is missing")
        if service.process.poll() is None:
            assert service.stop() in {0, 1}
        else:
            assert service.process.returncode == 1
            assert "does not answer" in service.stderr()

    for_each([site for site in chosen(sites[0], deep) if not site.startswith("MainThread")], tmp_path, check)
