"""The log: one writer, one file that rotates, and reading back what it says of the time before."""

from jobscheduler.runlog.checkpoints import events_of
from jobscheduler.runlog.file import LogFile
from jobscheduler.runlog.format import as_json, as_text, instant_text, line_of
from jobscheduler.runlog.last_results import last_results
from jobscheduler.runlog.open_file import LogRefused, examine
from jobscheduler.runlog.recovery import read_back
from jobscheduler.runlog.volatile import passing_log
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
