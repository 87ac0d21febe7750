"""The rules of the zones in use: notice when their files change, and apply that at a reload."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from jobscheduler.model import Level, ZoneOffsets
from jobscheduler.runlog import LogWriter
from jobscheduler.service.zone_watch import ZONE_FILES
from jobscheduler.timetable.crontab import to_epoch_seconds
from jobscheduler.timetable.timezones import reload_rules
from jobscheduler.timetable.zone_rules import ZONE_RULES, ReloadedRules
from jobscheduler.util.hang_guard import CallHung, HangGuard

RELOAD_HELP = "`systemctl reload jobscheduler`, or SIGHUP, to apply them"


class ZoneRulesWatch:
    """Logs each zone once whose file holds other rules than those in force. Only a reload applies them.

    A package upgrade replaces one file after the other. Applied one by one, they would make jobs follow rules of two
    versions. So a new or an edited job follows the rules in force, as all other jobs of its zone do.

    Thread: the file thread; any for `waiting`.
    """

    def __init__(self, log: LogWriter, guard: HangGuard) -> None:
        self._log = log
        self._guard = guard
        self._waiting: frozenset[str] = frozenset()

    def waiting(self) -> tuple[str, ...]:
        """Return the zones whose new rules wait for a reload."""
        return tuple(sorted(self._waiting))

    def check(self) -> None:
        """Compare the files of the zones in use with the rules in force, and log each difference once."""
        try:
            changed = self._guard.call(ZONE_FILES, ZONE_RULES.changed)
        except CallHung:
            return  # `status` names what hangs
        new, self._waiting = changed.keys() - self._waiting, frozenset(changed)
        replaced, gone = [sorted(name for name in new if changed[name] is there) for there in (True, False)]
        if replaced:
            problem = "the rules of these time zones have changed on disk; jobs follow the former ones"
            self._log.event(
                Level.WARNING, "zone.rules_changed", zones=" ".join(replaced), problem=problem, help=RELOAD_HELP
            )
        if gone:
            problem = "the data of these time zones is gone from this host; jobs follow the rules that were read before"
            help_ = "install the package `tzdata`, or for former names `tzdata-legacy`, before the next restart"
            self._log.event(Level.WARNING, "zone.rules_changed", zones=" ".join(gone), problem=problem, help=help_)

    def restore(self, former: Mapping[str, ZoneOffsets], now: datetime) -> bool:
        """Go by the rules of the service before until a reload; return whether the files of a zone have others.

        Its slots were decided by those rules. So a start accounts for the outage by them, and then reloads.
        """
        try:
            return bool(self._guard.call(ZONE_FILES, partial(ZONE_RULES.restore, former, to_epoch_seconds(now))))
        except CallHung:
            return False  # `status` names what hangs

    def reload(self) -> tuple[str, ...]:
        """Read changed rules again, and return the zones that have others now. Log which cannot be read."""
        try:
            rules = self._guard.call(ZONE_FILES, reload_rules)
        except CallHung as hung:
            self._log.event(Level.ERROR, "zone.rules_kept", problem=str(hung))
            return ()
        self._report(rules)
        self._waiting = frozenset(rules.kept)
        return rules.applied

    def _report(self, rules: ReloadedRules) -> None:
        if rules.applied:
            self._log.event(Level.INFO, "zone.rules_applied", zones=" ".join(rules.applied))
        if rules.kept:
            problem = "the data of these time zones cannot be read; jobs follow the rules that were read before"
            help_ = "install the package `tzdata`, or for former names `tzdata-legacy`"
            self._log.event(Level.ERROR, "zone.rules_kept", zones=" ".join(rules.kept), problem=problem, help=help_)
