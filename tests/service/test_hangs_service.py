"""What hangs, hangs alone: a file system that does not answer, under each thing of a real service in turn.

In each case the other jobs go on in time, one error names what hangs, `status` and `/healthz` name it too, systemd's
watchdog is fed, SIGTERM ends the service, and all is well again when the file system answers.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.hung_mounts import Mount, mount
from tests.support.service import ROOT, Service, job, wait_until
from tests.support.throwaway_users import ThrowawayUser

__all__ = ["mount"]

SOON = 6.0
"""Within so many seconds a thing that hangs is named."""

IMPATIENT = {
    "util.hang_guard.TIMEOUT_S": 0.7,
    "tasks.hung_paths.GUARD.patience": 0.7,
    "tasks.hung_paths.SLOW_START_S": 0.7,
    "tasks.hung_paths._PROBE_TIMEOUT_S": 0.2,
    "tasks.hung_paths.ACCOUNT_TIMEOUT_S": 2.0,
    "runner.runner.STOP_GRACE_S": 2.0,
    "jobs.guarded_directory.RETRY_PATIENCE_S": 0.1,
    "runlog.file_calls.CALL_TIMEOUT_S": 0.4,
    "service.supervisor.CHECK_INTERVAL_S": 0.3,
    "service.supervisor.HEALTH_INTERVAL_S": 1.0,
}
"""Seconds after which the service takes something for hung, and between two looks: users have 2 s and more."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a job of every second, which rescans every second and serves its page."""
    made = Service(tmp_path, "--rescan-interval", "0.3s", "--http", "127.0.0.1:0", "--drain-timeout", "2s")
    made.constants = IMPATIENT
    made.write("tick.json", job("tick"))
    yield made
    made.close()


def status(service: Service) -> tuple[int, str]:
    """Ask for the status as a person would; return the exit status and what was printed."""
    command = [sys.executable, str(ROOT / "main.py"), "status", "--socket", str(service.socket)]
    done = run_program(command, text=True, timeout=8)
    return done.returncode, done.stdout + done.stderr


def health(service: Service) -> tuple[int, str]:
    """Ask `/healthz`; return the status code and the body."""
    url = service.words("page.served")[-1]["url"] + "healthz"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def assert_named(service: Service, name: str) -> None:
    """`status` and `/healthz` say that it does not answer."""
    wait_until(lambda: health(service)[0] == 503, SOON, "the page says that it is not well")
    assert name in health(service)[1]
    code, said = status(service)
    assert code == 1
    assert f"{name} does not answer" in said


def assert_well(service: Service) -> None:
    """Nothing is wrong any more."""
    wait_until(lambda: health(service)[0] == 200, SOON, "the page says that all is well")
    assert status(service)[0] == 0


def assert_tick_goes_on(service: Service, seconds: int = 2) -> None:
    """The job of every second runs in time, each second, from now on."""
    before = len(service.words("SUCCESS", job_id="tick"))
    began = time.monotonic()
    service.wait_for("SUCCESS", before + seconds, job_id="tick")
    assert time.monotonic() - began < seconds + 1.5


def assert_every_slot_once(service: Service, job_id: str) -> None:
    """Every second between the first and the last record of a job has exactly one record."""
    found = [line for line in service.lines() if line.get("job_id") == job_id and "scheduled" in line]
    slots = [
        datetime.fromisoformat(line["scheduled"]) for line in found if line["word"] in {"SUCCESS", "FAILURE", "SKIPPED"}
    ]
    assert len(slots) == len(set(slots))
    assert len(slots) == (max(slots) - min(slots)).total_seconds() + 1


def assert_stops(service: Service) -> None:
    """SIGTERM ends it within its drain, in order."""
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 6


def linked(service: Service, mount: Mount, name: str = "x", **fields: object) -> None:
    """Put a job file on the mount, and a link to it into the jobs directory."""
    (mount.real / f"{name}.json").write_text(json.dumps(job(name, "@yearly", **fields)))
    (service.jobs / f"{name}.json").symlink_to(mount.path / f"{name}.json")


def test_a_linked_file_that_hangs_is_stale_and_all_others_are_seen(service: Service, mount: Mount) -> None:
    """Its last good version stays active; edits of others are seen; it is read again when it answers."""
    linked(service, mount)
    service.start()
    mount.hang()
    (stale,) = service.wait_for("job.stale", file="x.json")
    assert "the file does not answer" in stale["problem"]
    assert str(mount.path / "x.json") in stale["problem"]
    service.write("y.json", job("y", "@yearly"))
    service.wait_for("job.added", job_id="y")
    assert_tick_goes_on(service)
    assert_named(service, f"the file `{service.jobs / 'x.json'}`")
    assert len(service.words("job.stale")) == 1

    (mount.real / "x.json").write_text(json.dumps(job("x", "@monthly")))
    mount.answer()
    service.wait_for("job.updated", job_id="x")
    assert_well(service)
    assert_every_slot_once(service, "tick")
    assert_stops(service)


