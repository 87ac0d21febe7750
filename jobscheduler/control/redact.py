"""Definitions without the secrets of their tasks, to be shown."""

from __future__ import annotations

from typing import Any

from jobscheduler import tasks
from jobscheduler.model import NO_TASK, Job, TaskSpec
from jobscheduler.runner import REDACTED
from jobscheduler.status.snapshot_json import definition_json
from jobscheduler.util.redact import redacted


def redacted_definition(job: Job) -> dict[str, Any]:
    """Return a definition that every user who may see the jobs may see."""
    shown = definition_json(job)
    for name, task in (("task", job.task), ("on_failure", job.on_failure), ("on_recovery", job.on_recovery)):
        if task is not None and task != NO_TASK:
            shown[name] = _shown(task)
    return shown


def _shown(spec: TaskSpec) -> dict[str, Any]:
    try:
        task = tasks.task_type(spec.type)(spec.params)
        secrets = {secret for secret in task.secrets() if secret}
    except Exception:  # a class of another package: without its list of secrets show no parameters
        return {"type": spec.type}
    return {"type": spec.type, **{key: redacted(value, secrets, REDACTED) for key, value in spec.params.items()}}
