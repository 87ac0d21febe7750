"""Databases for tests: an SQLite file always, and a private MariaDB server where Debian's `mariadb-server` is there."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from tests.support.job_files import unavailable
from tests.support.service import wait_until
from tests.support.suspended import suspend

PASSWORD = "se:cr@t/pass"
QUOTED = "se%3Acr%40t%2Fpass"


class Server:
    """A MariaDB server of our own: data directory, socket, a port on loopback. It can be stopped and started."""

    def __init__(self, program: str, *more: str) -> None:
        """`more` are further options of the server."""
        self._program = program
        self._more = more
        self._base = Path(tempfile.mkdtemp(prefix="jobscheduler-mariadb-", dir="/tmp"))
        self._user = ["--user=mysql"] if os.geteuid() == 0 else []
        self._socket = self._base / "socket"
        self._env = {**os.environ, "TMPDIR": str(self._base)}  # in a shared one servers remove each other's tables
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def make(self) -> None:
        """Make the data directory, and start."""
        if self._user:
            shutil.chown(self._base, "mysql", "mysql")
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self._base}/data", "--skip-test-db"]
        command += ["--auth-root-authentication-method=normal", *self._user]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=self._env)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()
        self.sql(f"CREATE USER tester@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'", "GRANT ALL ON *.* TO tester@'127.0.0.1'")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"--datadir={self._base}/data", f"--socket={self._socket}", f"--pid-file={self._base}/pid"]
        options += ["--bind-address=127.0.0.1", f"--port={self.port}", f"--log-error={self._base}/errors"]
        options += [
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=16M",
            "--innodb-fast-shutdown=2",
        ]
        options += ["--innodb-flush-log-at-trx-commit=2", "--performance-schema=OFF", *self._user, *self._more]
        self.process = subprocess.Popen([self._program, "--no-defaults", *options], cwd="/", env=self._env)
        wait_until(self._answers, 30, "MariaDB answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._base / "errors").read_text("utf-8")
        with socket.socket() as looking:
            return looking.connect_ex(("127.0.0.1", self.port)) == 0

    def sql(self, *statements: str, database: str | None = None) -> tuple[tuple[object, ...], ...]:
        """Run statements as root; return what the last one gave."""
        with pymysql.connect(unix_socket=str(self._socket), user="root", database=database, autocommit=True) as opened:
            cursor = opened.cursor()
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def asked(self) -> int:
        """Return how many statements it has been asked by now, by its own count."""
        return int(str(self.sql("SHOW GLOBAL STATUS LIKE 'Questions'")[0][1]))

    def fresh(self) -> str:
        """Make an empty database; return its URL."""
        self._made += 1
        self.sql(f"CREATE DATABASE test{self._made}")
        return f"mysql://tester:{QUOTED}@127.0.0.1:{self.port}/test{self._made}"

    def stop(self) -> None:
        """End it at once, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def hold(self) -> None:
        """Have it answer nothing until `go_on`."""
        assert self.process is not None
        suspend(self.process)

    def go_on(self) -> None:
        """Have it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it, and leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self._base, ignore_errors=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests of a file, gone before other files count the children of this process.

    It fails where it has to be tested, and is skipped elsewhere.
    """
    with running() as made:
        yield made


@contextmanager
def running(*more: str) -> Iterator[Server]:
    """Run a server with further options."""
    program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
    if program is None:
        unavailable("no mariadbd: `apt-get install mariadb-server`")
    made = Server(program, *more)
    try:
        made.make()
        yield made
    finally:
        made.remove()


class Place:
    """A database for one test, that can go away and come back."""

    def __init__(self, url: str, server: Server | None, file: Path) -> None:
        self.url = url
        self.server = server
        self._file = file
        self._away = file.with_name("away")

    def go(self) -> None:
        """Take it away: the server crashes, or the file is moved."""
        if self.server is not None:
            self.server.stop()
            return
        self._away.mkdir()
        for part in self._parts(self._file.parent):
            part.rename(self._away / part.name)

    def come(self) -> None:
        """Bring it back as it was."""
        if self.server is not None:
            self.server.start()
            return
        for part in self._parts(self._away):
            part.rename(self._file.with_name(part.name))
        self._away.rmdir()

    def _parts(self, directory: Path) -> list[Path]:
        return sorted(directory.glob(f"{self._file.name}*"))


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of either kind."""
    file = tmp_path / "jobs.db"
    if request.param == "sqlite":
        return Place(f"sqlite:///{file}", None, file)
    return mariadb(request, tmp_path)


EACH_DEEP = pytest.mark.parametrize("place", ["sqlite", pytest.param("mariadb", marks=pytest.mark.deep)], indirect=True)
"""On SQLite always, on MariaDB with the tests that take their time."""


@pytest.fixture
def on_mariadb(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of a real server, for what SQLite has not."""
    return mariadb(request, tmp_path)


def mariadb(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of the server; one that a test took away is brought back first."""
    server: Server = request.getfixturevalue("server")
    assert server.process is not None
    if server.process.poll() is not None:
        server.start()
    return Place(server.fresh(), server, tmp_path / "none")
