"""The lookout over the jobs directory: what an ordinary second costs, and what makes it look closely."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobscheduler.jobs.watcher import WatchState
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.util.hang_guard import HangGuard


class Host:
    """A watch, a reconciler, a claim and a log at once; it notes what it was asked for."""

    def __init__(self) -> None:
        self.directory: object = "the directory"
        self.whole = True
        self.state = WatchState.OK
        self.asked: list[str] = []
        self.told: list[str] = []

    def quick_fingerprint(self) -> object:
        """Return what the path means."""
        return self.directory

    def ensure_armed(self) -> tuple[WatchState, str]:
        """Be looked at closely."""
        self.asked.append("watch")
        return self.state, ""

    def is_complete(self) -> bool:
        """Tell whether the last pass was one."""
        return self.whole

    def verify_sources(self) -> None:
        """Look at the directory."""
        self.asked.append("check")

    def sync_all(self) -> None:
        """Look at all files."""
        self.asked.append("everything")

    def reacquire(self) -> None:
        """Have the directory for ourselves."""

    def event(self, _: object, name: str, **values: object) -> None:
        """Take a line of the log."""
        self.told.append(name)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def lookout(host: Host) -> DirectoryGuard:
    made = DirectoryGuard(host, host, host, host, HangGuard(), "the directory")  # type: ignore[arg-type] # as much of each as is used
    made.check()
    host.asked.clear()
    return made


def fail() -> None:
    """Be a pass that fails."""
    raise RuntimeError("a pass that fails")


def test_a_quiet_second_is_one_glance(host: Host, lookout: DirectoryGuard) -> None:
    """Nothing is opened, locked or compared as long as the path means what it meant when all was well."""
    for _ in range(10):
        lookout.check()
    assert host.asked == []


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(
            lambda host, lookout: setattr(host, "directory", "another"), id="the path means another directory"
        ),
        pytest.param(lambda host, lookout: lookout.invalidate(), id="somebody has doubts"),
        pytest.param(lambda host, lookout: lookout.run_sync(fail), id="a pass failed"),
    ],
)
def test_a_disturbance_means_one_close_look(
    host: Host, lookout: DirectoryGuard, disturb: Callable[[Host, DirectoryGuard], None]
) -> None:
    """What was found well by that is trusted again; a failed pass is told and wants a second look."""
    disturb(host, lookout)
    lookout.check()
    assert host.asked[0] == "watch"
    lookout.check()
    host.asked.clear()
    lookout.check()
    assert host.asked == []


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"directory": None}, id="the path means nothing"),
        pytest.param({"whole": False}, id="a source is lost, or a pass did not come to its end"),
        pytest.param({"state": WatchState.UNAVAILABLE, "directory": "another"}, id="it cannot be watched"),
    ],
)
def test_while_there_is_trouble_every_second_is_a_close_look(
    host: Host, lookout: DirectoryGuard, trouble: dict[str, object]
) -> None:
    """Until it is over, and once more then."""
    vars(host).update(trouble)
    for _ in range(3):
        lookout.check()
    assert host.asked.count("watch") == 3
    vars(host).update(directory="mended", whole=True, state=WatchState.OK)
    lookout.check()
    host.asked.clear()
    lookout.check()
    assert host.asked == []
