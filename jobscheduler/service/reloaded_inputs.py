"""What the service reads beside definitions, all of it again at a reload."""

from __future__ import annotations

from dataclasses import dataclass

from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.live_settings import LiveSettings, SettingsChange
from jobscheduler.service.zone_rules_watch import ZoneRulesWatch
from jobscheduler.service.zone_watch import ZoneWatch


@dataclass(frozen=True, slots=True)
class ReloadedInputs:
    """The settings, the zone, the rules of all zones, and the alerts for jobs without a setting of their own.

    Thread: the file thread.
    """

    live: LiveSettings
    zone: ZoneWatch
    rules: ZoneRulesWatch
    alert_defaults: AlertDefaultsReader

    def reload(self) -> tuple[SettingsChange, tuple[str, ...]]:
        """Read them again; return what became of the settings, and the zones that have other rules now."""
        new_rules = self.rules.reload()
        change = self.live.reload()
        self.zone.reload()
        self.alert_defaults.reload()
        return change, new_rules
