"""The trust in a log file: only root and the service's user may have written what is read back."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobscheduler.runlog import LogFile, LogRefused, check_log
from jobscheduler.runlog.query import iter_lines_newest_first
from tests.support.fork_server import run_program
from tests.support.service import ROOT
from tests.support.throwaway_users import ThrowawayUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root can")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of root's that all users may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="log-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def refusal(log: Path) -> str:
    """Return why the log is refused at a start; empty if it is not."""
    try:
        check_log(log, 3)
    except LogRefused as refused:
        assert refused.help
        return str(refused.strerror)
    return ""


def test_a_log_of_root_is_opened_and_made_with_its_mode(place: Path) -> None:
    """In a directory of its own, with rotated files."""
    log = place / "s.log"
    (place / "s.log.1").write_text("x\n")
    assert refusal(log) == ""
    file = LogFile(log, 1000, 3)
    file.append(b"line\n")
    file.close()
    assert log.read_bytes() == b"line\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


@pytest.mark.parametrize("number", ["", ".1", ".3"])
@pytest.mark.parametrize("harm", ["owner", "group", "others"])
def test_a_log_file_that_others_could_write_is_refused_and_so_is_a_rotated_one(
    place: Path, alice: ThrowawayUser, number: str, harm: str
) -> None:
    """Its lines would be believed; the help says how to move it away."""
    log = place / "s.log"
    file = place / f"s.log{number}"
    file.write_text("forged\n")
    if harm == "owner":
        os.chown(file, alice.uid, alice.gid)
    else:
        file.chmod(0o660 if harm == "group" else 0o646)
    with pytest.raises(LogRefused) as refused:
        check_log(log, 3)
    assert f"`{file}`" in str(refused.value.strerror)
    subprocess.run(refused.value.help.split("`")[1], shell=True, check=True)
    assert refusal(log) == ""


def test_a_service_does_not_start_from_a_log_that_other_users_could_have_written(
    place: Path, alice: ThrowawayUser
) -> None:
    """Even if the log itself is root's: its rotated copies are read as the history."""
    (place / "jobs.d").mkdir()
    (place / "s.log").touch(0o640)
    (place / "s.log.1").write_text("forged\n")
    os.chown(place / "s.log.1", alice.uid, alice.gid)
    command = [sys.executable, str(ROOT / "main.py"), "--jobs-dir", str(place / "jobs.d"), "--log-file", "s.log"]
    done = run_program(command, cwd=place, text=True)
    assert done.returncode == 1
    assert f"`{place}/s.log.1` belongs to `{alice.name}`, not to root" in done.stderr
    assert "help: " in done.stderr


def test_a_directory_that_others_may_write_is_refused(place: Path, alice: ThrowawayUser) -> None:
    """Also one that its group may write; a sticky one is judged by the files in it."""
    log = place / "logs" / "s.log"
    log.parent.mkdir()
    for mode in (0o775, 0o757):
        log.parent.chmod(mode)
        assert f"`{log.parent}` may be written by" in refusal(log)
    log.parent.chmod(0o1777)
    assert refusal(log) == ""
    (log.parent / "s.log.2").touch()
    os.chown(log.parent / "s.log.2", alice.uid, alice.gid)
    assert f"`{log}.2` belongs to `{alice.name}`" in refusal(log)
    log.parent.chmod(0o755)
    os.chown(log.parent, alice.uid, alice.gid)
    assert f"`{log.parent}` belongs to `{alice.name}`" in refusal(log)


def test_a_directory_above_may_be_written_by_its_group_as_ubuntus_is(place: Path, alice: ThrowawayUser) -> None:
    """But not by others, and the files in it have to be root's."""
    above = place / "log"
    log = above / "scheduler" / "s.log"
    log.parent.mkdir(parents=True)
    os.chown(above, 0, alice.gid)
    above.chmod(0o2775)
    assert refusal(log) == ""
    above.chmod(0o777)
    assert f"`{above}` may be written by everybody" in refusal(log)
    above.chmod(0o775)
    log.parent.rename(place / "kept")
    log.parent.symlink_to(place / "kept")
    assert refusal(log) == ""
    os.chown(log.parent, alice.uid, alice.gid, follow_symlinks=False)
    assert f"`{log.parent}` belongs to `{alice.name}`" in refusal(log)


