"""What the runner does with outputs: the tail goes into the record, and all that is kept to a keeper."""

from __future__ import annotations

from typing import Protocol

from jobscheduler.model import AttemptOutput
from jobscheduler.tasks.command.output_buffer import trim_start

TAIL_BYTES = 2048  # of the output of a failed run that stand in its record


class OutputKeeper(Protocol):
    """Gets what ended attempts have printed (see `output.recent.RecentOutputs`)."""

    def keep(self, output: AttemptOutput) -> None:
        """Keep an output that is not empty. Does not wait. Thread: any."""


class KeepsNothing:
    """Keeps no output."""

    def keep(self, output: AttemptOutput) -> None:
        """Drop the output."""


def tail(output: bytes, size: int = TAIL_BYTES) -> str:
    """Return the last bytes of an output as text of whole characters, with invalid UTF-8 in hexadecimal."""
    end = output[-size:]
    if len(output) > size:
        end = trim_start(end)
    return end.decode("utf-8", "backslashreplace").rstrip("\n")
