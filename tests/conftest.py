"""What all tests share: zone data, the profile of the property tests, the order of the files, the service."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.distribution import Scheduling, rank
from tests.support.fork_server import own_environment
from tests.support.properties import load_profiles
from tests.support.service import Service
from tests.support.throwaway_users import alice, mallory, operators
from tests.support.zone_data import pin_zone_data

__all__ = ["alice", "mallory", "operators"]

pin_zone_data()
own_environment()  # before any test changes it

# A background job of a shell ignores these, and every command that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_DFL)

load_profiles()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and mark what draws examples."""
    items.sort(key=rank)
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("property")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out files, and some of them test by test; `--dist load` hands out every test by itself."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Search for no garbage while thousands of tests are collected, nor among them later, as many of them cause."""
    gc.disable()
    try:
        return (yield)
    finally:
        if sys.version_info < (3, 14):  # hypothesis looks for references there, and finds none to frozen objects
            gc.freeze()
        gc.enable()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service that has not been started yet."""
    made = Service(tmp_path)
    yield made
    made.close()
