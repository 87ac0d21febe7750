"""The signals that end a run, with the instants at which they were sent: how a guard sees that a limit is kept.

Only a task that has processes sends any. It says so with `has_processes`; before that, and for other tasks, there is
nothing to miss. All attributes are written by the thread that ends the processes and may be read by any other.
"""

from __future__ import annotations

from dataclasses import dataclass

KILL_AFTER_S = 5.0
"""Seconds between TERM and KILL."""

SLACK_S = 2.0
"""Seconds by which a signal may be late before it counts as missing: more than a busy host needs to run a thread."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A process that outlived KILL. `why` is in words: `not permitted`, `waits for a disk`, `does not end`."""

    pid: int
    start: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name}, {self.reason})"


class StopSignals:
    """Which signals have been sent to end the processes of one attempt.

    `term_sent` and `kill_sent` are instants of `time.monotonic()`, None until then. A process that has ended already
    counts as signalled. `survivors` are the processes that outlived KILL, known when the attempt has ended.
    """

    __slots__ = ("has_processes", "kill_sent", "survivors", "term_sent")

    def __init__(self) -> None:
        self.has_processes = False
        self.term_sent: float | None = None
        self.kill_sent: float | None = None
        self.survivors: tuple[Survivor, ...] = ()

    def missing(self, told_at: float, now: float, grace: float = KILL_AFTER_S) -> str | None:
        """Return the signal (`TERM` or `KILL`) that should have been sent by `now`, None if none is missing.

        `told_at` is when the attempt was told to stop. To be asked only while the attempt goes on: what ends of TERM
        needs no KILL.
        """
        if not self.has_processes:
            return None
        if self.term_sent is None:
            return "TERM" if now > told_at + SLACK_S else None
        return "KILL" if self.kill_sent is None and now > self.term_sent + grace + SLACK_S else None
