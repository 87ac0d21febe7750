"""Outputs on disk: names, entries, what is written where, and what is read back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import AttemptOutput, KeptOutput
from jobscheduler.model.output import split_text
from jobscheduler.output import OutputLimits, OutputReader, RunPlace
from jobscheduler.output.entries import decode, encode, encode_open, whole_size
from jobscheduler.output.folder import FolderRefused, OutputFolder, open_folder
from jobscheduler.output.names import day_file, parse_name, run_file
from jobscheduler.output.retention import Retention
from jobscheduler.output.store import SMALL_BYTES, OutputStore
from jobscheduler.tasks.command.output_buffer import HeadTailBuffer
from tests.support.throwaway_users import ThrowawayUser

AT = datetime(2026, 11, 30, 1, 0, 0, 12000, tzinfo=UTC)
DAY = "2026-11-30"
LARGE = b"x" * (SMALL_BYTES - 1) + b"\n"


def printed(
    text: bytes, job_id: str = "a", run_id: str = "5f3c2a9d0b1e", attempt: int = 1, *, ended: bool = True
) -> AttemptOutput:
    """What an attempt has printed, as far as it is kept."""
    buffer = HeadTailBuffer()
    buffer.add(text)
    return AttemptOutput(run_id, attempt, AT, AT + timedelta(seconds=1) if ended else None, buffer.kept(), job_id, AT)


class World:
    """A store in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder: OutputFolder = open_folder(path)
        self.store = OutputStore(self.folder, Retention(OutputLimits(), lambda: None))

    def write(self, *outputs: AttemptOutput) -> None:
        """Write outputs of ended attempts."""
        assert sum(map(len, self.store.write(outputs))) == len(outputs)

    def restart(self) -> None:
        """Let a new service take over."""
        self.folder.close()
        self.folder = open_folder(self.path)
        self.store = OutputStore(self.folder, Retention(OutputLimits(), lambda: None))

    def files(self) -> dict[str, bytes]:
        """All files by name."""
        return {file.name: file.read_bytes() for file in sorted(self.path.glob("*/*"))}

    def read(self, run_id: str = "5f3c2a9d0b1e", job_id: str = "a") -> list[bytes]:
        """What is kept of the attempts of a run."""
        attempts = OutputReader(self.path).attempts(RunPlace(job_id, run_id, DAY))
        return [attempt.kept.text for attempt in attempts]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store in a new directory."""
    made = World(tmp_path / "output")
    yield made
    made.folder.close()


# -- names and entries


@pytest.mark.parametrize("job_id", ["a", "a.b@c".replace("@", "-"), "A" * 128, "a.txt", "a.1"])
def test_a_name_says_whose_output_it_is(job_id: str) -> None:
    """Whatever a job is called, no two of its files and no files of two jobs have one name."""
    names = [day_file(job_id), day_file(job_id, 2), run_file(job_id, "5f3c", 1), run_file(job_id, "5f3c", 2)]
    known = [parse_name(name) for name in names]
    assert [(one.job_id, one.run_id, one.number) for one in known if one] == [
        (job_id, None, 1),
        (job_id, None, 2),
        (job_id, "5f3c", 1),
        (job_id, "5f3c", 2),
    ]


@pytest.mark.parametrize("job_id", ["", ".", "..", "../x", "a/b", "a\0", ".a", "a" * 129, "a\n", "ä"])
def test_an_id_that_is_not_a_safe_name_is_refused(job_id: str) -> None:
    """The parser refuses it long before; a file is still never made of it."""
    with pytest.raises(ValueError, match="not the id"):
        day_file(job_id)
    with pytest.raises(ValueError, match="not the id"):
        run_file("a", job_id, 1)


def test_an_entry_is_read_back_as_it_was() -> None:
    """With a gap, without a line end, and with text that looks like an entry."""
    forged = encode(printed(b"stolen\n", run_id="ffff"))
    outputs = [printed(b"one\n"), printed(b"no end", attempt=2), printed(b"\n" + forged), printed(b"y\n" * 50_000)]
    found = list(decode(b"".join(map(encode, outputs))))
    assert [(one.run_id, one.attempt, one.began, one.ended, one.kept) for one in found] == [
        (one.run_id, one.attempt, one.began, one.ended, one.kept) for one in outputs
    ]
    assert found[3].kept.missing == 100_000 - len(found[3].kept.head) - len(found[3].kept.tail)


def test_an_open_entry_goes_on_to_the_end_of_its_file() -> None:
    """So more can be appended while the attempt runs."""
    entry = encode_open(printed(b"first\n", ended=False)) + b"second\n"
    (found,) = decode(entry)
    assert (found.kept.text, found.ended) == (b"first\nsecond\n", None)


def test_a_cut_entry_is_known_at_every_byte() -> None:
    """Only whole entries count."""
    first, second = encode(printed(b"one\n")), encode(printed(b"no line end", attempt=2))
    for size in range(len(first), len(first + second)):
        assert whole_size((first + second)[:size]) == len(first)
    assert whole_size(first + second) == len(first + second)
    assert whole_size(b"what is this?\n" + first) == 0


def test_parts_of_a_kept_output_follow_each_other() -> None:
    """From any offset; missing bytes are stepped over."""
    kept = KeptOutput(b"abcdef", b"uvwxyz", 26)
    assert [(part.offset, part.data) for part in map(kept.since, (0, 4, 6, 15, 22, 26, 99), [4] * 7)] == [
        (0, b"abcd"),
        (4, b"ef"),
        (20, b"uvwx"),
        (20, b"uvwx"),
        (22, b"wxyz"),
        (26, b""),
        (99, b""),
    ]
    assert split_text(kept.text, kept.missing, 6) == kept
    assert split_text(kept.text, kept.missing + 1, 6) is None


# -- what is written


def test_small_outputs_of_a_job_share_a_file_for_the_day(world: World) -> None:
    """Each with its attempt."""
    world.write(printed(b"one\n"), printed(b"two\n", attempt=2), printed(b"other\n", "b"))
    world.write(printed(b"three\n", run_id="bbbb"))
    assert list(world.files()) == ["a.txt", "b.txt"]
    assert (world.read(), world.read("bbbb"), world.read(job_id="b")) == (
        [b"one\n", b"two\n"],
        [b"three\n"],
        [b"other\n"],
    )


def test_a_large_output_has_a_file_of_its_own(world: World) -> None:
    """From 2 KiB on."""
    world.write(printed(LARGE[1:]), printed(LARGE, attempt=2), printed(b"y" * 100_000, attempt=3))
    assert list(world.files()) == ["a.txt", "a@5f3c2a9d0b1e.2.txt", "a@5f3c2a9d0b1e.3.txt"]
    kept = world.read()
    assert kept[:2] == [LARGE[1:], LARGE]
    assert b"bytes left out" in kept[2]
    assert len(kept[2]) <= 64 * 1024


def test_what_an_attempt_prints_is_in_its_file_while_it_runs(world: World) -> None:
    """It is appended to, and becomes an entry of the day when it has ended and is small."""
    world.store.write_live(printed(b"first\n", ended=False), 1.0)
    world.store.write_live(printed(b"first\nsecond\n", ended=False), 2.0)
    assert (list(world.files()), world.read()) == (["a@5f3c2a9d0b1e.1.txt"], [b"first\nsecond\n"])
    world.write(printed(b"first\nsecond\nlast\n"))
    assert (list(world.files()), world.read()) == (["a.txt"], [b"first\nsecond\nlast\n"])


def test_a_flood_is_written_as_a_whole_and_less_often(world: World) -> None:
    """Once bytes are left out; the file stays as small as what is kept."""
    world.store.write_live(printed(b"y\n" * 10_000, ended=False), 1.0)
    world.store.write_live(printed(b"y\n" * 100_000, ended=False), 2.0)
    key = ("5f3c2a9d0b1e", 1)
    assert [world.store.is_new(key, 300_000, now) for now in (3.0, 6.9, 7.0)] == [False, False, True]
    assert [world.store.is_new(key, 200_000, now) for now in (3.0, 7.0)] == [False, False]
    assert max(map(len, world.files().values())) < 66_000
    world.write(printed(b"y\n" * 400_000))
    assert [text.count(b"bytes left out") for text in world.read()] == [1]


def test_the_output_of_an_attempt_that_a_crash_ended_stays(world: World) -> None:
    """The next service finds it as it was."""
    world.store.write_live(printed(b"begun\n", ended=False), 1.0)
    world.restart()
    world.write(printed(b"other\n", run_id="bbbb"))
    assert (world.read(), world.read("bbbb")) == ([b"begun\n"], [b"other\n"])


def test_an_entry_that_a_crash_cut_is_dropped_before_the_next(world: World) -> None:
    """Otherwise what follows could not be read."""
    world.write(printed(b"one\n"))
    file = world.path / DAY / "a.txt"
    file.write_bytes(file.read_bytes() + encode(printed(b"cut off\n", attempt=2))[:-5])
    world.restart()
    world.write(printed(b"three\n", attempt=3))
    assert world.read() == [b"one\n", b"three\n"]


def test_a_full_file_of_a_day_is_followed_by_another(world: World) -> None:
    """Also after a restart."""
    world.write(printed(b"one\n"))
    (world.path / DAY / "a.txt").write_bytes(encode(printed(b"one\n")) * 13_000)
    world.write(printed(b"two\n", run_id="bbbb"))
    world.restart()
    world.write(printed(b"three\n", run_id="cccc"))
    assert list(world.files()) == ["a+2.txt", "a.txt"]
    assert (world.read("bbbb"), world.read("cccc")) == ([b"two\n"], [b"three\n"])


def test_a_removed_folder_is_made_again(world: World) -> None:
    """Another process has tidied up."""
    world.write(printed(b"one\n"))
    (world.path / DAY / "a.txt").unlink()
    (world.path / DAY).rmdir()
    world.write(printed(b"two\n", attempt=2))
    assert world.read() == [b"two\n"]


# -- whose it is


def test_the_directory_is_for_the_service_and_the_readers_of_its_log(world: World) -> None:
    """Other users may not look into it, and only the service may write."""
    world.write(printed(b"one\n"), printed(LARGE, attempt=2))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (world.path, *world.path.glob("*"))}
    assert modes == {0o750}
    assert {stat.S_IMODE(path.stat().st_mode) for path in world.path.glob("*/*")} == {0o640}


def test_no_link_below_the_directory_is_followed(world: World, tmp_path: Path) -> None:
    """Neither to write nor to read."""
    secret = tmp_path / "secret"
    secret.write_bytes(encode(printed(b"secret\n")))
    (world.path / DAY).mkdir()
    (world.path / DAY / "a.txt").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        list(world.store.write([printed(b"one\n")]))
    assert (world.read(), secret.read_bytes()) == ([], encode(printed(b"secret\n")))
    (world.path / DAY / "a.txt").unlink()
    os.mkfifo(world.path / DAY / "a.txt")
    assert world.read() == []


@pytest.mark.parametrize("mode", [0o770, 0o757])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that mends it."""
    (tmp_path / "output").mkdir()
    (tmp_path / "output").chmod(mode)
    with pytest.raises(FolderRefused) as refused:
        open_folder(tmp_path / "output")
    assert "may be written by" in refused.value.problem.message
    assert "chmod" in str(refused.value.problem.help)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, alice: ThrowawayUser) -> None:
    """It could change what is read back as output."""
    (tmp_path / "output").mkdir()
    os.chown(tmp_path / "output", alice.uid, -1)
    with pytest.raises(FolderRefused, match="belongs to"):
        open_folder(tmp_path / "output")


