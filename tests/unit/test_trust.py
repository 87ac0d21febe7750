"""Trust: which users' files are run. Each rule has its message, and the command in the message repairs it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobscheduler.jobs import directory
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Problem
from tests.support.job_files import put
from tests.support.service import job
from tests.support.throwaway_users import ThrowawayUser

NOBODY, STRANGER = 65534, 12345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root can")
pytestmark = as_root


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Be another user for a while, in group 0 no longer."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def place() -> Iterator[SimpleNamespace]:
    """Return a jobs directory with one file, which all users may reach, and a target elsewhere."""
    base = Path("/var/tmp") / f"trust-{os.getpid()}-{time.monotonic_ns()}"
    base.mkdir(mode=0o755)
    jobs, elsewhere = base / "jobs.d", base / "else where"
    for one in (jobs, elsewhere):
        one.mkdir()
        one.chmod(0o755)
    yield SimpleNamespace(
        base=base,
        jobs=jobs,
        elsewhere=elsewhere,
        file=put(jobs, "a.json", job("x")),
        target=put(elsewhere, "target", job("y")),
    )
    shutil.rmtree(base)


def read(path: Path, name: str = "a.json") -> ReadResult:
    """Read one file as a sync does."""
    with DirectorySource(path).open() as view:
        return view.read(name)


def problem(path: Path, name: str = "a.json") -> Problem | SourceUnavailable | None:
    """What keeps a file from being read, be it its own problem or the directory's."""
    try:
        return read(path, name).problem
    except SourceUnavailable as reason:
        return reason


def mend(found: Problem | SourceUnavailable) -> None:
    """Run the command that the help shows, as root."""
    command = re.search(r"`(.+?)`", found.help or "")
    assert command, found.help
    subprocess.run(command[1], shell=True, check=True)


def give(path: Path, uid: int) -> None:
    """Give a path to a user and their group; of a link, the link itself."""
    os.chown(path, uid, uid, follow_symlinks=False)


Harm = Callable[[SimpleNamespace], object]

BY_MODE: dict[str, tuple[Harm, str]] = {
    "directory, group": (lambda p: p.jobs.chmod(0o775), "`{jobs}` may be written by its group (mode 0775)"),
    "directory, others": (lambda p: p.jobs.chmod(0o757), "`{jobs}` may be written by everybody (mode 0757)"),
    "file, group": (lambda p: p.file.chmod(0o664), "`{file}` may be written by its group (mode 0664)"),
    "file, others": (lambda p: p.file.chmod(0o646), "`{file}` may be written by everybody (mode 0646)"),
    "file, sticky bit": (lambda p: p.file.chmod(0o1666), "`{file}` may be written by everybody (mode 1666)"),
}
BY_OWNER: dict[str, tuple[Harm, str]] = {
    "directory": (lambda p: give(p.jobs, STRANGER), "`{jobs}` belongs to `12345`, not to root"),
    "file": (lambda p: give(p.file, STRANGER), "`{file}` belongs to `12345`, not to root"),
    "file in a sticky directory": (
        lambda p: (p.jobs.chmod(0o1777), give(p.file, STRANGER)),
        "`{file}` belongs to `12345`, not to root",
    ),
}
BY_LINK: dict[str, tuple[Harm, str]] = {
    "target, mode": (lambda p: p.target.chmod(0o666), "`{target}` may be written by everybody (mode 0666)"),
    "target, owner": (lambda p: give(p.target, STRANGER), "`{target}` belongs to `12345`, not to root"),
    "target's directory, mode": (
        lambda p: p.elsewhere.chmod(0o777),
        "`{elsewhere}` may be written by everybody (mode 0777)",
    ),
    "target's directory, owner": (
        lambda p: give(p.elsewhere, STRANGER),
        "`{elsewhere}` belongs to `12345`, not to root",
    ),
    "link in a sticky directory": (
        lambda p: (p.jobs.chmod(0o1777), give(p.jobs / "link.json", STRANGER)),
        "`{link}` belongs to `12345` and stands in a directory that everybody may write",
    ),
}


@pytest.mark.parametrize("case", [*BY_MODE.values(), *BY_OWNER.values()], ids=[*BY_MODE, *BY_OWNER])
def test_root_trusts_only_what_only_root_can_write(place: SimpleNamespace, case: tuple[Harm, str]) -> None:
    """Owner and mode of directory and file; the message names the rule, and its command repairs it."""
    harm, message = case
    assert problem(place.jobs) is None
    harm(place)
    found = problem(place.jobs)

    assert found is not None
    assert (found.message if isinstance(found, Problem) else str(found)) == message.format(**vars(place))
    mend(found)
    assert problem(place.jobs) is None


