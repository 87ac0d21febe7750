"""Offer the settings of `config` as command line arguments, and find those of the service that a verb talks about."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobscheduler.cli import own_service
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    NO_FILE,
    OPTIONS,
    PREFIX,
    Settings,
    SettingsError,
    SettingsFile,
    default_text,
    find_settings,
    load_settings,
    read_settings_file,
)
from jobscheduler.config.own_paths import USER_FLAG, OwnPaths
from jobscheduler.config.report import settings_report, texts_of
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.model import Problem
from jobscheduler.util.environment_file import ENVIRONMENT_FILE, parse_environment_file


def add_options(parser: argparse.ArgumentParser, names: Container[str] | None = None) -> None:
    """Add `--user`, `--config`, and the options of these names: all by default. Help names default and variable."""
    parser.add_argument(USER_FLAG, action="store_true", help="the service of this user, with paths in the home")
    parser.add_argument(
        "--config", metavar="FILE", help=f"the settings file (default: {DEFAULT_CONFIG}; {CONFIG_VARIABLE})"
    )
    for option in OPTIONS:
        if names is None or option.name in names:
            parser.add_argument(
                option.flag,
                metavar=option.metavar,
                help=f"{option.help} (default: {default_text(option)}; {option.variable})".replace("%", "%%"),
            )


def settings_from_arguments(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Build the settings from the arguments, the environment and the settings file.

    Raises:
        BadSetting: a value on the command line or in the environment cannot be read.
        SettingsError: the settings file cannot be used, or a variable has an unknown name.

    """
    return _load(arguments, environ, own_service.asked_for(arguments, environ), is_client=False)


def client_settings(arguments: argparse.Namespace, *, is_silent: bool = False) -> Settings:
    """Build the settings by which a verb finds the service. A settings file that this user may not read counts as none.

    What is wrong in the file is a warning, unless `is_silent`: for a verb to which the service says it.

    Raises:
        BadSetting: a value on the command line or in the environment cannot be read.
        SettingsError: the settings file cannot be used, or a variable has an unknown name.

    """
    own = own_service.found(arguments, os.environ)
    return _load(arguments, os.environ, own, is_client=True, is_silent=is_silent)


def settings_of_service(arguments: argparse.Namespace, needed: Collection[str]) -> Settings:
    """Return the settings of the service that answers, but for what the command line says.

    If none answers they are those that a service would have: of the settings file and of the environment file of the
    unit. A line on standard error says so, unless the caller gives all of the `needed` ones.

    Raises:
        BadSetting: a value on the command line or in the environment cannot be read.
        SettingsError: the settings file cannot be used, or a variable has an unknown name.

    """
    named = load_settings(_flags(arguments), os.environ).given
    try:
        report: Mapping[str, Any] = request(client_settings(arguments, is_silent=True).socket, "GET", "/v1/settings")
    except (ServiceUnreachable, ApiError):
        settings = _settings_without_service(arguments, is_client=True)  # it says what is wrong in the settings file
        if any(settings.given.get(name) != named.get(name) or name not in named for name in needed):
            print_wrapped(f"note: no service was asked; {_origin(settings)}", sys.stderr)
        return settings
    given = {name: text for name, text in _flags(arguments).items() if text is not None}
    config = report.get("config")
    file = SettingsFile(Path(config) if config else None, defaults=report.get("defaults", {}))
    return load_settings({**texts_of(report), **given}, {}, file)


