"""The thread that writes outputs: when it writes, what it deletes, and what a bad disk costs."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import AttemptOutput, KeptOutput, Level
from jobscheduler.output import OutputLimits, OutputReader, OutputThread, RecentOutputs, RunPlace, folder, place, thread
from jobscheduler.output.retention import SWEEP_S, StoredFile, surplus_files
from tests.support.service import wait_until

AT = datetime(2026, 11, 30, 1, 0, 0, tzinfo=UTC)
DAY = "2026-11-30"


def printed(text: bytes, run_id: str = "aaaa", job_id: str = "a", at: datetime = AT, attempt: int = 1) -> AttemptOutput:
    """What an attempt has printed."""
    return AttemptOutput(run_id, attempt, at, at, KeptOutput(text, b"", len(text)), job_id, at)


class Running:
    """An attempt that runs."""

    key = "aaaa", 1
    began = 0.0

    def __init__(self, text: bytes) -> None:
        self.text = text

    @property
    def printed(self) -> int:
        return len(self.text)

    def live_output(self) -> AttemptOutput:
        return replace(printed(self.text), ended=None)


class World:
    """A thread that is not started: the test makes its steps."""

    def __init__(self, path: Path, limits: OutputLimits | None = None) -> None:
        self.path = path
        self.now = AT
        self.lines: list[tuple[Level, str, dict[str, Any]]] = []
        self.recent = RecentOutputs()
        self.running: list[Running] = []
        self.thread = OutputThread(
            path, limits or OutputLimits(), self.recent, lambda: self.running, self.log_event, clock=lambda: self.now
        )

    def log_event(self, level: Level, name: str, /, **values: Any) -> None:
        """Take an event."""
        self.lines.append((level, name, values))

    def step(self, now: float, *outputs: AttemptOutput) -> None:
        """Let attempts end, and make a step."""
        for output in outputs:
            self.recent.keep(output)
        self.thread.step(now)

    def read(self, run_id: str = "aaaa", job_id: str = "a", day: str = DAY) -> list[bytes]:
        """What the files have of a run."""
        return [one.kept.text for one in OutputReader(self.path).attempts(RunPlace(job_id, run_id, day))]

    def files(self) -> list[str]:
        """All files by day and name."""
        return sorted(str(file.relative_to(self.path)) for file in self.path.glob("*/*"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A thread on a new directory."""
    return World(tmp_path / "output")


# -- memory


def test_an_output_is_in_memory_until_a_file_has_it(world: World) -> None:
    """So a reader finds it at any moment."""
    world.recent.keep(printed(b"one\n"))
    assert [one.kept.text for one in world.recent.of("aaaa")] == [b"one\n"]
    world.step(0.0)
    assert (world.recent.of("aaaa"), world.read()) == ([], [b"one\n"])


def test_outputs_that_wait_for_a_disk_are_bounded(world: World) -> None:
    """The oldest are lost, and counted."""
    recent = RecentOutputs(max_unwritten=10_000)
    for number in range(10):
        recent.keep(printed(b"x" * 2000, f"{number}"))
    assert [bool(recent.of(f"{number}")) for number in range(10)] == [False] * 7 + [True] * 3
    assert (recent.take_lost(), recent.take_lost()) == (7, 0)


# -- running attempts


def test_what_runs_is_written_within_a_second_once_it_has_run_for_one(world: World) -> None:
    """A short run costs one write, at its end."""
    world.running = [Running(b"first\n")]
    world.step(0.5)
    assert world.read() == []
    world.step(1.0)
    assert world.read() == [b"first\n"]
    world.running[0].text += b"second\n"
    world.step(2.0)
    assert world.read() == [b"first\nsecond\n"]
    world.running = []
    world.step(3.0, printed(b"first\nsecond\nlast\n"))
    assert (world.read(), world.files()) == ([b"first\nsecond\nlast\n"], [f"{DAY}/a.txt"])


def test_an_output_that_comes_a_step_after_its_end_replaces_its_file(world: World) -> None:
    """An attempt is over a moment before its output is handed over."""
    world.running = [Running(b"first\n")]
    world.step(1.0)
    world.running = []
    world.step(2.0)
    world.step(3.0, printed(b"first\nlast\n"))
    assert world.files() == [f"{DAY}/a.txt"]


# -- bounds


@pytest.mark.parametrize("runs", [500, pytest.param(10_000, marks=pytest.mark.deep)])
def test_many_runs_leave_a_bounded_number_of_files(tmp_path: Path, runs: int) -> None:
    """The oldest are gone, the newest are there."""
    world = World(tmp_path / "output", OutputLimits(max_files=100))
    for number in range(runs):
        world.recent.keep(printed(b"x" * 3000, f"{number:04x}"))
        if number % 50 == 49:
            world.step(float(number))
            assert len(world.files()) <= 100
    assert (world.read("0000"), world.read(f"{runs - 1:04x}")) == ([], [b"x" * 3000])


