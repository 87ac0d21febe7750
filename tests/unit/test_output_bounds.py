"""What the output directory holds is counted exactly, what is in use stays, and a reader takes what is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from jobscheduler.output import OutputLimits, OutputReader, RunPlace
from jobscheduler.output.entries import decode, encode, encode_open
from jobscheduler.output.folder import FolderReader, OutputFolder, open_folder
from jobscheduler.output.retention import SWEEP_S, Coming, Retention, on_disk
from jobscheduler.output.store import DAY_FILE_BYTES, SMALL_BYTES, OutputStore
from tests.unit.test_output_store import AT, DAY, LARGE, printed
from tests.unit.test_output_thread import Running
from tests.unit.test_output_thread import World as Thread
from tests.unit.test_output_thread import printed as ended

MOST = OutputLimits(max_bytes=10_000_000, max_files=1000)
SMALL = b"x" * (SMALL_BYTES - 200) + b"\n"


class Counted:
    """A store whose retention is asked how much there is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder: OutputFolder = open_folder(path)
        self.retention = Retention(MOST, lambda: None)
        self.retention.sweep(self.folder, AT, 0.0, ())
        self.store = OutputStore(self.folder, self.retention)

    def assert_exact(self) -> None:
        """One byte or one file more than there is room for is too much, and no less."""
        sizes = [on_disk(file.stat().st_size) for file in self.path.glob("*/*")]
        room, files = MOST.max_bytes - sum(sizes), MOST.max_files - len(sizes)
        assert not self.retention.is_due(1.0, Coming(room, files))
        assert self.retention.is_due(1.0, Coming(room + 1, 0))
        assert self.retention.is_due(1.0, Coming(0, files + 1))


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    """One in a new directory."""
    made = Counted(tmp_path / "output")
    yield made
    made.folder.close()


def ran(store: OutputStore, *texts: bytes, at_end: bytes) -> None:
    """Let an attempt print while it runs, each time all that it has printed so far, and end."""
    for number, text in enumerate(texts):
        store.write_live(printed(text, ended=False), float(number))
    list(store.write([printed(at_end)]))


@pytest.mark.parametrize(
    "what",
    [
        lambda store: list(store.write([printed(SMALL)])),
        lambda store: [list(store.write([printed(SMALL, run_id=f"{n:04}")])) for n in range(8)],
        lambda store: list(store.write([printed(LARGE * 5), printed(LARGE, attempt=2), printed(SMALL, "b")])),
        lambda store: store.write_live(printed(SMALL, ended=False), 1.0),
        lambda store: ran(store, SMALL, SMALL * 3, SMALL * 9, at_end=SMALL * 10),
        lambda store: ran(store, b"y" * 100_000, b"y" * 200_000, at_end=b"y" * 300_000),
        lambda store: ran(store, b"one\n", at_end=b"one\ntwo\n"),
    ],
    ids=["small", "several of a job", "large", "running", "grows", "flood", "running, then small"],
)
def test_what_is_written_is_counted_exactly(counted: Counted, what: Callable[[OutputStore], object]) -> None:
    """In disk blocks and files: appended, replaced, and removed when it goes into the file of its day."""
    what(counted.store)
    counted.assert_exact()


def test_a_new_day_begins_with_the_first_file_of_a_job(counted: Counted) -> None:
    """However many the day before had; a file that has its size is not added to."""
    list(counted.store.write([printed(b"one\n")]))
    (counted.path / DAY / "a.txt").write_bytes(b"x" * DAY_FILE_BYTES)
    list(counted.store.write([printed(b"two\n", run_id="bbbb")]))
    tomorrow = replace(printed(b"three\n", run_id="cccc"), run_started=AT + timedelta(days=1))
    list(counted.store.write([tomorrow]))
    names = sorted(str(file.relative_to(counted.path)) for file in counted.path.glob("*/*"))
    assert names == [f"{DAY}/a+2.txt", f"{DAY}/a.txt", "2026-12-01/a.txt"]
    assert (counted.path / DAY / "a.txt").stat().st_size == DAY_FILE_BYTES


