"""Open the log of a service: recover from it, write it, and log the warnings of a start."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from jobscheduler.model import Level, RecoveredState
from jobscheduler.runlog import LogFile, LogStream, LogWriter, check_log_on_tmpfs, recover
from jobscheduler.runlog.recent_lines import RecentLines
from jobscheduler.service import sd_notify
from jobscheduler.service.checked_settings import CheckedSettings
from jobscheduler.service.guarded_calls import call_at_startup, raising_os_error
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.path_checks import lock_log
from jobscheduler.util.host_id import boot_id, is_estimated
from jobscheduler.util.standard_output import DESCRIPTOR, is_standard_output
from jobscheduler.util.text import format_error

STDERR = 2  # the descriptor of the copy


@dataclass(frozen=True, slots=True)
class OpenLog:
    """The log, open for writing, and the state that it says of the time before, if it says any.

    `notes` are what a user should know of the log though nothing is wrong. `kept` are the last records of a log without
    a file, for the page.
    """

    log: LogWriter
    recovered: RecoveredState | None
    notes: tuple[str, ...]
    kept: RecentLines | None = None


def open_log(checked: CheckedSettings, mailbox: Mailbox, stack: ExitStack) -> OpenLog:
    """Lock the log, recover from it, and write it until the stack is closed.

    Raises:
        StartupError: another service uses the log, or the log does not answer.

    """
    settings = checked.settings
    if is_standard_output(settings.log_file):
        return _open_stream(checked, stack)
    on_beginning = partial(mailbox.put, Message.LOG_FILE_BEGUN)
    file = LogFile(settings.log_file, settings.log_max_bytes, settings.log_backups, on_beginning=on_beginning)
    recovered = _recover(checked, file)
    journal = sd_notify.is_journal(STDERR)
    log = _write_log(checked, LogWriter(file, form=settings.log_format, priorities=journal), stack)
    return OpenLog(log, recovered, _warn_of_log_on_tmpfs(checked, log))


def _open_stream(checked: CheckedSettings, stack: ExitStack) -> OpenLog:
    """Write the log to standard output alone. Nothing is known of the time before, and the next start knows nothing."""
    log = LogWriter(
        LogStream(),
        form=checked.settings.log_format,
        priorities=sd_notify.is_journal(STDERR),
        own_priorities=sd_notify.is_journal(DESCRIPTOR),
        copies_all=False,
    )
    kept = RecentLines() if checked.has_page else None
    log.subscribe(lines=[] if kept is None else [kept.observe])
    _write_log(checked, log, stack)
    problem = "the log is standard output alone: what has run, and pauses, are known until this process ends"
    help_ = "`--log-file FILE` on a disk keeps them; without a file `history` has nothing to show"
    if checked.settings.output_folder is None:
        help_ += ", and what runs print is kept only with `--output-dir DIR`"
    log.event(Level.INFO, "log.passing", problem=problem, help=help_)
    return OpenLog(log, None, (f"{problem}; {help_}",), kept)


def _recover(checked: CheckedSettings, file: LogFile) -> RecoveredState | None:
    """Lock the log, and return the state that it says of the time before.

    The lock comes first: otherwise lines that another service still writes would be missing.
    """
    guard, name, settings = checked.guard, checked.log_name, checked.settings
    call_at_startup(guard, name, partial(lock_log, settings, file))
    recovered = call_at_startup(guard, name, partial(recover, settings.log_file, settings.log_backups))
    if recovered is None or recovered.last_decided_slot is None:
        return recovered
    return replace(recovered, last_decided_slot=raising_os_error(guard, name, recovered.last_decided_slot))


def _write_log(checked: CheckedSettings, log: LogWriter, stack: ExitStack) -> LogWriter:
    """Start the log, with warnings of libraries in it, and with its copy in the database, which ends after the log."""
    checked.database.copy_log(log, stack)
    stack.enter_context(log)
    handler = _LibraryWarnings(log)
    logging.getLogger().addHandler(handler)
    stack.callback(logging.getLogger().removeHandler, handler)
    return log


class _LibraryWarnings(logging.Handler):
    """Logs a warning of a library as an event on one line."""

    def __init__(self, log: LogWriter) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        error = record.exc_info[1] if record.exc_info else None
        problem = record.getMessage() + (f": {format_error(error)}" if error else "")
        self._log.event(level, "library.warning", library=record.name.partition(".")[0], problem=problem)


def _warn_of_log_on_tmpfs(checked: CheckedSettings, log: LogWriter) -> tuple[str, ...]:
    """Log that a boot of the host loses the log, if it does; return that in words for `status`."""
    problem = call_at_startup(checked.guard, checked.log_name, partial(check_log_on_tmpfs, checked.settings.log_file))
    if problem is None:
        return ()
    log.event(Level.WARNING, "log.passing", file=problem.file, problem=problem.message, help=problem.help)
    return (f"{problem.message}; {problem.help}",)


def read_boot_id(log: LogWriter) -> str:
    """Return the id of this boot; log that it is only an estimate, if it is one."""
    boot = boot_id()
    if is_estimated(boot):
        problem = "the boot of the host cannot be identified (`/proc/sys/kernel/random/boot_id` cannot be read)"
        help_ = "boots are told apart by the clock alone: after it was set, `@reboot` may run once more at a start"
        log.event(Level.WARNING, "boot.unsure", problem=problem, help=help_)
    return boot
