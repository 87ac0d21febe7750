"""The group of operators that the control socket is given to: which group, and on which way to the socket."""

from __future__ import annotations

import grp
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.config import Settings, load_settings
from jobscheduler.config.settings import BadSetting
from jobscheduler.control import socket_group
from jobscheduler.control.server import MadeSocket
from jobscheduler.control.socket_file import bind_socket, file_identity
from jobscheduler.control.socket_group import GroupRefused, give_to_group
from jobscheduler.model import Level
from jobscheduler.service.optional_parts import OptionalParts
from jobscheduler.service.socket_group_keeper import SocketGroupKeeper
from jobscheduler.util.hang_guard import HangGuard
from jobscheduler.util.trust import TrustJudge, TrustRules
from tests.support.job_files import unavailable
from tests.support.service import wait_until
from tests.support.tasks import open_to_all

OPERATORS = 54321  # no group of the host; root may give files to any number


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A socket in a directory that all users may enter."""
    if os.geteuid() != 0:
        unavailable("only root may give files to any group")
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    open_to_all(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        bind_socket(listener, folder / "control.sock")
        yield folder / "control.sock"


def give(path: Path, group: str = str(OPERATORS)) -> None:
    """Give the socket to a group."""
    identity = file_identity(path)
    assert identity is not None
    give_to_group(path, identity, group)


def refusal(path: Path, group: str = str(OPERATORS)) -> tuple[str, str]:
    """Return why the socket is not given to the group, and the help; it stays as it was."""
    before = path.lstat()
    with pytest.raises(GroupRefused) as refused:
        give(path, group)
    assert (path.lstat().st_gid, path.lstat().st_mode) == (before.st_gid, before.st_mode)
    return refused.value.problem.message, refused.value.problem.help or ""


def test_the_socket_is_given_to_the_group_and_to_no_further_user(path: Path) -> None:
    """Owner and mode stay; the directory stays as it is."""
    folder = path.parent.stat()
    give(path)
    made = path.stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (0, OPERATORS, 0o660)
    after = path.parent.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (folder.st_uid, folder.st_gid, folder.st_mode)


def test_a_group_is_found_by_its_name_before_its_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `chown` does it: a name may consist of digits."""
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", OPERATORS, [])))
    give(path, "1")
    assert path.stat().st_gid == OPERATORS


def test_a_group_that_does_not_exist_is_named_with_help(path: Path) -> None:
    """The socket stays with the service's own group."""
    message, help_ = refusal(path, "no-such-group")
    assert message == "this host knows no group `no-such-group`"
    assert help_ == "`groupadd --system no-such-group` makes it, or name another with `--socket-group GROUP`"


@pytest.mark.parametrize(
    ("mode", "group", "message", "help_"),
    [
        (0o700, 0, "is closed to the group `54321`", "`setfacl -m g:54321:x "),
        (0o750, 0, "is closed to the group `54321`", "`setfacl -m g:54321:x "),
        (0o705, OPERATORS, "is closed to the group `54321`", "`setfacl -m g:54321:x "),
        (0o777, 0, "another user could replace the control socket", "`chmod go-w "),
        (0o775, OPERATORS, "another user could replace the control socket", "`chmod go-w "),
    ],
)
def test_a_directory_that_the_group_cannot_enter_or_could_write_is_refused(
    path: Path, mode: int, group: int, message: str, help_: str
) -> None:
    """In one that others may write, the service could give away another file, and others could answer for it."""
    os.chown(path.parent, -1, group)
    path.parent.chmod(mode)
    told, helped = refusal(path)
    assert message in told
    assert str(path.parent) in told
    assert helped.startswith(help_)
    assert "`--socket FILE`" in helped


@pytest.mark.parametrize(("mode", "group"), [(0o710, OPERATORS), (0o755, 0), (0o1777, 0), (0o711, 0)])
def test_a_directory_that_the_group_may_only_enter_is_right(path: Path, mode: int, group: int) -> None:
    """A sticky one, as `/tmp`, keeps others from replacing the socket."""
    os.chown(path.parent, -1, group)
    path.parent.chmod(mode)
    give(path)
    assert path.stat().st_gid == OPERATORS


def test_the_command_that_the_help_shows_lets_the_group_through(path: Path) -> None:
    """An access control list that names the group counts; one that lets it write is a reason to refuse."""
    path.parent.chmod(0o700)
    command = refusal(path)[1].split("`")[1]
    subprocess.run(["sh", "-c", command], check=True)
    give(path)
    assert path.stat().st_gid == OPERATORS
    os.chown(path, -1, 0)
    subprocess.run(["setfacl", "-m", f"g:{OPERATORS}:rwx", path.parent], check=True)
    assert "could replace the control socket" in refusal(path)[0]