def test_a_link_of_another_user_is_never_followed(place: Path, alice: ThrowawayUser) -> None:
    """Not at a start, and not when it replaces the log later."""
    victim, folder = place / "victim", place / "logs"
    victim.write_text("kept\n")
    victim.chmod(0o600)
    folder.mkdir()
    folder.chmod(0o1777)
    log = folder / "s.log"
    file = LogFile(log, 1000, 3)
    file.append(b"ours\n")
    log.unlink()
    log.symlink_to(victim)
    os.chown(log, alice.uid, alice.gid, follow_symlinks=False)
    with pytest.raises(LogRefused):
        file.append(b"root's\n")
    file.close()
    assert victim.read_text() == "kept\n"
    assert f"`{log}` belongs to `{alice.name}`" in refusal(log)


def test_a_trusted_link_is_followed(place: Path) -> None:
    """To a file on a larger disk, for instance."""
    (place / "big").mkdir()
    (place / "big" / "s.log").touch()
    (place / "s.log").symlink_to("big/s.log")
    assert refusal(place / "s.log") == ""
    file = LogFile(place / "s.log", 1000, 3)
    file.append(b"line\n")
    file.close()
    assert (place / "big" / "s.log").read_bytes() == b"line\n"


@pytest.fixture
def linked(place: Path) -> Path:
    """A log that is a link to a file in another directory, through a second link."""
    (place / "big").mkdir()
    (place / "big" / "real.log").touch()
    (place / "second.log").symlink_to("big/real.log")
    (place / "s.log").symlink_to("second.log")
    return place / "s.log"


def test_a_link_stays_and_its_target_is_rotated_beside_itself(linked: Path) -> None:
    """Beside the link, the files would fill the disk that the link avoids."""
    file = LogFile(linked, 10, 2)
    for number in range(4):
        file.append(b"line %d\n" % number)
    file.close()
    assert os.readlink(linked) == "second.log"
    big = linked.parent / "big"
    assert {path.name: path.read_text() for path in big.glob("real*")} == {
        "real.log": "line 3\n",
        "real.log.1": "line 2\n",
        "real.log.2": "line 1\n",
    }
    assert not list(linked.parent.glob("s.log.*"))


def test_every_reader_finds_the_rotated_files_of_a_link(linked: Path) -> None:
    """All readers open the files of a log by one function."""
    file = LogFile(linked, 60, 2)
    for number in range(3):
        file.append(b"2026-11-22T01:00:0%d.000Z SUCCESS job_id=a scheduled=2026-11-22T01:00:00Z\n" % number)
    file.close()
    times = [line["time"][18] for line in iter_lines_newest_first(linked, 2)]
    assert times == ["2", "1", "0"]


def test_a_rotated_file_beside_the_target_that_others_could_write_is_refused(
    linked: Path, alice: ThrowawayUser
) -> None:
    """It is read as the account, wherever it stands."""
    forged = linked.parent / "big" / "real.log.1"
    forged.write_text("forged\n")
    os.chown(forged, alice.uid, alice.gid)
    assert f"`{forged}` belongs to `{alice.name}`" in refusal(linked)


@pytest.mark.parametrize("way", ["renamed", "removed"])
def test_writing_follows_the_target_of_a_link_that_something_else_takes_away(linked: Path, way: str) -> None:
    """As logrotate does; the new file stands where the former one stood."""
    real = linked.parent / "big" / "real.log"
    file = LogFile(linked, 1000, 2)
    file.append(b"first\n")
    if way == "renamed":
        real.rename(real.with_name("real.log-20261130"))
    else:
        real.unlink()
    file.append(b"second\n")
    file.close()
    assert (linked.is_symlink(), real.read_text()) == (True, "second\n")