def test_the_disk_blocks_are_bounded(tmp_path: Path) -> None:
    """Counted as the disk counts: small files take whole blocks."""
    world = World(tmp_path / "output", OutputLimits(max_bytes=400_000))
    for number in range(150):
        world.step(float(number), printed(b"x" * 3000, f"{number:04x}"))
        blocks = sum(512 * file.stat().st_blocks for file in world.path.glob("*/*"))
        assert blocks <= 400_000
    assert blocks > 300_000
    assert world.read(f"{149:04x}")


def test_a_job_that_prints_much_displaces_its_own_output_first() -> None:
    """The nightly report stays beside a job that floods each minute."""
    files = [StoredFile(DAY, "report.txt", "report", 4096, 0.0)]
    files += [StoredFile(DAY, f"flood@{number}.1.txt", "flood", 65_536, float(number)) for number in range(1, 20)]
    gone = list(surplus_files(files, 10 * 65_536, 100))
    assert [file.name for file in gone] == [f"flood@{number}.1.txt" for number in range(1, 11)]
    assert [file.name for file in surplus_files(files, 10**9, 19)] == ["flood@1.1.txt"]
    assert list(surplus_files(files, 10**9, 100)) == []


def test_output_is_kept_for_so_long(tmp_path: Path) -> None:
    """A day counts as too old at two sweeps: the clock may be wrong for a moment."""
    world = World(tmp_path / "output", OutputLimits(keep_s=2 * 86400.0))
    world.step(0.0, printed(b"one\n"), printed(b"two\n", "bbbb", at=AT + timedelta(days=3)))
    world.now = AT + timedelta(days=3)
    world.step(SWEEP_S)
    assert world.read() == [b"one\n"]
    world.now = AT
    world.step(2 * SWEEP_S)
    world.now = AT + timedelta(days=3)
    world.step(3 * SWEEP_S)
    assert world.read() == [b"one\n"]
    world.step(4 * SWEEP_S)
    assert (world.files(), world.read("bbbb", day="2026-12-03")) == (["2026-12-03/a.txt"], [b"two\n"])
    assert not (world.path / DAY).exists()


def test_other_bounds_hold_at_once(tmp_path: Path) -> None:
    """Narrower ones make a sweep due, wider ones spare what the former would delete."""
    world = World(tmp_path / "output", OutputLimits(max_bytes=400_000))
    for number in range(20):
        world.step(float(number), printed(b"x" * 3000, f"{number:04x}"))
    world.thread.limit(OutputLimits(max_bytes=40_000))
    world.step(20.0)
    assert sum(512 * file.stat().st_blocks for file in world.path.glob("*/*")) <= 40_000
    assert world.read(f"{19:04x}")
    world.thread.limit(OutputLimits(max_bytes=800_000))
    for number in range(20, 140):
        world.step(float(number), printed(b"x" * 3000, f"{number:04x}"))
    assert world.read(f"{20:04x}")


def test_a_file_that_is_not_ours_stays(tmp_path: Path) -> None:
    """Whatever the bounds say."""
    world = World(tmp_path / "output", OutputLimits(max_files=1, keep_s=86400.0))
    world.step(0.0, printed(b"one\n"))
    (world.path / DAY / "notes.md").write_text("mine")
    world.now = AT + timedelta(days=9)
    world.step(SWEEP_S)
    world.step(2 * SWEEP_S)
    assert world.files() == [f"{DAY}/notes.md"]


def test_a_file_that_a_crash_left_half_written_goes(world: World) -> None:
    """It never got its name."""
    world.step(0.0, printed(b"one\n"))
    (world.path / DAY / "a@aaaa.1.new").write_bytes(b"half")
    world.step(SWEEP_S)
    assert world.files() == [f"{DAY}/a.txt"]


def test_an_idle_service_leaves_the_directory_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call of the system is made for it."""
    world.step(0.0)
    monkeypatch.setattr(folder, "os", None)
    world.step(1.0)
    assert world.lines == []


# -- a bad disk


def failing(number: int) -> Callable[..., int]:
    """A call of the system that fails."""

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_full_disk_costs_output_and_is_said_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is room again; then the number of what was lost is said."""
    world.step(0.0, printed(b"one\n"))
    with monkeypatch.context() as full:
        full.setattr(folder.os, "write", failing(errno.ENOSPC))
        for second in range(1, 60):
            world.step(float(second), printed(b"lost\n", f"{second:04x}"))
        assert [(level, name) for level, name, _ in world.lines] == [(Level.WARNING, "output.lost")]
        (issue,) = world.thread.issues()
        assert "no space left on device; 59 outputs lost" in issue
        assert [one.kept.text for one in world.recent.of("003b")] == [b"lost\n"]
    world.step(80.0, printed(b"two\n", "bbbb"))
    assert (world.read(), world.read("bbbb"), world.thread.issues()) == ([b"one\n"], [b"two\n"], ())
    assert [(name, values.get("lost")) for _, name, values in world.lines[1:]] == [("output.restored", 59)]


