"""The image of packaging/Containerfile, built by buildah on a Debian 13 and run as an engine runs it.

What runs it is a chroot in namespaces of its own with the service as the first process, since an engine needs control
groups that not every host gives.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian_packages import checkout_with_wheels, fresh_root
from tests.support.job_files import need
from tests.support.service import job, wait_until

pytestmark = [pytest.mark.deep, pytest.mark.timeout(3600)]

RELEASE = "trixie"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
NAMESPACES = ("--mount", "--pid", "--ipc", "--uts")
RUN = """
set -e
root=$1; shift
mount --make-rprivate /
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
"""


class Images:
    """What buildah keeps, in a directory of the test."""

    def __init__(self, place: Path) -> None:
        need("buildah", "unshare", "nsenter")
        self._buildah = ["buildah", "--root", str(place / "root"), "--runroot", str(place / "run")]
        self._place = place

    def __call__(self, *arguments: str) -> str:
        """Run buildah, which has to succeed; return what it printed."""
        done = subprocess.run([*self._buildah, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    def make_base(self) -> str:
        """Make an image of a fresh Debian; return its name."""
        archive = self._place / "base.tar"
        tar = [
            "tar",
            "-C",
            str(fresh_root(RELEASE)),
            "--one-file-system",
            "--exclude=./dev/*",
            "-cf",
            str(archive),
            ".",
        ]
        subprocess.run(tar, check=True)
        container = self("from", "scratch")
        self("add", container, str(archive), "/")
        self("commit", "--rm", container, "localhost/base")
        archive.unlink()
        return "localhost/base"

    def build(self, base: str, context: Path, *options: str) -> dict[str, Any]:
        """Build the image; return its settings."""
        file = ["--file", str(context / "packaging/Containerfile"), "--build-arg", f"BASE={base}", *options]
        self("bud", "--layers", "--isolation", "chroot", "--format", "docker", *file, "--tag", "tried", str(context))
        return json.loads(self("inspect", "--type", "image", "localhost/tried"))["Docker"]["config"]

    @contextmanager
    def root(self) -> Iterator[Path]:
        """Mount a container of the image."""
        container = self("from", "localhost/tried")
        try:
            yield Path(self("mount", container))
        finally:
            self("umount", container)
            self("rm", container)


@contextmanager
def running(root: Path, errors: Path, *command: str) -> Iterator[int]:
    """Run the service as the first process; yield its process id, and end it in order."""
    (root / "etc/scheduler/jobs.d/tick.json").write_text(json.dumps(job("tick", "* * * * * *", "echo $$")))
    words = ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", RUN, "sh", str(root), *command]
    with errors.open("wb") as output:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=ENVIRONMENT)
    try:
        wait_until(lambda: "SUCCESS" in errors.read_text("utf-8"), 60, "a run")
        yield first_process(process.pid)
        os.kill(first_process(process.pid), signal.SIGTERM)
        assert process.wait(30) == 0, errors.read_text("utf-8")
    except pytest.fail.Exception as failure:
        pytest.fail(f"{failure}\n{errors.read_text('utf-8')}")
    finally:
        if process.poll() is None:
            os.kill(first_process(process.pid), signal.SIGKILL)  # not with its parent, if it has become another user
        process.wait()


def first_process(pid: int) -> int:
    """The first process of the container that `unshare` has made."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return int(child)


def inside(pid: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the container, as its health check is."""
    enter = ["nsenter", "--target", str(pid), *NAMESPACES, "--root", "--wd=/"]
    options = {"capture_output": True, "text": True, "timeout": 60, "env": ENVIRONMENT}
    return subprocess.run([*enter, *command], check=False, **options)


def test_the_image_runs_jobs_as_root_and_as_an_ordinary_user_and_answers_its_health_check(tmp_path: Path) -> None:
    """The log is on the volume and on standard error; SIGTERM ends the first process in order."""
    images, context, said = Images(tmp_path), checkout_with_wheels(RELEASE), tmp_path / "said"
    base = images.make_base()
    settings = images.build(base, context)
    assert (settings["Entrypoint"], settings["Cmd"]) == (["jobscheduler"], ["serve"])
    assert settings["StopSignal"] == "SIGTERM"
    assert list(settings["Volumes"]) == ["/var/log/scheduler"]
    kind, *health = settings["Healthcheck"]["Test"]
    assert kind == "CMD"

    with images.root() as root:
        assert not (root / "etc/machine-id").exists()
        with running(root, said, "jobscheduler", "serve") as pid:
            assert "tick" in inside(pid, "jobscheduler", "list").stdout
            assert inside(pid, *health).returncode == 0
            (root / "etc/scheduler/jobs.d/bad.json").write_text("[]")
            wait_until(lambda: inside(pid, *health).returncode == 1, 20, "unhealthy", step=0.2)
        log = (root / "var/log/scheduler/scheduler.log").read_text("utf-8")
        assert " SUCCESS job_id=tick " in log
        assert " INFO service.stopped" in log.splitlines()[-1]

    settings = images.build(base, context, "--build-arg", "RUNS_AS=scheduler")
    assert settings["User"] == "scheduler"
    user = ("setpriv", "--reuid=scheduler", "--regid=scheduler", "--init-groups")
    with images.root() as root:
        with running(root, said, *user, "jobscheduler", "serve") as pid:
            assert Path(f"/proc/{pid}").stat().st_uid == 10001
            assert inside(pid, *user, *health).returncode == 0
        assert (root / "var/log/scheduler/scheduler.log").exists()
        with running(root, said, *user, "jobscheduler", "serve", "--log-file", "-", "--log-format", "json"):
            pass
        lines = [json.loads(line) for line in said.read_text("utf-8").splitlines() if line.startswith("{")]
        assert [line for line in lines if line.get("status") == "SUCCESS"]
