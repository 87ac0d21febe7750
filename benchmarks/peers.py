"""Other schedulers in the same harness, each started as its own documentation says, where the machine has them.

They get one job a minute for each shell command, as files of their own kind. cron reads only its places in the system;
so it runs in a mount namespace in which those places are other ones, and no other program sees them.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, CalledProcessError, check_output, run

from benchmarks.processes import environment, running
from benchmarks.service import ROOT

CACHE = ROOT / ".bench"
"""Where each peer from the package index gets a virtual environment of its own."""

PER_TABLE = 900
"""How many jobs cron gets in a table."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another scheduler: how its jobs are written into a directory, and how it is started on them.

    `most` is how many jobs it is given at most: cron starts two processes a job at the same moment, which is more than
    many hosts allow with 10,000 jobs, and yacron takes minutes to read so many.
    """

    name: str
    version: str
    most: int
    write: Callable[[Path, list[str]], None]
    command: Callable[[Path], list[str]]

    @contextmanager
    def running(self, base: Path, commands: list[str]) -> Iterator[int]:
        """Run it with one job a minute for each shell command; gives its process id."""
        place = base / self.name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.write(place, commands)
        with running(self.command(place)) as process:
            yield process.pid


def available() -> tuple[list[Peer], list[str]]:
    """Return the peers that this machine has or can be given, and a sentence about each that is left out."""
    found, missing = [], []
    for look in (_cron, _cronstable, _yacron):
        peer = look()
        if isinstance(peer, Peer):
            found.append(peer)
        else:
            missing.append(peer)
    return found, missing


def _cron() -> Peer | str:
    if shutil.which("cron") is None:
        return "cron is not there (Debian: `apt-get install cron`)"
    if run(_hidden("true", Path("/nonexistent")), stderr=DEVNULL, check=False).returncode != 0:
        return "cron is left out: a mount namespace for it cannot be made (that needs root)"
    version = check_output(["dpkg-query", "-W", "-f", "${Version}", "cron"], text=True)
    return Peer("cron", version, 1_000, _write_tables, lambda place: _hidden("exec cron -f", place))


def _hidden(then: str, place: Path) -> list[str]:
    """Run a shell line where cron's places are empty but for the tables in `place`."""
    tables = f"mount --bind {shlex.quote(str(place))} /etc/cron.d; " if place.is_dir() else ""
    hide = (
        "mount -t tmpfs none /var/spool/cron/crontabs; mount -t tmpfs none /run; mount --bind /dev/null /etc/crontab; "
    )
    return ["unshare", "--mount", "sh", "-ec", f"{hide}{tables}{then}"]


def _write_tables(place: Path, commands: list[str]) -> None:
    for at in range(0, len(commands), PER_TABLE):
        lines = [f"* * * * * root {command}\n" for command in commands[at : at + PER_TABLE]]
        (place / f"table-{at}").write_text("".join(['MAILTO=""\n', *lines]), "utf-8")


def _cronstable() -> Peer | str:
    return _from_index("cronstable", 10_000)


def _yacron() -> Peer | str:
    return _from_index("yacron", 1_000)


def _from_index(name: str, most: int) -> Peer | str:
    """Make its virtual environment, once, as its documentation says: `pip install NAME`."""
    home = CACHE / name
    program = home / "bin" / name
    try:
        if not program.exists():
            run([sys.executable, "-m", "venv", "--clear", home], check=True, stdout=DEVNULL)
            run([home / "bin" / "pip", "install", "--quiet", name], check=True, stdout=DEVNULL, stderr=DEVNULL)
        ask = f"import importlib.metadata as m; print(m.version({name!r}))"
        version = check_output([home / "bin" / "python", "-c", ask], text=True).strip()
        run([program, "--help"], check=True, stdout=DEVNULL, stderr=DEVNULL, env=environment())
    except (OSError, CalledProcessError):
        shutil.rmtree(home, ignore_errors=True)
        return f"{name} is left out: it could not be installed from the package index"
    return Peer(name, version, most, _write_yaml, lambda place: [str(program), "-c", str(place)])


def _write_yaml(place: Path, commands: list[str]) -> None:
    for number, command in enumerate(commands):
        words = f"  - name: job-{number}\n    command: {json.dumps(command)}\n    schedule: '* * * * *'\n"
        (place / f"job-{number}.yaml").write_text(f"jobs:\n{words}", "utf-8")