def test_members_who_may_write_the_directory_of_another_user_could_replace_the_socket(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of an ordinary user trusts its own groups with job files, and not with its socket."""
    monkeypatch.setattr(socket_group, "TrustJudge", lambda: TrustJudge(TrustRules(uid=1234)))
    os.chown(path.parent, 1234, OPERATORS)
    path.parent.chmod(0o775)
    message, help_ = refusal(path)
    assert message == f"the group could replace the control socket: it may write the directory `{path.parent}`"
    assert help_.startswith(f"`chmod g-w {path.parent}`")


@pytest.mark.parametrize(
    ("uid", "message", "help_"),
    [
        (1234, "its user `1234` is not a member", "as root: `usermod -aG 54321 1234`"),
        (0, "the service may not give the control socket to the group `54321`", "`CAP_CHOWN`"),
    ],
)
def test_a_service_that_may_not_give_files_to_the_group_says_why(
    path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, message: str, help_: str
) -> None:
    """That of a user who is not a member, and root without the capability."""

    def chown(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "chown", chown)
    told, helped = refusal(path)
    assert message in told
    assert help_ in helped


def test_no_other_file_is_given_away(path: Path) -> None:
    """Neither another socket of that name nor a file."""
    made = file_identity(path)
    assert made is not None
    path.rename(path.with_name("kept"))
    path.touch()
    give_to_group(path, made, str(OPERATORS))
    give(path)
    assert path.stat().st_gid == 0
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        give_to_group(path, made, str(OPERATORS))
        assert path.stat().st_gid == 0


@pytest.mark.parametrize("text", ["", " ", "a:b", "a,b", "a/b", " ops", "ops\n", "a\0b", "4294967295", "99999999999"])
def test_what_cannot_be_a_group_is_refused_as_wrong_usage(text: str) -> None:
    """The number after the last one means "no change" to the kernel."""
    with pytest.raises(BadSetting, match="socket-group"):
        load_settings({"socket_group": text}, {})


@pytest.mark.parametrize("text", ["operators", "990", "DOMAIN\\linux admins", "svc-ops@example.com", "4294967294"])
def test_a_group_may_come_from_a_directory_server(text: str) -> None:
    """Its names have more characters than local ones."""
    assert load_settings({"socket_group": text}, {}).socket_group == text
    assert Settings().socket_group is None


class Kept:
    """A keeper with what it tells: log lines and issues."""

    def __init__(self, path: Path, group: str, patience: float = 2.0) -> None:
        self.lines: list[tuple[Level, str, dict[str, Any]]] = []
        self.optional = OptionalParts()
        self.guard = HangGuard(patience=patience)
        self.times_made = 1
        self.keeper = SocketGroupKeeper(path, group, self._made, self.guard, self.optional, self._log)
        self._path = path

    def _made(self) -> MadeSocket:
        return MadeSocket(self.times_made, file_identity(self._path))

    def _log(self, level: Level, name: str, **values: Any) -> None:
        self.lines.append((level, name, values))

    def words(self) -> list[str]:
        """Keep the socket, and return the names of all lines so far."""
        self.keeper.keep()
        return [name for _, name, _ in self.lines]


def test_a_group_that_is_made_later_gets_the_socket_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning and an issue until then; a socket that is made anew is given again."""
    kept = Kept(path, "later")
    assert kept.words() == kept.words() == ["control.group_refused"]
    level, _, values = kept.lines[0]
    assert (level, values["group"], values["problem"]) == (Level.WARNING, "later", "this host knows no group `later`")
    (issue,) = kept.optional.issues()
    assert issue.startswith("the group of the control socket cannot be used: this host knows no group `later` (help: ")
    assert path.stat().st_gid == 0

    asked: list[str] = []

    def found(name: str) -> grp.struct_group:
        asked.append(name)
        return grp.struct_group((name, "x", OPERATORS, []))

    monkeypatch.setattr(grp, "getgrnam", found)
    assert kept.words() == kept.words() == ["control.group_refused", "control.group_given"]
    assert kept.optional.issues() == ()
    assert path.stat().st_gid == OPERATORS
    assert asked == ["later"]  # a socket that is given is not given again
    path.unlink()
    kept.times_made += 1  # the file may get the same inode
    with socket.socket(socket.AF_UNIX) as listener:
        bind_socket(listener, path)
        assert path.stat().st_gid == 0
        assert len(kept.words()) == 2
        assert path.stat().st_gid == OPERATORS


def test_a_host_that_does_not_find_the_group_out_is_not_waited_for_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a directory server that is away: the guard names it until it answers."""
    release, calls = threading.Event(), []

    def hang(name: str) -> Callable[..., object]:
        calls.append(name)
        release.wait()
        raise KeyError(name)

    monkeypatch.setattr(socket_group.grp, "getgrnam", hang)
    kept = Kept(path, "far", patience=0.2)
    assert kept.words() == kept.words() == ["control.group_refused"]
    assert kept.lines[0][2]["problem"] == "the group `far` of the control socket does not answer"
    assert (calls, list(kept.guard.hung())) == (["far"], ["the group `far` of the control socket"])
    assert kept.optional.issues() == ()
    release.set()
    wait_until(lambda: not kept.guard.hung(), why="the host has answered")
    kept.keeper.keep()
    assert kept.lines[-1][2]["problem"] == "this host knows no group `far`"
