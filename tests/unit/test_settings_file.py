"""The settings file: options as keys, each problem at its line, and an order of precedence."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli import options
from jobscheduler.config import (
    OPTIONS,
    Settings,
    SettingsError,
    load_settings,
    parse_settings,
    read_settings_file,
)
from jobscheduler.config.report import settings_report, texts_of
from tests.support.tasks import open_to_all

EXAMPLES: dict[str, tuple[str, Any]] = {  # for each option a value in TOML, and what it means
    "jobs_dir": ('"/srv/jobs.d"', Path("/srv/jobs.d")),
    "log_file": ('"/srv/s.log"', Path("/srv/s.log")),
    "log_format": ('"json"', "json"),
    "log_max_bytes": ('"1M"', 1048576),
    "log_backups": ("3", 3),
    "output_dir": ('"/srv/output"', Path("/srv/output")),
    "output_max_bytes": ('"2G"', 2 * 1024**3),
    "output_keep": ('"7d"', 604800.0),
    "timezone": ('"Europe/Berlin"', "Europe/Berlin"),
    "max_workers": ("5", 5),
    "drain_timeout": ("1.5", 1.5),
    "rescan_interval": ('"1m"', 60.0),
    "socket": ('"/srv/s.sock"', Path("/srv/s.sock")),
    "socket_group": ("990", "990"),
    "http": ('"127.0.0.1:9080"', ("127.0.0.1", 9080)),
    "http_token_file": ('"/srv/token"', Path("/srv/token")),
    "on_failure": ('"/srv/f.json"', Path("/srv/f.json")),
    "on_recovery": ('"/srv/r.json"', Path("/srv/r.json")),
    "database_url": ('"sqlite:////srv/jobs.db"', "sqlite:////srv/jobs.db"),
    "database_url_file": ('"/srv/url"', Path("/srv/url")),
    "reload_interval": ("2", 2.0),
    "keep_log_rows": ('"2d"', 172800.0),
    "keep_markers": ('"3d"', 259200.0),
    "host_id": ('"web-1"', "web-1"),
    "cluster_url": ('"sqlite:////srv/cluster.db"', "sqlite:////srv/cluster.db"),
    "cluster_url_file": ('"/srv/cluster-url"', Path("/srv/cluster-url")),
    "node": ('"web-1"', "web-1"),
    "lease": ('"10s"', 10.0),
    "lost_after": ('"2m"', 120.0),
    "keep_runs": ('"7d"', 604800.0),
}
OTHERS = {  # for each option two further values, as a flag or a variable gives them
    "jobs_dir": ("/a", "/b"),
    "log_file": ("/a", "/b"),
    "log_format": ("text", "json"),
    "log_max_bytes": ("64K", "128K"),
    "log_backups": ("1", "2"),
    "output_dir": ("/a", "/b"),
    "output_max_bytes": ("1G", "100M"),
    "output_keep": ("1d", "2d"),
    "timezone": ("UTC", "Asia/Tokyo"),
    "max_workers": ("1", "2"),
    "drain_timeout": ("1", "2"),
    "rescan_interval": ("1", "2"),
    "socket": ("/a", "/b"),
    "socket_group": ("ops", "wheel"),
    "http": ("127.0.0.1:1", "127.0.0.1:2"),
    "http_token_file": ("/a", "/b"),
    "on_failure": ("/a", "/b"),
    "on_recovery": ("/a", "/b"),
    "database_url": ("sqlite:////a", "sqlite:////b"),
    "database_url_file": ("/a", "/b"),
    "reload_interval": ("1", "2"),
    "keep_log_rows": ("61", "62"),
    "keep_markers": ("61", "62"),
    "host_id": ("a", "b"),
    "cluster_url": ("sqlite:////a", "sqlite:////b"),
    "cluster_url_file": ("/a", "/b"),
    "node": ("a", "b"),
    "lease": ("5", "8"),
    "lost_after": ("70", "80"),
    "keep_runs": ("61", "62"),
}


def settings(text: str, flags: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> Settings:
    """Build the settings of a file with this text, of flags and of an environment."""
    return load_settings(flags or {}, environ or {}, parse_settings(text.encode(), Path("s.toml")))


def problems(text: str) -> list[str]:
    """Return the problems of a file, each with its place and help."""
    with pytest.raises(SettingsError) as refusal:
        parse_settings(text.encode(), Path("s.toml"))
    return [
        f"{one.file}:{one.line}:{one.column}: {one.message}" + (f" ({one.help})" if one.help else "")
        for one in refusal.value.problems
    ]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda one: one.name)
def test_each_option_can_be_given_in_four_ways_and_the_first_counts(option: Any) -> None:
    """Command line, environment, settings file, default."""
    in_file, meaning = EXAMPLES[option.name]
    flag, variable = OTHERS[option.name]
    text = f"{option.key} = {in_file}"
    name = option.name
    assert getattr(load_settings({}, {}), name) == getattr(Settings(), name)
    assert getattr(settings(text), name) == meaning
    assert settings(text).given[name].origin == "s.toml:1"
    with_variable = settings(text, environ={option.variable: variable})
    assert getattr(with_variable, name) == option.parse(variable)
    assert with_variable.given[name].origin == option.variable
    with_flag = settings(text, {name: flag}, {option.variable: variable})
    assert getattr(with_flag, name) == option.parse(flag)
    assert with_flag.given[name].origin == option.flag


@pytest.mark.parametrize(
    ("flag", "variable", "in_environment_file", "in_file", "zone"),
    [
        ("UTC", "Asia/Tokyo", "Europe/Berlin", "Asia/Kolkata", "UTC"),
        (None, "Asia/Tokyo", "Europe/Berlin", "Asia/Kolkata", "Asia/Tokyo"),
        (None, None, "Europe/Berlin", "Asia/Kolkata", "Europe/Berlin"),
        (None, None, None, "Asia/Kolkata", "Asia/Kolkata"),
        (None, None, None, None, ""),
    ],
)
def test_a_verb_that_no_service_answers_has_the_settings_with_which_systemd_would_start_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flag: str | None,
    variable: str | None,
    in_environment_file: str | None,
    in_file: str | None,
    zone: str,
) -> None:
    """The environment file of the unit counts as the environment, and that of the caller comes before it."""
    environment, file = tmp_path / "jobscheduler", tmp_path / "s.toml"
    environment.write_text(f"JOBSCHEDULER_TIMEZONE='{in_environment_file}'\n" if in_environment_file else "# none\n")
    file.write_text(f"timezone = '{in_file}'\n" if in_file else "")
    monkeypatch.setattr(options, "ENVIRONMENT_FILE", environment)
    monkeypatch.setattr(os, "environ", {"JOBSCHEDULER_TIMEZONE": variable} if variable else {})
    arguments = argparse.Namespace(config=str(file), socket=str(tmp_path / "none"), timezone=flag)
    settings = options.settings_of_service(arguments, ["timezone"])
    assert (settings.timezone or "") == zone
    assert ("no service was asked" in capsys.readouterr().err) is (flag is None and variable is None)


def test_an_empty_file_says_nothing() -> None:
    """Nor does one with comments only."""
    assert settings("") == Settings()
    assert settings("# max-workers = 3\n") == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tiemzone = 'UTC'", ["s.toml:1:1: unknown setting `tiemzone` (did you mean `timezone`?)"]),
        ("\nlog_file = '/x'", ["s.toml:2:1: unknown setting `log_file` (did you mean `log-file`?)"]),
        ("what = 1", ["s.toml:1:1: unknown setting `what` (`jobscheduler config` lists the settings)"]),
        ("[default]\ntimeout = 1", ["s.toml:1:1: unknown table `default` (did you mean `defaults`?)"]),
        ("max-workers = 0", ["s.toml:1:1: `max-workers`: `0`: a whole number from 1 to 1000 is expected"]),
        ("max-workers = true", ["s.toml:1:1: `max-workers`: text or a number is expected"]),
        ("http = 9080", ["s.toml:1:1: `http`: `9080`: an address and a port are expected, such as `127.0.0.1:9080`"]),
        ("log-backups = 2026-01-01", ["s.toml:1:1: `log-backups`: text or a number is expected"]),
        ("defaults = 1", ["s.toml:1:1: `defaults` must be a table (write `[defaults]`, and the fields below it)"]),
        (
            "log-format = 'xml'\n\nmax-workers = 'many'",
            [
                "s.toml:1:1: `log-format`: `xml`: `text` or `json` is expected",
                "s.toml:3:1: `max-workers`: `many`: a whole number from 1 to 1000 is expected",
            ],
        ),
        ("a = ", ['s.toml:1:4: invalid value at the end of the file (the file is TOML: `key = "value"` lines)']),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(text: str, expected: list[str]) -> None:
    """All of it at once."""
    found = problems(text)
    assert len(found) == len(expected)
    for one, start in zip(found, expected, strict=True):
        assert one.startswith(start)


def test_a_secret_is_not_repeated() -> None:
    """The URL of a database may hold a password."""
    (problem,) = problems("database-url = 'me:secret@host'")
    assert "secret" not in problem


def test_a_misspelt_variable_is_refused() -> None:
    """It would silently change nothing."""
    with pytest.raises(SettingsError) as refusal:
        load_settings({}, {"JOBSCHEDULER_TIMEZNE": "UTC", "JOBSCHEDULERS": "x", "PATH": "/bin"})
    (problem,) = refusal.value.problems
    assert problem.message == "unknown variable `JOBSCHEDULER_TIMEZNE` in the environment"
    assert problem.help == "did you mean `JOBSCHEDULER_TIMEZONE`?"


def test_the_file_is_trusted_only_if_others_may_not_write_it(tmp_path: Path) -> None:
    """It decides what the service runs."""
    path = tmp_path / "s.toml"
    path.write_text("max-workers = 3\n")
    path.chmod(0o644)
    open_to_all(tmp_path)
    assert read_settings_file(path).options
    assert read_settings_file(path).is_exposed
    tmp_path.chmod(0o750)
    assert not read_settings_file(path).is_exposed
    tmp_path.chmod(0o755)
    path.chmod(0o600)
    assert not read_settings_file(path).is_exposed
    path.chmod(0o666)
    with pytest.raises(SettingsError) as refusal:
        read_settings_file(path)
    (problem,) = refusal.value.problems
    assert problem.message.startswith("it cannot be trusted")
    assert problem.help is not None


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A directory, a FIFO; and a missing one is said to be missing."""
    with pytest.raises(FileNotFoundError):
        read_settings_file(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="not a regular file"):
        read_settings_file(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SettingsError, match="not a regular file"):
        read_settings_file(tmp_path / "fifo")


