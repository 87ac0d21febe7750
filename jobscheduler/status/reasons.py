"""Say in words why a slot or a run ended as it did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.terminal_text import printable_line

RecordJson = Mapping[str, Any]  # a record, as in JSON or in a line of the log

_REASONS = {
    "interrupted": "the service ended during the run",
    "shutdown": "ended by the stop of the service",
    "replaced": "ended by its next run",
    "stopped": "stopped by hand",
    "down": "the service was not running",
    "asleep": "the host was asleep",
    "stalled": "the service stood still",
    "clock": "the clock was set ahead",
    "deleted": "the file was deleted",
    "disabled": "the job was disabled",
    "overlap": "its last run was still going on",
    "paused": "the job was paused",
    "oom": "out of memory",
}


def failure_text(last: RecordJson, last_line: str | None) -> str:
    """Return why a run failed: the last line of its output, and the exit code if it says more than that it failed."""
    why, line = reason_text(last), printable_line(last_line or "")
    if not line:
        return why
    return line if why in {"exit 1", "exit"} else f"{why}: {line}"


def process_text(run: RecordJson) -> str:
    """Return which attempt a run at work is if not the first, its process, and the other node that it is on, if any."""
    attempt, pid, node = run.get("attempt") or 1, run.get("pid"), run.get("node")
    known = (f"attempt {attempt}" if attempt > 1 else "", f"pid {pid}" if pid else "", f"on {node}" if node else "")
    return ", ".join(filter(None, known))


def reason_text(last: RecordJson) -> str:
    """Return the reason of a record in words."""
    reason = str(last.get("reason") or "")
    if reason == "exit" and last.get("signal"):
        return f"ended by {last['signal']}"
    if reason == "exit":
        return f"exit {last.get('exit_code', '?')}"
    if reason == "timeout" and last.get("duration") is not None:
        return f"timed out after {format_compact_duration(float(last['duration']))}"
    if reason == "http" and last.get("http_status"):
        return f"HTTP {last['http_status']}"
    if last.get("error"):
        return str(last["error"])
    return _REASONS.get(reason, reason)
