"""A job as JobsManager defines it: a command and six fields of a schedule."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import Any

from jobscheduler.database.jobsmanager_days import different_days, reads_differently
from jobscheduler.tasks.command.warnings import bash_only


@dataclass(frozen=True, slots=True)
class CommandJob:
    """A command with its schedule, field by field. Values are as in crontab: text, or a number.

    Weekdays count as in crontab: 0 and 7 are Sunday, 1 is Monday. APScheduler, and JobsManager with it, count from 0
    for Monday: names such as `mon` mean the same everywhere. `timeout` is in seconds, None for no limit.

    Three things give a warning: `second="*"` with a restricted minute, which runs sixty times in that minute;
    fields that mean other days in JobsManager; operators in `command` that bash has and `/bin/sh` does not.
    """

    id: str
    command: str
    second: str | int = "*"
    minute: str | int = "*"
    hour: str | int = "*"
    day: str | int = "*"
    month: str | int = "*"
    day_of_week: str | int = "*"
    timeout: float | None = 60

    def __post_init__(self) -> None:
        for name in ("second", "minute", "hour", "day", "month", "day_of_week"):
            value = str(getattr(self, name))
            replacement = reads_differently(name, value)
            if replacement is not None:
                raise ValueError(f"`{name}` of `{self.id}`: `{value.strip()}` is written `{replacement}` here")
            if len(value.split()) != 1:
                raise ValueError(f"`{name}` of `{self.id}` has to be one field of a schedule, such as `*` or `0-30/5`")
        if str(self.second).strip() == "*" and str(self.minute).strip() != "*":
            text = f"`{self.id}` is due sixty times in each minute that `minute` allows; `second=0` is once"
            warnings.warn(text, UserWarning, stacklevel=3)
        for text in different_days(str(self.day).strip(), str(self.day_of_week).strip()):
            warnings.warn(f"`{self.id}`: {text}", UserWarning, stacklevel=3)
        bash_warning = bash_only(self.command) if isinstance(self.command, str) else None
        if bash_warning is not None:
            warnings.warn(f"`{self.id}`: {bash_warning[0]}; {bash_warning[1]}", UserWarning, stacklevel=3)

    @property
    def schedule(self) -> str:
        """The crontab expression, seconds first."""
        fields = (self.second, self.minute, self.hour, self.day, self.month, self.day_of_week)
        return " ".join(str(field).strip() for field in fields)

    @property
    def definition(self) -> dict[str, Any]:
        """The object of a job file."""
        task = {"type": "execute_command", "command": self.command}
        fields: dict[str, Any] = {"job_id": self.id, "schedule": self.schedule, "task": task}
        return fields if self.timeout is None else {**fields, "timeout": self.timeout}

    @property
    def text(self) -> str:
        """The definition as it is stored."""
        return json.dumps(self.definition, ensure_ascii=False)