def test_the_report_names_each_value_and_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are absolute, secrets are hidden, and a reader gets the same settings from it."""
    monkeypatch.chdir(tmp_path)
    text = "# settings\nlog-file = 's.log'\ndatabase-url = 'sqlite:////srv/a'\n"
    given = settings(text, {"max_workers": "7"}, {"JOBSCHEDULER_TIMEZONE": "Asia/Tokyo"})
    report = settings_report(given)
    entries = report["settings"]
    assert entries["log-file"] == {"value": str(tmp_path / "s.log"), "origin": "s.toml:2"}
    assert entries["max-workers"] == {"value": "7", "origin": "--max-workers"}
    assert entries["timezone"] == {"value": "Asia/Tokyo", "origin": "JOBSCHEDULER_TIMEZONE"}
    assert entries["database-url"] == {"value": "(hidden)", "origin": "s.toml:3"}
    assert entries["drain-timeout"] == {"value": "30s", "origin": "default"}
    assert entries["host-id"] == {"value": None, "origin": "default"}
    again = load_settings(texts_of(report), {})
    assert (again.log_file, again.max_workers, again.timezone) == (tmp_path / "s.log", 7, "Asia/Tokyo")


def test_the_file_that_an_installation_brings_shows_every_option_with_its_default() -> None:
    """Only as comments; without the `#` each line is right."""
    text = (Path(__file__).resolve().parent.parent.parent / "systemd/scheduler.toml").read_text("utf-8")
    assert settings(text) == Settings()
    shown = "\n".join(line.removeprefix("#") for line in text.splitlines() if not line.startswith("# "))
    file = parse_settings(shown.encode(), Path("s.toml"))
    given = {option.name: option.parse(value) for option, value in file.options}
    examples = {
        "output_dir",
        "timezone",
        "socket_group",
        "http",
        "http_token_file",
        "on_failure",
        "on_recovery",
        "database_url_file",
        "host_id",
        "cluster_url_file",
        "node",
    }
    without = {"database_url", "cluster_url"}  # secrets, whose place is a file of their own
    assert set(given) == {option.name for option in OPTIONS} - without
    defaults = {name: getattr(Settings(), name) for name in given if name not in examples}
    assert {name: value for name, value in given.items() if name not in examples} == defaults
    assert file.defaults