@pytest.mark.parametrize("case", BY_LINK.values(), ids=BY_LINK)
def test_a_link_is_trusted_only_with_every_step_of_its_path(place: SimpleNamespace, case: tuple[Harm, str]) -> None:
    """The link's directory, the target and the target's directory; also through a chain, and with odd names."""
    (place.base / "hop").symlink_to("else where")
    (place.jobs / "link.json").symlink_to("../hop/target")
    harm, message = case
    assert problem(place.jobs, "link.json") is None
    harm(place)
    found = problem(place.jobs, "link.json")

    assert isinstance(found, Problem)
    assert found.message == message.format(**vars(place), link=place.jobs / "link.json")
    assert found.host_dependent
    mend(found)
    assert problem(place.jobs, "link.json") is None


def test_a_link_in_the_middle_of_a_chain_is_checked(place: SimpleNamespace) -> None:
    """A user who may replace a link on the path decides which file is run."""
    (place.base / "hops").mkdir()
    (place.base / "hops" / "hop").symlink_to(place.target)
    (place.jobs / "link.json").symlink_to(place.base / "hops" / "hop")
    assert problem(place.jobs, "link.json") is None
    (place.base / "hops").chmod(0o777)
    found = problem(place.jobs, "link.json")

    assert isinstance(found, Problem)
    assert found.message == f"`{place.base / 'hops'}` may be written by everybody (mode 0777)"


@pytest.mark.parametrize("harm", ["link's directory", "target", "target's directory", "link in a sticky directory"])
def test_a_linked_jobs_directory_is_checked_like_a_linked_file(place: SimpleNamespace, harm: str) -> None:
    """The link's directory, the directory to which it leads, and its parent."""
    holder = place.base / "etc"
    holder.mkdir(mode=0o755)
    link = holder / "jobs"
    link.symlink_to(place.jobs)
    assert problem(link) is None
    match harm:
        case "link's directory":
            holder.chmod(0o777)
        case "target":
            place.jobs.chmod(0o775)
        case "target's directory":
            place.base.chmod(0o777)
        case _:
            holder.chmod(0o1777)
            give(link, STRANGER)
    found = problem(link)

    assert isinstance(found, SourceUnavailable)
    mend(found)
    assert problem(link) is None


@pytest.mark.parametrize("way", ["of the jobs directory", "that a link leads"])
@pytest.mark.parametrize("harm", ["owner", "mode"])
def test_every_directory_on_the_path_is_checked(place: SimpleNamespace, way: str, harm: str) -> None:
    """Also one without a link: a user who may rename its entries can replace them by another directory of root."""
    middle = place.base / "middle"
    (middle / "inner" / "jobs.d").mkdir(parents=True)
    put(middle / "inner" / "jobs.d", "a.json", job("x"))
    jobs, name = middle / "inner" / "jobs.d", "a.json"
    if way == "that a link leads":
        (place.jobs / "link.json").symlink_to(jobs / "a.json")
        jobs, name = place.jobs, "link.json"
    assert problem(jobs, name) is None
    if harm == "owner":
        give(middle, STRANGER)
    else:
        middle.chmod(0o757)
    found = problem(jobs, name)

    expected = "belongs to `12345`, not to root" if harm == "owner" else "may be written by everybody (mode 0757)"
    assert found is not None
    assert (found.message if isinstance(found, Problem) else str(found)) == f"`{middle}` {expected}"
    mend(found)
    assert problem(jobs, name) is None


def test_the_help_does_not_take_a_home_away_from_its_user(alice: ThrowawayUser) -> None:
    """The help offers another place: `chown` of a home would lock its user out."""
    jobs = alice.home / "jobs.d"
    jobs.mkdir()
    found = problem(jobs)

    assert isinstance(found, SourceUnavailable)
    assert str(found) == f"`{alice.home}` belongs to `{alice.name}`, not to root"
    assert "chown" not in str(found.help)
    jobs.rmdir()


