"""A user's own service: its paths, which service a verb means, and what the service makes and warns of."""

from __future__ import annotations

import argparse
import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cli import options, own_service
from jobscheduler.config import NO_FILE, load_settings, parse_settings
from jobscheduler.config.own_paths import OwnPaths, own_paths
from jobscheduler.config.report import settings_report, texts_of
from jobscheduler.service.errors import StartupError
from jobscheduler.service.own_service import make_directories, warn_of_no_lingering


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a runtime directory."""
    (tmp_path / "run").mkdir()
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_the_paths_follow_the_xdg_rules(home: Mapping[str, str], tmp_path: Path) -> None:
    """By default below the home; a variable with an absolute path wins, a relative one is ignored."""
    assert own_paths(home) == OwnPaths(
        config=tmp_path / ".config/scheduler/scheduler.toml",
        jobs_dir=tmp_path / ".config/scheduler/jobs.d",
        log_file=tmp_path / ".local/state/scheduler/scheduler.log",
        socket=tmp_path / "run/scheduler/control.sock",
    )
    moved = own_paths({**home, "XDG_CONFIG_HOME": "/srv/config", "XDG_STATE_HOME": "state"})
    assert (moved.config, moved.jobs_dir) == (
        Path("/srv/config/scheduler/scheduler.toml"),
        Path("/srv/config/scheduler/jobs.d"),
    )
    assert moved.log_file == tmp_path / ".local/state/scheduler/scheduler.log"


def test_without_a_runtime_directory_the_socket_is_beside_the_log(home: Mapping[str, str], tmp_path: Path) -> None:
    """A session without systemd."""
    environ = {**home, "XDG_RUNTIME_DIR": str(tmp_path / "none")}
    assert own_paths(environ).socket == tmp_path / ".local/state/scheduler/control.sock"


def test_the_own_paths_are_the_last_word_and_a_verb_gets_them_from_the_service(
    home: Mapping[str, str], tmp_path: Path
) -> None:
    """Command line, environment and settings file win over them."""
    own = own_paths(home)
    file = parse_settings(b'log-file = "/srv/file.log"', own.config)
    settings = load_settings({"socket": "/srv/flag.sock"}, {}, file, own)
    assert settings.is_own
    assert settings.systemctl == "systemctl --user"
    assert (settings.jobs_dir, settings.log_file, settings.socket) == (
        own.jobs_dir,
        Path("/srv/file.log"),
        Path("/srv/flag.sock"),
    )
    assert settings.given["jobs_dir"].origin == "--user"
    assert texts_of(settings_report(settings))["jobs_dir"] == str(own.jobs_dir)
    assert load_settings({}, {}).systemctl == "systemctl"


@pytest.mark.parametrize(
    ("has_socket", "has_jobs", "may_ask_host", "options", "is_own"),
    [
        (True, True, True, {}, True),
        (False, True, True, {}, False),
        (False, True, False, {}, True),
        (False, False, False, {}, False),
        (True, True, True, {"socket": "/x"}, False),
        (True, True, True, {"config": "/x"}, False),
        (False, False, True, {"user": True}, True),
        (False, False, True, {"user": True, "socket": "/x"}, True),
    ],
)
def test_which_service_a_verb_means(
    home: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    has_socket: bool,
    has_jobs: bool,
    may_ask_host: bool,
    options: dict[str, Any],
    is_own: bool,
) -> None:
    """The own one if its socket exists; the own one too if it is stopped, and the host's may not be asked."""
    own = own_paths(home)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: may_ask_host)
    if has_jobs:
        own.jobs_dir.mkdir(parents=True)
    if has_socket:
        own.socket.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(own.socket))
    found = own_service.found(argparse.Namespace(**options), home)
    assert found == (own if is_own else None)


def test_paths_that_may_not_be_seen_do_not_exist(home: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME may be that of another user, as after `sudo -u` or `setpriv`."""

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert own_service.found(argparse.Namespace(), home) is None
    assert own_paths(home).socket.name == "control.sock"


def test_the_verbs_of_root_mean_the_hosts_service_unless_told_otherwise(
    home: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may have a service of its own as well, and `sudo` may keep the variables of a user."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    own_paths(home).jobs_dir.mkdir(parents=True)
    assert own_service.found(argparse.Namespace(), home) is None
    assert own_service.found(argparse.Namespace(user=True), home) == own_paths(home)


def test_a_settings_file_of_the_host_that_may_not_be_read_concerns_nobody_who_names_other_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`/etc/scheduler` is closed to other users. Without other paths the refusal tells of `--user`."""

    def closed(path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(options, "read_settings_file", closed)
    elsewhere = argparse.Namespace(jobs_dir="jobs.d", log_file="log")
    assert options.settings_from_arguments(elsewhere, {}).file is NO_FILE
    with pytest.raises(options.SettingsError) as refused:
        options.settings_from_arguments(argparse.Namespace(jobs_dir="jobs.d"), {})
    assert "`serve --user` runs a service of your own" in str(refused.value.problems[0].help)


def test_only_the_own_directories_are_made_for_the_user_alone(home: Mapping[str, str], tmp_path: Path) -> None:
    """One that is named and does not exist may be a typo: that is a problem as ever."""
    named = tmp_path / "typo/jobs.d"
    make_directories(load_settings({"jobs_dir": str(named)}, {}, NO_FILE, own_paths(home)))
    assert not named.exists()
    for folder in (".local", ".local/state", ".local/state/scheduler", "run/scheduler"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700, folder

    make_directories(load_settings({"log_file": str(tmp_path / "none/log")}, {}))
    assert not (tmp_path / "none").exists()


def test_a_directory_that_cannot_be_made_is_a_problem(home: Mapping[str, str], tmp_path: Path) -> None:
    """Here a file has its name."""
    (tmp_path / ".config").write_text("")
    with pytest.raises(StartupError) as refused:
        make_directories(load_settings({}, {}, NO_FILE, own_paths(home)))
    assert (
        refused.value.problem.message
        == f"the directory `{tmp_path}/.config/scheduler/jobs.d` cannot be made: not a directory"
    )
    assert "--jobs-dir DIR" in str(refused.value.problem.help)


def test_a_home_that_may_not_be_seen_is_a_problem(
    home: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOME of another user: no traceback."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    settings = load_settings({}, {}, NO_FILE, own_paths(home))
    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StartupError, match="cannot be made: permission denied"):
        make_directories(settings)


@pytest.mark.parametrize(
    ("is_own", "by_systemd", "lingers", "warns"),
    [(True, True, False, True), (True, True, True, False), (True, False, False, False), (False, True, False, False)],
)
def test_a_service_that_ends_with_the_login_says_so(
    home: Mapping[str, str],
    tmp_path: Path,
    is_own: bool,
    by_systemd: bool,
    lingers: bool,
    warns: bool,
) -> None:
    """Only under a user's systemd, which stops it at the last logout unless the user lingers."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    if lingers:
        (tmp_path / user).touch()
    told: list[tuple[str, dict[str, Any]]] = []
    settings = load_settings({}, {}, NO_FILE, own_paths(home) if is_own else None)
    environ = {"NOTIFY_SOCKET": "/x"} if by_systemd else {}
    warn_of_no_lingering(settings, lambda level, name, **values: told.append((name, values)), environ, tmp_path)
    assert [(name, values["help"]) for name, values in told] == [
        ("linger.off", f"`loginctl enable-linger {user}`")
    ] * warns
