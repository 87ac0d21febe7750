"""The service in a container: the first process, on a read-only root, without a machine-id, with a ConfigMap."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.container import MARKS, Container, container
from tests.support.service import job, wait_until

EVERY_SECOND = "* * * * * *"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Container]:
    """A container that was not started yet."""
    with container(tmp_path) as made:
        yield made


def wait_for_the_next_seconds(count: int) -> None:
    """Wait until so many seconds of the clock have begun."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=count)
    wait_until(lambda: datetime.now(UTC) >= until, count + 2)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_an_outage_between_two_containers_is_accounted_for_though_the_job_files_are_mounted_anew(
    box: Container, end: signal.Signals
) -> None:
    """Every slot has one record, and none ran twice, however the first container ended."""
    box.define(tick=job("tick", EVERY_SECOND, MARKING.format(f"{MARKS}/marks"), catch_up="1h"))
    box.start()
    box.wait_for("SUCCESS", 2, job_id="tick")
    assert (box.stop(end) == 0) is (end is signal.SIGTERM)
    stopped_at = len(lines_of(box.log))
    wait_for_the_next_seconds(3)

    box.start()
    box.wait_for("SUCCESS", len(box.words("SUCCESS")) + 2, job_id="tick")
    assert box.stop() == 0

    lines = lines_of(box.log)
    timetable = timetable_of(Job("tick", Cron(EVERY_SECOND, "UTC"), TaskSpec("x", "{}")))
    Account(lines, {"tick": timetable}, box.marks).check()
    (missed,) = [line for line in lines[stopped_at:] if line["word"] == "MISSED"]
    assert missed["reason"] == "down"
    assert not box.words("log.foreign")
    assert not box.words("log.former")


def test_the_log_of_another_folder_is_that_of_another_host(box: Container) -> None:
    """Without a machine-id the folder of the log counts, unless the settings name the host."""
    box.define(tick=job("tick", "@yearly"))
    box.start()
    assert box.stop() == 0
    former, box.log = box.log.read_bytes(), box.base / "marks/scheduler.log"

    def start_on_the_copy(*options: str) -> list[dict[str, str]]:
        box.log.write_bytes(former)
        box.log.chmod(0o640)
        box.start("--log-file", f"{MARKS}/scheduler.log", *options)
        return box.words("log.foreign")

    (warned,) = start_on_the_copy()
    assert warned["problem"] == "the log is that of another host, so nothing is known about the time before this start"
    assert box.stop() == 0
    assert not start_on_the_copy("--host-id", warned["host"])
    assert box.stop() == 0


def test_what_a_health_check_leaves_is_reaped_while_no_run_ends(box: Container) -> None:
    """With one yearly job: the first process adopts the orphans of all other programs."""
    box.define(yearly=job("yearly", "@yearly"))
    box.start()
    for _ in range(5):
        assert box.enter("sh", "-c", "(sleep 0.1 & exec sleep 0.01)").returncode == 0

    def zombies() -> list[str]:
        return box.enter("sh", "-c", "cat /proc/[0-9]*/stat").stdout.split(" Z ")[1:]

    wait_until(lambda: not zombies(), 20, "no zombie is left")
    assert box.stop() == 0


def test_sigterm_to_the_first_process_stops_it_in_order(box: Container) -> None:
    """A run in progress ends in its time, and the log ends with the stop."""
    gate = box.base / "marks/gate"
    box.define(long=job("long", EVERY_SECOND, f"touch {MARKS}/begun; until test -e {MARKS}/gate; do sleep 0.05; done"))
    box.start()
    box.wait_for("run.started", job_id="long")
    os.kill(box.first_process, signal.SIGTERM)
    box.wait_for("service.stopping", cause="SIGTERM")
    gate.touch()

    assert box.wait() == 0
    words = [line["word"] for line in lines_of(box.log)]
    assert words[-1] == "service.stopped"
    assert words.count("run.started") == words.count("SUCCESS") == 1


def test_standard_output_is_the_log_and_nothing_is_written_on_the_volumes(box: Container) -> None:
    """As container engines collect it: every slot is there once, also of the stop, and the first process reaps."""
    box.log = box.stdout
    box.define(tick=job("tick", EVERY_SECOND, MARKING.format(f"{MARKS}/marks")))
    box.start("--log-file", "-")
    assert box.enter("sh", "-c", "(sleep 0.1 & exec sleep 0.01)").returncode == 0
    box.wait_for("SUCCESS", 3, job_id="tick")
    wait_until(lambda: " Z " not in box.enter("sh", "-c", "cat /proc/[0-9]*/stat").stdout, 20, "no zombie is left")
    assert box.stop() == 0

    lines = lines_of(box.log)
    timetable = timetable_of(Job("tick", Cron(EVERY_SECOND, "UTC"), TaskSpec("x", "{}")))
    Account(lines, {"tick": timetable}, box.marks).check()
    assert [line["word"] for line in lines].count("log.passing") == 1
    assert lines[-1]["word"] == "service.stopped"
    assert [*(box.base / "log").iterdir()] == []


def test_a_socket_that_cannot_be_made_is_a_warning_and_jobs_run(box: Container) -> None:
    """The root is read-only, and `/run/scheduler` is in it."""
    box.define(tick=job("tick", EVERY_SECOND))
    box.start()
    box.wait_for("SUCCESS", job_id="tick")
    (warned,) = box.words("control.unavailable")
    assert "/run/scheduler" in warned["problem"]
    assert "--socket" in warned["help"]
    assert box.stop() == 0
