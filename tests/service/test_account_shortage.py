"""The account of a service that lacks descriptors, processes or threads: every slot has its record."""

from __future__ import annotations

import resource
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.accounting import Account
from tests.support.marked_service import EACH_SECOND, MarkedService, each_second
from tests.support.service import Service, job

FEW_FDS = 39  # room for a few runs at once; an idle service has 19, and one more where libffi keeps its own file open


@pytest.fixture
def service(service: Service) -> Service:
    """A service that tries a start again for less time than those of users, 5 s."""
    service.constants = {"tasks.command.task.START_RETRY_S": 1.5}
    return service


def test_a_service_with_few_descriptors_runs_what_it_can_and_records_the_rest(service: Service) -> None:
    """More runs at once than there are descriptors for: none is lost, and nothing ends."""
    service.limits = {resource.RLIMIT_NOFILE: FEW_FDS}
    names = ["job0", "job1"]
    for name in names:
        service.write(f"{name}.json", job(name, EACH_SECOND, "sleep 0.6", overlap="allow"))
    soon = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in range(12):
        service.write(f"burst{number}.json", job(f"burst{number}", soon, "sleep 4"))
    service.start()
    service.wait_for("FAILURE", 3, reason="start")
    for name in names:
        service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id=name)) + 2, job_id=name)
    assert service.stop() == 0

    burst = [one for one in service.lines() if one.get("job_id", "").startswith("burst")]
    ends = [one["job_id"] for one in burst if one["word"] in {"SUCCESS", "FAILURE"}]
    assert sorted(ends) == sorted(f"burst{number}" for number in range(12))
    Account([one for one in service.lines() if one not in burst], each_second(*names)).check()
    assert "descriptor" in service.words("FAILURE", reason="start")[0]["error"]
    assert "Traceback" not in service.stderr()


def test_a_lasting_shortage_of_descriptors_leaves_some_for_the_edit_that_ends_it(service: Service) -> None:
    """However many runs wait for descriptors, the service can read its files: jobs that are deleted go at once."""
    service.limits = {resource.RLIMIT_NOFILE: FEW_FDS}
    names = [f"job{number}" for number in range(14)]
    for name in names:
        service.write(f"{name}.json", job(name, EACH_SECOND, "sleep 0.6", overlap="allow"))
    service.start()
    service.wait_for("FAILURE", 3, reason="start")
    for name in names[2:]:
        (service.jobs / f"{name}.json").unlink()
    service.wait_for("job.removed", len(names) - 2)
    for name in names[:2]:
        service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id=name)) + 2, job_id=name)
    assert service.stop() == 0

    Account([one for one in service.lines() if one.get("job_id") not in names[2:]], each_second(*names[:2])).check()
    assert not service.words("directory.lost")
    assert "Traceback" not in service.stderr()


def test_a_host_without_processes_or_threads_to_give_makes_records_and_ends_nothing(service: Service) -> None:
    """No fork and no thread succeeds for a while: each slot of that time fails with its reason; then all is well."""
    none_left = service.jobs.parent / "none-left"
    service.patched(
        f"""
        import errno, os, threading, _posixsubprocess, subprocess
        def refuse(real):
            def call(*args, **named):
                if os.path.exists({str(none_left)!r}):
                    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
                return real(*args, **named)
            return call
        def no_thread(real):
            def call(self):
                if os.path.exists({str(none_left)!r}):
                    raise RuntimeError("can't start new thread")
                return real(self)
            return call
        def no_process(real):
            return lambda *args: None if os.path.exists({str(none_left)!r}) else real(*args)
        from jobscheduler.tasks.command import child
        child.spawn = no_process(child.spawn)
        subprocess._fork_exec = refuse(subprocess._fork_exec)
        os.posix_spawn = refuse(os.posix_spawn)
        threading.Thread.start = no_thread(threading.Thread.start)
        """
    )
    world = MarkedService(service, service.jobs.parent)
    service.start()
    service.wait_for("SUCCESS", job_id="tick")
    none_left.touch()
    service.wait_for("FAILURE", 2, reason="start")
    none_left.unlink()
    service.wait_for("SUCCESS", 2, job_id="tick")

    world.check()
