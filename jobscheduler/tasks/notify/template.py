"""Fill in the texts of a notification: `{job_id}` and the like, and what is said without a text (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter

from jobscheduler.tasks.base import FieldError
from jobscheduler.tasks.context import Context
from jobscheduler.util.text import did_you_mean, quote

# The fields of a template, as docs/alerts.md lists them.
FIELDS = (
    *("alert", "attempt", "changes", "description", "duration", "error", "exit_code", "failures", "host", "job_id"),
    *("last_success", "more", "output", "reason", "run_id", "scheduled", "since", "started", "status", "what"),
)
MAX_OUTPUT_LINES, MAX_OUTPUT_CHARS = 15, 1200  # of the end of the output

_WHAT = {
    "failure": "failed",
    "recovery": "works again",
    "overdue": "is overdue",
    "reminder": "still fails",
    "summary": "have changed",
    "test": "is not failing: this is a test",
}


def errors_in(name: str, text: str) -> Iterator[FieldError]:
    """Yield the errors of a template."""
    try:
        for _, field, form, conversion in Formatter().parse(text):
            if field is None:
                continue
            if field not in FIELDS or form or conversion:
                listed = ", ".join(f"`{{{known}}}`" for known in FIELDS)
                help_ = did_you_mean(field, FIELDS) or f"there are {listed}; write `{{{{` for a brace"
                yield FieldError((name,), f"{quote('{' + field + '}')} is not a field of a notification", help_)
    except ValueError:
        yield FieldError((name,), "a brace stands alone", "write `{{` or `}}` for a brace")


def values_of(context: Context, host: str) -> dict[str, str]:
    """Return the values of all fields; an unknown one is empty."""
    alert = context.alert
    values = dict.fromkeys(FIELDS, "")
    values |= {"job_id": context.job_id, "run_id": context.run_id, "attempt": str(context.attempt), "host": host}
    if context.scheduled is not None:
        values["scheduled"] = context.scheduled.isoformat().replace("+00:00", "Z")
    if alert is None:
        return values
    known = {name.removeprefix("JOB_").lower(): value for name, value in alert.variables.items()}
    values |= {name: value for name, value in known.items() if name in FIELDS}
    values["run_id"] = alert.variables.get("JOB_RECORD_RUN_ID", "")
    values["what"] = _what(values)
    values["output"] = _end_of(values["output"])
    values["more"] = _more(values)
    return values


def _what(values: Mapping[str, str]) -> str:
    if values["alert"] == "failure" and values["status"] == "MISSED":
        return "was missed"
    if values["alert"] == "reminder" and values["status"] == "OVERDUE":
        return "is still overdue"
    return _WHAT.get(values["alert"], values["status"])


def _more(values: Mapping[str, str]) -> str:
    if values["alert"] == "summary":
        return "jobscheduler list"
    explain = f"jobscheduler explain {values['job_id']}"
    return f"{explain} · jobscheduler output {values['run_id']}" if values["run_id"] else explain


def _end_of(output: str) -> str:
    lines = "\n".join(output.strip("\n").splitlines()[-MAX_OUTPUT_LINES:])
    return lines if len(lines) <= MAX_OUTPUT_CHARS else f"…{lines[1 - MAX_OUTPUT_CHARS :]}"


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a template with its fields filled in."""
    return Formatter().vformat(text, (), values)


def default_title(values: Mapping[str, str]) -> str:
    """Return what a notification without a title says first."""
    what = f" {values['what']}" if values["what"] else ""
    return f"{values['job_id']}{what} ({values['host']})"


def default_body(values: Mapping[str, str]) -> str:
    """Return what one wants to know: why, since when and how often, the end of the output, and where there is more."""
    if not values["alert"]:
        return values["description"] or f"The job {values['job_id']} is due."
    parts = ["\n".join(_facts(values)), values["output"], values["more"] and f"more: {values['more']}"]
    return "\n\n".join(part for part in parts if part)


def _facts(values: Mapping[str, str]) -> Iterator[str]:
    if values["description"]:
        yield values["description"]
    if values["alert"] == "test":
        return
    why = [values["reason"], values["exit_code"] and f"exit code {values['exit_code']}", values["error"]]
    if values["alert"] != "recovery" and (known := [text for text in why if text]):
        yield ", ".join(known)
    if values["status"] == "OVERDUE":
        yield f"no success since {values['last_success']}" if values["last_success"] else "it has never succeeded"
    elif values["failures"] not in {"", "0", "1"}:
        yield f"{values['failures']} times in a row, since {values['since']}"
    if values["started"]:
        yield f"started {values['started']}" + (f", took {values['duration']} s" if values["duration"] else "")
    if values["changes"] not in {"", "1"}:
        yield f"its result has changed {values['changes']} times since the last message"
