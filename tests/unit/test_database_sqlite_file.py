"""Where an SQLite file may stand: nothing of another user's is played back into it, and none is opened for it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobscheduler.database import engine
from jobscheduler.database.engine import Database, Unavailable
from jobscheduler.database.sqlite_file import TrustedFile
from tests.support.throwaway_users import ThrowawayUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root can")


@pytest.fixture
def file() -> Iterator[Path]:
    """A database of root's that all users may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="sqlite-") as made:
        Path(made).chmod(0o755)
        path = Path(made) / "db" / "jobs.db"
        path.parent.mkdir()
        _fill(path, "root's")
        yield path


def _fill(path: Path, text: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE x (text)")
        connection.execute("INSERT INTO x VALUES (?)", (text,))
    connection.close()
    path.chmod(0o644)


def read(path: Path) -> str:
    """Read the only row as the service does."""
    with Database(f"sqlite:///{path}").reading() as connection:
        return str(connection.exec_driver_sql("SELECT text FROM x").scalar())


def refusal(path: Path) -> str:
    """Say why the file is not opened."""
    with pytest.raises(Unavailable) as refused:
        read(path)
    with pytest.raises(Unavailable) as distrusted:
        Database(f"sqlite:///{path}").check_trust()
    assert str(distrusted.value) == str(refused.value)
    return str(refused.value)


def test_a_hot_journal_of_another_user_is_not_played_back(file: Path, alice: ThrowawayUser) -> None:
    """In a sticky directory any user may add one. The directory is refused, and after it was closed, the journal."""
    assert read(file) == "root's"
    before = file.read_bytes()
    file.parent.chmod(0o1777)
    forged = alice.home / "forged.db"
    alice.run(["cp", str(file), str(forged)])
    with sqlite3.connect(forged) as connection:
        connection.execute("UPDATE x SET text = 'alice''s'")
    connection.close()
    _journal(forged.read_bytes(), Path(f"{file}-journal"))
    os.chown(f"{file}-journal", alice.uid, alice.gid)

    assert refusal(file) == f"`{file.parent}` may be written by everybody (mode 1777)"
    file.parent.chmod(0o755)
    assert f"`{file}-journal` is not what SQLite left there" in refusal(file)
    assert file.read_bytes() == before
    Path(f"{file}-journal").unlink()
    assert read(file) == "root's"


def _journal(pages: bytes, journal: Path, size: int = 4096) -> None:
    """Write pages as a rollback journal, as a process leaves it that died."""
    count = len(pages) // size
    head = bytes.fromhex("d9d505f920a163d7") + b"".join(n.to_bytes(4, "big") for n in (count, 0, count, 512, size))
    records = b""
    for number in range(count):
        page = pages[number * size : (number + 1) * size]
        check = sum(page[at] for at in range(size - 200, 0, -200)) & 0xFFFFFFFF
        records += (number + 1).to_bytes(4, "big") + page + check.to_bytes(4, "big")
    journal.write_bytes(head.ljust(512, b"\0") + records)


def test_the_forged_journal_is_one_that_sqlite_plays_back(file: Path) -> None:
    """Otherwise the test above would prove nothing."""
    other = file.with_name("other.db")
    _fill(other, "forged")
    _journal(other.read_bytes(), Path(f"{file}-journal"))
    assert read(file) == "forged"


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("harm", ["owner", "mode", "link"])
def test_files_of_another_user_beside_the_database_are_refused(
    file: Path, alice: ThrowawayUser, suffix: str, harm: str
) -> None:
    """SQLite reads some files there by itself."""
    beside = Path(f"{file}{suffix}")
    if harm == "link":
        beside.symlink_to(alice.home / "x")
    else:
        beside.touch()
        beside.chmod(0o666 if harm == "mode" else 0o644)
        os.chown(beside, *((alice.uid, alice.gid) if harm == "owner" else (0, 0)))
    assert f"`{beside}` is not what SQLite left there" in refusal(file)


def test_links_on_the_path_to_the_file_are_checked(file: Path, alice: ThrowawayUser) -> None:
    """In a directory of another user a link may lead to another file a moment later."""
    theirs = alice.home / "links"
    theirs.mkdir()
    os.chown(theirs, alice.uid, alice.gid)
    (theirs / "jobs.db").symlink_to(file)
    assert f"belongs to `{alice.name}`" in refusal(theirs / "jobs.db")
    ours = file.parent.parent / "links"
    ours.mkdir()
    (ours / "jobs.db").symlink_to(file)
    assert read(ours / "jobs.db") == "root's"


@contextmanager
def after_check(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> Iterator[None]:
    """Make a change between the check of a file and its opening."""
    judged = engine.check_new_file

    def judge(path: str) -> TrustedFile:
        place = judged(path)
        change()
        return place

    with monkeypatch.context() as patched:
        patched.setattr(engine, "check_new_file", judge)
        yield


def test_the_checked_file_is_opened_although_a_link_leads_elsewhere_by_then(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path as given is not resolved a second time."""
    other, link = file.with_name("other.db"), file.with_name("link.db")
    _fill(other, "another")
    link.symlink_to(file)

    def turn() -> None:
        link.unlink()
        link.symlink_to(other)

    with after_check(monkeypatch, turn):
        assert read(link) == "root's"
    assert read(link) == "another"


def test_a_file_that_replaces_the_checked_one_is_not_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not checked; the next attempt checks it."""
    other = file.with_name("other.db")
    _fill(other, "another")
    exchanged = after_check(monkeypatch, lambda: other.replace(file))
    with exchanged, pytest.raises(Unavailable, match="is being replaced") as refused:
        read(file)
    assert refused.value.retryable
    assert read(file) == "another"


def test_a_parent_that_others_may_write_is_refused(file: Path) -> None:
    """They could replace this directory by another one of root."""
    above = file.parent.parent
    above.chmod(0o777)
    assert f"`{above}` may be written by everybody" in refusal(file)
    above.chmod(0o1777)
    assert read(file) == "root's"


def test_a_database_is_not_created_where_other_users_may_write(file: Path, alice: ThrowawayUser) -> None:
    """They could add a journal for it, or a link."""
    new = file.parent / "new.db"
    with Database(f"sqlite:///{new}").writing(create=True) as connection:
        connection.exec_driver_sql("CREATE TABLE x (text)")
    assert new.stat().st_size > 0
    new.unlink()
    new.symlink_to(alice.home / "nothing")
    with pytest.raises(Unavailable), Database(f"sqlite:///{new}").connect(create=True):
        pass
    new.unlink()
    file.parent.chmod(0o1777)
    refused = pytest.raises(Unavailable, match="may be written by everybody")
    with refused, Database(f"sqlite:///{new}").connect(create=True):
        pass
    assert not new.exists()
