"""Record when the signals that end a run were sent, so that the service can check its limits.

Only a task with processes sends signals. It sets `has_processes`; before that, and for other tasks, no signal is
missing. Thread: the thread that ends the processes writes all attributes, and any thread may read them.
"""

from __future__ import annotations

from dataclasses import dataclass

KILL_AFTER_S = 5.0  # after TERM

SLACK_S = 2.0  # by which a signal may be late; more than a busy host needs to run a thread


@dataclass(frozen=True, slots=True)
class UnkillableProcess:
    """A process that survived KILL. `reason` is text: `not permitted`, `waits for a device`, `does not end`."""

    pid: int
    start: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name}, {self.reason})"


class StopSignals:
    """The signals that were sent to end the processes of one attempt.

    `term_sent` and `kill_sent` are instants of `time.monotonic()`, or None. A process that has already ended counts as
    signalled. `unkillable` holds the processes that survived KILL, and is set when the attempt has ended.
    """

    __slots__ = ("has_processes", "kill_sent", "term_sent", "unkillable")

    def __init__(self) -> None:
        self.has_processes = False
        self.term_sent: float | None = None
        self.kill_sent: float | None = None
        self.unkillable: tuple[UnkillableProcess, ...] = ()

    def missing(self, requested_at: float, now: float, grace: float = KILL_AFTER_S) -> str | None:
        """Return the signal (`TERM` or `KILL`) that should have been sent by `now`, None if none is missing.

        `requested_at` is the instant of the request to stop. Call this only while the attempt is active, because a
        process that ends by TERM needs no KILL.
        """
        if not self.has_processes:
            return None
        if self.term_sent is None:
            return "TERM" if now > requested_at + SLACK_S else None
        return "KILL" if self.kill_sent is None and now > self.term_sent + grace + SLACK_S else None
