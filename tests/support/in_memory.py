"""A directory in memory for what tests write and have synced, which on a busy disk takes most of their time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_SHARED_MEMORY = Path("/dev/shm")
_LEAST_FREE_BYTES = 256 * 1024 * 1024  # a container may have less in all


def memory_or_disk() -> Path | None:
    """Return where to make a temporary directory: in memory if there is room, else None for the usual place."""
    if not _SHARED_MEMORY.is_dir() or shutil.disk_usage(_SHARED_MEMORY).free < _LEAST_FREE_BYTES:
        return None
    return _SHARED_MEMORY


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory of the test, in memory where that can be. A module that imports this has it instead of pytest's."""
    with TemporaryDirectory(prefix="jobscheduler-test-", dir=memory_or_disk()) as path:
        yield Path(path)
