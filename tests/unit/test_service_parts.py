"""Small parts of the supervision: periodic work, the checkpoint timer, the stop request, and observers of the log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jobscheduler.model import Event, Level, LogEntry
from jobscheduler.runlog import LogFile, LogWriter
from jobscheduler.service import checkpoint_timer
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.periodic import Periodic
from jobscheduler.service.stop_request import StopRequest
from jobscheduler.util.turn_timer import TurnTimer

EVENT = Event(datetime(2026, 11, 22, tzinfo=UTC), Level.INFO, "test.event", ())


def test_a_periodic_action_is_due_after_its_interval_and_when_it_has_expired() -> None:
    """The question changes nothing; only a run begins a new interval."""
    runs: list[float] = []
    periodic = Periodic(10.0, runs.append)
    periodic.restart(100.0)
    assert [periodic.due(now) for now in (100.0, 109.9, 110.0, 110.0)] == [False, False, True, True]
    periodic.run(111.0)
    assert runs == [111.0]
    assert not periodic.due(120.9)
    periodic.expire()
    assert periodic.due(0.0)


class Counts:
    """A scheduler and a reconciler at once, with their counters; it notes the checkpoints."""

    def __init__(self) -> None:
        self.activity = self.changes = 0
        self.checkpoints: list[bool] = []

    def write_checkpoint(self, *, full: bool = False) -> None:
        """Note a checkpoint; what happens while it is put together makes the next one due."""
        self.checkpoints.append(full)
        self.activity += len(self.checkpoints) == 1


def test_a_checkpoint_is_due_soon_after_a_change_and_later_after_a_run() -> None:
    """Without either there is none."""
    counts = Counts()
    timer = CheckpointTimer(counts, counts, 0.0)  # type: ignore[arg-type] # as much of each as is used
    timer.write_if_due(1000.0)
    assert counts.checkpoints == []
    counts.changes += 1
    timer.write_if_due(checkpoint_timer.DELAY_AFTER_CHANGE_S - 0.1)
    assert counts.checkpoints == []
    timer.write_if_due(10.0)
    assert counts.checkpoints == [False]
    timer.write_if_due(9.9 + checkpoint_timer.INTERVAL_S)
    assert counts.checkpoints == [False]
    timer.write_if_due(10.0 + checkpoint_timer.INTERVAL_S)
    timer.write_if_due(1000.0)
    assert counts.checkpoints == [False, False]
    timer.write(1001.0, full=True)
    assert counts.checkpoints == [False, False, True]


def test_a_stop_request_is_urgent_from_the_second_signal_on() -> None:
    """Each poll keeps the service alive, whatever it returns."""
    mailbox, alive = Mailbox(), list[int]()
    mailbox.put(Message.TERMINATE)
    assert mailbox.take(0.0) is Message.TERMINATE
    request = StopRequest(mailbox, lambda: alive.append(1))
    assert not request.poll()
    mailbox.put(Message.INTERRUPT)
    assert [request.poll(), request.poll()] == [True, True]
    assert len(alive) == 3


def test_the_wait_between_two_turns_does_not_count_as_work() -> None:
    """A turn counts from its begin, until the loop waits again."""
    turns = TurnTimer()
    assert turns.busy_for() == 0
    turns.begin()
    assert turns.busy_for() > 0
    turns.end()
    assert turns.busy_for() == 0


def test_observers_of_the_log_see_an_entry_before_or_after_it_is_queued(tmp_path: Path) -> None:
    """An observer of lines gets each entry with the line that the file has."""
    log = LogWriter(LogFile(tmp_path / "log", 10**6, 1), echo=None)
    seen: list[tuple[str, bool]] = []
    lines: list[tuple[LogEntry, bytes]] = []
    log.subscribe(
        before=[lambda entry: seen.append(("before", len(log._queue) == 0))],
        after=[lambda entry: seen.append(("after", len(log._queue) == 0))],
        lines=[lambda entry, line: lines.append((entry, line))],
    )
    log.write(EVENT)
    assert seen == [("before", True), ("after", False)]
    with log:
        assert log.flush(10)
    assert lines == [(EVENT, (tmp_path / "log").read_bytes())]
