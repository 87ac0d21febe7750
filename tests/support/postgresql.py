"""A private PostgreSQL server for tests, where Debian's `postgresql` is there."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.support.job_files import unavailable
from tests.support.service import wait_until


class Server:
    """A PostgreSQL server of our own: data directory, a port on loopback. It can be stopped and started."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._base = Path(tempfile.mkdtemp(prefix="jobscheduler-postgresql-", dir="/tmp"))
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._made = 0
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the data directory, and start."""
        if self._user:
            shutil.chown(self._base, "postgres", "postgres")
        command = [
            str(self._programs / "initdb"),
            "-D",
            f"{self._base}/data",
            "-A",
            "trust",
            "-U",
            "tester",
            "--no-sync",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/", **self._user)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-D", f"{self._base}/data", "-p", str(self.port), "-k", str(self._base), "-h", "127.0.0.1", "-F"]
        with (self._base / "errors").open("ab") as errors:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), *options], cwd="/", stderr=errors, **self._user
            )
        wait_until(self._answers, 30, "PostgreSQL answers")

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement; return its rows."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="tester", dbname="postgres", autocommit=True
        ) as one:
            cursor = one.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def asked(self) -> int:
        """Return how many transactions its databases for tests have had, by its own count, which is a second late."""
        count = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname LIKE 'test%'"
        return int(str(self.sql(count)[0][0]))

    def stop(self) -> None:
        """End it at once."""
        assert self._process is not None
        self._process.send_signal(3)
        self._process.wait(20)

    def hold(self) -> None:
        """Have the server and all its processes answer nothing until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have them answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._processes():
            with suppress(ProcessLookupError):  # one that has just ended
                os.kill(pid, number)

    def _processes(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return [pid, *map(int, children)]

    def fresh(self) -> str:
        """Make an empty database; return its URL."""
        self._made += 1
        self.sql(f"CREATE DATABASE test{self._made}")
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/test{self._made}"

    def remove(self) -> None:
        """End it, and leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self._base, ignore_errors=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests of a file. It fails where it has to be tested, and is skipped elsewhere."""
    with running() as made:
        yield made


@contextmanager
def running() -> Iterator[Server]:
    """Run a server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        unavailable("no PostgreSQL: `apt-get install postgresql`")
    made = Server(found[-1].parent)
    try:
        made.make()
        yield made
    finally:
        made.remove()
