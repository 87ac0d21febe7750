"""Settings: flags, variables, defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobscheduler.config import OPTIONS, BadSetting, Settings, default_text, load_settings, parse_settings
from jobscheduler.config.cluster_times import problems_of_cluster_times


def test_without_options_the_defaults_hold() -> None:
    """Those of SPEC section 5."""
    assert load_settings({}, {}) == Settings(
        jobs_dir=Path("/etc/scheduler/jobs.d"),
        log_file=Path("/var/log/scheduler/scheduler.log"),
        log_format="text",
        log_max_bytes=52428800,
        log_backups=7,
        timezone=None,
        max_workers=32,
        drain_timeout=30,
        rescan_interval=30,
        socket_group=None,
        http=None,
        http_token_file=None,
        on_failure=None,
        on_recovery=None,
    )


def test_a_flag_wins_over_its_variable_and_that_over_the_default() -> None:
    """An empty variable counts as unset."""
    environ = {"JOBSCHEDULER_MAX_WORKERS": "5", "JOBSCHEDULER_LOG_BACKUPS": "3", "JOBSCHEDULER_TIMEZONE": ""}

    made = load_settings({"max_workers": "8", "log_backups": None}, environ)

    assert (made.max_workers, made.log_backups, made.timezone) == (8, 3, None)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log_max_bytes", "1M", 1048576),
        ("log_max_bytes", "2GiB", 2147483648),
        ("log_max_bytes", "100000", 100000),
        ("drain_timeout", "0", 0),
        ("drain_timeout", "1m30s", 90),
        ("rescan_interval", "0.5", 0.5),
        ("log_format", "json", "json"),
        ("http", "127.0.0.1:9080", ("127.0.0.1", 9080)),
        ("http", "localhost:80", ("127.0.0.1", 80)),
        ("http", "[::1]:65535", ("::1", 65535)),
        ("http", "0.0.0.0:1", ("0.0.0.0", 1)),
        ("node", "web-1", "web-1"),
        ("lease", "1", 1.0),
        ("lost_after", "2s", 2.0),
        ("keep_runs", "30d", 30 * 86400.0),
    ],
)
def test_values_are_parsed_as_users_write_them(name: str, text: str, value: object) -> None:
    """Sizes with units, durations as in job files or as plain seconds."""
    assert getattr(load_settings({name: text}, {}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_workers", "0"),
        ("max_workers", "many"),
        ("max_workers", "٣"),
        ("log_max_bytes", "1K"),
        ("log_max_bytes", "50X"),
        ("log_format", "xml"),
        ("drain_timeout", "-1"),
        ("rescan_interval", "0"),
        ("jobs_dir", ""),
        ("http", "9080"),
        ("http", ":9080"),
        ("http", "127.0.0.1"),
        ("http", "127.0.0.1:65536"),
        ("http", "::1:9080"),
        ("http", "example.org:80"),
        ("http", "[127.0.0.1]:80"),
        ("node", "web 1"),
        ("lease", "0.5"),
        ("lost_after", "1"),
        ("keep_runs", "59s"),
        ("cluster_url", "host/db"),
    ],
)
def test_a_value_that_cannot_be_parsed_is_refused_by_name(name: str, text: str) -> None:
    """The message names the flag or the variable, whichever was used."""
    (option,) = [one for one in OPTIONS if one.name == name]
    with pytest.raises(BadSetting, match=f"^{option.flag}: "):
        load_settings({name: text}, {})
    if text:
        with pytest.raises(BadSetting, match=f"^{option.variable}: "):
            load_settings({}, {option.variable: text})


def test_runs_must_not_be_lost_before_another_service_leads() -> None:
    """Both times are right alone. The problem stands where the time is given, if it is in the settings file."""
    assert [*problems_of_cluster_times(load_settings({"lease": "30"}, {}))] == []
    (told,) = problems_of_cluster_times(load_settings({"lease": "31"}, {}))
    assert (told.message, told.line) == ("`lost-after` (60 s) is too short for `lease` (31 s)", None)
    file = parse_settings(b"# times\nlost-after = '9s'", Path("s.toml"))
    (told,) = problems_of_cluster_times(load_settings({}, {}, file))
    assert (told.file, told.line) == ("s.toml", 2)


def test_the_url_of_a_cluster_is_a_secret() -> None:
    """It is refused on the command line with its password, and is never shown."""
    with pytest.raises(BadSetting, match="--cluster-url-file FILE") as refused:
        load_settings({"cluster_url": "mysql://me:hunter2@db/x"}, {})
    assert "hunter2" not in str(refused.value)
    made = load_settings({}, {"JOBSCHEDULER_CLUSTER_URL": "mysql://me:hunter2@db/x"})
    assert made.has_cluster
    assert "hunter2" not in repr(made)
    assert not load_settings({}, {}).has_cluster


def test_every_setting_is_an_option_whose_default_can_be_written() -> None:
    """Flag, variable and default agree for each."""
    assert [option.name for option in OPTIONS] == [
        one for one in Settings.__dataclass_fields__ if one not in {"is_own", "file", "given"}
    ]
    for option in OPTIONS:
        if getattr(Settings(), option.name) is not None:
            assert option.parse(default_text(option)) == getattr(Settings(), option.name)
