"""A throwaway machine with the real systemd (`tests/systemd/boot`), and a checkout to install from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.job_files import unavailable
from tests.support.service import ROOT, parse_line, wait_until

NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root")
NOT_COPIED = (
    *(".git", ".venv", ".*_cache", ".bench", ".hosts", ".hypothesis"),
    *("__pycache__", "*.egg-info", "build", "dist", "var", "wheels"),
)
LOG = "/var/log/scheduler/scheduler.log"


def copy_of_the_checkout(to: Path) -> Path:
    """Copy what belongs to the project, as a fresh clone would have it."""
    return Path(shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True))


class Machine:
    """A booted machine. Everything in it ends with the `with` block; `share` is seen at the same path."""

    def __init__(self, init: int, tool: int) -> None:
        self.init = init
        self.groups = f"throwaway-{tool}"

    def run(self, command: str, *, cwd: Path | str = "/", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell command in it, whatever its exit status."""
        environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8", "TZ": "UTC"}
        return subprocess.run(
            ["nsenter", "--target", str(self.init), *NAMESPACES, "--", "env", "-C", str(cwd), "sh", "-c", command],
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def __call__(self, command: str, **options: object) -> str:
        """Run a shell command in it that has to succeed; return what it printed."""
        done = self.run(command, **options)  # type: ignore[arg-type]
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}{self.story()}"
        return done.stdout

    def wait(self, why: str, condition: Callable[[], object], seconds: float = 15) -> object:
        """Return what `condition` gives as soon as it is true; fail with the service's story otherwise."""
        try:
            return wait_until(condition, seconds, why)
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}\n{self.story()}")

    def log(self) -> list[dict[str, str]]:
        """Return the lines of the scheduler's log."""
        text = self.run(f"cat {LOG}").stdout
        return [parse_line(line[:-1]) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def story(self) -> str:
        """Return what systemd and the journal say about the service, for a failed test."""
        return self.run("systemctl status --no-pager jobscheduler; journalctl --no-pager -n 40").stdout


@contextmanager
def booted(share: Path, *options: str) -> Iterator[Machine]:
    """Boot a machine; skip where that cannot be, or fail if this is the machine that has to prove it (`CI=true`)."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests/systemd/boot", *options, "--share", share, "--hold"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process.stdin, process.stdout, process.stderr:
        number = process.stdout.readline()
        try:
            if not number:
                cannot(process.stderr.read().strip())
            yield Machine(int(number), process.pid)
        finally:
            process.stdin.close()
            process.wait(20)


def cannot(reason: str) -> NoReturn:
    """Say that the real systemd cannot be tested here."""
    unavailable(f"the real systemd has to be tested here, and cannot: {reason}")


@dataclass(frozen=True)
class Filled:
    """A copy of the checkout whose `wheels/` is filled, and what `make wheels` said when it filled them."""

    checkout: Path
    said: str


@cache
def filled(base: Path) -> Filled:
    """Fill the wheels, once a session: what it takes is the internet, and several seconds."""
    checkout = copy_of_the_checkout(base / "filled" / "checkout")
    done = make("wheels", cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    return Filled(checkout, done.stdout)


@pytest.fixture(scope="module")
def filled_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that can be installed without a network."""
    return filled(tmp_path_factory.getbasetemp()).checkout


def make(*arguments: str, cwd: Path = ROOT, user: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run make, as if from a terminal: the tests may themselves have been started by a make."""
    return subprocess.run(
        [*user, "make", *arguments],
        cwd=cwd,
        env=without_make(),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def without_make() -> dict[str, str]:
    """The environment without what a make above tells a make below."""
    return {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
