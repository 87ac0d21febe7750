"""The service's time zone: read it, notice when the host's zone changes, and apply a change at a reload."""

from __future__ import annotations

import os
from functools import partial

from jobscheduler.config import Settings, SettingsError
from jobscheduler.config.job_context import job_context
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Level, Problem
from jobscheduler.runlog import LogWriter
from jobscheduler.service.live_settings import LiveSettings
from jobscheduler.timetable.timezones import UnknownTimezone, service_zone, zone_fingerprint, zone_note
from jobscheduler.util.hang_guard import CallHung, HangGuard

ZONE_FILES = "the host's time zone"  # the guard's name for the files that say it


class ZoneWatch:
    """The zone that the service uses, and the parse context with it. A changed zone of the host waits for a reload.

    Thread: the file thread, except for `context` and `zone`.
    """

    def __init__(self, live: LiveSettings, context: ParseContext, log: LogWriter, guard: HangGuard) -> None:
        self._live = live
        self._log = log
        self._guard = guard
        self.context = context
        self._fingerprint = self._read_fingerprint()
        self._reported_zone = context.zone.key

    def zone(self) -> str:
        """Return the name of the zone that the service uses."""
        return self.context.zone.key

    def warn_of_odd_zone(self) -> None:
        """Log what surprises people about the zone, if anything."""
        if note := zone_note(self.zone()):
            help_ = "`--timezone NAME` sets another"
            self._log.event(Level.WARNING, "zone.odd", zone=self.zone(), problem=note, help=help_)

    def reload(self) -> None:
        """Read the zone again. If that fails, log why and keep the former zone."""
        try:
            self.context = parse_context(self._live.current, self._guard)
        except SettingsError as error:
            for one in error.problems:
                self._log.event(Level.ERROR, "zone.kept", problem=one.message, in_force=self.zone(), help=one.help)

    def note_reloaded(self) -> None:
        """Count the zone of now as reported: a reload has just logged it."""
        self._fingerprint, self._reported_zone = self._read_fingerprint(), self.zone()

    def check(self) -> None:
        """Log once that the host's zone was changed. Only a reload applies it."""
        fingerprint = self._read_fingerprint()
        if fingerprint == self._fingerprint:
            return
        self._fingerprint = fingerprint
        try:
            zone = self._guard.call(ZONE_FILES, partial(service_zone, self._live.current.timezone, os.environ)).key
        except UnknownTimezone as unknown:
            zone = unknown.message
        except CallHung as hung:
            self._log.event(Level.ERROR, "zone.kept", problem=str(hung), in_force=self.zone())
            return
        if zone not in {self._reported_zone, self.zone()}:
            help_ = f"`{self._live.current.systemctl} reload jobscheduler`, or SIGHUP, to apply it"
            self._log.event(Level.WARNING, "zone.changed", zone=zone, in_force=self.zone(), help=help_)
        self._reported_zone = zone

    def _read_fingerprint(self) -> object:
        try:
            return self._guard.call(ZONE_FILES, partial(zone_fingerprint, os.environ))
        except CallHung as hung:
            return hung.name


def parse_context(settings: Settings, guard: HangGuard) -> ParseContext:
    """Return the context in which definitions are parsed: the service's zone, the defaults, and the task types.

    Raises:
        SettingsError: the service's zone is unknown or cannot be read, or something in `[defaults]` is wrong.

    """
    try:
        return guard.call(ZONE_FILES, partial(job_context, settings))
    except CallHung as hung:
        help_ = "name the zone with `--timezone NAME`; is the file system of `/etc` or `/usr/share/zoneinfo` there?"
        raise SettingsError((Problem(str(hung), help=help_),)) from None
