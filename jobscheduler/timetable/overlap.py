"""The overlap rule: what a slot does while another run of its job is active. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Overlap(StrEnum):
    """What happens when a job is due while its last run is still active."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class Action(StrEnum):
    """What to do about one slot."""

    RUN = "run"
    QUEUE = "queue"
    REPLACE = "replace"
    SKIP = "skip"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class JobSituation:
    """The state of a job when its slots are decided; slots before `paused_until` are skipped."""

    overlap: Overlap = Overlap.SKIP
    active_runs: bool = False
    waiting: bool = False
    catch_up: timedelta = field(default=timedelta(seconds=60))
    paused_until: datetime | None = None

    def is_paused(self, slot: datetime) -> bool:
        """Return whether a pause covers a slot."""
        return self.paused_until is not None and slot < self.paused_until


def decide_manual_run(situation: JobSituation) -> Action:
    """Decide a run that a person asks for. Overlap applies to it as to a slot, a pause does not."""
    ((_, action),) = overlap_actions((datetime.max.replace(tzinfo=UTC),), replace(situation, paused_until=None))
    return action


def overlap_actions(due: tuple[datetime, ...], situation: JobSituation) -> tuple[tuple[datetime, Action], ...]:
    """Apply the overlap rule to slots in order. Each may overlap with the next."""
    is_active, is_waiting = situation.active_runs, situation.waiting
    actions = []
    for slot in due:
        if situation.is_paused(slot):
            action = Action.PAUSE
        elif not is_active or situation.overlap is Overlap.ALLOW:
            action, is_active = Action.RUN, True
        elif situation.overlap is Overlap.REPLACE:
            action, is_waiting = Action.REPLACE, True
        elif situation.overlap is Overlap.QUEUE and not is_waiting:
            action, is_waiting = Action.QUEUE, True
        else:
            action = Action.SKIP
        actions.append((slot, action))
    return tuple(actions)
