"""A forked process of the tests is what an executed one would be: everything a command or a job could see of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.fork_server import MAIN, ForkedProcess, can_fork, run_program, start_program
from tests.support.service import Service, job, wait_until

FIELDS = ("Umask", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs", "Seccomp")
SEEN_BY_A_JOB = "pwd; umask; ulimit -a; env | sort; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; ls /proc/self/fd"


def lasting_descriptors(process: Path, base: str) -> tuple[dict[int, str], list[str]]:
    """Return what a service keeps open: the standard streams by number, and the names of the others.

    Which number another one has, depends on which thread opened its first. On a busy host, a descriptor of a moment
    can last for some samples.
    """
    samples: list[dict[int, str]] = []
    for _ in range(20):
        Event().wait(0.02)
        sample = {}
        for one in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                sample[int(one.name)] = re.sub(r"\d+", "N", str(one.readlink()).replace(base, "BASE"))
        samples.append(sample)
    kept = {number: name for number, name in samples[0].items() if all(one.get(number) == name for one in samples)}
    kept = {number: name for number, name in kept.items() if "/libffi.so" not in name}  # of its newest versions alone
    return {number: kept[number] for number in range(3)}, sorted(name for number, name in kept.items() if number > 2)


def state_of(service: Service) -> dict[str, Any]:
    """Read what the kernel knows of a service that has started."""
    assert service.process is not None
    process = Path(f"/proc/{service.process.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    descriptors = lasting_descriptors(process, str(service.jobs.parent))
    stat = (process / "stat").read_text().rpartition(")")[2].split()
    return {
        **{name: status.get(name) for name in FIELDS},
        "limits": (process / "limits").read_text(),
        "cwd": (process / "cwd").readlink(),
        "exe": (process / "exe").readlink(),
        "group and session": stat[2:4],
        "nice": stat[16],
        "descriptors": descriptors,
    }


def seen_of(base: Path, *, forks: bool) -> tuple[dict[str, Any], str, str]:
    """Return the state of a service, what its job saw, and what it wrote to standard error."""
    base.mkdir()
    service = Service(base, env={"TZ": "America/New_York", "HELLO": "you\n\udce4"})
    service.forks = forks
    service.write("a.json", job("a", command=f"({SEEN_BY_A_JOB}) > {base}/new; mv {base}/new {base}/seen"))
    before = os.umask(0o027)
    try:
        service.start()
        assert isinstance(service.process, ForkedProcess) is forks
        wait_until((base / "seen").exists)
        service.wait_for("SUCCESS")  # by now it has everything that it opens when it is needed
        state = state_of(service)
        assert service.stop() == 0
        text = re.sub(r"(_TIME|_ID|MARK\w*)=.*", r"\1", (base / "seen").read_text())
        return state, text.replace(str(base), "BASE"), re.sub(r"\d", "N", service.stderr()).replace(str(base), "BASE")
    finally:
        os.umask(before)
        service.close()


def test_a_forked_service_is_like_an_executed_one(tmp_path: Path) -> None:
    """Limits, signals, umask, descriptors, directory, groups, and the environment and the zone that jobs see."""
    executed, forked = seen_of(tmp_path / "x", forks=False), seen_of(tmp_path / "f", forks=True)

    assert forked[0] == executed[0]
    assert forked[1] == executed[1]


@pytest.mark.parametrize(
    "words",
    [["--version"], ["nonsense"], ["next", "--cron", "0 9 * * *", "-n", "2"], ["list", "--socket", "/nowhere"]],
)
def test_a_forked_command_says_and_returns_the_same(words: list[str]) -> None:
    """Its exit status, both streams, and the zone of its environment."""
    command, env = [sys.executable, MAIN, *words], {**os.environ, "TZ": "Asia/Tokyo"}
    executed = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    forked = run_program(command, env=env, text=True)

    assert (forked.returncode, forked.stdout, forked.stderr) == (executed.returncode, executed.stdout, executed.stderr)


def test_a_signal_ends_a_forked_process_and_is_its_status(tmp_path: Path) -> None:
    """A process that has ended is sent nothing."""
    service = Service(tmp_path).start()
    assert isinstance(service.process, ForkedProcess)
    assert service.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        service.process.wait(0.01)
    service.process.kill()

    assert service.process.wait(10) == -signal.SIGKILL
    assert not Path(f"/proc/{service.process.pid}").exists()
    service.process.send_signal(signal.SIGTERM)


def test_what_the_interpreter_reads_at_its_start_is_executed() -> None:
    """So is every other program."""
    command = [sys.executable, MAIN, "--version"]
    assert can_fork(command, None)
    assert not can_fork(command, {**os.environ, "PYTHONWARNINGS": "error"})
    assert not can_fork(command, {**os.environ, "LD_PRELOAD": "x.so"})
    assert not can_fork(["sh", "-c", "true"], None)
    with start_program(["true"]) as process:
        assert process.wait(10) == 0
    assert not isinstance(process, ForkedProcess)