def test_two_services_do_not_share_a_directory(world: World) -> None:
    """The second one says so."""
    with pytest.raises(FolderRefused, match="in use by another service"):
        open_folder(world.path)


def test_a_missing_parent_is_said_with_its_help(tmp_path: Path) -> None:
    """Only the last folder is made."""
    with pytest.raises(FolderRefused) as refused:
        open_folder(tmp_path / "no" / "output")
    assert "mkdir -p" in str(refused.value.problem.help)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """It stays as it is."""
    (tmp_path / "output").write_text("mine")
    with pytest.raises(FolderRefused, match="is not a directory"):
        open_folder(tmp_path / "output")


# -- found again


def test_a_run_is_found_by_its_id_alone(world: World) -> None:
    """In a name, or in a file of small outputs."""
    world.write(printed(b"one\n"), printed(LARGE, "b", run_id="bbbb"))
    reader = OutputReader(world.path)
    assert reader.find("5f3c2a9d0b1e") == RunPlace("a", "5f3c2a9d0b1e", DAY)
    assert reader.find("bbbb") == RunPlace("b", "bbbb", DAY)
    assert [reader.find(run_id) for run_id in ("cccc", "", "../x")] == [None] * 3
    assert reader.newest("b") == RunPlace("b", "bbbb", DAY)
    assert OutputReader(world.path / "none").find("bbbb") is None
