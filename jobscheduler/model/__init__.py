"""The values that all packages share: frozen, compared by content, no I/O.

A job is one definition. A slot is one nominal instant at which a job is due. A run is what a slot or a person starts,
with one or more attempts. A record is the one final line about a slot or a run.
"""

from jobscheduler.model.checkpoint import (
    EPOCH,
    Checkpoint,
    FullCheckpoint,
    InFlightRun,
    PendingSlot,
    RecoveredState,
    TimeSpans,
    ZoneOffsets,
    truncate_to_ms,
)
from jobscheduler.model.entries import (
    Event,
    EventLogger,
    Level,
    LogEntry,
    LogFields,
    LogValue,
    Record,
    Status,
    log_key,
)
from jobscheduler.model.jobs import (
    AT_BOOT,
    EVERY_CHANGE,
    MANUAL,
    MAX_DELAY,
    NO_TASK,
    SLOT_FIELDS,
    AlertRule,
    Cron,
    Fingerprint,
    Job,
    Limits,
    Once,
    Retry,
    TaskSpec,
    name_sort_key,
)
from jobscheduler.model.output import AttemptOutput, KeptOutput, OutputPart, StoredAttempt
from jobscheduler.model.pauses import FOREVER, Pause, PauseIndex
from jobscheduler.model.problems import Problem
from jobscheduler.model.resource_use import ResourceUse

__all__ = [
    "AT_BOOT",
    "EPOCH",
    "EVERY_CHANGE",
    "FOREVER",
    "MANUAL",
    "MAX_DELAY",
    "NO_TASK",
    "SLOT_FIELDS",
    "AlertRule",
    "AttemptOutput",
    "Checkpoint",
    "Cron",
    "Event",
    "EventLogger",
    "Fingerprint",
    "FullCheckpoint",
    "InFlightRun",
    "Job",
    "KeptOutput",
    "Level",
    "Limits",
    "LogEntry",
    "LogFields",
    "LogValue",
    "Once",
    "OutputPart",
    "Pause",
    "PauseIndex",
    "PendingSlot",
    "Problem",
    "Record",
    "RecoveredState",
    "ResourceUse",
    "Retry",
    "Status",
    "StoredAttempt",
    "TaskSpec",
    "TimeSpans",
    "ZoneOffsets",
    "log_key",
    "name_sort_key",
    "truncate_to_ms",
]
