"""The guard of the jobs directory: what an ordinary check costs, and what makes a check a close one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobscheduler.jobs.watcher import WatchState
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.util.hang_guard import HangGuard


class FakeHost:
    """A watcher, a reconciler and a lock at once; notes the calls that cost something."""

    def __init__(self) -> None:
        self.directory: object = "the directory"
        self.complete = True
        self.state = WatchState.OK
        self.is_shared = False
        self.calls: list[str] = []

    def quick_fingerprint(self) -> object:
        """Return the directory to which the path resolves."""
        return self.directory

    def ensure_armed(self) -> tuple[WatchState, str]:
        """Return whether the directory is watched."""
        self.calls.append("arm")
        return self.state, ""

    def is_complete(self) -> bool:
        """Return whether the last sync was complete."""
        return self.complete

    def verify_sources(self) -> None:
        """Note a sync of what differs."""
        self.calls.append("verify")

    def sync_all(self) -> None:
        """Note a sync of everything."""
        self.calls.append("sync all")

    def reacquire(self) -> None:
        """Lock the directory."""


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def guard(host: FakeHost) -> DirectoryGuard:
    guard = DirectoryGuard(host, host, host, lambda *_, **__: None, HangGuard(), "the directory")  # type: ignore[arg-type] # as much of each as is used
    guard.check()
    host.calls.clear()
    return guard


def fail() -> None:
    """Fail, in place of a sync."""
    raise RuntimeError("a sync that fails")


def test_a_check_of_an_unchanged_directory_is_one_stat(host: FakeHost, guard: DirectoryGuard) -> None:
    """Nothing is opened, locked or compared while the path resolves to the directory that was found well."""
    for _ in range(10):
        guard.check()
    assert host.calls == []


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(
            lambda host, guard: setattr(host, "directory", "another"), id="the path resolves to another directory"
        ),
        pytest.param(lambda host, guard: guard.invalidate(), id="it was invalidated"),
        pytest.param(lambda host, guard: guard.run_sync(fail), id="a sync failed"),
    ],
)
def test_a_disturbance_makes_the_next_check_a_close_one(
    host: FakeHost, guard: DirectoryGuard, disturb: Callable[[FakeHost, DirectoryGuard], None]
) -> None:
    """A directory that a close check found well is trusted again; a failed sync needs a second check."""
    disturb(host, guard)
    guard.check()
    assert host.calls[0] == "arm"
    guard.check()
    host.calls.clear()
    guard.check()
    assert host.calls == []


@pytest.mark.parametrize(
    "issue",
    [
        pytest.param({"directory": None}, id="the path resolves to nothing"),
        pytest.param({"complete": False}, id="a source is unavailable, or a sync was not complete"),
        pytest.param({"state": WatchState.UNAVAILABLE, "directory": "another"}, id="it cannot be watched"),
    ],
)
def test_every_check_is_a_close_one_while_an_issue_lasts(
    host: FakeHost, guard: DirectoryGuard, issue: dict[str, object]
) -> None:
    """One more close check follows the end of the issue."""
    vars(host).update(issue)
    for _ in range(3):
        guard.check()
    assert host.calls.count("arm") == 3
    vars(host).update(directory="repaired", complete=True, state=WatchState.OK)
    guard.check()
    host.calls.clear()
    guard.check()
    assert host.calls == []
