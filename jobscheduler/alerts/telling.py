"""What an alert is told about the run: the record, as environment variables and as JSON (pure)."""

from __future__ import annotations

import re

from jobscheduler.alerts.changes import On
from jobscheduler.model import Record
from jobscheduler.runlog import as_json, instant_text, line_of
from jobscheduler.tasks import Alert

MOST = 4096
"""The longest value of a variable, in characters; of the output the end is kept, of the others the beginning."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def alert_of(on: On, record: Record, *, description: str, host: str) -> Alert:
    """Return what an alert's task gets with its context."""
    text = line_of(record, as_json).decode("ascii").rstrip("\n")
    details = dict(record.details)
    single = {
        "JOB_ALERT": on.value,
        "JOB_DESCRIPTION": description,
        "JOB_DURATION": "" if record.duration is None else f"{record.duration:.3f}",
        "JOB_ERROR": details.get("error", ""),
        "JOB_EXIT_CODE": details.get("exit_code", ""),
        "JOB_HOST": host,
        "JOB_REASON": record.reason or "",
        "JOB_RECORD_RUN_ID": record.run_id or "",
        "JOB_STARTED": "" if record.started is None else instant_text(record.started),
        "JOB_STATUS": record.status.value,
    }
    variables = {name: _one_line(str(value)) for name, value in single.items()}
    output = _writable(record.output or "").replace("\0", "")[-MOST:]
    return Alert(on.value, record, text, {**variables, "JOB_OUTPUT": output, "JOB_RECORD": text})


def _one_line(text: str) -> str:
    """Return a text that cannot begin another line, as a header of a mail would be."""
    return _CONTROL.sub(" ", _writable(text)).strip()[:MOST]


def _writable(text: str) -> str:
    """Return a text without half surrogates, as odd file names have them: no program could be given them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
