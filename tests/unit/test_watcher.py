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


class RecordedSyncs:
    """The syncs that a watcher asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.calls: list[frozenset[str]] = []
        self.errors: list[BaseException] = []
        self.fail = 0

    def __call__(self, names: frozenset[str]) -> None:
        """Record a sync; fail as often as the test wants."""
        self.calls.append(names)
        if self.fail:
            self.fail -= 1
            raise RuntimeError("a failing sync")
        self.names |= names


@pytest.fixture
def syncs() -> RecordedSyncs:
    """No syncs yet."""
    return RecordedSyncs()


@pytest.fixture
def watch(tmp_path: Path, syncs: RecordedSyncs) -> Iterator[Callable[[Path], DirectoryWatcher]]:
    """Make a watcher of a path, which ends with the test."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(
            DirectoryWatcher(path, syncs, identity=DirectorySource(path).identity, is_relevant=is_job_file)
        )


def test_a_change_is_synced(tmp_path: Path, syncs: RecordedSyncs, watch: Callable[[Path], DirectoryWatcher]) -> None:
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
    wait_until(lambda: syncs.names == {"written.json", "renamed-in.json", "linked.json", "symlinked.json"})
    syncs.names.clear()
    (jobs / "written.json").unlink()
    (jobs / "renamed-in.json").rename(elsewhere / "out")
    wait_until(lambda: syncs.names == {"written.json", "renamed-in.json"})

    passes = len(syncs.calls)
    (jobs / "linked.json").read_text()
    (jobs / "last.json").write_text("x")
    wait_until(lambda: "last.json" in syncs.names)
    assert frozenset({"linked.json"}) not in syncs.calls[passes:]


def test_hints_of_a_failed_sync_are_kept(syncs: RecordedSyncs) -> None:
    """The Observer goes on, and the next sync gets the hints of the failed one."""
    syncs.fail = 1
    hints = _ChangeHandler(syncs, is_job_file, syncs.errors.append)

    hints.on_any_event(FileClosedEvent("/d/a.json"))
    hints.on_any_event(FileMovedEvent("/d/b.tmp", "/d/b.json"))

    assert [str(fault) for fault in syncs.errors] == ["a failing sync"]
    assert syncs.calls == [frozenset({"a.json"}), frozenset({"a.json", "b.json"})]


def test_a_burst_is_collected_into_few_syncs(syncs: RecordedSyncs) -> None:
    """While more events are queued, no sync begins before the oldest hint is old enough."""
    queued = [FileClosedEvent("/d/last.json")]
    hints = _ChangeHandler(syncs, is_job_file, syncs.errors.append, is_queue_empty=lambda: not queued)
    for number in range(100):
        hints.on_any_event(FileClosedEvent(f"/d/{number}.json"))
    gathered = len(syncs.calls)
    hints.on_any_event(queued.pop())

    assert gathered < 5
    assert syncs.names == {*(f"{number}.json" for number in range(100)), "last.json"}


def test_the_watch_follows_the_path_to_another_directory(
    tmp_path: Path, syncs: RecordedSyncs, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """The directory is deleted and made again, or renamed and replaced, or a link leads to another one."""
    jobs = tmp_path / "jobs.d"
    jobs.mkdir()
    watcher = watch(jobs)

    def changes_are_seen(name: str) -> None:
        assert watcher.ensure_armed() == (WatchState.REARMED, "")
        assert watcher.ensure_armed() == (WatchState.OK, "")
        (jobs / name).write_text("{}")
        wait_until(lambda: name in syncs.names)

    changes_are_seen("first.json")
    jobs.rename(tmp_path / "old")
    assert watcher.ensure_armed() == (WatchState.UNAVAILABLE, "")
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
    tmp_path: Path, syncs: RecordedSyncs, watch: Callable[[Path], DirectoryWatcher], part: str
) -> None:
    """The Observer's thread, or the one that reads inotify. The next check arms the watch and returns the reason."""
    watcher = watch(tmp_path)
    watcher.ensure_armed()
    thread = watcher._observer if part == "observer" else next(iter(watcher._observer.emitters))
    thread.stop()
    thread.join()

    assert not watcher.is_alive()
    assert watcher.ensure_armed() == (WatchState.REARMED, "the watching thread had died")
    assert watcher.is_alive()


def test_an_inotify_warning_of_watchdog_rearms_the_watch(
    tmp_path: Path, syncs: RecordedSyncs, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """Watchdog has no event for lost events, only this warning. `test_files_watching.py` has a real overflow."""
    watcher = watch(tmp_path)
    watcher.ensure_armed()
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflowed")

    assert watcher.ensure_armed() == (WatchState.REARMED, "inotify: inotify queue overflowed")
    assert watcher.ensure_armed() == (WatchState.OK, "")


def test_a_failed_sync_is_repeated(
    tmp_path: Path, syncs: RecordedSyncs, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """The failure asks for a full sync, and the watch goes on."""
    watcher = watch(tmp_path)
    watcher.ensure_armed()
    syncs.fail = 1
    (tmp_path / "a.json").write_text("{}")

    assert wait_until(lambda: watcher.ensure_armed()[1]) == "a sync failed: RuntimeError: a failing sync"
    assert watcher.ensure_armed() == (WatchState.OK, "")


def test_arming_again_and_again_leaks_nothing(
    tmp_path: Path, syncs: RecordedSyncs, watch: Callable[[Path], DirectoryWatcher]
) -> None:
    """Neither descriptors nor threads grow while a directory is missing or comes and goes."""
    watcher = watch(tmp_path / "jobs.d")
    for _ in range(3):
        assert watcher.ensure_armed() == (WatchState.UNAVAILABLE, "")
    descriptors, threads = len(list(Path("/proc/self/fd").iterdir())), threading.enumerate()
    for _ in range(20):
        (tmp_path / "jobs.d").mkdir()
        assert watcher.ensure_armed() == (WatchState.REARMED, "")
        (tmp_path / "jobs.d").rmdir()
        assert watcher.ensure_armed() == (WatchState.UNAVAILABLE, "")

    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert not threads_since(threads)
