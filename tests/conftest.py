"""What all tests share: zone data, the profile of the property tests, the order of the files, the service."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.service import Service
from tests.support.throwaway_users import alice, mallory
from tests.support.zone_data import pin_zone_data

__all__ = ["alice", "mallory"]

pin_zone_data()

# A background job of a shell ignores these, and every command that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_DFL)


settings.register_profile(
    "everyday", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


settings.load_profile("everyday")  # the same cases every time, however busy the machine is


# Files whose tests take longest: they begin first, so that nothing waits for them at the end.
LONGEST = (
    "test_running_md",
    "test_systemd",
    "test_packaging",
    "test_database_service",
    "test_hangs_service",
    "test_account_log",
    "test_account_restart",
    "test_hangs_by_count",
    "test_alerts_service",
    "test_health",
    "test_service",
    "test_account_crash",
    "test_account_clock",
    "test_survivors",
    "test_account_standstill",
    "test_scheduler_standstill",
    "test_verbs",
    "test_web_app",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    """Leave the thousands of collected tests alone when memory is searched for garbage, as many of them cause."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service that has not been started yet."""
    made = Service(tmp_path)
    yield made
    made.close()
