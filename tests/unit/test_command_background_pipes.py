"""Pipes of processes that runs have left: how many descriptors they cost, and that their writes never break."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from jobscheduler.tasks.command import discarder_process
from jobscheduler.tasks.command.adopted_processes import ADOPTED
from jobscheduler.tasks.command.background_pipes import MAX_PIPES, MAX_PIPES_OF_JOB, BackgroundPipes
from jobscheduler.tasks.command.fd_budget import EXTRA_FDS, FdLimit
from tests.support.tasks import (
    Pipe,
    as_root,
    context,
    descriptors,
    eventually,
    execute,
    no_strangers,
    nothing_to_look_after,
)

__all__ = ["no_strangers"]

ROOT = Path(__file__).resolve().parent.parent.parent


class Written:
    """Pipes that a test writes to, like processes in the background."""

    def __init__(self, pipes: BackgroundPipes) -> None:
        self.pipes = pipes
        self.ends: list[int] = []

    def leave(self, job_id: str, number: int) -> None:
        """Leave so many pipes of a job."""
        for _ in range(number):
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            self.ends.append(theirs)
            self.pipes.add(ours, job_id)

    def close(self) -> None:
        """End all processes in the background."""
        while self.ends:
            os.close(self.ends.pop())

    def drained(self) -> bool:
        """Discard the available output. Return whether no pipe is left."""
        self.pipes.discard(0.01)
        return not self.pipes


@pytest.fixture
def written():
    found = Written(BackgroundPipes())
    assert found.pipes.open()
    yield found
    found.close()
    eventually(found.drained)
    assert found.pipes.close()


def test_surplus_pipes_of_a_job_go_to_another_process(written):
    """The oldest go there. They cost the service no descriptor any more."""
    before = descriptors()
    written.leave("greedy", MAX_PIPES_OF_JOB)
    full = descriptors()
    written.leave("greedy", 50)
    assert descriptors() - full - 50 == 1, "the ends of the test, and one connection"
    assert written.pipes.count_by_job() == {"greedy": MAX_PIPES_OF_JOB + 50}
    assert full - before == 2 * MAX_PIPES_OF_JOB


def test_the_oldest_of_too_many_pipes_go_to_another_process(written):
    for number in range(MAX_PIPES + 20):
        written.leave(f"job-{number}", 1)
    assert len(written.pipes._pipes) == MAX_PIPES
    assert "job-0" not in written.pipes._pipes.values()
    assert written.pipes.count_of("job-0") == 1


def test_no_write_fails_or_blocks_wherever_the_pipe_is_read(written):
    written.leave("greedy", MAX_PIPES_OF_JOB + 10)
    for end in written.ends:
        os.set_blocking(end, False)
    for end in written.ends:
        left = 1_000_000
        while left > 0:
            try:
                left -= os.write(end, b"x" * 50_000)
            except BlockingIOError:
                written.pipes.discard(0.01)


def test_the_count_of_a_job_goes_down_when_its_processes_end(written):
    written.leave("greedy", MAX_PIPES_OF_JOB + 10)
    written.leave("other", 1)
    last = written.ends.pop()
    written.close()
    eventually(lambda: written.drained() or written.pipes.count_by_job() == {"other": 1})
    os.close(last)


def test_the_reader_ends_with_its_last_pipe_and_is_started_again_when_needed(written):
    for _ in range(2):
        written.leave("greedy", MAX_PIPES_OF_JOB + 1)
        discarder = written.pipes._discarder.pid
        assert discarder in ADOPTED.own_pids
        written.close()
        eventually(written.drained)
        assert not Path(f"/proc/{discarder}").exists()


def test_the_service_reads_the_pipes_itself_when_no_reader_starts(written, monkeypatch):
    def fail(_connection):
        raise BlockingIOError(11, "no process left")

    monkeypatch.setattr(discarder_process, "start_discarder", fail)
    written.leave("greedy", MAX_PIPES_OF_JOB + 10)
    assert written.pipes.count_by_job() == {"greedy": MAX_PIPES_OF_JOB + 10}
    assert len(written.pipes._pipes) == MAX_PIPES_OF_JOB + 10


def test_a_reader_that_is_killed_is_replaced(written):
    written.leave("greedy", MAX_PIPES_OF_JOB + 1)
    assert written.pipes._discarder.pid > 0, "0 would be the test itself"
    os.kill(written.pipes._discarder.pid, 9)
    eventually(lambda: written.pipes.discard(0.01) or not written.pipes._discarder.pid)
    assert written.pipes.count_of("greedy") == MAX_PIPES_OF_JOB
    written.leave("greedy", 1)
    assert written.pipes._discarder.pid


def test_background_processes_can_write_after_the_end_of_the_service(tmp_path):
    """To a discarder that outlives the service. No other process is left."""
    gate, word = Pipe(tmp_path, "gate"), Pipe(tmp_path, "word")
    command = f"(read line < {gate.path}; head -c 500000 /dev/zero; echo $? > {word.path}) & true"
    program = (
        "from jobscheduler.tasks.command.reaper_thread import REAPER; from tests.support.tasks import execute;"
        f"execute({command!r}); REAPER.pipes.detach()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    gate.path.write_text("go\n")
    assert word.read() == "0"


def test_a_record_says_how_many_processes_of_a_job_are_in_the_background(tmp_path):
    gate = Pipe(tmp_path, "gate")
    keep = os.open(gate.path, os.O_RDWR)
    last = [execute(f"(read line < {gate.path}) & true").details for _ in range(MAX_PIPES_OF_JOB + 2)][-2:]
    assert last == [(("exit_code", 0), ("in_background", MAX_PIPES_OF_JOB + n)) for n in (1, 2)]
    os.write(keep, b"go\n" * (MAX_PIPES_OF_JOB + 2))
    eventually(nothing_to_look_after)
    os.close(keep)
    assert execute("true", context()).details == (("exit_code", 0),)


# -- the limit


LIMITS = """
import resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 1000))
from jobscheduler.tasks.command.fd_budget import FD_LIMIT
FD_LIMIT.raise_limit()
held = [open("/dev/null") for _ in range(int(sys.argv[1]))]
from tests.support.tasks import text, in_thread
found = []
with in_thread(lambda: found.append(text("ulimit -Sn; ulimit -Hn"))):
    pass
