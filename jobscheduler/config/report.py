"""Report every setting with its value and where it stands: for `config`, and for verbs that use the service's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobscheduler.config.options import OPTIONS, Option
from jobscheduler.config.settings import Settings, default_text
from jobscheduler.util.standard_output import is_standard_output

DEFAULT = "default"  # the origin of a setting that nothing gives
HIDDEN = "(hidden)"  # shown instead of a secret


def settings_report(settings: Settings) -> dict[str, Any]:
    """Return all settings as JSON: the settings file, and for each option its text and its origin.

    Paths are absolute: the reader may be in another directory. The text is null where nothing is given and the default
    is not a value, such as the host's time zone.
    """
    return {
        "config": None if settings.file.path is None else str(settings.file.path.absolute()),
        "settings": {option.key: _entry(settings, option) for option in OPTIONS},
        "defaults": dict(settings.file.defaults),
    }


def _entry(settings: Settings, option: Option) -> dict[str, str | None]:
    given = settings.given.get(option.name)
    origin = DEFAULT if given is None else given.origin
    if option.is_secret and given is not None:
        return {"value": HIDDEN, "origin": origin}
    value = getattr(settings, option.name)
    if isinstance(value, Path) and not is_standard_output(value):
        return {"value": str(value.absolute()), "origin": origin}
    if given is not None:
        return {"value": given.text, "origin": origin}
    return {"value": None if value is None else default_text(option), "origin": origin}


def texts_of(report: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the texts of a report by the names of the options, as `load_settings` takes flags."""
    entries: Mapping[str, Mapping[str, str | None]] = report["settings"]
    known = {option.key: option for option in OPTIONS}
    return {
        known[key].name: entry["value"]
        for key, entry in entries.items()
        if key in known and not known[key].is_secret and entry["origin"] != DEFAULT
    }
