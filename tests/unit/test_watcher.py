"""The Observer only hints: it gathers names, never dies, and stays on the directory that the path means."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from watchdog.events import FileClosedEvent, FileMovedEvent

from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.watcher import DirectoryWatcher, WatchState, _ChangeHandler
from tests.support.service import threads_since, wait_until


class Looks:
    """What a watch asked to be looked at."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.passes: list[frozenset[str]] = []
        self.faults: list[BaseException] = []
        self.fail = 0

    def __call__(self, names: frozenset[str]) -> None:
        """Take note of a pass; fail as often as the test wants."""
        self.passes.append(names)
        if self.fail:
            self.fail -= 1
            raise RuntimeError("a pass that fails")
        self.names |= names


@pytest.fixture
def looks() -> Looks:
    """Nothing seen yet."""
    return Looks()


@pytest.fixture
def watch(tmp_path: Path, looks: Looks) -> Iterator[Callable[[Path], DirectoryWatcher]]:
    """Makes a watch on a path; it ends with the test."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(
            DirectoryWatcher(path, looks, identity=DirectorySource(path).identity, is_relevant=is_job_file)
        )


def test_what_changes_is_looked_at(tmp_path: Path, looks: Looks, watch: Callable[[Path], DirectoryWatcher]) -> None:
    """Writing, renaming in and out, linking and deleting give hints; reading and other names do not."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    jobs = tmp_path / "jobs.d"
    jobs.mkdir()
    assert watch(jobs).ensure_armed() == (WatchState.REARMED, "")

    (jobs / "written.json").write_text("{}")
    (elsewhere / "in").write_text("{}")
    (elsewhere / "in").rename(jobs / "renamed-in.json")
    (jobs / "linked.json").hardlink_to(jobs / "written.json")
    (jobs / "symlinked.json").symlink_to(elsewhere)
    (jobs / "note.txt").write_text("x")
    (jobs / ".hidden.json").write_text("x")
    wait_until(lambda: looks.names == {"written.json", "renamed-in.json", "linked.json", "symlinked.json"})
    looks.names.clear()
    (jobs / "written.json").unlink()
    (jobs / "renamed-in.json").rename(elsewhere / "out")
    wait_until(lambda: looks.names == {"written.json", "renamed-in.json"})

    passes = len(looks.passes)
    (jobs / "linked.json").read_text()
    (jobs / "last.json").write_text("x")
    wait_until(lambda: "last.json" in looks.names)
    assert frozenset({"linked.json"}) not in looks.passes[passes:]


def test_a_pass_that_fails_is_told_and_made_up_for(looks: Looks) -> None:
    """The Observer lives on, and the hints of the failed pass come with the next one."""
    looks.fail = 1
    hints = _ChangeHandler(looks, is_job_file, looks.faults.append)

    hints.on_any_event(FileClosedEvent("/d/a.json"))
    hints.on_any_event(FileMovedEvent("/d/b.tmp", "/d/b.json"))

    assert [str(fault) for fault in looks.faults] == ["a pass that fails"]
    assert looks.passes == [frozenset({"a.json"}), frozenset({"a.json", "b.json"})]


def test_a_burst_is_gathered_into_few_passes(looks: Looks) -> None:
    """While more events wait, nothing is looked at until the oldest hint is old enough."""
    queued = [FileClosedEvent("/d/last.json")]
    hints = _ChangeHandler(looks, is_job_file, looks.faults.append, is_queue_empty=lambda: not queued)
    for number in range(100):
        hints.on_any_event(FileClosedEvent(f"/d/{number}.json"))
    gathered = len(looks.passes)
    hints.on_any_event(queued.pop())

    assert gathered < 5
    assert looks.names == {*(f"{number}.json" for number in range(100)), "last.json"}


def test_a_watch_follows_the_directory_that_the_path_means(
    tmp_path: Path, looks: Looks, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """Deleted and made again, renamed and replaced, a link that is set to another place: all are noticed."""
    jobs = tmp_path / "jobs.d"
    jobs.mkdir()
    one = watch(jobs)

    def changes_are_seen(name: str) -> None:
        assert one.ensure_armed() == (WatchState.REARMED, "")
        assert one.ensure_armed() == (WatchState.OK, "")
        (jobs / name).write_text("{}")
        wait_until(lambda: name in looks.names)

    changes_are_seen("first.json")
    jobs.rename(tmp_path / "old")
    assert one.ensure_armed() == (WatchState.UNAVAILABLE, "")
    jobs.mkdir()
    changes_are_seen("second.json")
    (jobs / "second.json").unlink()
    jobs.rmdir()
    jobs.mkdir()
    changes_are_seen("again.json")
    jobs.rename(tmp_path / "older")
    jobs.symlink_to(tmp_path / "old")
    changes_are_seen("third.json")
    jobs.unlink()
    jobs.symlink_to(tmp_path / "older")
    changes_are_seen("fourth.json")


@pytest.mark.parametrize("part", ["observer", "emitter"])
def test_a_dead_thread_is_replaced(
    tmp_path: Path, looks: Looks, watch: Callable[[Path], DirectoryWatcher], part: str
) -> None:
    """The Observer's or the one that reads inotify; the next look arms another one, and says so."""
    one = watch(tmp_path)
    one.ensure_armed()
    thread = one._observer if part == "observer" else next(iter(one._observer.emitters))
    thread.stop()
    thread.join()

    assert not one.is_alive()
    assert one.ensure_armed() == (WatchState.REARMED, "the watching thread had died")
    assert one.is_alive()


def test_a_warning_of_watchdog_about_inotify_means_a_look_at_everything(
    tmp_path: Path, looks: Looks, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """It has no event for lost events, only this warning (`test_files_watching.py` has a real overflow)."""
    one = watch(tmp_path)
    one.ensure_armed()
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflowed")

    assert one.ensure_armed() == (WatchState.REARMED, "inotify: inotify queue overflowed")
    assert one.ensure_armed() == (WatchState.OK, "")


def test_a_pass_that_fails_is_made_up_for(
    tmp_path: Path, looks: Looks, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """The failure asks for a look at everything, and the watch goes on."""
    one = watch(tmp_path)
    one.ensure_armed()
    looks.fail = 1
    (tmp_path / "a.json").write_text("{}")

    assert wait_until(lambda: one.ensure_armed()[1]) == "a sync failed: RuntimeError: a pass that fails"
    assert one.ensure_armed() == (WatchState.OK, "")


def test_arming_again_and_again_leaks_nothing(
    tmp_path: Path, looks: Looks, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """Neither descriptors nor threads grow while a directory is missing or comes and goes."""
    one = watch(tmp_path / "jobs.d")
    for _ in range(3):
        assert one.ensure_armed() == (WatchState.UNAVAILABLE, "")
    descriptors, threads = len(list(Path("/proc/self/fd").iterdir())), threading.enumerate()
    for _ in range(20):
        (tmp_path / "jobs.d").mkdir()
        assert one.ensure_armed() == (WatchState.REARMED, "")
        (tmp_path / "jobs.d").rmdir()
        assert one.ensure_armed() == (WatchState.UNAVAILABLE, "")

    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert not threads_since(threads)
