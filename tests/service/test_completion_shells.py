"""A user presses Tab in bash, zsh and fish, with a service that answers, one that hangs, and none."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.job_files import unavailable
from tests.support.service import ROOT, Service, job
from tests.support.shells import Terminal, command_folder, fish

MOST_CPU_S = 0.15  # processor time of one completion

LINES = {  # what is typed, and what stands there after Tab
    "jobscheduler li": "jobscheduler list ",
    "jobscheduler help expl": "jobscheduler help explain ",
    "jobscheduler list --fai": "jobscheduler list --failing ",
    "jobscheduler db exp": "jobscheduler db export ",
    "jobscheduler list --sort ne": "jobscheduler list --sort next ",
    "jobscheduler list --sort=ne": "jobscheduler list --sort=next ",
    "jobscheduler list --state failing,ru": "jobscheduler list --state failing,running",
    "jobscheduler explain rep": "jobscheduler explain report-1 ",
    "jobscheduler run backup tag:ni": "jobscheduler run backup tag:nightly ",
    "jobscheduler list --tag ni": "jobscheduler list --tag nightly ",
    "jobscheduler pause --reason 'a b' rep": "jobscheduler pause --reason 'a b' report-1 ",
    "true; A=1 jobscheduler explain rep": "true; A=1 jobscheduler explain report-1 ",
    "bin/jobscheduler explain rep": "bin/jobscheduler explain report-1 ",
    "jobscheduler list --config set": "jobscheduler list --config settings.toml ",
    "jobscheduler list --config=set": "jobscheduler list --config=settings.toml ",
    "jobscheduler next set": "jobscheduler next settings.toml ",
    "jobscheduler db import my": "jobscheduler db import my\\ jobs/",
    "jobscheduler validate --as roo": "jobscheduler validate --as root ",
    "jobscheduler no-verb ": "jobscheduler no-verb ",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two jobs."""
    made = Service(tmp_path_factory.mktemp("service"))
    made.write("report-1.json", job("report-1", "0 1 * * *", description="Sales: daily"))
    made.write("backup.json", job("backup", "@manual", tags=["nightly"]))
    made.start()
    yield made
    made.stop()
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with files to complete, and the one of the command."""
    (tmp_path / "settings.toml").touch()
    (tmp_path / "my jobs").mkdir()
    return command_folder(tmp_path)


def needs(shell: str) -> None:
    """Skip, or fail in CI, where a shell is missing."""
    if shutil.which(shell) is None:
        unavailable(f"{shell} is not installed")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes_verbs_options_values_ids_and_files(
    service: Service, tmp_path: Path, folder: Path, shell: str
) -> None:
    """In a real shell on a terminal, one after the other."""
    needs(shell)
    with Terminal(shell, tmp_path, folder, JOBSCHEDULER_SOCKET=str(service.socket)) as terminal:
        assert {line: terminal.tab(line)[0] for line in LINES} == LINES


def test_fish_completes_the_same(service: Service, tmp_path: Path, folder: Path) -> None:
    """By its own engine, which says what stands there after Tab: one candidate for each."""
    needs("fish")
    for line, completed in LINES.items():
        found = fish(line, tmp_path, folder, JOBSCHEDULER_SOCKET=str(service.socket))
        before = line[: line.rindex(" ") + 1]
        word = completed.removeprefix(before).replace("\\", "").removesuffix(" ")
        assert list(found) == ([word] if word else [])


def test_zsh_shows_descriptions(service: Service, tmp_path: Path, folder: Path) -> None:
    """Beside verbs, options and ids; and what is to be typed where nothing can be completed."""
    needs("zsh")
    with Terminal("zsh", tmp_path, folder, JOBSCHEDULER_SOCKET=str(service.socket)) as terminal:
        assert "list        -- show the jobs, those that need you first" in terminal.tab("jobscheduler ")[1]
        assert (
            "--failing  -- only jobs that are failing; as `--state failing`" in terminal.tab("jobscheduler list --")[1]
        )
        assert "report-1     -- Sales: daily" in terminal.tab("jobscheduler run ")[1]
        assert "how many slots each (default: 5)" in terminal.tab("jobscheduler next -n ")[1]


def test_fish_shows_descriptions(service: Service, tmp_path: Path, folder: Path) -> None:
    """The same."""
    needs("fish")
    socket_file = {"JOBSCHEDULER_SOCKET": str(service.socket)}
    assert fish("jobscheduler l", tmp_path, folder)["list"] == "show the jobs, those that need you first"
    assert fish("jobscheduler list --f", tmp_path, folder)["--failing"].startswith("only jobs that are failing")
    assert fish("jobscheduler run r", tmp_path, folder, **socket_file) == {"report-1": "Sales: daily"}


def test_bash_shows_all_jobs(service: Service, tmp_path: Path, folder: Path) -> None:
    """Tab twice."""
    with Terminal("bash", tmp_path, folder, JOBSCHEDULER_SOCKET=str(service.socket)) as terminal:
        line, shown = terminal.tab("jobscheduler run ", "\t\t")
    assert line == "jobscheduler run "
    assert "backup       report-1     tag:nightly" in shown


def test_ids_come_in_little_processor_time(service: Service, folder: Path) -> None:
    """The best of a few, as other tests run beside this one."""
    used = []
    for _ in range(5):
        before = _children_cpu()
        assert "report-1" in _ask(folder, service.socket)
        used.append(_children_cpu() - before)
    assert min(used) < MOST_CPU_S, used


def _children_cpu() -> float:
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def _ask(folder: Path, path: Path) -> str:
    """What a shell is answered, and nothing on standard error."""
    command = [sys.executable, str(ROOT / "main.py"), "__complete", "zsh", "explain", ""]
    environment = {"PATH": "/usr/bin", "HOME": str(folder.parent), "JOBSCHEDULER_SOCKET": str(path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    return done.stdout


def test_without_a_service_nothing_is_said(tmp_path: Path, folder: Path) -> None:
    """No socket, and a socket on which no process listens any more."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    for name in ("none.sock", "left.sock"):
        assert _ask(folder, tmp_path / name).splitlines() == ["words\tthe id of the job"]


def test_a_service_that_hangs_is_not_waited_for(tmp_path: Path, folder: Path) -> None:
    """First it takes the connection and says nothing. Then its queue is full: no connection was accepted."""
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(tmp_path / "busy.sock"))
        busy.listen(0)
        for _ in range(2):
            assert _ask(folder, tmp_path / "busy.sock").splitlines() == ["words\tthe id of the job"]


def test_whatever_else_hangs_ends_with_nothing() -> None:
    """Such as a settings file on a dead server."""
    code = (
        "import time; from jobscheduler.cli import complete, completion_values as values;"
        "complete.LIMIT_S = 0.05; values._ask = lambda *_: time.sleep(60);"
        "complete.complete_in_time(['zsh', 'explain', ''])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
