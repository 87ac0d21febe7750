"""The settings in force: read again at a reload, which applies some of them and names those that need a restart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from jobscheduler.config import OPTIONS, Settings, SettingsError
from jobscheduler.config.exposed_settings import exposure_checks
from jobscheduler.config.job_context import job_context
from jobscheduler.config.report import settings_report
from jobscheduler.model import Level, Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.runlog import LogWriter
from jobscheduler.util.exposure_log import ExposureLog
from jobscheduler.util.hang_guard import CallHung, HangGuard

# And `[defaults]`; the others need a restart.
APPLIED_AT_RELOAD = frozenset({"timezone", "on_failure", "on_recovery", "output_max_bytes", "output_keep"})


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What a reload made of the settings: the keys that it applied, those that wait for a restart, the problems.

    With problems the former settings stay in force.
    """

    applied: tuple[str, ...] = ()
    need_restart: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())


class LiveSettings:
    """The settings in force.

    Thread: the file thread for `reload`, any for `current`.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        log: LogWriter,
        guard: HangGuard,
        apply: Callable[[Settings], object],
        changed_files: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`read` reads the settings again; it raises SettingsError. `apply` gets those that a reload puts in force.

        `changed_files` returns the names of settings whose files hold something else than at the start; it raises
        ProblemError for a file that cannot be used now, and CallHung.
        """
        self._changed_files = changed_files
        self._apply = apply
        self.current = settings
        self._started_with = settings
        self._read = read
        self._log = log
        self._guard = guard
        self._exposures = ExposureLog(log.event)

    def warn_of_exposed_secrets(self) -> None:
        """Log the secrets that the settings show to all users of the host, if that has changed."""
        for check in exposure_checks(self.current):
            with suppress(CallHung):  # then nothing is known of it
                self._exposures.observe(check.file, self._guard.call(check.thing, check.look), 0.0)
        self._exposures.report(0.0)

    def reload(self) -> SettingsChange:
        """Read the settings again, and apply what can be applied. If that fails, log why and keep the former ones."""
        try:
            new = self._guard.call("the settings file", self._read_and_judge)
        except SettingsError as error:
            return self._kept(error.problems)
        except CallHung as hung:
            return self._kept((Problem(str(hung)),))
        changed = [option for option in OPTIONS if _value(new, option.name) != _value(self.current, option.name)]
        applied = [option for option in changed if option.name in APPLIED_AT_RELOAD]
        values = {option.name: _value(new, option.name) for option in applied}
        has_new_defaults = new.file.defaults != self.current.file.defaults
        self.current = replace(self.current, **values, file=new.file, given=self._given(new))
        need_restart = self._need_restart(new)
        self._apply(self.current)
        self.warn_of_exposed_secrets()
        if need_restart:
            help_ = f"`{self.current.systemctl} restart jobscheduler` applies them"
            self._log.event(Level.WARNING, "settings.waiting", settings=" ".join(need_restart), help=help_)
        return SettingsChange((*(option.key for option in applied), *["defaults"] * has_new_defaults), need_restart)

    def _need_restart(self, new: Settings) -> tuple[str, ...]:
        """Return the keys of settings that wait for a restart: they, or what their files hold, have changed."""
        names = {option.name for option in OPTIONS if _value(new, option.name) != _value(self.current, option.name)}
        try:
            names.update(self._changed_files())
        except CallHung as hung:
            self._log.event(Level.WARNING, "settings.kept", problem=str(hung))
        except ProblemError as error:  # the service goes on with what it has; its next start would fail
            problem = error.problem
            self._log.event(Level.WARNING, "settings.kept", problem=problem.message, help=problem.help)
        return tuple(option.key for option in OPTIONS if option.name in names - APPLIED_AT_RELOAD)

    def report(self) -> Mapping[str, Any]:
        """Return every setting in force with its value and where it stands."""
        return settings_report(self.current)

    def _read_and_judge(self) -> Settings:
        """Read the settings and judge the zone and the defaults in them: all of it is used, or nothing."""
        settings = self._read()
        job_context(settings)
        return settings

    def _given(self, new: Settings) -> dict[str, Any]:
        """Return where the settings in force stand: those that need a restart still where they stood at the start."""
        applied = {name: given for name, given in new.given.items() if name in APPLIED_AT_RELOAD}
        former = {name: given for name, given in self._started_with.given.items() if name not in APPLIED_AT_RELOAD}
        return applied | former

    def _kept(self, problems: tuple[Problem, ...]) -> SettingsChange:
        for problem in problems:
            location = {"file": problem.file or None, "line": problem.line}
            self._log.event(Level.ERROR, "settings.kept", **location, problem=problem.message, help=problem.help)
        return SettingsChange(problems=problems)


def _value(settings: Settings, name: str) -> Any:
    return getattr(settings, name)
