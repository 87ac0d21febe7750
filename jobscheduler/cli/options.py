"""Offer the settings of `config` as command line arguments."""

from __future__ import annotations

import argparse
import os
from collections.abc import Container

from jobscheduler.config import OPTIONS, Settings, default_text, load_settings


def add_options(parser: argparse.ArgumentParser, names: Container[str] | None = None) -> None:
    """Add the options of these names (all by default); their help names default and environment variable."""
    for option in OPTIONS:
        if names is None or option.name in names:
            parser.add_argument(
                option.flag,
                metavar=option.metavar,
                help=f"{option.help} (default: {default_text(option)}; {option.variable})".replace("%", "%%"),
            )


def settings_from_arguments(arguments: argparse.Namespace) -> Settings:
    """Build the settings from the arguments and the environment.

    Raises:
        BadSetting: a value cannot be read.

    """
    flags = {option.name: getattr(arguments, option.name, None) for option in OPTIONS}
    return load_settings(flags, os.environ)