@pytest.mark.parametrize("harm", ["owner", "mode"])
def test_a_file_that_another_user_still_has_open_is_not_run_after_the_help(
    place: SimpleNamespace, alice: ThrowawayUser, harm: str
) -> None:
    """The command replaces it by a copy; later writes of that user go to the former file."""
    original = place.file.read_text()
    if harm == "owner":
        give(place.file, alice.uid)
    else:
        place.file.chmod(0o646)
    script = 'exec 3>>"$1"; echo open; read x; echo evil >&3; echo written; read x'
    with alice.popen(
        ["sh", "-c", script, "sh", str(place.file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as held:
        assert held.stdin is not None
        assert held.stdout is not None
        assert held.stdout.readline() == b"open\n"
        found = problem(place.jobs)
        assert found is not None
        mend(found)
        held.stdin.write(b"\n")
        held.stdin.flush()
        assert held.stdout.readline() == b"written\n"
        held.stdin.close()

    assert place.file.read_text() == original
    assert problem(place.jobs) is None
    assert sorted(path.name for path in place.jobs.iterdir()) == ["a.json"]


@pytest.mark.parametrize("name", ["it's; touch x.json", "-a.json", "a b$(id).json"])
def test_the_command_of_the_help_is_quoted_for_the_shell(place: SimpleNamespace, name: str) -> None:
    """Whatever a file is called; a dash in front is no option."""
    file = put(place.jobs, name, job("x"))
    give(file, STRANGER)
    with contextlib.chdir(place.jobs):
        found = problem(Path(), name)
        assert found is not None
        mend(found)
        assert problem(Path(), name) is None
    assert file.stat().st_uid == 0


@pytest.mark.parametrize(("kind", "who"), [("u", "mallory"), ("g", "mallory"), ("u", "directory")])
def test_an_access_control_list_that_lets_a_stranger_write_is_refused(
    place: SimpleNamespace, alice: ThrowawayUser, mallory: ThrowawayUser, kind: str, who: str
) -> None:
    """Its mask stands where the group's rights do, and a service of an ordinary user trusts its group."""
    for path in (place.jobs, place.file):
        os.chown(path, alice.uid, alice.gid)
    place.file.chmod(0o664)
    path = place.jobs if who == "directory" else place.file
    with acting_as(alice.uid):
        assert problem(place.jobs) is None
    subprocess.run(["setfacl", "-m", f"{kind}:{mallory.name}:rwx", path], check=True)
    with acting_as(alice.uid):
        found = problem(place.jobs)
    assert found is not None
    said = found.message if isinstance(found, Problem) else str(found)
    assert said == f"`{path}` may be written by `{mallory.name}` (access control list)"
    mend(found)
    os.chown(place.file, alice.uid, alice.gid)
    with acting_as(alice.uid):
        assert problem(place.jobs) is None


def test_an_access_control_list_that_only_allows_reading_is_accepted(
    place: SimpleNamespace, alice: ThrowawayUser, mallory: ThrowawayUser
) -> None:
    """So is one for root, for the service's user, or with a mask that removes the right to write."""
    os.chown(place.file, alice.uid, alice.gid)
    for entry in (f"u:{mallory.name}:r", f"u:{alice.name}:rw", "u:root:rw", f"u:{mallory.name}:rw,m::r"):
        subprocess.run(["setfacl", "-b", "-m", entry, place.file], check=True)
        with acting_as(alice.uid):
            assert problem(place.jobs) is None, entry


def test_an_entry_of_root_in_a_sticky_directory_is_trusted(place: SimpleNamespace) -> None:
    """Nobody else can exchange that, so temporary directories work; also for a link into it."""
    place.jobs.chmod(0o1777)
    place.elsewhere.chmod(0o1777)
    (place.jobs / "link.json").symlink_to(place.target)

    assert problem(place.jobs) is None
    assert problem(place.jobs, "link.json") is None


def test_another_user_trusts_root_and_themselves_and_their_group(place: SimpleNamespace) -> None:
    """The file is not writable by others, and belongs to none of them."""
    with acting_as(NOBODY):
        assert problem(place.jobs) is None
    for path in (place.jobs, place.file):
        give(path, NOBODY)
    place.jobs.chmod(0o775)
    place.file.chmod(0o664)
    with acting_as(NOBODY):
        assert problem(place.jobs) is None

    for harm, message in (
        (lambda: place.file.chmod(0o666), "may be written by everybody (mode 0666)"),
        (lambda: give(place.file, STRANGER), "belongs to `12345`, not to `nobody` or root"),
        (lambda: place.jobs.chmod(0o777), "may be written by everybody (mode 0777)"),
        (lambda: give(place.jobs, STRANGER), "belongs to `12345`, not to `nobody` or root"),
    ):
        harm()
        with acting_as(NOBODY):
            found = problem(place.jobs)
        assert found is not None
        assert (found.message if isinstance(found, Problem) else str(found)).endswith(message)
        mend(found)
        with acting_as(NOBODY):
            assert problem(place.jobs) is None


def test_an_unreadable_path_is_reported_with_the_command_that_gives_access(place: SimpleNamespace) -> None:
    """The file, the directory, or a directory on the path of a link."""
    (place.jobs / "link.json").symlink_to(place.target)
    for name, harm in (
        ("a.json", lambda: place.file.chmod(0o600)),
        ("a.json", lambda: place.jobs.chmod(0o700)),
        ("link.json", lambda: place.target.chmod(0)),
        ("link.json", lambda: place.elsewhere.chmod(0o700)),
    ):
        harm()
        with acting_as(NOBODY):
            found = problem(place.jobs, name)
        assert found is not None
        mend(found)
        with acting_as(NOBODY):
            assert problem(place.jobs, name) is None


# --- no window -------------------------------------------------------------------------------------------


def exchanging(monkeypatch: pytest.MonkeyPatch, call: str, exchange: Callable[[], object]) -> None:
    """Replace something right before the n-th outside call of a check (`open:2`, `fstat:1`...)."""
    name, _, nth = call.partition(":")
    real, count = getattr(os, name), 0

    def wrapped(*given: object, **named: object) -> object:
        nonlocal count
        count += 1
        if count == int(nth):
            exchange()
        return real(*given, **named)

    monkeypatch.setattr(directory.os, name, wrapped)


CALLS = [f"{name}:{nth}" for name in ("open", "fstat", "stat", "readlink", "fstatvfs", "read") for nth in range(1, 6)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("before", ["good file", "link"])
def test_a_file_exchanged_during_the_check_is_never_run_by_root(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, call: str, before: str
) -> None:
    """At every moment the result is the checked file, never the content of another user."""
    evil = place.base / "evil"
    evil.write_text("evil")
    give(evil, STRANGER)
    path = place.file
    if before == "link":
        path = place.jobs / "link.json"
        path.symlink_to(place.target)

    def exchange() -> None:
        monkeypatch.undo()
        evil.rename(path)

    exchanging(monkeypatch, call, exchange)
    with DirectorySource(place.jobs).open() as view:
        found = view.read(path.name)

    assert found.raw != b"evil"
    assert found.raw is not None or found.problem is not None or found.is_missing


@pytest.mark.parametrize("call", CALLS)
def test_another_user_in_a_sticky_directory_cannot_choose_which_file_of_root_is_run(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Their link to a file of root, replaced by a file during the check, is refused at every moment."""
    place.jobs.chmod(0o1777)
    path = place.jobs / "theirs.json"
    path.symlink_to(place.target)
    give(path, STRANGER)
    other = place.base / "other"
    other.write_text("{}")
    give(other, STRANGER)

    def exchange() -> None:
        monkeypatch.undo()
        other.rename(path)

    exchanging(monkeypatch, call, exchange)
    assert problem(place.jobs, "theirs.json") is not None


@pytest.mark.parametrize("call", CALLS)
def test_a_fifo_or_device_is_not_opened_even_if_it_appears_during_the_check(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Opening a device can do things, and opening a FIFO lets its writer go on: neither happens."""
    fifo = place.base / "fifo"
    os.mkfifo(fifo)
    opened = watched_opens(monkeypatch)

    def exchange() -> None:
        fifo.rename(place.file)

    exchanging(monkeypatch, call, exchange)
    read(place.jobs)
    assert not opened()


def watched_opens(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """List the kinds of what is opened for reading, other than files and directories."""
    real, odd = os.open, []

    def opening(path: str, flags: int, *given: object, **named: object) -> int:
        descriptor = real(path, flags, *given, **named)
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if not flags & os.O_PATH and kind not in {stat.S_IFREG, stat.S_IFDIR}:
            odd.append(kind)
        return descriptor

    monkeypatch.setattr(directory.os, "open", opening)
    return lambda: odd


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "directory", "link to a device", "link to a fifo"])
def test_special_files_are_refused_unopened(place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """At once, and with their kind in the message."""
    path = place.jobs / "odd.json"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(os.path.relpath(path))
        case "device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
        case "directory":
            path.mkdir()
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "link to a fifo":
            os.mkfifo(place.elsewhere / "fifo")
            path.symlink_to(place.elsewhere / "fifo")
    opened = watched_opens(monkeypatch)
    began = time.monotonic()
    found = problem(place.jobs, "odd.json")

    assert isinstance(found, Problem)
    assert found.message.endswith("not a regular file")
    assert time.monotonic() - began < 1
    assert not opened()
