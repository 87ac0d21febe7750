"""Locks against a second service: no other user can hold them, and a second service of the same user is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobscheduler.runlog import LogFile
from jobscheduler.service.directory_lock import DirectoryLock
from jobscheduler.service.errors import StartupError
from jobscheduler.util import file_locks
from jobscheduler.util.file_locks import LockFile, Locks, lock_name
from jobscheduler.util.lock_holders import LockHeld, is_trusted, lock_holders
from jobscheduler.util.lock_socket import LockSocket
from tests.support.service import ROOT, Service, job
from tests.support.throwaway_users import ThrowawayUser

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="acts as other users, which only root can")


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a directory that all users may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="locks-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@contextmanager
def flock_by(user: ThrowawayUser, path: Path, *, shared: bool = False) -> Iterator[int]:
    """Have a process of a user lock a path with `flock`; yield its id.

    The process that took the lock lives on: in a process namespace the kernel does not list the lock of one that ended.
    """
    command = ["flock", "-s" if shared else "-x", str(path), "sh", "-c", "echo held; read x"]
    with user.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


@as_root
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("what", ["directory", "log"])
def test_no_other_user_can_keep_a_service_from_starting(
    public: Path, alice: ThrowawayUser, what: str, *, shared: bool
) -> None:
    """Any user who can read the jobs directory or the log can lock it. The service starts, and logs no other one."""
    service = Service(public)
    try:
        service.write("a.json", job("a", "@reboot"))
        service.jobs.chmod(0o755)
        service.log.touch()
        service.log.chmod(0o644)
        with flock_by(alice, service.jobs if what == "directory" else service.log, shared=shared):
            service.start()
            service.wait_for("SUCCESS", job_id="a")
            assert service.words("directory.shared") == []
            assert service.stop() == 0
    finally:
        service.close()


@as_root
def test_another_users_lock_does_not_hide_the_lock_of_a_service(public: Path, alice: ThrowawayUser) -> None:
    """The lock of another user on the directory does not change the service's own lock."""
    with flock_by(alice, public), DirectoryLock(public) as first:
        with pytest.raises(StartupError, match=f"is in use by process {os.getpid()}"), DirectoryLock(public):
            pass
        assert first.reacquire() is None


def test_the_file_of_a_killed_service_is_not_a_lock(tmp_path: Path) -> None:
    """The next service starts without any manual clean-up."""
    script = f"""
        import sys, time; sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from jobscheduler.util.file_locks import LockFile
        one = LockFile(Path({str(tmp_path)!r}), "x.lock"); one.acquire(); print("held", flush=True); time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", script.replace("\n        ", "\n")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LockHeld) as held:
            LockFile(tmp_path, "x.lock").acquire()
        assert held.value.pid == other.pid
        other.send_signal(signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]
    again = LockFile(tmp_path, "x.lock")
    again.acquire()
    assert (tmp_path / "x.lock").stat().st_mode & 0o777 == 0o600
    again.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["LockFile", "LockSocket"])
def test_a_child_that_a_killed_service_was_starting_keeps_no_lock(tmp_path: Path, kind: str) -> None:
    """Its program may be on a mount that hangs, and then it has the descriptors of the service for hours."""
    name = f"x-{os.getpid()}.lock"
    made = f"LockFile(Path({str(tmp_path)!r}), {name!r})" if kind == "LockFile" else f"LockSocket({name!r})"
    script = f"""
        import os, signal, sys, time; sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from jobscheduler.util.file_locks import LockFile
        from jobscheduler.util.lock_socket import LockSocket
        one = {made}; one.acquire()
        if not (child := os.fork()): time.sleep(60)
        print(child, flush=True); time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", script.replace("\n        ", "\n")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        child = int(other.stdout.readline())
        other.send_signal(signal.SIGKILL)
        other.wait(10)
        try:
            if kind == "LockFile":
                again = LockFile(tmp_path, name)
                again.acquire()
                again.release()
            else:  # the name is still taken, which is not said of a service
                with pytest.raises(OSError, match="not permitted"):
                    LockSocket(name).acquire()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("planted", ["link", "readable file", "directory", "fifo"])
def test_a_lock_file_that_another_user_made_or_may_open_is_not_used(tmp_path: Path, planted: str) -> None:
    """Nothing is written to it either."""
    file, victim = tmp_path / "x.lock", tmp_path / "victim"
    victim.write_text("kept")
    match planted:
        case "link":
            file.symlink_to(victim)
        case "readable file":
            file.write_text("kept")
            file.chmod(0o644)
        case "directory":
            file.mkdir()
        case "fifo":
            os.mkfifo(file, 0o600)
    with pytest.raises(OSError, match=r"\[Errno"):
        LockFile(tmp_path, "x.lock").acquire()
    assert victim.read_text() == "kept"


