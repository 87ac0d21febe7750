"""Secrets in the files of the settings: found in each of them, with place and help, if all users may read the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobscheduler.config import Settings, read_settings_file
from jobscheduler.config.exposed_settings import exposure_checks
from jobscheduler.model import Problem
from tests.support.tasks import open_to_all

SETTINGS = """
database-url = "mysql://sched:hunter2@host/jobs"
http-token-file = "/etc/scheduler/http-token"

[defaults.execute_command]
env_file = "/etc/scheduler/jobs.env"
env = { PGPASSWORD = "hunter2", PGHOST = "db" }
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a secret in the settings file and in an alert, which all users may read."""
    open_to_all(tmp_path)
    (tmp_path / "s.toml").write_text(SETTINGS)
    alert = {"type": "http_request", "url": "https://user:hunter2@host/"}
    (tmp_path / "alert.json").write_text(json.dumps(alert))
    (tmp_path / "default").write_text("# hosts\nSMTP_PASSWORD='hunter2'\nJOBSCHEDULER_TIMEZONE=UTC\n")
    return Settings(on_failure=tmp_path / "alert.json", file=read_settings_file(tmp_path / "s.toml"))


def found(settings: Settings, base: Path) -> dict[str, list[Problem]]:
    """Return the problems by the name of the file."""
    checks = exposure_checks(settings, base / "default")
    return {Path(check.file).name: list(check.look()) for check in checks}


def test_a_secret_in_any_file_of_the_settings_is_found(settings: Settings, tmp_path: Path) -> None:
    """Each with its line and a way out that opens nothing; the secret itself is not shown."""
    problems = found(settings, tmp_path)
    url, variable = problems["s.toml"]
    assert (url.line, url.message.split("`")[1]) == (2, "database-url")
    assert str(url.help).startswith("put the URL into a file of mode 600, name it with `database-url-file`")
    assert (variable.line, variable.message.split("`")[1]) == (7, "defaults.execute_command.env.PGPASSWORD")
    assert str(variable.help).startswith(f"`chmod o-r {tmp_path}/s.toml`")
    assert [one.message.split("`")[1] for one in problems["alert.json"]] == ["url"]
    assert [(one.line, one.message.split("`")[1]) for one in problems["default"]] == [(2, "SMTP_PASSWORD")]
    assert "hunter2" not in str(problems)


def test_the_help_names_the_file_for_the_url_of_a_cluster(settings: Settings, tmp_path: Path) -> None:
    """Not that for the URL of jobs."""
    (tmp_path / "s.toml").write_text("cluster-url = 'mysql://sched:hunter2@host/cluster'\n")
    (told,) = found(replace(settings, file=read_settings_file(tmp_path / "s.toml")), tmp_path)["s.toml"]
    assert "`cluster-url-file`" in str(told.help)


def test_nothing_is_said_of_a_file_that_is_closed(settings: Settings, tmp_path: Path) -> None:
    """Nor of one in a closed directory, or of none."""
    for name in ("s.toml", "alert.json", "default"):
        (tmp_path / name).chmod(0o640)
    closed = replace(settings, file=read_settings_file(tmp_path / "s.toml"))
    assert found(closed, tmp_path) == {"default": [], "alert.json": [], "s.toml": []}
    for name in ("s.toml", "alert.json", "default"):
        (tmp_path / name).chmod(0o644)
    tmp_path.chmod(0o750)
    behind = replace(settings, file=read_settings_file(tmp_path / "s.toml"))
    assert found(behind, tmp_path) == {"default": [], "alert.json": [], "s.toml": []}
    assert found(Settings(), tmp_path / "none") == {"default": []}