def test_a_service_is_ended_while_a_linked_file_hangs(service: Service, mount: Mount) -> None:
    """Also right after it began to hang, during a sync."""
    linked(service, mount)
    service.start()
    mount.hang()
    service.write("y.json", job("y", "@yearly"))
    assert_stops(service)


def test_a_start_reads_what_answers(service: Service, mount: Mount) -> None:
    """One file hangs: the service is ready all the same, names it, and takes it when it answers."""
    for name in ("a", "x", "z"):
        linked(service, mount, name)
    mount.hang()
    began = time.monotonic()
    service.start()
    assert time.monotonic() - began < 2 * SOON
    assert {line["file"] for line in service.words("job.refused")} == {"a.json", "x.json", "z.json"}
    assert_tick_goes_on(service)
    assert_named(service, f"the file `{service.jobs / 'a.json'}`")
    mount.answer()
    for name in ("a", "x", "z"):
        service.wait_for("job.added", job_id=name)
    assert_well(service)
    assert_stops(service)


def test_a_link_that_is_put_elsewhere_is_read_although_its_old_target_hangs(service: Service, mount: Mount) -> None:
    """The way out of a dead mount is to replace the link, and that is seen at once."""
    linked(service, mount)
    service.start()
    mount.hang()
    service.wait_for("job.stale", file="x.json")
    service.write("x.json", job("x", "@monthly"))
    service.wait_for("job.updated", job_id="x")
    service.wait_for("job.mended", job_id="x")
    assert_stops(service)


def test_many_links_to_a_dead_mount_cost_few_threads_and_seconds(service: Service, mount: Mount) -> None:
    """A hundred of them: the start waits for a few only, and says of each what is the matter."""
    for number in range(100):
        linked(service, mount, f"x{number}")
    mount.hang()
    began = time.monotonic()
    service.start()
    assert time.monotonic() - began < 20
    assert len(service.words("job.refused")) == 100
    assert threads(service) < 60
    assert_tick_goes_on(service)
    mount.answer()
    service.wait_for("job.added", 100)
    wait_until(lambda: threads(service) < 30, why="the threads that were lost have ended")
    assert_stops(service)


def threads(service: Service) -> int:
    """How many threads the service has."""
    assert service.process is not None
    return len(list(Path(f"/proc/{service.process.pid}/task").iterdir()))


@pytest.fixture
def on_the_mount(service: Service, mount: Mount) -> Service:
    """A service whose jobs directory is on the mount."""
    service.jobs.rename(service.jobs.with_name("former"))
    service.jobs = mount.path / "jobs.d"
    (mount.real / "jobs.d").mkdir()
    service.write("tick.json", job("tick"))
    return service


def test_a_jobs_directory_that_hangs_is_lost_and_found(on_the_mount: Service, mount: Mount) -> None:
    """Jobs in memory go on; SIGHUP is heard, and ends nothing; what was edited meanwhile is seen when it answers."""
    service = on_the_mount.start()
    mount.hang()
    (lost,) = service.wait_for("directory.lost")
    assert lost["problem"] == f"the jobs directory `{service.jobs}` does not answer"
    service.process.send_signal(1)
    service.wait_for("service.reloaded")
    assert_tick_goes_on(service)
    assert_named(service, f"the jobs directory `{service.jobs}`")
    assert threads(service) < 30
    (mount.real / "jobs.d" / "y.json").write_text(json.dumps(job("y", "@yearly")))
    mount.answer()
    service.wait_for("directory.found")
    service.wait_for("job.added", job_id="y")
    assert_well(service)
    assert len(service.words("directory.lost")) == 1
    assert_stops(service)


def test_a_service_is_ended_while_its_jobs_directory_hangs(on_the_mount: Service, mount: Mount) -> None:
    """In order, with the last lines in the log."""
    service = on_the_mount.start()
    mount.hang()
    service.wait_for("directory.lost")
    assert_stops(service)
    assert service.lines()[-1]["word"] == "service.stopped"