def test_a_start_after_a_crash_between_two_files_of_a_link_goes_on(linked: Path) -> None:
    """The target was renamed, and the new one was not made yet. A link that never had a target is refused."""
    real = linked.parent / "big" / "real.log"
    real.rename(real.with_name("real.log.1"))
    assert refusal(linked) == ""
    file = LogFile(linked, 1000, 2)
    assert file.claim() is None
    file.append(b"line\n")
    file.close()
    assert real.read_text() == "line\n"

    real.unlink()
    real.with_name("real.log.1").unlink()
    with pytest.raises(OSError, match="No such file"):
        LogFile(linked, 1000, 2).claim()


def test_a_link_that_leads_elsewhere_later_is_followed(linked: Path) -> None:
    """Its files move with it."""
    other = linked.parent / "other.log"
    file = LogFile(linked, 10, 2)
    file.append(b"first 1\n")
    other.touch()
    linked.unlink()
    linked.symlink_to("other.log")
    file.append(b"second 2\n")
    file.append(b"third 3\n")
    file.close()
    assert (other.read_text(), other.with_name("other.log.1").read_text()) == ("third 3\n", "second 2\n")


KINDS = {"fifo": "a FIFO", "socket": "a socket", "device": "a device", "directory": "a directory", "pipe": "a FIFO"}


@pytest.mark.parametrize("kind", [*KINDS, "link to a device"])
def test_a_log_that_is_not_a_regular_file_is_refused_with_its_name(place: Path, kind: str) -> None:
    """The service ends with one problem, its help and exit status 1, at once, and opens nothing."""
    log = place / "s.log"
    match kind:
        case "fifo":
            os.mkfifo(log)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(log))
        case "device":
            log = Path(os.devnull)
        case "directory":
            log.mkdir()
        case "pipe":
            log = Path("/dev/stdout")
        case "link to a device":
            log.symlink_to("/dev/null")
    (place / "jobs.d").mkdir()
    command = [sys.executable, ROOT / "main.py", "--jobs-dir", place / "jobs.d", "--log-file", log]
    done = run_program(command, text=True)

    assert done.returncode == 1
    what = KINDS.get(kind, "a device")
    assert done.stderr.startswith(f"error: the log file `{log}` is {what}, not a regular file\n")
    assert (
        "help: name another with `--log-file FILE`, or write to standard output alone with `--log-file -`"
        in done.stderr
    )


def test_standard_output_is_not_a_log_file_even_if_it_is_a_file(place: Path) -> None:
    """Its name depends on how the process was started: it could be neither rotated nor read back."""
    (place / "jobs.d").mkdir()
    command = [sys.executable, ROOT / "main.py", "--jobs-dir", place / "jobs.d", "--log-file", "/dev/stdout"]
    with (place / "out").open("wb") as out:
        done = run_program(command, stdout=out, text=True)

    assert done.returncode == 1
    assert "error: the log file `/dev/stdout` is a name for what this process was started with" in done.stderr
    assert (place / "out").read_bytes() == b""


def test_an_ordinary_users_service_may_share_its_log_with_a_group_and_no_others(
    place: Path, alice: ThrowawayUser
) -> None:
    """As for job files."""
    folder = place / "theirs"
    folder.mkdir()
    log = folder / "s.log"
    log.touch()
    for path in (folder, log):
        os.chown(path, alice.uid, alice.gid)
    folder.chmod(0o775)
    log.chmod(0o664)
    os.setegid(alice.gid)
    os.seteuid(alice.uid)
    try:
        assert refusal(log) == ""
        log.chmod(0o666)
        assert "may be written by everybody" in refusal(log)
    finally:
        os.seteuid(0)
        os.setegid(0)
