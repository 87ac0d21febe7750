"""The log: one writer, one file that rotates, and reading back what it says of the time before."""

from jobscheduler.runlog.back import read_back
from jobscheduler.runlog.file import LogFile, holder_of, lock
from jobscheduler.runlog.lines import as_json, as_text, instant_text, line_of
from jobscheduler.runlog.marks import events_of
from jobscheduler.runlog.results import last_results
from jobscheduler.runlog.writer import RunLog

__all__ = [
    "LogFile",
    "RunLog",
    "as_json",
    "as_text",
    "events_of",
    "holder_of",
    "instant_text",
    "last_results",
    "line_of",
    "lock",
    "read_back",
]