@pytest.mark.parametrize("thing", ["the jobs directory", "the log file"])
def test_a_start_whose_jobs_directory_or_log_hangs_says_so_and_ends(
    service: Service, mount: Mount, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within seconds, with the path and help; a manager starts it again."""
    if thing == "the log file":
        service.log = mount.path / "s.log"
    else:
        service.jobs = mount.path / "jobs.d"
        service.jobs.mkdir()
    monkeypatch.setattr(service, "words", lambda word: [])  # the test itself is not to wait for the log
    mount.hang()
    service.start(wait=False)
    assert service.process.wait(10) == 1
    path = service.log if thing == "the log file" else service.jobs
    assert f"error: {thing} `{path}` does not answer" in service.stderr()
    assert "help: " in service.stderr()
    mount.answer()


def test_an_alert_file_that_hangs_at_a_reload_stays_as_it_was(service: Service, mount: Mount) -> None:
    """The reload comes to its end; the file is read when it answers."""
    alert = mount.path / "alert.json"
    reply = service.jobs.parent / "told"
    (mount.real / "alert.json").write_text(
        json.dumps({"type": "execute_command", "command": f"echo $JOB_ID >> {reply}"})
    )
    service.options = (*service.options, "--on-failure", str(alert))
    service.start()
    mount.hang()
    service.process.send_signal(1)
    (kept,) = service.wait_for("alert.kept")
    assert kept["problem"] == f"the file with an alert `{alert}` does not answer"
    service.wait_for("service.reloaded")
    assert_tick_goes_on(service)
    assert_named(service, f"the file with an alert `{alert}`")
    service.write("bad.json", job("bad", "* * * * * *", "false"))
    service.wait_for("alert.sent", job_id="bad")
    mount.answer()
    assert_well(service)
    assert_stops(service)


def test_a_start_with_an_alert_file_that_hangs_runs_jobs_and_takes_it_later(service: Service, mount: Mount) -> None:
    """Jobs matter more than the file; it is used when it answers."""
    alert = mount.path / "alert.json"
    (mount.real / "alert.json").write_text(json.dumps({"type": "execute_command", "command": "true"}))
    service.options = (*service.options, "--on-failure", str(alert))
    mount.hang()
    service.start()
    service.wait_for("alert.kept")
    assert_tick_goes_on(service)
    mount.answer()
    assert_well(service)
    service.write("bad.json", job("bad", "* * * * * *", "false"))
    service.wait_for("alert.sent", job_id="bad")
    assert_stops(service)


def test_a_log_that_hangs_fails_and_runs_go_on_without_waiting(service: Service, mount: Mount) -> None:
    """Lines go to standard error, the issue is logged once, and when it answers the account has every slot once."""
    service.log = mount.path / "s.log"
    service.write("tock.json", job("tock"))
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    began = len(service.stderr().splitlines())
    mount.hang()
    wait_until(lambda: "ERROR log.lost" in service.stderr(), SOON, "the trouble is said")
    wait_until(lambda: stderr_count(service, began, "SUCCESS job_id=tick") >= 4, 14, "runs go on")
    url = next(line.partition("url=")[2] for line in service.stderr().splitlines() if "page.served" in line)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}healthz", timeout=5)
    with refused.value as answer:
        assert "the log file does not answer" in answer.read().decode()
    code, said = status(service)
    assert code == 1
    assert "the log file does not answer" in said
    assert stderr_count(service, began, "SKIPPED") <= 2
    assert stderr_count(service, began, "log.lost") == 1

    mount.answer()
    service.wait_for("log.restored")
    assert_well(service)
    assert_every_slot_once(service, "tick")
    assert_every_slot_once(service, "tock")
    assert len(service.words("log.lost")) == 1
    run_ids = [line["run_id"] for line in service.words("SUCCESS")]
    assert len(run_ids) == len(set(run_ids))
    assert_stops(service)


def stderr_count(service: Service, begin: int, text: str) -> int:
    """How many lines of standard error after the first `begin` hold a text."""
    return sum(text in line for line in service.stderr().splitlines()[begin:])


def test_a_service_is_ended_while_its_log_hangs(service: Service, mount: Mount) -> None:
    """The end says on standard error how many lines are lost, and its exit status shows that, too."""
    service.log = mount.path / "s.log"
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    mount.hang()
    time.sleep(0.5)
    began = time.monotonic()
    assert service.stop() == 1
    assert time.monotonic() - began < 8
    assert "log.lost" in service.stderr()
    assert "lines=" in service.stderr()


def lateness(service: Service, job_id: str, since: int) -> list[timedelta]:
    """How late the runs of a job began, from that record on."""
    records = service.words("SUCCESS", job_id=job_id)[since:]
    return [datetime.fromisoformat(one["started"]) - datetime.fromisoformat(one["scheduled"]) for one in records]


@pytest.mark.parametrize("where", ["cwd", "program"])
def test_a_command_whose_directory_or_program_hangs_costs_one_thread_and_delays_nothing(
    service: Service, mount: Mount, where: str
) -> None:
    """It fails at once until it answers, however often it is due, and says why; others are in time."""
    program = mount.real / "program"
    program.write_text("#!/bin/sh\ntrue\n")
    program.chmod(0o755)
    task = {"command": "true", "cwd": str(mount.path)} if where == "cwd" else {"command": [str(mount.path / "program")]}
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    mount.hang()
    definition = job("stuck", "* * * * * *", "true", timeout="1s")
    definition["task"].update(task)
    service.write("stuck.json", definition)
    silent = f"directory `{mount.path}`" if where == "cwd" else f"program `{mount.path / 'program'}`"
    service.wait_for("FAILURE", job_id="stuck", error=f"the {silent} does not answer", reason="start")
    count, first = threads(service), len(service.words("SUCCESS", job_id="tick"))
    service.wait_for("FAILURE", 4, job_id="stuck", reason="start")
    assert threads(service) <= count + 1
    late = sorted(lateness(service, "tick", first))
    assert len(late) >= 2
    assert late[len(late) // 2] < timedelta(seconds=0.3)
    assert_named(service, f"the {silent}")
    mount.answer()
    service.wait_for("SUCCESS", job_id="stuck")
    assert_well(service)
    assert_stops(service)


def test_environment_files_that_hang_delay_nothing_and_are_named(service: Service, mount: Mount) -> None:
    """A dozen jobs are due with one each: they fail with the reason, the others go on, and all is well again."""
    for number in range(12):
        name = f"x{number}"
        (mount.real / f"{name}.env").write_text("A=b\n")
        (mount.real / f"{name}.env").chmod(0o600)
        definition = job(name, command="test $A = b")
        definition["task"]["env_file"] = str(mount.path / f"{name}.env")
        service.write(f"{name}.json", definition)
    service.start()
    service.wait_for("SUCCESS", job_id="x11")
    mount.hang()
    assert_tick_goes_on(service)
    (failed, *_) = service.wait_for("FAILURE", job_id="x11")
    assert failed["reason"] == "start"
    assert failed["error"] == f"the environment file `{mount.path}/x11.env` does not answer"
    wait_until(lambda: health(service)[0] == 503, SOON, "the page says that it is not well")
    assert health(service)[1].startswith(f"the environment file `{mount.path}/x")
    assert f"the environment file `{mount.path}/x11.env` does not answer" in status(service)[1]
    mount.answer()
    count = len(service.words("SUCCESS", job_id="x11"))
    service.wait_for("SUCCESS", count + 1, job_id="x11")
    assert_well(service)
    assert_stops(service)


def test_a_home_that_hangs_costs_one_thread_and_delays_nothing(
    service: Service, mount: Mount, alice: ThrowawayUser
) -> None:
    """The runs of that user fail at once until it answers; those of others are in time."""
    former = alice.home.rename(alice.home.with_suffix(".former"))
    alice.home.symlink_to(mount.path)
    try:
        assert_home_hangs_alone(service, mount, alice)
    finally:
        mount.answer()
        alice.home.unlink()
        former.rename(alice.home)


def assert_home_hangs_alone(service: Service, mount: Mount, alice: ThrowawayUser) -> None:
    """Have it hang, and answer again."""
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    mount.hang()
    definition = job("hers", "* * * * * *", "true")
    definition["task"]["user"] = alice.name
    service.write("hers.json", definition)
    silent = f"the home directory `{alice.home}`"
    service.wait_for("FAILURE", job_id="hers", error=f"{silent} does not answer", reason="start")
    count, first = threads(service), len(service.words("SUCCESS", job_id="tick"))
    service.wait_for("FAILURE", 4, job_id="hers", reason="start")
    assert threads(service) <= count + 1
    late = sorted(lateness(service, "tick", first))
    assert late[len(late) // 2] < timedelta(seconds=0.3)
    assert_named(service, silent)
    mount.answer()
    assert_well(service)
    last = service.words("FAILURE", job_id="hers")
    wait_until(lambda: service.words("FAILURE", job_id="hers")[len(last) :], why="a run after it answered")
    assert "does not answer" not in service.words("FAILURE", job_id="hers")[-1]["error"]
    assert_stops(service)
