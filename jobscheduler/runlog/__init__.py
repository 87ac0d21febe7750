"""The log: one writer, one rotating file, and reading back what it says of earlier starts."""

from jobscheduler.runlog.checkpoints import to_events
from jobscheduler.runlog.file import LogFile
from jobscheduler.runlog.format import encode_line, format_json, format_text
from jobscheduler.runlog.last_record import last_record
from jobscheduler.runlog.open_file import LogRefused, check_log
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.recovery import full_checkpoint, last_checkpoint, recover
from jobscheduler.runlog.stream import LogStream
from jobscheduler.runlog.tmpfs_check import check_log_on_tmpfs
from jobscheduler.runlog.writer import LogWriter

__all__ = [
    "LogFile",
    "LogRefused",
    "LogStream",
    "LogWriter",
    "check_log",
    "check_log_on_tmpfs",
    "encode_line",
    "format_json",
    "format_text",
    "full_checkpoint",
    "last_checkpoint",
    "last_record",
    "parse_line",
    "recover",
    "to_events",
]
