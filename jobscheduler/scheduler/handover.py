"""What a registry forgets when another service decides, and when this one decides again.

Lock: the caller's.
"""

from __future__ import annotations

from collections.abc import Container

from jobscheduler.model import Job
from jobscheduler.runner import Run
from jobscheduler.scheduler.registry import JobRegistry


def cancel_waiting(registry: JobRegistry, beginning: Container[Run]) -> list[Run]:
    """Cancel all runs that have not begun and are not `beginning`, without a record; return them."""
    entries = list(registry.jobs.values())
    waiting = [run for entry in entries for run in entry.cancel_waiting(beginning)]
    for entry in entries:
        registry.discard_if_unused(entry)
    return waiting


def forget_decisions(registry: JobRegistry) -> list[Job]:
    """Forget how far slots are decided; return the jobs that were active. Only runs at work are kept."""
    entries = list(registry.jobs.values())
    jobs = [entry.job for entry in entries if entry.is_active]
    registry.memory.forget()
    for entry in entries:
        entry.forget_decisions()
        registry.discard_if_unused(entry)
    return jobs


def keep_elsewhere(registry: JobRegistry, at_work: Container[str]) -> list[Run]:
    """Keep only these runs of other services (their ids); return the queued runs that may begin now."""
    unblocked = []
    for entry in [entry for entry in registry.jobs.values() if entry.runs_elsewhere]:
        entry.runs_elsewhere = {key: run for key, run in entry.runs_elsewhere.items() if key in at_work}
        unblocked.append(entry.start_queued())
        registry.discard_if_unused(entry)
    return [run for run in unblocked if run is not None]
