"""Keep what runs print: in memory while it is new, and on disk if there is a directory for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from jobscheduler.config import Settings
from jobscheduler.control.outputs import StoredOutputs
from jobscheduler.model import EventLogger
from jobscheduler.output import OutputLimits, OutputReader, OutputThread, RecentOutputs
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.checked_settings import CheckedSettings

T = TypeVar("T")

MEMORY_BYTES = 2 * 1024 * 1024  # of output that a service without a directory for it remembers


class ServiceOutputs:
    """The outputs of a service. `recent` is for the runner.

    Thread: any, but for `write`, which the start calls.
    """

    def __init__(self, checked: CheckedSettings) -> None:
        self._folder: Path | None = checked.settings.output_folder
        self._checked = checked
        self.recent = RecentOutputs() if self._folder is not None else RecentOutputs(max_unwritten=MEMORY_BYTES)

    @property
    def name(self) -> str:
        """The guard's name for the directory."""
        return f"the output directory `{self._folder}`"

    def write(self, scheduler: Scheduler, log_event: EventLogger, stack: ExitStack) -> OutputThread | None:
        """Write outputs to the directory until the stack is closed; None if there is none."""
        if self._folder is None:
            return None
        limits = _limits(self._checked.settings)
        thread = OutputThread(self._folder, limits, self.recent, scheduler.runs.running_attempts, log_event)
        return stack.enter_context(thread)

    def stored(self) -> StoredOutputs:
        """Return what finds outputs in memory and on disk."""
        reader = None if self._folder is None else OutputReader(self._folder)
        return StoredOutputs(self.recent, reader, self._ask)

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask the directory. Raises: `CallHung` if it does not answer."""
        return self._checked.guard.call(self.name, question)


def _limits(settings: Settings) -> OutputLimits:
    return OutputLimits(settings.output_max_bytes, keep_s=settings.output_keep)


def limit_outputs(thread: OutputThread | None, settings: Settings) -> None:
    """Keep the output directory within the bounds of these settings, if there is one."""
    if thread is not None:
        thread.limit(_limits(settings))


def close_outputs(thread: OutputThread | None, then: Callable[[], object]) -> Callable[[], object]:
    """Return a function that writes the last outputs and then calls `then`."""
    return then if thread is None else partial(_call_both, thread.close, then)


def _call_both(first: Callable[[], object], then: Callable[[], object]) -> None:
    first()
    then()