def portable_settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the command line and of the settings file that it names, and nothing of this host.

    The zone of jobs that name none is UTC by default.

    Raises:
        BadSetting: a value on the command line cannot be read.
        SettingsError: the settings file cannot be used.

    """
    file = read_settings_file(Path(arguments.config)) if arguments.config else NO_FILE
    flags = _flags(arguments)
    is_named = flags["timezone"] is not None or any(option.name == "timezone" for option, _ in file.options)
    return load_settings(flags if is_named else {**flags, "timezone": "UTC"}, {}, file)


def current_report(arguments: argparse.Namespace) -> tuple[Mapping[str, Any], bool]:
    """Return the report of all settings, and whether it is the service's own.

    Raises:
        BadSetting: a value on the command line or in the environment cannot be read.
        SettingsError: no service answers, and none would start with these settings.

    """
    try:
        report: Mapping[str, Any] = request(client_settings(arguments, is_silent=True).socket, "GET", "/v1/settings")
    except (ServiceUnreachable, ApiError, SettingsError):
        settings = _settings_without_service(arguments, is_client=False)
        from jobscheduler.config.job_context import job_context  # noqa: PLC0415 - the parser, which few verbs need

        job_context(settings)  # it raises what keeps jobs from being read
        return settings_report(settings), False
    present = client_settings(arguments)  # the settings file may have changed since the start of the service
    for problem in _problems_for_jobs(present):
        print_problem(problem, sys.stderr, level="warning")
    return report, True


def _settings_without_service(arguments: argparse.Namespace, *, is_client: bool) -> Settings:
    """Return the settings that a service would have if it was started now."""
    own = own_service.found(arguments, os.environ)
    environ = os.environ if own is not None else {**_environment_file(), **os.environ}
    return _load(arguments, environ, own, is_client=is_client)


def _load(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    own: OwnPaths | None,
    *,
    is_client: bool,
    is_silent: bool = False,
) -> Settings:
    """Build the settings. If something is wrong in them, all that is wrong is raised, but for a client.

    To a client what is wrong in the settings file is only a warning: a verb has to reach the service also when its next
    start would fail.
    """
    file, problems = _settings_file(arguments, environ, own, is_client=is_client)
    found = find_settings(_flags(arguments), environ, file, own)
    if is_client:
        for problem in () if is_silent else problems:
            print_problem(problem, sys.stderr, level="warning")
        return found.check()
    from jobscheduler.config.cluster_times import problems_of_cluster_times  # noqa: PLC0415 - clients need none of it

    problems = (*problems, *problems_of_cluster_times(found.settings))
    if problems or found.wrong_usage or found.problems:
        problems = (*problems, *_problems_for_jobs(found.settings))
    return found.check(problems)


def _problems_for_jobs(settings: Settings) -> tuple[Problem, ...]:
    """Return every problem of the zone and of `[defaults]`."""
    from jobscheduler.config.job_context import problems_for_jobs  # noqa: PLC0415 - the parser, which few verbs need

    return problems_for_jobs(settings)


def exposed_in_settings(arguments: argparse.Namespace, settings: Settings) -> Iterator[Problem]:
    """Yield the secrets that all users may read in the files of these settings; none of a file that cannot be read."""
    own = own_service.found(arguments, os.environ)
    environ = os.environ if own is not None else {**_environment_file(), **os.environ}
    try:
        file = read_settings_file(_settings_path(arguments, environ, own)[0])
    except (OSError, SettingsError):
        file = NO_FILE
    from jobscheduler.config.exposed_settings import exposure_checks  # noqa: PLC0415 - for `validate` alone

    for check in exposure_checks(replace(settings, file=file), ENVIRONMENT_FILE):
        yield from check.look()


def settings_path(arguments: argparse.Namespace) -> Path | None:
    """Return the path of the settings file of a service that is not asked; None if it is not there and not named."""
    own = own_service.found(arguments, os.environ)
    path, is_named = _settings_path(arguments, os.environ, own)
    return path if is_named or os.path.exists(path) else None  # noqa: PTH110 - False where the directory is closed


def _flags(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {option.name: getattr(arguments, option.name, None) for option in OPTIONS}


def _settings_file(
    arguments: argparse.Namespace, environ: Mapping[str, str], own: OwnPaths | None, *, is_client: bool
) -> tuple[SettingsFile, tuple[Problem, ...]]:
    """Read the settings file; return what is right in it, and what is wrong.

    One that is not named need not exist, and for a client it need not be readable.

    Raises:
        SettingsError: for a client: the file that it names cannot be opened.

    """
    path, named = _settings_path(arguments, environ, own)
    try:
        return read_settings_file(path), ()
    except SettingsError as error:
        return error.usable or NO_FILE, error.problems
    except FileNotFoundError:
        if not named:
            return NO_FILE, ()
        help_ = f"make it, or leave out `--config` and {CONFIG_VARIABLE}"
        problem = Problem("there is no such settings file", file=str(path), help=help_)
    except PermissionError:
        if not named and (is_client or own_service.is_elsewhere(arguments)):
            return NO_FILE, ()
        help_ = "only its owner may: run the command as that user; `serve --user` runs a service of your own"
        problem = Problem("the settings file may not be read", file=str(path), help=help_)
    if is_client:
        raise SettingsError((problem,))
    return NO_FILE, (problem,)


def _settings_path(
    arguments: argparse.Namespace, environ: Mapping[str, str], own: OwnPaths | None
) -> tuple[Path, bool]:
    """Return the path of the settings file, and whether the user named it."""
    named = getattr(arguments, "config", None) or environ.get(CONFIG_VARIABLE)
    return Path(named) if named else DEFAULT_CONFIG if own is None else own.config, bool(named)


def _environment_file() -> dict[str, str]:
    """Return the settings in the environment file of the unit, none if this user may not read it."""
    try:
        text = ENVIRONMENT_FILE.read_text("utf-8", "replace")
    except OSError:  # no unit is installed, or it is not this user's
        return {}
    return {name: value for name, value in parse_environment_file(text).items() if name.startswith(PREFIX)}


def _origin(settings: Settings) -> str:
    """Name the files that the settings are from."""
    files = [str(settings.file.path)] if settings.file.path is not None else []
    if any(given.origin.startswith(PREFIX) for given in settings.given.values()):
        files.append("the environment")
    defaults = f"the defaults of `serve {USER_FLAG}`" if settings.is_own else "the defaults"
    return f"the settings are those of {' and '.join(files)}" if files else f"the settings are {defaults}"