def test_the_file_of_a_running_attempt_stays_however_old_or_much_it_is(tmp_path: Path) -> None:
    """It goes on where it was; what has ended makes room."""
    world = Thread(tmp_path / "output", OutputLimits(max_files=6, keep_s=86400.0))
    world.running = [Running(b"first\n")]
    world.step(1.0)
    world.now += timedelta(days=9)
    for step in range(1, 5):
        world.running[0].text += b"more\n"
        at = world.now
        world.step(step * SWEEP_S, *(ended(b"x" * 3000, f"{step}{n}", at=at) for n in range(4)))
        assert len(world.files()) <= 6
    assert world.read() == [b"first\n" + b"more\n" * 4]


def test_a_day_whose_last_file_made_room_is_gone(tmp_path: Path) -> None:
    """An empty folder of each day would stay for ever."""
    world = Thread(tmp_path / "output", OutputLimits(max_files=2))
    world.step(1.0, ended(b"one\n"))
    for number in range(1, 5):
        world.step(1.0 + number, ended(b"two\n", f"b{number}", at=AT + timedelta(days=number)))
    assert (tmp_path / "output" / "2026-12-04" / "a.txt").exists()
    assert len([path for path in (tmp_path / "output").iterdir() if path.is_dir()]) <= 2


def test_the_first_day_that_is_kept_stays(tmp_path: Path) -> None:
    """A run of its last minute has not been there for so long."""
    world = Thread(tmp_path / "output", OutputLimits(keep_s=2 * 86400.0))
    world.step(0.0, ended(b"one\n"))
    world.now = AT + timedelta(days=2)
    for number in range(1, 4):
        world.step(number * SWEEP_S)
    assert world.read() == [b"one\n"]


def test_outputs_that_waited_for_too_long_are_told(tmp_path: Path) -> None:
    """The disk was slower than what was printed."""
    world = Thread(tmp_path / "output")
    for number in range(9):
        world.recent.keep(ended(b"x" * 3_000_000, f"{number}"))
    world.step(1.0)
    assert [(name, values["lost"]) for _, name, values in world.lines] == [("output.lost", 4)]


# -- reading


def test_only_the_runs_that_are_asked_for_are_read(counted: Counted) -> None:
    """Of just that job, and the newest is the one that began last."""
    later = replace(printed(b"two\n", run_id="bbbb"), began=AT + timedelta(seconds=9))
    list(counted.store.write([printed(b"one\n"), later, printed(b"other\n", "ab", run_id="cccc")]))
    reader = OutputReader(counted.path)
    assert list(reader.attempts_of_runs("a", DAY, ["bbbb", "cccc"])) == ["bbbb"]
    assert reader.newest("a") == RunPlace("a", "bbbb", DAY)
    assert [reader.newest("b"), reader.attempts(RunPlace("a", "cccc", DAY))] == [None, []]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_of_two_entries_of_an_attempt_the_ended_one_counts(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, is_reversed: bool
) -> None:
    """A crash came between the entry of the day and the removal of the file; in whatever order they are listed."""
    list(counted.store.write([printed(b"all of it\n")]))
    (counted.path / DAY / "a@5f3c2a9d0b1e.1.txt").write_bytes(encode_open(printed(b"all\n", ended=False)))
    monkeypatch.setattr(
        FolderReader, "names", lambda self, day: sorted(file.name for file in (counted.path / day).iterdir())
    )
    if is_reversed:
        monkeypatch.setattr(
            FolderReader,
            "names",
            lambda self, day: sorted((file.name for file in (counted.path / day).iterdir()), reverse=True),
        )
    (attempt,) = OutputReader(counted.path).attempts(RunPlace("a", "5f3c2a9d0b1e", DAY))
    assert attempt.kept.text == b"all of it\n"


def test_a_cut_entry_is_not_read(counted: Counted) -> None:
    """Not even one that lacks its last byte."""
    whole = encode(printed(b"no line end"))
    assert list(decode(whole[:-2])) == []
    assert [one.kept.text for one in decode(whole[:-1])] == [b"no line end"]


def test_an_attempt_that_ended_before_it_began_is_read_back(counted: Counted) -> None:
    """The clock was set back meanwhile."""
    (found,) = decode(encode(replace(printed(b"one\n"), ended=AT - timedelta(hours=1))))
    assert (found.kept.text, found.ended) == (b"one\n", AT)
