"""A root like that of a container: read-only, without a machine-id, with the service as its first process.

Nothing stays on the host: mounts live in a namespace that ends with the first process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounting import lines_of
from tests.support.job_files import need
from tests.support.service import ROOT, wait_until

JOBS, LOGS, MARKS = "/etc/scheduler/jobs.d", "/var/log/scheduler", "/srv/marks"
NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts")

# 1. the host's root, whatever is mounted there, read-only; 2. /etc without a machine-id, volumes for log and marks;
# 3. job files as a ConfigMap shows them: a file system made anew, with links over a folder named after the time;
# 4. the checkout, if it is where other file systems are now.
MAKE_ROOT = """
set -e
base=$1 jobs=$2 checkout=$3; shift 3
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/root /mnt/etc
cp -a /etc/. /mnt/etc 2>/dev/null || [ -s /mnt/etc/passwd ]  # other tests add users meanwhile: lock files come and go
rm -f /mnt/etc/machine-id
mkdir -p /mnt/etc/scheduler/jobs.d
mount --rbind / /mnt/root
cd /mnt/root
mount --bind /mnt/etc etc
mount -t tmpfs none tmp
mount -t tmpfs none run
mount -t tmpfs none var/log
mount -t tmpfs none srv
mkdir var/log/scheduler srv/marks
mount --bind "$base/log" var/log/scheduler
mount --bind "$base/marks" srv/marks
mount -t tmpfs none etc/scheduler/jobs.d
version=etc/scheduler/jobs.d/..$(date +%Y_%m_%d_%H_%M_%S.%N)
mkdir $version
cp "$jobs"/* $version
ln -s "${version##*/}" etc/scheduler/jobs.d/..data
for one in $version/*; do ln -s "..data/${one##*/}" etc/scheduler/jobs.d; done
[ -e ".$checkout/main.py" ] || { mkdir -p ".$checkout" && mount --bind "$checkout" ".$checkout"; }
for one in etc/scheduler/jobs.d etc var/log srv run .; do mount -o remount,bind,ro $one; done
mount -t proc none proc
"$1" -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).pivot_root(b".", b"mnt"))'
cd /
umount -l /mnt
exec "$@"
"""


class Container:
    """The service as the first process of a container, again and again on one volume with its log."""

    def __init__(self, base: Path) -> None:
        need("unshare", "nsenter", "mount")
        self.base = base
        self.jobs = base / "definitions"
        for folder in (self.jobs, base / "log", base / "marks"):
            folder.mkdir()
            folder.chmod(0o755)
        self.log = base / "log/scheduler.log"
        self.stdout = base / "stdout"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def marks(self) -> Path:
        """The file where jobs leave marks as `MARKS/marks`."""
        return self.base / "marks/marks"

    def define(self, **jobs: dict[str, Any]) -> None:
        """Put definitions into the ConfigMap; the next start shows them."""
        for name, definition in jobs.items():
            (self.jobs / f"{name}.json").write_text(json.dumps(definition), "utf-8")

    def start(self, *options: str) -> None:
        """Make a root and start the service in it; wait until it has read every file."""
        before = len(self.words("service.started"))
        unshare = ["unshare", *NAMESPACES, "--fork", "--kill-child"]
        make_root = ["sh", "-c", MAKE_ROOT, "sh", str(self.base), str(self.jobs), str(ROOT)]
        with (self.base / "stderr").open("ab") as errors, self.stdout.open("ab") as output:
            self.process = subprocess.Popen(
                [*unshare, *make_root, sys.executable, str(ROOT / "main.py"), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "TZ": "UTC", "LANG": "C.UTF-8"},
            )
        self._wait_for_start(before)

    def _wait_for_start(self, starts_before: int) -> None:
        """Wait until the service has started once more; fail with what it said if it does not."""
        try:
            wait_until(lambda: len(self.words("service.started")) > starts_before, 15)
        except pytest.fail.Exception:
            pytest.fail(f"the container does not start: {self.stderr()}")

    def words(self, word: str, **values: str) -> list[dict[str, str]]:
        """Return the lines of the log with this status or event and these values."""
        lines = lines_of(self.log) if self.log.exists() else []
        return [
            line
            for line in lines
            if line["word"] == word and all(line.get(key) == value for key, value in values.items())
        ]

    def wait_for(self, word: str, count: int = 1, **values: str) -> list[dict[str, str]]:
        """Wait until the log has so many such lines."""
        return wait_until(
            lambda: found if len(found := self.words(word, **values)) >= count else None, 20, f"{word} {values}"
        )

    def stderr(self) -> str:
        """Return what it wrote to standard error."""
        return (self.base / "stderr").read_text("utf-8")

    @property
    def first_process(self) -> int:
        """The service, as the host numbers it."""
        assert self.process is not None
        (pid,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii").split()
        return int(pid)

    def enter(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as a health check does."""
        namespaces = ["nsenter", "--target", str(self.first_process), *NAMESPACES, "--root", "--wd=/"]
        return subprocess.run([*namespaces, *command], check=False, capture_output=True, text=True, timeout=20)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the first process; return the exit status of the container."""
        os.kill(self.first_process, number)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status of the container."""
        assert self.process is not None
        return self.process.wait(20)

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def container(base: Path) -> Iterator[Container]:
    """Yield a container that ends with the test."""
    made = Container(base)
    try:
        yield made
    finally:
        made.close()
