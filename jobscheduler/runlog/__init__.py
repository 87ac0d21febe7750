"""The log: one writer, one file that rotates, and reading back what it says of the time before."""

from jobscheduler.runlog.back import read_back
from jobscheduler.runlog.file import LogFile
from jobscheduler.runlog.lasting import passing_log
from jobscheduler.runlog.lines import as_json, as_text, instant_text, line_of
from jobscheduler.runlog.marks import events_of
from jobscheduler.runlog.opening import LogRefused, examine
from jobscheduler.runlog.results import last_results
from jobscheduler.runlog.writer import RunLog

__all__ = [
    "LogFile",
    "LogRefused",
    "RunLog",
    "as_json",
    "as_text",
    "events_of",
    "examine",
    "instant_text",
    "last_results",
    "line_of",
    "passing_log",
    "read_back",
]
