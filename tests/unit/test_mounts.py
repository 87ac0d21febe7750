"""Trust and file systems: what a superblock proves, and what a mount does not. With real mounts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobscheduler.util.mounts import FileSystem, parse_mount
from tests.support.job_files import Apart, need, put
from tests.support.service import ROOT, job
from tests.support.throwaway_users import ThrowawayUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems, which only root can")

LOOK = """
import sys
from pathlib import Path
from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.jobs.directory import DirectorySource
try:
    with DirectorySource(Path(sys.argv[1])).open() as view:
        found = view.read("a.json")
    print(found.problem.message if found.problem else "read")
except SourceUnavailable as reason:
    print(reason, reason.help, sep="\\n")
"""


def look(jobs: Path, prepare: str) -> list[str]:
    """Prepare mounts in a namespace of their own, check the directory there, and return what was printed."""
    need("unshare", "mount")
    script = f'{prepare}\nexec "$@"'
    command = [*("unshare", "--mount", "sh", "-e", "-c", script, "sh"), sys.executable, "-c", LOOK, str(jobs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A jobs directory that everybody may write, with a job file that everybody may write."""
    directory = tmp_path / "jobs.d"
    directory.mkdir()
    put(directory, "a.json", job("a")).chmod(0o666)
    directory.chmod(0o777)
    return directory


def test_a_read_only_mount_of_a_file_system_that_others_write_is_refused(jobs: Path) -> None:
    """Its superblock is not read-only: the same files may be written by another path."""
    said = look(jobs, f"mount --bind {jobs} {jobs}; mount -o remount,bind,ro {jobs}")

    assert said[0] == f"`{jobs}` may be written by everybody (mode 0777)"
    assert "only this mount of it is read-only" in said[1]
    assert "chmod" not in said[1]


def test_a_read_only_mount_of_one_file_is_refused(jobs: Path) -> None:
    """Others may write the file elsewhere, even if its directory is closed."""
    jobs.chmod(0o755)
    file = jobs / "a.json"
    said = look(jobs, f"mount --bind {file} {file}; mount -o remount,bind,ro {file}")

    assert said == [f"`{file}` may be written by everybody (mode 0666)"]


@pytest.mark.parametrize("mode", ["0777", "1777"])
def test_a_file_system_that_is_read_only_as_a_whole_counts_as_not_writable(jobs: Path, mode: str) -> None:
    """Whatever the modes say, because no process can write it."""
    kept = jobs.parent / "kept"
    fill = f"cp -p {jobs}/a.json {kept}; mount -t tmpfs -o mode={mode} none {jobs}; cp -p {kept} {jobs}/a.json"
    assert look(jobs, f"{fill}; mount -o remount,ro {jobs}") == ["read"]
    if mode == "0777":
        assert look(jobs, fill) != ["read"]


def test_the_owner_counts_on_a_read_only_file_system_too(tmp_path: Path) -> None:
    """Modes do no harm there, but a stranger wrote a stranger's file."""
    for name in ("mine", "theirs"):
        put(tmp_path, f"{name}.json", job(name)).chmod(0o666)
    os.chown(tmp_path / "theirs.json", 12345, 12345)
    prepare = f"""
        mount -t tmpfs none "$1"; cp -p {tmp_path}/mine.json {tmp_path}/theirs.json "$1"
        chmod 777 "$1"; mount -o remount,ro "$1"
    """
    with Apart(tmp_path, prepare) as apart:
        apart.service.start()
        (started,) = apart.service.words("service.started")
        (refused,) = apart.service.wait_for("job.refused")

    assert (started["jobs"], refused["file"]) == ("1", "theirs.json")
    assert "belongs to `12345`" in refused["problem"]


def test_files_of_another_users_fuse_server_are_refused(tmp_path: Path, alice: ThrowawayUser) -> None:
    """The server answers that root owns them, and can answer otherwise a moment later. A server of root is trusted."""
    need("unshare")
    place = tmp_path / "mnt"
    place.mkdir()
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d" / "x.json").symlink_to(place / "x.json")

    def read(uid: int) -> str:
        arguments = [str(place), str(uid), str(tmp_path / "jobs.d"), "x.json"]
        command = ["unshare", "--mount", sys.executable, str(ROOT / "tests/support/fuse.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert read(alice.uid) == f"`{place}` lies on a file system that `{alice.name}` mounted and can make up (FUSE)"
    assert read(0).startswith('{"job_id": "x"')


MOUNTS = {
    "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro": FileSystem(),
    "26 25 8:1 /srv /srv ro,relatime - ext4 /dev/sda1 rw": FileSystem(),
    "27 25 8:1 / /mnt/a\\040b ro - ext4 /dev/sda1 ro": FileSystem(is_read_only=True),
    "28 25 7:0 / /snap/x ro,nodev - squashfs /dev/loop0 ro,errors=continue": FileSystem(is_read_only=True),
    "29 25 0:50 / /net ro - nfs4 host:/srv ro,vers=4.2": FileSystem(),
    "30 25 0:51 / /merged ro - overlay overlay ro,lowerdir=/a:/b": FileSystem(),
    "31 25 0:52 / /home/a/mnt rw,nosuid - fuse.sshfs a@b: rw,user_id=1000,group_id=1000": FileSystem(mounted_by=1000),
    "32 25 0:53 / /x rw master:1 propagate_from:2 - fuse.x user_id=0,ro rw,user_id=1001": FileSystem(mounted_by=1001),
}


@pytest.mark.parametrize("line", MOUNTS)
def test_the_superblock_is_parsed_and_not_the_mount(line: str) -> None:
    """Network and stacked file systems may be written elsewhere, so read-only proves nothing."""
    assert parse_mount(line) == MOUNTS[line]
