"""The jobs directory as a source: complete answers, or none."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.util.trust import TrustRules
from tests.support.service import wait_until
from tests.support.tasks import open_to_all


@contextmanager
def as_nobody() -> Iterator[None]:
    """Act as an ordinary user; one that already is stays who it is."""
    former = os.geteuid()
    if former == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if former == 0:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.json", True), (".a.json", False), ("a.json~", False), ("a.JSON", False), ("a.txt", False), (".json", False)],
)
def test_only_visible_json_files_are_jobs(name: str, is_one: bool) -> None:
    """Editors' temporary files and backups are not jobs."""
    assert is_job_file(name) is is_one


def test_fingerprints_differ_after_every_change(tmp_path: Path) -> None:
    """They are equal if nothing changed, and differ after each change of content or mode."""
    path = tmp_path / "a.json"
    path.write_text("one")
    (tmp_path / "b.json").write_text("b")
    source = DirectorySource(tmp_path)

    def signatures() -> dict[str, object]:
        with source.open() as view:
            return dict(view.list_items())

    first = signatures()
    assert signatures() == first
    path.write_text("two")
    second = signatures()
    assert second["a.json"] != first["a.json"]
    assert second["b.json"] == first["b.json"]
    path.chmod(0o600)
    assert signatures()["a.json"] != second["a.json"]


NOBODY = 65534


def help_for_nobody(source: DirectorySource, name: str = "a.json") -> str:
    """Return the help of a service that runs as `nobody` for a file that it may not read."""
    with source.open() as view, as_nobody():
        found = view.read(name)
    assert found.problem is not None
    assert found.problem.host_dependent
    return str(found.problem.help)


@pytest.mark.parametrize(
    ("owner", "mode", "expected"),
    [
        (0, 0o600, "as root: `chown nobody {0}` lets in `nobody` and no other user"),
        (0, 0o000, "as root: `chown nobody {0} && chmod u+r {0}` lets in `nobody` and no other user"),
        (NOBODY, 0o200, "`chmod u+r {0}`"),
    ],
)
def test_the_help_for_a_file_that_may_not_be_read_lets_in_the_user_of_the_service_alone(
    tmp_path: Path, owner: int, mode: int, expected: str
) -> None:
    """The file may hold a password, so no group is let in: all users may be in it. The command is enough."""
    path = tmp_path / "a.json"
    path.write_text("{}")
    os.chown(path, owner, 0)
    path.chmod(mode)
    open_to_all(tmp_path)
    source = DirectorySource(tmp_path, TrustRules(NOBODY))
    help_ = help_for_nobody(source)
    assert help_ == expected.format(path)
    subprocess.run(["sh", "-c", help_.split("`")[1]], check=True)
    assert path.stat().st_mode & 0o077 == mode & 0o077
    with source.open() as view, as_nobody():
        assert view.read("a.json").raw == b"{}"


@pytest.mark.parametrize(
    ("owner", "expected"), [(0, "as root: `setfacl -m u:nobody:x {0}`"), (NOBODY, "`chmod u+x {0}`")]
)
def test_the_help_for_a_directory_on_the_way_leaves_it_to_its_owner(tmp_path: Path, owner: int, expected: str) -> None:
    """It is that of somebody else for other reasons than the job files below it."""
    closed = tmp_path / "closed"
    (closed / "jobs.d").mkdir(parents=True)
    os.chown(closed, owner, 0)
    closed.chmod(0o600)
    open_to_all(tmp_path)
    source = DirectorySource(closed / "jobs.d", TrustRules(NOBODY))
    with as_nobody(), pytest.raises(SourceUnavailable) as refused, source.open():
        pass
    help_ = str(refused.value.help)
    assert help_.startswith(expected.format(closed))
    subprocess.run(["sh", "-c", help_.split("`")[1]], check=True)
    with as_nobody(), source.open() as view:
        assert list(view.list_items()) == []


@pytest.mark.parametrize("kind", ["missing", "file", "unreadable"])
def test_a_directory_that_cannot_be_read_is_unavailable(tmp_path: Path, kind: str) -> None:
    """The message says why."""
    path = tmp_path / "jobs.d"
    if kind == "file":
        path.write_text("")
    elif kind == "unreadable":
        path.mkdir(mode=0)
    with as_nobody(), pytest.raises(SourceUnavailable, match=str(path)), DirectorySource(path).open():
        pass


def test_a_deleted_directory_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    """Also if it was open when it was deleted."""
    path = tmp_path / "jobs.d"
    path.mkdir()
    with DirectorySource(path).open() as view:
        path.rmdir()
        with pytest.raises(SourceUnavailable):
            view.list_items()
        with pytest.raises(SourceUnavailable):
            view.read("a.json")


def test_a_missing_file_has_neither_problem_nor_content(tmp_path: Path) -> None:
    """It is just missing."""
    with DirectorySource(tmp_path).open() as view:
        assert view.read("a.json").is_missing


def test_a_directory_made_again_with_the_same_inode_is_another_one(tmp_path: Path) -> None:
    """File systems reuse inodes. The empty new directory still counts as unknown."""
    path = tmp_path / "jobs.d"
    path.mkdir()
    (path / "a.json").write_text("{}")
    source = DirectorySource(path)
    with source.open() as view:
        view.list_items()
    before, inode = source.identity(), path.stat().st_ino
    (path / "a.json").unlink()
    path.rmdir()
    for number in range(300):
        made = tmp_path / str(number)
        made.mkdir()
        if made.stat().st_ino == inode:
            break
    else:
        pytest.skip("this file system did not use the inode again")
    made.rename(path)

    assert source.identity() != before
    with source.open() as view, pytest.raises(SourceUnavailable, match="another directory and empty"):
        view.list_items()


def test_a_linked_file_is_as_new_as_the_newest_link_to_it(tmp_path: Path) -> None:
    """The link put it there, however old the target is."""
    (tmp_path / "jobs").mkdir(mode=0o755)
    target, hop, link = tmp_path / "target", tmp_path / "hop", tmp_path / "jobs" / "a.json"
    target.write_text("{}")
    target.chmod(0o644)
    made = target.stat().st_ctime

    def written() -> float:
        with DirectorySource(tmp_path / "jobs").open() as view:
            found = view.read("a.json")
        assert found.problem is None
        return found.modified_at

    wait_until(lambda: time.time() > made + 0.05)
    hop.symlink_to(target)
    link.symlink_to(hop)
    assert written() == link.lstat().st_ctime > made
    wait_until(lambda: time.time() > link.lstat().st_ctime + 0.05)
    (tmp_path / "new").symlink_to(target)
    (tmp_path / "new").rename(hop)
    assert written() == hop.lstat().st_ctime > link.lstat().st_ctime
    wait_until(lambda: time.time() > hop.lstat().st_ctime + 0.05)
    target.write_text("{} ")
    assert written() == target.stat().st_ctime > hop.lstat().st_ctime
