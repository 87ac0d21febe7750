"""A job as JobsManager has it: a command and six fields of a schedule."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import Any

from jobscheduler.database.jobsmanager_days import different_days, reads_differently
from jobscheduler.tasks.command.warnings import bash_only


@dataclass(frozen=True, slots=True)
class CommandJob:
    """A command with its schedule, field by field. Values are crontab's: text, or a number.

    Weekdays are counted as crontab does it: 0 and 7 are Sunday, 1 is Monday. (APScheduler, and JobsManager with it,
    begins with 0 for Monday: write names, `mon`, to mean the same everywhere.) `timeout` is in seconds, None for no
    limit. `second="*"` with a restricted minute runs sixty times in that minute, and is warned of; so are fields that
    mean other days than they do in JobsManager, and operators in `command` that bash has and `/bin/sh` has not.
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
            instead = reads_differently(name, value)
            if instead is not None:
                raise ValueError(f"`{name}` of `{self.id}`: `{value.strip()}` is written `{instead}` here")
            if len(value.split()) != 1:
                raise ValueError(f"`{name}` of `{self.id}` has to be one field of a schedule, such as `*` or `0-30/5`")
        if str(self.second).strip() == "*" and str(self.minute).strip() != "*":
            text = f"`{self.id}` is due sixty times in each minute that `minute` allows; `second=0` is once"
            warnings.warn(text, UserWarning, stacklevel=3)
        for text in different_days(str(self.day).strip(), str(self.day_of_week).strip()):
            warnings.warn(f"`{self.id}`: {text}", UserWarning, stacklevel=3)
        odd = bash_only(self.command) if isinstance(self.command, str) else None
        if odd is not None:
            warnings.warn(f"`{self.id}`: {odd[0]}; {odd[1]}", UserWarning, stacklevel=3)

    @property
    def schedule(self) -> str:
        """The crontab expression, seconds first."""
        fields = (self.second, self.minute, self.hour, self.day, self.month, self.day_of_week)
        return " ".join(str(field).strip() for field in fields)

    @property
    def definition(self) -> dict[str, Any]:
        """What a job file would hold."""
        task = {"type": "execute_command", "command": self.command}
        made: dict[str, Any] = {"job_id": self.id, "schedule": self.schedule, "task": task}
        return made if self.timeout is None else {**made, "timeout": self.timeout}

    @property
    def text(self) -> str:
        """The definition as it is kept."""
        return json.dumps(self.definition, ensure_ascii=False)
