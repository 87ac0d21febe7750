"""The time limits of tests: seconds of a host that is not busy, up to a bound."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import deadline


@pytest.mark.parametrize(
    ("passed", "short", "is_over"), [(9, 0, False), (11, 0, True), (11, 5, False), (39, 38, False), (41, 41, True)]
)
def test_time_without_a_processor_does_not_count_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: int, short: int, is_over: bool
) -> None:
    """Of a limit of ten seconds."""
    pressure, began = tmp_path / "cpu", time.monotonic()
    monkeypatch.setattr(deadline, "_PRESSURE", pressure)

    def now(seconds: int, waited: int) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: began + seconds)
        pressure.write_text(f"some avg10=1.00 avg60=1.00 avg300=1.00 total={7_000_000 + waited * 1_000_000}\nfull x\n")

    now(0, 0)
    limit = deadline.Deadline(10)
    now(passed, short)
    assert limit.is_over() is is_over


def test_a_kernel_that_does_not_tell_leaves_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one without pressure stall information."""
    monkeypatch.setattr(deadline, "_PRESSURE", tmp_path / "none")
    assert not deadline.Deadline(10).is_over()
    assert deadline.Deadline(-1).is_over()
