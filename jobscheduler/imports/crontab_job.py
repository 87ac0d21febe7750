"""Turn a line of a crontab into the definition of a job, with what does not carry over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobscheduler.imports.cron_habits import habits_of
from jobscheduler.imports.crontab_command import parse_command
from jobscheduler.imports.crontab_table import Entry
from jobscheduler.imports.debian_schedule import Objection, objection_to
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.util.text import quote

_CRON_ONLY = ("MAILTO", "MAILFROM", "CRON_TZ", "RANDOM_DELAY", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING")
_NOT_SETTABLE = "LOGNAME"  # cron sets it to the user, whatever a table says


@dataclass(frozen=True, slots=True)
class Wishes:
    """What holds for all lines: the program for alerts, the first instant that counts, and whether `CRON_TZ` does."""

    mail_alert: str | None = None
    not_before: str | None = None
    is_cron_tz_read: bool = True


def objection_to_entry(entry: Entry, wishes: Wishes) -> Objection | None:
    """Return why a line becomes no job; None if it does."""
    if not parse_command(entry.command).text.strip():
        return Objection("there is no command before the first `%`", r"write the command, and `\%` for a percent sign")
    name = zone_name(entry, wishes)
    try:
        if name is not None:
            get_zone(name)
    except UnknownTimezone as unknown:
        return Objection(f"`CRON_TZ`: {unknown}", unknown.help)
    return objection_to(entry.schedule)


def zone_name(entry: Entry, wishes: Wishes) -> str | None:
    """Return the zone that the table names for the schedules below it; None for that of cron itself."""
    return (entry.variables.get("CRON_TZ") or None) if wishes.is_cron_tz_read else None


def definition_of(
    entry: Entry, job_id: str, user: str | None, comment: str, zone: str | None, wishes: Wishes
) -> dict[str, Any]:
    """Return the definition of a line. Only what differs from the defaults of a job is in it."""
    fields: dict[str, Any] = {
        "$comment": comment,
        "job_id": job_id,
        "description": entry.comment,
        "schedule": entry.schedule,
        "timezone": zone,
        "not_before": wishes.not_before,
        "task": _task(entry, user),
        **_alerts(entry, wishes),
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _task(entry: Entry, user: str | None) -> dict[str, Any]:
    command = parse_command(entry.command)
    variables = {
        name: value
        for name, value in entry.variables.items()
        if not _is_of_cron(name) or (name in _CRON_ONLY and name in entry.command)  # as for `| mail $MAILTO`
    }
    fields = {
        "type": "execute_command",
        "command": command.text,
        "shell": variables.get("SHELL"),
        "cwd": variables.get("HOME"),
        "user": user,
        "env": variables,
        "stdin": command.stdin,
    }
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _is_of_cron(name: str) -> bool:
    return name in _CRON_ONLY or name == _NOT_SETTABLE


def _alerts(entry: Entry, wishes: Wishes) -> dict[str, Any]:
    """Return the tasks that mail to `MAILTO`, if a program for that was named."""
    receiver = entry.variables.get("MAILTO")
    if not receiver or wishes.mail_alert is None:
        return {}
    task = {"type": "execute_command", "command": [wishes.mail_alert], "env": {"MAILTO": receiver}}
    return {"on_failure": task, "on_recovery": task}


def remarks_on(entry: Entry) -> Iterator[str]:
    """Yield what is to be known about this line alone."""
    if entry.schedule == "@reboot":
        yield (
            "`@reboot`: once, when the service first starts after the host booted; a job that is added later waits for "
            "the next boot"
        )
    command = parse_command(entry.command)
    if command.stdin is not None:
        yield "what follows the `%` is its `stdin` now; in a job file `%` is an ordinary character"
    yield from habits_of(command.text)


def shared_remarks_on(entry: Entry, wishes: Wishes) -> Iterator[str]:
    """Yield what is to be known about all lines below the same variables."""
    variables = entry.variables
    yield from _about_mail(variables, wishes)
    yield from _about_zones(variables, wishes)
    if _NOT_SETTABLE in variables:
        yield f"`{_NOT_SETTABLE}` is the name of the user, as in cron: the line that sets it is left out"
    for name in ("RANDOM_DELAY",):
        if name in variables:
            yield f'`{name}` is cronie\'s and is left out: `"jitter": "{variables[name]}m"` does that here'
    for name, value in variables.items():
        if "$" in value and not _is_of_cron(name):
            yield f"`{name}` holds a `$` that neither cron nor a job expands: {quote(f'{name}={value}')}"


def _about_mail(variables: Mapping[str, str], wishes: Wishes) -> Iterator[str]:
    receiver = variables.get("MAILTO")
    if receiver and wishes.mail_alert is None:
        yield (
            f"`MAILTO={receiver}`: cron mails there all that a run prints; here that is kept, and `on_failure` tells "
            "of failures alone: `--mail-alert PROGRAM` has it mail to the same address"
        )
    elif receiver:
        yield f"`MAILTO={receiver}`: `{wishes.mail_alert}` mails there that a job fails, and that it works again"
    elif receiver == "":
        yield '`MAILTO` is empty: cron mails nothing; here a failure is told unless the job says `"on_failure": null`'


def _about_zones(variables: Mapping[str, str], wishes: Wishes) -> Iterator[str]:
    if variables.get("CRON_TZ"):
        zone = variables["CRON_TZ"]
        yield (
            f"`CRON_TZ={zone}`: the jobs have that `timezone`, as cronie reads it; Debian's cron ignores it, and "
            "`--ignore-cron-tz` keeps the times at which that has run the lines"
            if wishes.is_cron_tz_read
            else f"`CRON_TZ={zone}` is left out, as Debian's cron ignores it"
        )
    if variables.get("TZ"):
        yield f"`TZ={variables['TZ']}` is a variable of the command, as in cron: it does not move the schedule"
