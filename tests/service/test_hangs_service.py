"""What hangs, hangs alone: a file system that does not answer, under each thing of a real service in turn.

In each case the other jobs go on in time, one error names what hangs, `status` and `/healthz` name it too, systemd's
watchdog is fed, SIGTERM ends the service, and all is well again when the file system answers.
"""

from __future__ import annotations

import json
import time

import pytest

from tests.support.hang_checks import (
    SOON,
    assert_every_slot_once,
    assert_named,
    assert_stops,
    assert_tick_goes_on,
    assert_well,
    linked,
    service,
    threads,
)
from tests.support.hung_mounts import Mount, mount
from tests.support.service import Service, job, wait_until

__all__ = ["mount", "service"]


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
    assert len(service.words("job.refused")) == 100, service.lines()[-5:]
    assert threads(service) < 60
    assert_tick_goes_on(service)
    mount.answer()
    service.wait_for("job.added", 100)
    wait_until(lambda: threads(service) < 30, why="the threads that were lost have ended")
    assert_stops(service)


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
