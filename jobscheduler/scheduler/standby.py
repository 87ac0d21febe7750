"""Lets a scheduler stand by while another service leads: it knows all jobs, and decides nothing.

Lock: the caller's, for every method.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobscheduler.model import Job
from jobscheduler.runner import Run
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.job_recovery import JobRecovery
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import Effect


class StandsBy(RuntimeError):
    """Another service leads, and decides about runs and pauses."""

    def __init__(self) -> None:
        super().__init__("another service leads")


@dataclass(frozen=True, slots=True)
class LetGo:
    """The runs that were cancelled because they had not begun, and the effects on those that had."""

    cancelled: tuple[Run, ...]
    effects: tuple[Effect, ...]


class Standby:
    """Takes a scheduler out of the lead, and prepares it to lead."""

    def __init__(self, registry: JobRegistry, recovery: JobRecovery) -> None:
        self._registry = registry
        self._recovery = recovery

    def let_go(self) -> LetGo:
        """Cancel what has not begun, without a record: the next leader decides about those slots.

        Runs that have begun go on with their present attempt: whether there is another one is the leader's decision.
        """
        self._recovery.forget()
        cancelled: list[Run] = []
        effects: list[Effect] = []
        for entry in list(self._registry.jobs.values()):
            begun = self._cancel(entry, cancelled)
            effects += [run.end_attempts for run in begun]
            self._registry.discard_if_unused(entry)
        return LetGo(tuple(cancelled), tuple(effects))

    def _cancel(self, entry: JobEntry, cancelled: list[Run]) -> list[Run]:
        """Cancel the runs of a job that have not begun; return the others."""
        queued, entry.queued_run = entry.queued_run, None
        begun = [run for run in entry.active_runs if not run.cancel()]
        cancelled += [run for run in entry.active_runs if run not in begun]
        entry.active_runs = begun
        if queued is not None and queued.cancel():
            cancelled.append(queued)
        return begun

    def prepare_to_lead(self) -> list[Job]:
        """Forget what was known of slots, since others have led; return the active jobs, to be put anew.

        An entry with a run at work stays, so that its job overlaps with that run.
        """
        return self._registry.forget_slots()