def test_a_lock_file_that_its_holder_just_removed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be unlinked after it was opened. Then it is made again, and the new file is locked."""
    real, left = file_locks._try_record_lock, [1, 2]

    def removing(descriptor: int) -> bool:
        if left:
            left.pop()
            (tmp_path / "x.lock").unlink()
        return real(descriptor)

    monkeypatch.setattr(file_locks, "_try_record_lock", removing)
    one = LockFile(tmp_path, "x.lock")
    one.acquire()
    assert left == []
    with pytest.raises(LockHeld):
        LockFile(tmp_path, "x.lock").acquire()
    one.release()


@as_root
def test_a_users_service_finds_that_of_root_but_does_not_stop_it(tmp_path: Path, alice: ThrowawayUser) -> None:
    """Only root can open root's lock files, so a lock there belongs to a service of root."""
    name = lock_name("jobs", tmp_path.stat())
    locks = Locks(name)
    locks.acquire()
    try:
        assert lock_holders((file_locks.ROOT_FOLDER / name).stat()) == [os.getpid()]
        os.setegid(alice.gid)
        os.seteuid(alice.uid)
        with pytest.raises(LockHeld) as held:
            Locks(name).acquire()
        assert held.value.pid == os.getpid()
    finally:
        os.seteuid(0)
        os.setegid(0)
        locks.release()
    try:
        os.seteuid(alice.uid)
        theirs = Locks(name)
        theirs.acquire()
        with pytest.raises(LockHeld):
            Locks(name).acquire()
    finally:
        os.seteuid(0)
    mine = Locks(name)
    mine.acquire()
    mine.release()
    os.seteuid(alice.uid)
    theirs.release()
    os.seteuid(0)


@as_root
def test_a_lock_of_another_user_or_of_an_ended_process_is_not_a_service(alice: ThrowawayUser) -> None:
    """All of its user ids count: the real one of a setuid program is that of the user who started it."""
    with alice.popen(["sleep", "60"]) as process:
        assert not is_trusted(process.pid)
        process.kill()
    assert not is_trusted(process.pid)
    assert is_trusted(os.getpid())


def test_a_replaced_directory_is_locked_and_the_former_one_released(tmp_path: Path) -> None:
    """A second service may then lock the former directory, and no service the new one."""
    jobs, former = tmp_path / "jobs.d", tmp_path / "former"
    jobs.mkdir()
    with DirectoryLock(jobs) as claim:
        jobs.rename(former)
        jobs.mkdir()
        assert claim.reacquire() is None
        with DirectoryLock(former):
            pass
        with pytest.raises(StartupError), DirectoryLock(jobs):
            pass


def test_a_directory_is_locked_when_the_service_that_had_it_ends(tmp_path: Path) -> None:
    """Each check tries to lock it again."""
    jobs, others = tmp_path / "jobs.d", tmp_path / "others"
    jobs.mkdir()
    others.mkdir()
    with DirectoryLock(jobs) as claim:
        other = DirectoryLock(others)
        other.__enter__()
        jobs.rename(tmp_path / "former")
        others.rename(jobs)
        assert claim.reacquire() == os.getpid()
        other.__exit__(None, None, None)
        assert claim.reacquire() is None


def test_a_lock_of_another_container_on_the_directory_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not refuse a start, because it may be no service at all."""
    with DirectoryLock(tmp_path) as claim:
        with _held(tmp_path):
            monkeypatch.setattr("jobscheduler.service.directory_lock.lock_holders", lambda found: [])
            assert claim.reacquire() == 0
        assert claim.reacquire() is None


@contextmanager
def _held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY)
    assert file_locks.try_lock(descriptor)
    yield
    os.close(descriptor)


def test_two_services_with_one_log_find_each_other_through_a_link(tmp_path: Path) -> None:
    """The lock belongs to the file to which a link leads."""
    log, link = tmp_path / "s.log", tmp_path / "elsewhere" / "l.log"
    link.parent.mkdir()
    first, second = LogFile(log, 10**6, 1), LogFile(link, 10**6, 1)
    assert first.claim() is None
    link.symlink_to(log)
    assert second.claim() == os.getpid()
    first.close()
    assert second.claim() is None
    second.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "s.log"]


_TAKE = """
import os, socket, sys
os.mkdir(sys.argv[1])
with socket.socket(socket.AF_UNIX) as one:
    one.bind("\\0" + sys.argv[2]); one.listen(1); print("taken", flush=True); input()
"""


@pytest.mark.parametrize("is_socket_taken", [False, True])
@as_root
def test_another_user_who_takes_the_lock_folder_cannot_disable_the_locks(
    public: Path, alice: ThrowawayUser, mallory: ThrowawayUser, *, is_socket_taken: bool
) -> None:
    """A second service is still refused. If no lock is possible at all, the first one is refused with the reason."""
    folder = f"/tmp/jobscheduler-{alice.uid}"
    shutil.rmtree(folder, ignore_errors=True)  # that of an earlier test
    address = f"jobscheduler-{alice.uid}-{lock_name('jobs', public.stat())}" if is_socket_taken else "another"
    command = ["/usr/bin/python3", "-c", _TAKE, folder, address]
    with mallory.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"taken\n"
            os.seteuid(alice.uid)
            if is_socket_taken:
                with (
                    pytest.raises(StartupError, match="cannot be locked against a second service"),
                    DirectoryLock(public),
                ):
                    pass
                return
            with (
                DirectoryLock(public),
                pytest.raises(StartupError, match=f"in use by process {os.getpid()}"),
                DirectoryLock(public),
            ):
                pass
        finally:
            os.seteuid(0)
            process.kill()
            shutil.rmtree(folder)


def test_a_second_node_on_one_directory_is_told_what_each_needs(tmp_path: Path) -> None:
    """They cannot share a directory, and the refusal names the options with which they do not."""
    with DirectoryLock(tmp_path), pytest.raises(StartupError) as refused, DirectoryLock(tmp_path, is_node=True):
        pass
    assert "`--jobs-dir DIR --log-file FILE --socket FILE --node NAME`" in str(refused.value.problem.help)
