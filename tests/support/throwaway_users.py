"""Two unprivileged users and a group, for tests of neighbours: made by the first test that asks, removed at the end.

Each test process has users of its own, so that tests may kill all that belongs to one of them.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.job_files import unavailable

_NUMBERS = count(1)


@dataclass(frozen=True)
class ThrowawayUser:
    """An account with a home and a shell, and no rights."""

    name: str
    uid: int
    gid: int
    home: Path

    def popen(self, command: Sequence[str], *, groups: Sequence[int] = (), **options: Any) -> subprocess.Popen[bytes]:
        """Start a command as this user, with nothing of root's groups; `groups` are those beside the user's own."""
        environment = {"HOME": str(self.home), "USER": self.name, "PATH": "/usr/local/bin:/usr/bin:/bin"}
        defaults = {"cwd": self.home, "umask": 0o022, "env": environment}
        return subprocess.Popen(command, user=self.uid, group=self.gid, extra_groups=groups, **{**defaults, **options})

    def run(self, command: Sequence[str], **options: Any) -> None:
        """Run a command as this user; it has to succeed."""
        process = self.popen(command, **options)
        assert process.wait(60) == 0, command


@contextmanager
def _account_files() -> Iterator[None]:
    """Hold off other test processes: `useradd` gives up at once when another one is at work."""
    with (Path(tempfile.gettempdir()) / "throwaway-users.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _user(role: str) -> Iterator[ThrowawayUser]:
    if os.geteuid() != 0:
        unavailable("only root can make users")
    name = f"js-{role}-{os.getpid()}-{next(_NUMBERS)}"  # a module that imports the fixture has one of its own
    with _account_files():
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", "--user-group", name], check=True)
    account = pwd.getpwnam(name)
    home = Path(account.pw_dir)
    home.chmod(0o755)
    try:
        yield ThrowawayUser(name, account.pw_uid, account.pw_gid, home)
    finally:
        with suppress(OSError):
            subprocess.run(["pkill", "-KILL", "-u", str(account.pw_uid)], check=False)
        with _account_files():
            subprocess.run(["userdel", "--remove", "--force", name], check=False, capture_output=True)


@pytest.fixture(scope="session")
def alice() -> Iterator[ThrowawayUser]:
    """A user whose jobs the service runs, or who merely has an account on the host."""
    yield from _user("alice")


@pytest.fixture(scope="session")
def mallory() -> Iterator[ThrowawayUser]:
    """Another one, so that a test can tell what one user may do to another."""
    yield from _user("mallory")


@dataclass(frozen=True)
class ThrowawayGroup:
    """A group without members."""

    name: str
    gid: int


@pytest.fixture(scope="session")
def operators() -> Iterator[ThrowawayGroup]:
    """A group that may use a socket. A process is a member if it is started with the group's number."""
    if os.geteuid() != 0:
        unavailable("only root can make groups")
    name = f"js-ops-{os.getpid()}-{next(_NUMBERS)}"
    with _account_files():
        subprocess.run(["groupadd", "--system", name], check=True)
    try:
        yield ThrowawayGroup(name, grp.getgrnam(name).gr_gid)
    finally:
        with _account_files():
            subprocess.run(["groupdel", name], check=False, capture_output=True)