print(*found[0].split(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits(held: int) -> list[int]:
    """Return the descriptor limits of a command and of the service, which has so many files open."""
    command = [sys.executable, "-c", LIMITS, str(held)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return list(map(int, found.stdout.split()))


def test_the_service_has_the_hard_limit_and_a_command_the_former_one():
    assert limits(0) == [200, 1000, 1000, 1000]


def test_a_command_gets_a_slightly_higher_limit_when_the_service_has_many_descriptors_open():
    """Or the former one a moment later. Other threads of the service find descriptors meanwhile."""
    soft, *others = limits(300)
    assert 200 <= soft < 500
    assert others == [1000, 1000, 1000]


def test_overlapping_starts_keep_the_former_limit_until_the_last_one_ends(monkeypatch):
    """A start that hangs does not leave the limit of the service to the others."""
    limits = [(200, 1000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    limit = FdLimit()
    limit.raise_limit()
    assert limits[-1] == (1000, 1000)
    limit.lower(10)
    limit.lower(11)
    limit.restore()
    assert limits[-1] == (200, 1000)
    assert limit.maximum() == 1000
    limit.lower(300)
    assert limits[-1] == (300 + EXTRA_FDS, 1000)
    limit.restore()
    limit.restore()
    assert limits[-1] == (1000, 1000)


def test_a_job_that_leaves_a_process_each_run_does_not_take_the_last_descriptor(tmp_path):
    """With room for 80 descriptors, 100 runs leave a process each: the service needs a handful."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80));"
        "from tests.support.tasks import execute, descriptors;"
        f"[execute('(read line < {tmp_path}/gate) & true') for _ in range(100)]; print(descriptors())"
    )
    gate = Pipe(tmp_path, "gate")
    keep = os.open(gate.path, os.O_RDWR)
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    os.write(keep, b"go\n" * 100)
    os.close(keep)
    assert int(found.stdout) < 60


AS_INIT = """
import os, subprocess, sys, time
from jobscheduler.tasks.command.reaper_thread import REAPER
assert os.getpid() == 1
if sys.argv[1] == "keeps":
    REAPER.keep_reaping()
subprocess.run(["setsid", "-w", "sh", "-c", "for i in 1 2 3; do (sleep 0.1 &) ; done"], check=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until and open(f"/proc/self/task/{os.getpid()}/children").read().split():
    time.sleep(0.05)
print(len(open(f"/proc/self/task/{os.getpid()}/children").read().split()))
"""


@as_root
@pytest.mark.parametrize(("does", "seconds", "left"), [("keeps", 20, 0), ("does not", 0.5, 3)])
def test_the_first_process_of_a_container_reaps_while_no_run_ends(does, seconds, left):
    """A health check may leave orphans there. Otherwise they would stay as zombies."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", AS_INIT, does, str(seconds)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(found.stdout) == left
