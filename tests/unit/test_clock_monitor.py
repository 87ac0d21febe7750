"""The host's clocks, and what their differences say about a jump."""

from __future__ import annotations

import pytest

from jobscheduler.service.clock_monitor import JUMP_MEMORY_S, ClockJump, ClockMonitor, ClockReading


class Clocks:
    """Three clocks that the test moves."""

    def __init__(self) -> None:
        self.reading = ClockReading(1000.0, 100.0, 100.0)

    def __call__(self) -> ClockReading:
        return self.reading

    def move(self, wall: float, monotonic: float, boottime: float) -> None:
        """Let so many seconds pass on each clock."""
        last = self.reading
        self.reading = ClockReading(last.wall + wall, last.monotonic + monotonic, last.boottime + boottime)


@pytest.mark.parametrize(
    ("wall", "monotonic", "boottime", "jump", "cause"),
    [
        (4, 4, 4, None, "down"),
        (95, 95, 95, None, "stalled"),  # the process was held: every clock went on
        (4.5, 4, 4, None, "down"),  # drift
        (3605, 5, 3605, ClockJump(slept=3600), "asleep"),
        (3605, 5, 5, ClockJump(set_by=3600), "clock"),
        (-3595, 5, 5, ClockJump(set_by=-3600), "clock"),
        (10, 5, 3605, ClockJump(set_by=-3595, slept=3600), "asleep"),
    ],
)
def test_what_happened_is_read_from_the_differences(
    wall: float, monotonic: float, boottime: float, jump: ClockJump | None, cause: str
) -> None:
    """One row for each event of a host; the reason is the same before and after the check."""
    clocks = Clocks()
    clock = ClockMonitor(clocks)
    clocks.move(wall, monotonic, boottime)

    assert clock.late_reason() == cause
    assert clock.check() == jump
    assert clock.late_reason() == cause
    assert clock.check() is None


def test_a_jump_is_the_reason_of_late_slots_for_a_minute() -> None:
    """Slots that are late long afterwards have another reason."""
    clocks = Clocks()
    clock = ClockMonitor(clocks)
    clocks.move(3605, 5, 5)
    clock.check()
    for _ in range(int(JUMP_MEMORY_S)):
        clocks.move(1, 1, 1)
        clock.check()
    assert clock.late_reason() == "clock"
    clocks.move(1, 1, 1)

    assert clock.late_reason() == "down"


def test_the_host_has_these_clocks() -> None:
    """Two checks in a row find no jump."""
    assert ClockMonitor().check() is None
