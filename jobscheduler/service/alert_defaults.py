"""The service's own alerts: read their files, at the start and again at a reload."""

from __future__ import annotations

from jobscheduler.alerts import AlertConfigError, AlertDispatcher, DefaultAlerts, read_defaults
from jobscheduler.config import Settings
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.service.errors import StartupError
from jobscheduler.service.live_settings import LiveSettings
from jobscheduler.service.optional_parts import ALERTS, OptionalParts
from jobscheduler.service.zone_watch import ZoneWatch
from jobscheduler.util.hang_guard import CallHung, HangGuard


class AlertDefaultsReader:
    """Reads the files again and gives the dispatcher their content; the former alerts stay if that fails."""

    def __init__(
        self,
        live: LiveSettings,
        zone: ZoneWatch,
        alerts: AlertDispatcher,
        optional: OptionalParts,
        log: LogWriter,
        guard: HangGuard,
    ) -> None:
        self._live = live
        self._optional = optional
        self._zone = zone
        self._alerts = alerts
        self._log = log
        self._guard = guard
        self._is_unread = False

    def reload(self) -> None:
        """Read the files again. If one cannot be used, log why and keep the former alerts."""
        self._is_unread = False
        try:
            self._alerts.replace_defaults(read_alert_defaults(self._live.current, self._zone.context, self._guard))
            self._optional.note(ALERTS, ())
        except CallHung as hung:
            self.report_hung(hung)
        except StartupError as error:
            problem = error.problem
            self._optional.note(ALERTS, [problem])
            location = {"file": problem.file, "line": problem.line, "column": problem.column}
            self._log.event(Level.ERROR, "alert.kept", **location, problem=problem.message, help=problem.help)

    def report_hung(self, hung: CallHung) -> None:
        """Log that a file does not answer. It is read when it does; until then the former alerts stay."""
        self._is_unread = True
        help_ = "it is read when it answers; until then the alerts known before stay"
        self._log.event(Level.ERROR, "alert.kept", problem=str(hung), help=help_)

    def reload_if_unread(self) -> None:
        """Read the files again if one of them did not answer the last time."""
        if self._is_unread:
            self.reload()


def read_alert_defaults(settings: Settings, context: ParseContext, guard: HangGuard) -> DefaultAlerts:
    """Read the alerts for jobs without a setting of their own.

    Raises:
        StartupError: a file cannot be read, or its content is not a task.
        CallHung: a file does not answer.

    """
    try:
        return read_defaults(settings.on_failure, settings.on_recovery, context, guard)
    except AlertConfigError as error:
        raise StartupError(error.problem) from None