def test_what_is_left_of_a_nearly_full_disk_is_for_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output stops before the disk is full."""
    with monkeypatch.context() as full:
        full.setattr(folder.OutputFolder, "free_bytes", lambda self: (60 * 1024**2, 10 * 1024**3))
        world.step(0.0, printed(b"one\n"))
        assert "are left to the log" in world.thread.issues()[0]
        assert list(world.path.glob("*")) == []
    world.step(10.0, printed(b"one\n"))
    with monkeypatch.context() as full:
        full.setattr(folder.OutputFolder, "free_bytes", lambda self: (60 * 1024**2, 10 * 1024**3))
        world.running = [Running(b"live\n")]
        world.step(11.0)
        world.step(11.5, printed(b"late\n", "cccc"))
    world.running = []
    assert (world.read(), world.read("cccc")) == ([b"one\n"], [])
    monkeypatch.setattr(folder.OutputFolder, "free_bytes", lambda self: (60 * 1024**2, 100 * 1024**2))
    world.step(30.0, printed(b"two\n", "bbbb"))
    assert world.read("bbbb") == [b"two\n"]


def test_a_write_that_fails_leaves_no_half_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before stays readable."""
    write = os.write
    world.step(0.0, printed(b"one\n"))
    with monkeypatch.context() as full:
        full.setattr(folder.os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        world.step(1.0, printed(b"two\n", attempt=2))
    assert (world.path / DAY / "a.txt").read_bytes().count(b"=== 2026") == 1
    world.step(20.0, printed(b"three\n", attempt=3))
    assert world.read() == [b"one\n", b"three\n"]


def test_a_directory_that_cannot_be_used_is_an_error_and_tried_again(world: World) -> None:
    """Jobs run all the same; nothing is lost that fits into memory for readers of the moment."""
    world.path.write_text("a file")
    for second in range(5):
        world.step(float(second), printed(b"one\n", f"{second}"))
    assert [(level, name) for level, name, _ in world.lines] == [(Level.ERROR, "output.lost")]
    assert "is not a directory; 5 outputs lost (help: name another" in world.thread.issues()[0]
    world.path.unlink()
    world.step(30.0, printed(b"two\n"))
    assert (world.read(), world.thread.issues()) == ([b"two\n"], ())


def test_a_replaced_directory_is_found(world: World, tmp_path: Path) -> None:
    """The old one may have been moved to a larger disk."""
    world.step(0.0, printed(b"one\n"))
    world.path.rename(tmp_path / "moved")
    world.step(1.0, printed(b"two\n", attempt=2))
    assert world.read() == [b"two\n"]


def test_a_disk_that_hangs_holds_nothing_but_this_thread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named after five seconds. A stop does not wait for it, and memory is bounded."""
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> int:
        hangs.set()
        goes_on.wait()
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(folder.os, "write", hang)
    monkeypatch.setattr(thread, "STOP_WAIT_S", 0.05)
    with world.thread:
        world.recent.keep(printed(b"one\n"))
        assert hangs.wait(10)
        now = thread.time.monotonic()
        world.thread.check(now)
        assert world.lines == []
        world.thread.check(now + 6)
        world.thread.check(now + 9)
        assert "does not answer" in world.thread.issues()[0]
        assert [name for _, name, _ in world.lines] == ["output.lost"]
    goes_on.set()


def test_the_last_outputs_are_written_at_a_stop(world: World) -> None:
    """Those of runs that the stop has ended."""
    with world.thread:
        world.recent.keep(printed(b"last\n"))
    assert world.read() == [b"last\n"]


def test_outputs_are_written_within_a_moment(world: World) -> None:
    """Without anything that asks for it."""
    with world.thread:
        world.recent.keep(printed(b"one\n"))
        wait_until(lambda: world.read() == [b"one\n"])


def test_an_error_of_ours_costs_outputs_and_not_the_thread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the log."""
    with monkeypatch.context() as broken:
        broken.setattr(place, "open_folder", lambda path: 1 / 0)
        with world.thread:
            world.recent.keep(printed(b"one\n"))
            wait_until(lambda: bool(world.lines))
    assert world.lines[0][1:] == ("output.failed", {"problem": "ZeroDivisionError: division by zero"})
