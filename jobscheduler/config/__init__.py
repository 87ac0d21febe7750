"""The settings: options of the command line, variables of the environment, keys of the settings file."""

from jobscheduler.config.options import OPTIONS, PREFIX, Option
from jobscheduler.config.settings import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    BadSetting,
    Given,
    Settings,
    default_text,
    find_settings,
    load_settings,
)
from jobscheduler.config.settings_file import NO_FILE, SettingsError, SettingsFile, parse_settings, read_settings_file

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_CONFIG",
    "NO_FILE",
    "OPTIONS",
    "PREFIX",
    "BadSetting",
    "Given",
    "Option",
    "Settings",
    "SettingsError",
    "SettingsFile",
    "default_text",
    "find_settings",
    "load_settings",
    "parse_settings",
    "read_settings_file",
]
